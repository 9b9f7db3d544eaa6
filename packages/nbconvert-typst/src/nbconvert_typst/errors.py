"""Errors of the exporters."""

from nbconvert.utils.exceptions import ConversionException


class MissingDependencyError(ConversionException):
    """Pandoc or Typst is not installed; the message says what to install."""
