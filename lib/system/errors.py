"""Exceptions that a person reads."""

from collections.abc import Sequence
from typing import Any


class UserError(Exception):
    """An error that its reader can correct; the message says what happened and what to do.

    The command line and notebooks print the message alone.
    """

    def _render_traceback_(self: BaseException) -> list[str]:  # IPython asks for it
        return [str(self)]


class NoRoom(UserError):
    """Results cannot be written, most likely because the disk is full: training on would lose them."""


def explain(errors: Sequence[Any], known: list[str]) -> str:
    """Return one sentence per error that pydantic lists, with the key, the value and what is allowed."""
    sentences = []
    for item in errors:
        name = ".".join(str(part) for part in item["loc"]) or "the settings"
        if item["type"] == "extra_forbidden":
            sentences.append(f"There is no setting {name!r}; known settings: {', '.join(known)}.")
        elif item["type"] == "missing":
            sentences.append(f"The setting {name!r} is missing.")
        else:
            value = "" if name == "the settings" else f", not {item['input']!r}"
            sentences.append(f"{name}: {item['msg'].removeprefix('Value error, ')}{value}.")
    return " ".join(sentences)
