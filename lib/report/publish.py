"""Keep a finished report in the repository, and let the README show its headline."""

import re
import shutil
from pathlib import Path

import nbformat

from lib import paths
from lib.errors import UserError
from lib.records import Store
from lib.report.executed import NOTEBOOKS, exhibits, headlines, svg

PUBLISHED = paths.ROOT / "outputs" / "published"
README = paths.ROOT / "README.md"
#: What the README shows: a figure of a notebook.
_SHOWN = ("beta_sweep", "closing_figure")
_BLOCK = re.compile(r"(<!-- generated: make publish -->\n).*(<!-- end of generated -->)", re.DOTALL)


def publish(profile: str) -> Path:
    """Copy a profile's report and the records behind it to outputs/published/, and rewrite the README's block.

    Returns:
        The folder written.

    Raises:
        UserError: the profile has no complete report.
    """
    source, target = paths.OUTPUTS / profile, PUBLISHED / profile
    files = [source / f"{name}.ipynb" for name in NOTEBOOKS] + [source / "report.html", source / "report.pdf"]
    if absent := [paths.shown(file) for file in files if not file.exists()]:
        raise UserError(f"{', '.join(absent)} is not there yet. Try: make report PROFILE={profile}")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in files[len(NOTEBOOKS) :]:
        shutil.copy(file, target)
    notebooks = {file.stem: nbformat.read(file, 4) for file in files[: len(NOTEBOOKS)]}
    store = Store()
    for key in {key for notebook in notebooks.values() for note in exhibits(notebook) for key in note["runs"]}:
        kept = target / "runs" / key
        kept.mkdir(parents=True)
        shutil.copy(store.folder / key / "record.json", kept)
    (target / f"{_SHOWN[1]}.svg").write_text(svg(notebooks[_SHOWN[0]], _SHOWN[1]))
    _rewrite_readme(profile, [line for notebook in notebooks.values() for line in headlines(notebook)])
    return target


def _rewrite_readme(profile: str, lines: list[str]) -> None:
    folder = paths.shown(PUBLISHED / profile)
    said = "\n".join(f"- {line}" for line in lines)
    block = (
        f"![Accuracy by class, cross-entropy beside class-balanced focal loss]({folder}/{_SHOWN[1]}.svg)\n\n"
        f"What the *{profile}* profile found (its report: [PDF]({folder}/report.pdf), "
        f"[HTML]({folder}/report.html); its records: [runs]({folder}/runs)):\n\n{said}\n"
    )
    text = README.read_text()
    README.write_text(_BLOCK.sub(lambda match: match[1] + block + match[2], text))
