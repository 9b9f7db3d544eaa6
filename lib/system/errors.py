"""Exceptions that a person reads."""

import errno
import reprlib
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Any

_MOST = 300  # characters that a message quotes of anything
FULL = (errno.ENOSPC, errno.EDQUOT)
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 100, 100


def printable(text: str) -> str:
    """Return text that a terminal shows and does not obey: control characters, apart from new lines, are blanks."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


class UserError(Exception):
    """An error that its reader can correct: the message, shown alone, says what happened and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def _render_traceback_(self: BaseException) -> list[str]:  # IPython asks for it
        return [str(self)]


class NoRoom(UserError):
    """Results cannot be written: the disk is full, or this user must not write there; training on would lose them."""

    def __str__(self) -> str:
        return f"{super().__str__()} Make room, or set WRITEUP_OUTPUTS (publish: WRITEUP_PUBLISHED) to another folder."


def clipped(text: str, most: int = _MOST) -> str:
    """Return the text in one line of at most `most` characters."""
    line = " ".join(printable(text[: 2 * most]).split())
    return line if len(line) <= most else line[: most - 3] + "..."


def quoted(value: Any) -> str:
    """Return a value as Python writes it, shortened where it is long."""
    try:
        return clipped(_SHORT.repr(value), 120)
    except ValueError:  # Python writes no number of so many digits
        return "a number of thousands of digits"


def explain(errors: Sequence[Any], known: list[str]) -> str:
    """Return one sentence for each of the first errors that pydantic lists: the key, the value and what is allowed."""
    sentences = []
    for item in errors[:2]:
        name = clipped(".".join(str(part) for part in item["loc"]), 60) or "the settings"
        if item["type"] == "extra_forbidden":
            sentences.append(f"There is no setting {name!r}; known settings: {', '.join(known) or 'the others'}.")
        elif item["type"] == "missing":
            sentences.append(f"The setting {name!r} is missing.")
        else:
            value = "" if name == "the settings" else f", not {quoted(item['input'])}"
            sentences.append(f"{name}: {item['msg'].removeprefix('Value error, ')}{value}.")
    return " ".join(sentences)


def reason(error: BaseException) -> str:
    """Return why something could not be read or written, in one line."""
    if callable(listed := getattr(error, "errors", None)):  # pydantic's, which the command line's help need not import
        return clipped(explain(listed(), known=[]))
    lacks = f"it lacks {error}" if isinstance(error, KeyError) else ""
    return clipped(getattr(error, "strerror", None) or lacks or str(error) or type(error).__name__)


def run_command_line(app: Callable[[], Any]) -> None:
    """Run a command line; an error that the user can correct is a sentence, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot print
    try:
        app()
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:  # a folder in the place of a file, a full disk, a name too long ...
        said = clipped(f"{error.strerror or error}: {error.filename or 'no file named'}")
        sys.exit(str(NoRoom(f"{said}.")) if error.errno in (*FULL, errno.EROFS) else said)
