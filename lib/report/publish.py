"""Keep a finished report in the repository, and write its main results into the README."""

import re
import shutil
import tempfile
from pathlib import Path

import nbformat

from lib.notebook.parameters import NOTEBOOKS
from lib.report.executed import exhibits, failed_runs, headlines, svg
from lib.report.runner import missing_artefacts
from lib.runs.store import opened
from lib.system import paths
from lib.system.errors import UserError

README = paths.ROOT / "README.md"
#: What the README shows: a figure of a notebook.
_SHOWN = ("beta_sweep", "closing_figure")
#: The exhibit that is computed from a network's weights.
_LOOKED_AT = ("convnet", "mistakes")
_BLOCK = re.compile(r"(<!-- generated: make publish -->\n).*(<!-- end of generated -->)", re.DOTALL)


def publish(profile: str) -> Path:
    """Copy a profile's report and the records behind it to outputs/published/, and rewrite the README's block.

    Returns:
        The folder written.

    Raises:
        UserError: the profile has no complete report; the one kept before stays.
    """
    source, target = paths.OUTPUTS / profile, paths.PUBLISHED / profile
    executed = {name: source / f"{name}.ipynb" for name in NOTEBOOKS}
    reports = [source / "report.html", source / "report.pdf"]
    if absent := [paths.shown(file) for file in [*executed.values(), *reports] if not file.exists()]:
        raise UserError(f"{', '.join(absent)} does not exist yet. Try: make report PROFILE={profile}")
    if wrong := [reason for file in executed.values() if (reason := missing_artefacts(file))]:
        raise UserError(f"This report is not complete: {wrong[0]} Try: make report PROFILE={profile}")
    notebooks = {name: nbformat.read(file, 4) for name, file in executed.items()}
    if failed := [title for notebook in notebooks.values() for title in failed_runs(notebook)]:
        raise UserError(f"This report is without {len(failed)} runs that failed: {', '.join(failed)}.")
    readme = _readme(profile, [line for notebook in notebooks.values() for line in headlines(notebook)])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as folder:
        new = Path(folder) / profile
        new.mkdir()
        for file in [*reports, *executed.values()]:
            shutil.copy(file, new)
        store = opened(profile, "published")
        shown = {key for notebook in notebooks.values() for note in exhibits(notebook) for key in note["runs"]}
        kept = {folder.name for folder in (target / "runs").glob("[0-9a-f]" * 16)}  # no record is ever dropped
        looked_at = _weights_for(notebooks)
        for key in shown | kept:
            (new / "runs" / key).mkdir(parents=True)
            names = ["record.json", "logits.safetensors"] + (["best.safetensors"] if key in looked_at else [])
            for name in names:
                if file := store.file(key, name):
                    shutil.copy(file, new / "runs" / key)
        (new / f"{_SHOWN[1]}.svg").write_text(svg(notebooks[_SHOWN[0]], _SHOWN[1]))
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
    README.write_text(readme)
    return target


def _weights_for(notebooks: dict[str, nbformat.NotebookNode]) -> set[str]:
    """Return the runs whose weights are needed to execute the notebooks again from the kept records."""
    name, exhibit = _LOOKED_AT
    return {key for note in exhibits(notebooks[name]) if note["name"] == exhibit for key in note["runs"]}


def _readme(profile: str, lines: list[str]) -> str:
    """The README with its generated block written anew."""
    folder = paths.shown(paths.PUBLISHED / profile)
    said = "\n".join(f"- {line}" for line in lines)
    block = (
        f"![Accuracy by class, cross-entropy beside class-balanced focal loss]({folder}/{_SHOWN[1]}.svg)\n\n"
        f"What the *{profile}* profile found (its report: [PDF]({folder}/report.pdf), "
        f"[HTML]({folder}/report.html); its records: [runs]({folder}/runs)):\n\n{said}\n\n"
    )
    text, found = _BLOCK.subn(lambda match: match[1] + block + match[2], README.read_text())
    if not found:
        raise UserError("README.md lacks the marks of its generated block; _BLOCK in lib/report/publish.py has them.")
    return text
