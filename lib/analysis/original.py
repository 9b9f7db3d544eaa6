"""The original write-up's figures, read from original.yaml."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def figures() -> dict[str, Any]:
    """The content of original.yaml; the betas of "class_balanced_focal" as floats."""
    content = yaml.safe_load((Path(__file__).parent / "original.yaml").read_text())
    sweep = content["class_balanced_focal"]
    content["class_balanced_focal"] = {float(beta): row for beta, row in sweep.items()}
    return content
