"""Access to the two programs behind the exporters: pandoc and Typst. Both are imported on first use."""

import json
import subprocess
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from nbconvert_typst.errors import ExportError, MissingDependencyError


def require(module: str, wheel: str) -> ModuleType:
    """Import a module on first use; raise MissingDependencyError naming its wheel where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"This export needs {wheel}, which is not installed. Try: pip install {wheel}"
        ) from error


def run_pandoc(script: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Run a Lua script in pandoc, with JSON in and out; raise ExportError where pandoc fails."""
    pypandoc = require("pypandoc", "pypandoc_binary")
    try:
        pandoc = pypandoc.get_pandoc_path()
    except OSError as error:
        raise MissingDependencyError(
            "This export needs pandoc, which pypandoc did not find. Try: pip install pypandoc_binary"
        ) from error
    finished = subprocess.run(
        [pandoc, "lua", str(script)], input=json.dumps(request), capture_output=True, text=True, encoding="utf-8"
    )
    if finished.returncode != 0:
        raise ExportError(f"pandoc could not convert the notebook's text: {finished.stderr.strip()}")
    return json.loads(finished.stdout)


def compile_typst(main: Path) -> bytes:
    """Return the PDF of a Typst project whose root is the folder of `main`; raise ExportError where Typst fails."""
    typst = require("typst", "typst")
    try:
        return typst.compile(main, root=main.parent)
    except typst.TypstError as error:
        raise ExportError(f"Typst could not typeset the notebook: {error}") from error
