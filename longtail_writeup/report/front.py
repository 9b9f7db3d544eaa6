"""Values of the report's parts that belong to no notebook, whose texts are templates/*.md.j2, and its title block."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from lib.analysis import original
from lib.analysis.prose import details, escaped
from lib.notebook.parameters import Plan
from lib.runs.store import opened
from lib.system import device, files, paths
from lib.training import Record
from longtail_writeup.report.document import Execution, exhibits, failed_runs, headlines

#: Blanks between a setting's name and its number, which are not to be broken in a narrow column.
_UNBROKEN = re.compile(r"\b(β|γ|rate|draw|batch) (?=\d)")
TITLE = "A small ConvNet and class-balanced focal loss on CIFAR-10, re-run"
FIELD = "Methods for long-tailed CIFAR-10, re-run under one training loop"


def title(plan: Plan) -> str:
    """Return the title of a profile's report, which has the write-up's chapters or the field's methods alone."""
    return FIELD if [*plan.values] == ["methods"] else TITLE


def facts(profile: str) -> list[tuple[str, ...]]:
    """Return the lines of a title block: the present time and checkout; name, value and address if any."""
    return [("Date", datetime.now(UTC).strftime("%Y-%m-%d")), ("Commit", *_commit()), ("Profile", profile)]


def _machine() -> str:
    """Name this machine, and the versions of the programs that make the report."""
    machine = device.describe()
    versions = {"Python": machine["python"]} | {name: version(name) for name in ("torch", "torchvision", "papermill")}
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    return f"{machine['device']}, {machine['cores']} cores, {machine['platform']}, with {named}"


def _commit() -> tuple[str, ...]:
    """The commit of this checkout, of no repository around it or of a hook, and whether files differ from it.

    Its address follows where CITATION.cff knows that of the repository.
    """
    command = ["git", "--git-dir=.git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=, with changes"]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options: dict[str, Any] = {"cwd": paths.ROOT, "env": settings, "capture_output": True, "text": True, "check": True}
    try:
        commit = subprocess.run(command, **options).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ("not in a git checkout",)
    citation = paths.ROOT / "CITATION.cff"
    cited = files.parse_yaml(citation.read_bytes(), citation.name) if citation.exists() else {}
    if not (repository := cited.get("repository-code")):
        return (commit,)
    return commit, f"{repository.rstrip('/')}/commit/{commit.partition(',')[0]}"


def introduction(plan: Plan) -> str:
    """Say which write-up the report is about, and by which rules it chooses an epoch."""
    return render("introduction", plan=plan)


def summary(plan: Plan, executions: Sequence[Execution]) -> str:
    """The main results that are not on the first page, and where all come from; "" without any result."""
    keys = {key for e in executions for note in exhibits(e.notebook) for key in note["runs"]}
    return render(
        "summary",
        headlines=headlines(e.notebook for e in executions),
        nothing_trained=any(values.get("runs") == "published" for values in plan.values.values()),
        kept=sum((paths.PUBLISHED / plan.profile / "runs" / key).exists() for key in keys),
        runs=len(keys),
    )


def shortened(plan: Plan) -> str:
    """Every departure from the write-up's settings, as a table; "" where there is none.

    The profile *writeup* has more β than the write-up, and is no measure for those.
    """
    stated = {"betas": [*original.figures()["class_balanced_focal"]]}
    found = [each | {"exact": stated.get(each["name"], each["exact"])} for each in plan.departures]
    departures = [each for each in found if each["exact"] != each["here"]]
    return render("shortened", plan=plan, departures=departures) if departures else ""


def appendix(plan: Plan, executions: Sequence[Execution]) -> tuple[str, str]:
    """Return the appendix (runs by setting, execution times, references), and the runs by figure with their details."""
    store = opened(plan.profile, "published")
    records = {record.key: record for record in store.records()}
    noted = [(note, execution.name) for execution in executions for note in exhibits(execution.notebook)]
    figures, numbers = [], Counter[str]()
    shown: dict[str, list[str]] = {}  # figures by the key of a run
    for note, notebook in sorted(noted, key=lambda each: not each[0].get("first_page")):  # in the report's order
        numbers[note["kind"]] += 1
        number = f"{note['kind'].capitalize()} {numbers[note['kind']]}"
        keys = [key for key in note["runs"] if key in records]
        figures.append({"number": number, "name": note["name"], "notebook": notebook, "runs": keys})
        for key in keys:
            shown.setdefault(key, []).append(f"{number[0]}{numbers[note['kind']]}")
    runs = sorted((records[key] for key in shown), key=lambda run: (run.experiment.setting, run.experiment.seed))
    settings: dict[str, list[Record]] = {}
    for run in runs:
        settings.setdefault(f"{run.experiment.setting}: {details(run.experiment)}", []).append(run)
    known = {"figures": figures, "runs": runs, "shown": shown, "settings": settings, "executions": executions}
    folder = paths.OUTPUTS / plan.profile  # of the report
    known["addresses"] = {run.key: quote(os.path.relpath(store.file(run.key), folder)) for run in runs}
    known["machine"] = _machine()
    known["kept"] = paths.shown(paths.PUBLISHED / plan.profile / "runs")
    return render("appendix", **known), render("origins", **known)


def render(name: str, **values: Any) -> str:
    """Return the markdown of a template in templates/ with these values."""
    folder = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    reader = jinja2.Environment(loader=folder, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    reader.filters |= {"details": details, "escaped": escaped, "failed_runs": failed_runs}
    reader.filters |= {"unbroken": lambda text: _UNBROKEN.sub("\\1\u00a0", text)}
    reader.filters |= {"figures": _figures, "made_on": _made_on, "to_origin": _to_origin}
    return reader.get_template(f"{name}.md.j2").render(values).strip()


def _to_origin(key: str) -> str:
    """Name a run, linked with its line in the origins."""
    return f"[`{key[:8]}`](#run-{key[:8]})"


def _made_on(run: Record) -> str:
    return f"{run.machine.get('device', 'an unknown machine')}, torch {run.machine.get('torch', 'unknown')}"


def _figures(runs: Sequence[Record], shown: dict[str, list[str]]) -> str:
    """Name the figures that show some runs, each once, figures before tables."""
    found = {name for run in runs for name in shown[run.key]}
    return ", ".join(sorted(found, key=lambda name: (name[0], int(name[1:]))))
