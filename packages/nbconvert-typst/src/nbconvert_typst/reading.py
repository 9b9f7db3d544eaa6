"""State of one conversion: pictures, formulas, trees, and what could not be converted."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from lxml.html import HtmlElement

from nbconvert_typst.errors import PictureError
from nbconvert_typst.formulas import Formula
from nbconvert_typst.pictures import Picture, decoded, from_data_uri, picture_of

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass
class Reading:
    """Collects what the cells of a notebook hold, in the order of the document."""

    #: Where relative pictures are looked up; None where the notebook has no folder.
    folder: Path | None
    pictures: dict[str, Picture] = field(default_factory=dict)
    picture_places: dict[str, str] = field(default_factory=dict)
    #: Elements that wait for the formula that stands for them.
    formulas: list[tuple[HtmlElement, Formula, str]] = field(default_factory=list)
    #: Trees whose headings and links are resolved when all are known.
    trees: list[HtmlElement] = field(default_factory=list)
    #: "cell 3: reason", one for each item that could not be converted.
    problems: list[str] = field(default_factory=list)
    #: The present cell: "cell 3".
    place: str = ""
    #: The cell of each block.
    places: list[str] = field(default_factory=list)

    def problem(self, reason: str, place: str | None = None) -> None:
        """Record an item that could not be converted, of the present cell unless `place` says otherwise."""
        self.problems.append(f"{place or self.place}: {reason}")

    def attempt(self, data: Callable[[], bytes], what: str = "picture") -> Picture | str:
        """Return the picture of `data`, or the text that stands for it: "[picture cannot be read: reason]"."""
        try:
            return picture_of(data())
        except PictureError as error:
            self.problem(f"{what} cannot be read: {error}")
            return f"[picture cannot be read: {error}]"
        except OSError as error:
            self.problem(f"{what} cannot be read: {error.strerror}")
            return f"[picture cannot be read: {error.strerror}]"

    def keep(self, picture: Picture) -> str:
        """Add a picture to those of the document; return its name."""
        name = f"picture-{len(self.pictures) + 1}.{picture.suffix}"
        self.pictures[name] = picture
        self.picture_places[name] = self.place
        return name

    def find(self, source: str, attachments: Mapping[str, Mapping[str, str]]) -> Picture | str:
        """Return the picture that a `src` names, or the text that stands for it."""
        source = source.strip()
        if source.lower().startswith("data:"):
            return self.attempt(lambda: from_data_uri(source))
        if source.startswith("attachment:"):
            return self._attachment(source.removeprefix("attachment:"), attachments)
        if _SCHEME.match(source) or source.startswith("//"):
            return f"[picture not included: {source}]"
        return self._file(source)

    def _attachment(self, name: str, attachments: Mapping[str, Mapping[str, str]]) -> Picture | str:
        bundle = attachments.get(name) or attachments.get(unquote(name)) or {}
        data = next(iter(bundle.values()), None)
        if data is not None:
            return self.attempt(lambda: decoded(str(data)), f"attachment {name}")
        self.problem(f"attachment {name} is not in the notebook")
        return f"[picture cannot be read: no attachment {name}]"

    def _file(self, source: str) -> Picture | str:
        for name in (source, unquote(source), unquote(source.partition("?")[0].partition("#")[0])):
            path = self._below(name)
            if path is not None:
                return self.attempt(path.read_bytes, f"picture {source}")
        self.problem(f"picture {source} was not found below the notebook's folder")
        return f"[picture not found: {source}]"

    def _below(self, name: str) -> Path | None:
        """Return the file of this name, provided that it lies below the notebook's folder, links followed."""
        if self.folder is None:
            return None
        try:
            root, path = (Path(os.path.realpath(each)) for each in (self.folder, self.folder / name))
            return path if path.is_relative_to(root) and path.is_file() else None
        except (OSError, ValueError):  # a name that the system cannot hold
            return None
