"""Access to the programs behind the exporters, imported on first use."""

import base64
import re
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from nbconvert_typst.errors import MissingDependencyError, TypesettingError

#: Modules of the wheels that the extra "fonts" installs.
_FONT_WHEELS = (
    "noto_cjk_sans_otc",
    "fontpkg_noto_sans_arabic",
    "fontpkg_noto_sans_devanagari",
    "fontpkg_noto_sans_thai",
)
_IN_MAIN = re.compile(r"(?:main|single)\.typ:(\d+):")


def require(module: str, wheel: str) -> ModuleType:
    """Import a module on first use; raise MissingDependencyError naming its wheel where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"This export needs {wheel}, which is not installed. Try: pip install {wheel}"
        ) from error


def font_folders() -> list[str]:
    """Return the folders of the installed wheels with fonts."""
    specs = (find_spec(name) for name in _FONT_WHEELS)
    return [folder for spec in specs if spec for folder in spec.submodule_search_locations or []]


class Typst:
    """The typst wheel on one project, whose fonts are looked up once."""

    def __init__(self, root: Path, font_paths: Sequence[str] = ()) -> None:
        self._typst = require("typst", "typst")
        fonts = self._typst.Fonts(font_paths=[*font_paths, *font_folders()])
        self._options = {"root": root, "font_paths": fonts}

    def compile(self, main: Path, **options: object) -> bytes:
        """Return a file of the project typeset, as PDF unless `format` says otherwise.

        Raises TypesettingError where Typst fails.
        """
        try:
            return self._typst.compile(main, **self._options, **options)
        except self._typst.TypstError as error:
            lines = _IN_MAIN.findall(error.diagnostic)
            raise TypesettingError(error.message, error.diagnostic, int(lines[-1]) if lines else None) from error


def pdf_to_svg(data: bytes) -> str:
    """Return the first page of a PDF as the address of an SVG, as browsers show no PDF as a picture."""
    with tempfile.TemporaryDirectory(prefix="typst-svg-") as folder:
        Path(folder, "picture.pdf").write_bytes(data)
        main = Path(folder, "main.typ")
        main.write_text('#set page(width: auto, height: auto, margin: 0pt)\n#image("picture.pdf")', "utf-8")
        svg = Typst(Path(folder)).compile(main, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
