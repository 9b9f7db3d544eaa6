"""Errors of the exporters."""

from nbconvert.utils.exceptions import ConversionException


class ExportError(ConversionException):
    """A notebook was not exported; the message says at which step and why."""


class MissingDependencyError(ExportError):
    """A package that the export needs is not installed; the message says what to install."""


class PictureError(ValueError):
    """A picture cannot be shown; the message is the reason, to be read in the document."""


class TypesettingError(Exception):
    """Typst rejected a document; `line` is that of main.typ where it is known, from 1."""

    def __init__(self, reason: str, diagnostic: str, line: int | None) -> None:
        super().__init__(reason)
        self.diagnostic = diagnostic
        self.line = line
