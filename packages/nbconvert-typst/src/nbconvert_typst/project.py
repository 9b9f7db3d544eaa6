"""A Typst project on the disk: written, typeset, and typeset again without what Typst rejects."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from nbconvert_typst.errors import ExportError, TypesettingError
from nbconvert_typst.reading import Reading
from nbconvert_typst.tools import Typst
from nbconvert_typst.typst_text import literal, parts

_STYLE = Path(__file__).parent / "templates" / "report" / "style.typ"
#: Begins each block in main.typ.
_MARK = re.compile(r"^// block \d+\n", re.MULTILINE)


class Project:
    """main.typ, its style, one file per picture, and the list of pictures that Typst rejects.

    texts: the plain text of each block, shown where Typst rejects the block.
    """

    def __init__(self, folder: Path, source: str, reading: Reading, texts: Sequence[str]) -> None:
        self.main = folder / "main.typ"
        self._reading, self._texts = reading, texts
        head, *blocks = _MARK.split(source)
        self._head, self._blocks = head, blocks
        for name, picture in reading.pictures.items():
            (folder / name).write_bytes(picture.data)
        shutil.copy(_STYLE, folder)
        self._write_rejected({})
        self._write_main()

    def _write_main(self) -> None:
        blocks = (f"// block {number}\n{block}" for number, block in enumerate(self._blocks, 1))
        self.main.write_text(self._head + "".join(blocks), encoding="utf-8")

    def _write_rejected(self, reasons: dict[str, str]) -> None:
        entries = "".join(f"{literal(name)}: {literal(reason)}, " for name, reason in reasons.items())
        self.main.with_name("rejected.typ").write_text(f"#let rejected = ({entries or ':'})", encoding="utf-8")

    def pdf(self, typst: Typst) -> bytes:
        """Return the PDF. What Typst rejects is replaced, a picture by a note, another block by its text.

        Raises ExportError where nothing can be replaced.
        """
        try:
            return typst.compile(self.main)
        except TypesettingError:
            self._reject_pictures(typst)
        replaced: set[int] = set()
        while True:
            try:
                return typst.compile(self.main)
            except TypesettingError as error:
                index = self._failing(typst, error.line, replaced)
                if index is None:
                    raise ExportError(f"Typst could not typeset the notebook: {error}") from error
                replaced.add(index)
                self._reading.problem(f"shown as text, as Typst rejects it: {error}", self._reading.places[index])
                self._blocks[index] = f"#verbatim({parts(self._texts[index])})\n"
                self._write_main()

    def _reject_pictures(self, typst: Typst) -> None:
        reasons = {}
        for name in self._reading.pictures:
            if reason := self._reason(typst, f"#image({literal(name)})"):
                reasons[name] = reason
                self._reading.problem(f"picture cannot be read: {reason}", self._reading.picture_places[name])
        self._write_rejected(reasons)

    def _failing(self, typst: Typst, line: int | None, replaced: set[int]) -> int | None:
        """Return the index of a block that cannot be typeset: the one at the line of the error, or the first.

        The line alone does not decide, as a bracket left open is an error of a later one.
        """
        lines = self.main.read_text(encoding="utf-8").split("\n")[:line]
        named = len(_MARK.findall("\n".join(lines) + "\n")) - 1
        left = [index for index in range(len(self._blocks)) if index not in replaced]
        left.sort(key=lambda index: index != named)
        return next((index for index in left if self._reason(typst, self._head + self._blocks[index])), None)

    def _reason(self, typst: Typst, source: str) -> str | None:
        """Return why a source cannot be typeset in a document of its own, None where it can."""
        single = self.main.with_name("single.typ")
        single.write_text(source, encoding="utf-8")
        try:
            typst.compile(single)
        except TypesettingError as error:
            return str(error)
        return None
