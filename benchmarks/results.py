"""The kept measurements of the last full run, shown in the README."""

import re
from pathlib import Path

import pandas as pd

from benchmarks import summary

FOLDER = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
_BLOCK = re.compile(r"(<!-- generated: python -m benchmarks table -->\n).*(<!-- end of generated -->)", re.DOTALL)


def block() -> str:
    """Speed by model and loop, as Markdown tables."""
    speed, accuracy = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("speed", "accuracy"))
    parts = []
    for model, frame in speed.groupby("of", sort=False):
        table = summary.comparison(frame, accuracy[accuracy.of == model])
        rows = [[name, *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
        lines = [
            " | ".join(map(str, row)) for row in [["loop", *table.columns], ["---"] * (1 + len(table.columns)), *rows]
        ]
        parts.append(f"**{model}**\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join(parts) + "\n\n"


def readme() -> str:
    """README.md with its generated block written anew."""
    return _BLOCK.sub(lambda match: match[1] + block() + match[2], README.read_text())


def write_readme() -> None:
    README.write_text(readme())
