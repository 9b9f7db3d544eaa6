"""The original write-up's figures, read from original.yaml."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def figures() -> dict[str, Any]:
    """The content of original.yaml."""
    return yaml.safe_load((Path(__file__).parent / "original.yaml").read_text())
