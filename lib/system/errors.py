"""Exceptions that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic takes longer to import than the command line's help may take
    from pydantic import ValidationError


class Brief:
    """Mixed into an exception whose message is all that a person needs: a notebook shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


class UserError(Brief, Exception):
    """Something a person can put right: one clear sentence, and the remedy.

    The command line and notebooks print the message alone.
    """


class NoRoom(UserError):
    """Nothing can be written, most likely because the disk is full: whatever is trained next would be lost."""


def explain(error: ValidationError, known: list[str]) -> str:
    """Pydantic's list of complaints as one sentence per complaint, naming key, value and what is allowed."""
    sentences = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"]) or "the settings"
        if item["type"] == "extra_forbidden":
            sentences.append(f"There is no setting {name!r}; known settings: {', '.join(known)}.")
        elif item["type"] == "missing":
            sentences.append(f"The setting {name!r} is missing.")
        else:
            value = "" if name == "the settings" else f", not {item['input']!r}"
            sentences.append(f"{name}: {item['msg'].removeprefix('Value error, ')}{value}.")
    return " ".join(sentences)
