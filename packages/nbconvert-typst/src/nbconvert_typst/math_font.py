"""The part of Latin Modern Math that the formulas of a document use, for browsers without a font for formulas."""

import base64
import io
import logging
from collections.abc import Iterable
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

FONT = Path(__file__).parent / "font" / "latinmodern-math.otf"


def subset(characters: Iterable[str]) -> str:
    """Return the font with these characters, their larger forms and their forms as an exponent, as a `data:` URI."""
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)  # of characters that the font does not have
    font = TTFont(FONT, recalcTimestamp=False)  # the same document each time
    options = Options(layout_features=["ssty", "dtls", "flac", "ccmp", "kern"], notdef_outline=True)
    options.name_IDs = [0]  # copyright and licence
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(sorted(set(characters))))
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(written := io.BytesIO())
    return f"data:font/woff;base64,{base64.b64encode(written.getvalue()).decode()}"
