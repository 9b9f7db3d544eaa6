"""Markdown as JupyterLab reads it: CommonMark with GitHub's tables, task lists and bare addresses."""

from functools import cache

from markdown_it import MarkdownIt
from mdit_py_plugins.tasklists import tasklists_plugin


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("gfm-like", {"html": True}).use(tasklists_plugin)
    # Addresses are judged where the tree is cleaned; here a picture's data may have any type.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


def to_html(source: str) -> str:
    """Return the HTML of a Markdown cell; raw HTML in it is passed on, and has to be cleaned."""
    return _parser().render(source)
