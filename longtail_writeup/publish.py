"""Keep a finished report in the repository, and write its main results into the README."""

import re
import shutil
from pathlib import Path

import nbformat

from lib.notebook.parameters import chapters
from lib.runs.store import opened
from lib.system import files, paths
from lib.system.errors import UserError
from longtail_writeup.report.document import exhibits, failed_runs, headlines, missing_artefacts, read
from longtail_writeup.report.front import render

README = paths.ROOT / "README.md"
#: The figure and the table that the README shows, and the exhibit that is computed from a network's weights.
_SHOWN, _LEDGER, _LOOKED_AT = "closing_rows", "ledger", "mistakes"
_BLOCK = re.compile(r"(<!-- generated: make publish -->\n).*(<!-- end of generated -->)", re.DOTALL)

#: A link of the report to the record of a run, which lies beside the published report.
_RECORD = re.compile(r'href="[^":#]*?(runs/[0-9a-f]{16}/record\.json)"')


def publish(profile: str) -> Path:
    """Copy a profile's report and the records behind it to outputs/published/, and rewrite the README's block.

    Returns the folder written. Raises UserError where the profile has no complete report, or the tensors of a run are
    damaged; the one kept before stays.
    """
    source, target = paths.OUTPUTS / profile, paths.PUBLISHED / profile
    files.try_writing(target.parent)
    with files.only_program(source / ".lock", f"making or publishing the report of {profile}"):
        files.restore(target)
        _publish(profile, source, target)
    return target


def _publish(profile: str, source: Path, target: Path) -> None:
    executed = [source / f"{name}.ipynb" for name in chapters(profile)]
    written = [source / "report.html", source / "report.pdf", *executed]
    if absent := [paths.shown(file) for file in written if not file.exists()]:
        raise UserError(f"{', '.join(absent)} does not exist yet. Try: make report PROFILE={profile}")
    if wrong := [reason for file in executed if (reason := missing_artefacts(file))]:
        raise UserError(f"This report is not complete: {wrong[0]} Try: make report PROFILE={profile}")
    notebooks = [read(file) for file in executed]
    if failed := [title for notebook in notebooks for title in failed_runs(notebook)]:
        raise UserError(f"This report is without {len(failed)} runs that failed: {', '.join(failed)}.")
    notes = {note["name"]: note for notebook in notebooks for note in exhibits(notebook)}
    looked_at = notes.get(_LOOKED_AT, {"runs": []})["runs"]
    store, new = opened(profile, "published"), target.with_name(f".new-{profile}")
    records = {record.key: record for record in store.records()}
    runs = {key for note in notes.values() for key in note["runs"]}
    needed = {_LEDGER, _SHOWN, _LOOKED_AT} if "claims" in chapters(profile) else set()  # the README shows the claims
    if lacking := [*(needed - notes.keys()), *(runs - records.keys())]:
        raise UserError(f"This report is without {', '.join(lacking)}. Try: make report PROFILE={profile}")
    readme = README.read_text("utf-8", "surrogateescape")
    if needed:
        lines = {"first_page": headlines(notebooks, first_page=True), "summary": headlines(notebooks)}
        known = {"profile": profile, "folder": paths.shown(target), "figure": _SHOWN, "headlines": lines}
        block = render("readme", **known, ledger=notes[_LEDGER]["data"]["text/html"]) + "\n\n"
        readme, marks = _BLOCK.subn(lambda match: match[1] + block + match[2], readme)
        if not marks:
            raise UserError("README.md lacks the marks of its generated block; longtail_writeup/publish.py has them.")
    shutil.rmtree(new, ignore_errors=True)  # of a program that was killed
    new.mkdir(parents=True)
    for file in written:
        shutil.copy(file, new)
    html = (new / "report.html").read_text("utf-8")
    (new / "report.html").write_text(_RECORD.sub(r'href="\1"', html), "utf-8")
    for file, notebook in zip(executed, notebooks, strict=True):
        for key in {"input_path", "output_path"} & notebook.metadata.get("papermill", {}).keys():
            notebook.metadata.papermill[key] = paths.shown(Path(notebook.metadata.papermill[key]))
        nbformat.write(notebook, new / file.name)
    if (target / "runs").exists():  # no record is ever dropped
        weights = shutil.ignore_patterns("best.safetensors", "last.safetensors", "unfinished", ".*")
        shutil.copytree(target / "runs", new / "runs", ignore=weights, copy_function=shutil.copyfile)
    for key in runs:
        (new / "runs" / key).mkdir(parents=True, exist_ok=True)
        for name in ("logits", "output", "best")[: 3 if key in looked_at else 2]:
            if file := store.file(key, f"{name}.safetensors"):
                store.tensors(records[key], name)  # else a damaged file would be published
                shutil.copyfile(file, new / "runs" / key / file.name)  # its mode by umask, whatever the store's is
        shutil.copyfile(store.file(key), new / "runs" / key / "record.json")
    if _SHOWN in notes:
        (new / f"{_SHOWN}.svg").write_text(notes[_SHOWN]["data"]["image/svg+xml"], "utf-8")
    with files.replaced(target):
        new.replace(target)
        files.write(README, readme.encode(errors="surrogateescape"))  # bytes of other encodings stay
