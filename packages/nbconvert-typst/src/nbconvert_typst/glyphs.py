"""Characters for which no font is found."""

import re
import unicodedata
from pathlib import Path

from nbconvert_typst.errors import TypesettingError
from nbconvert_typst.tools import Typst

_SHOWN = 20
_HEX = re.compile(r"\\u\{([0-9a-fA-F]+)\}")
_UNSHOWN = re.compile(r'the text `"(.+?)"` could not be displayed')


def missing_characters(typst: Typst, main: Path) -> str:
    """Name the characters of a Typst file that no font has, at most twenty; "" where every one is shown.

    Typst itself says which, when it is asked for a PDF/A, in which every character has to have its glyph.
    """
    source = main.read_text(encoding="utf-8")
    found = {chr(int(code, 16)) for code in _HEX.findall(source)} | set(source)
    rare = sorted(char for char in found if char > "\x7f" and unicodedata.category(char)[0] not in "CMZ")
    if not rare:
        return ""
    probe = main.with_name("probe.typ")
    probe.write_text(f'#set text(font: "Libertinus Serif")\n{" ".join(rare)}', encoding="utf-8")
    try:
        typst.compile(probe, pdf_standards="a-2b")
    except TypesettingError as error:
        missing = list(dict.fromkeys(_UNSHOWN.findall(error.diagnostic)))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        return f"{' '.join(missing[:_SHOWN])}{more}"
    return ""
