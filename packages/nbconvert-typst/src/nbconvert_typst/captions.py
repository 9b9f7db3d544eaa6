"""Continuous numbers for the figures and tables of a document."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

FigureKind = Literal["figure", "table"]


@dataclass(frozen=True)
class Anchor:
    """A target inside the document: its id, and the label a reader sees ("Figure 3"), if any."""

    id: str
    label: str


class Captions:
    """Counts figures and tables apart, and remembers the anchor that stands for each name."""

    def __init__(self) -> None:
        #: By name, for `[Figure](#name)`; the first one where a name occurs twice.
        self.anchors: dict[str, Anchor] = {}
        self._counts: Counter[str] = Counter()

    def number(self, kind: FigureKind, name: str) -> Anchor:
        """Return the next number of this kind, as an anchor with its label ("Figure 3"); `name` may be empty."""
        self._counts[kind] += 1
        number = self._counts[kind]
        slug = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")
        anchor = Anchor(id=f"{kind}-{number}-{slug}".rstrip("-"), label=f"{kind.capitalize()} {number}")
        if name:
            self.anchors.setdefault(name, anchor)
        return anchor
