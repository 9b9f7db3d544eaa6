"""Errors of the exporters."""

from nbconvert.utils.exceptions import ConversionException


class ExportError(ConversionException):
    """A notebook was not exported; the message says at which step and why."""


class MissingDependencyError(ExportError):
    """Pandoc or Typst is not installed; the message says what to install."""
