"""Parts of the report that belong to no notebook: departures, summary and origins."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lib.analysis.prose import details
from lib.notebook.plan import Plan
from lib.report.document import DocumentMeta
from lib.report.executed import Execution, exhibits, failed_runs, headlines
from lib.runs.store import opened
from lib.system import device, paths
from lib.training import Record

TITLE = "A small ConvNet and class-balanced focal loss on CIFAR-10, re-run"
REFERENCES = """
# References {.unnumbered}

- Krizhevsky. *Learning Multiple Layers of Features from Tiny Images.* Technical report, University of Toronto, 2009.
  (CIFAR-10)
- Cui, Jia, Lin, Song, Belongie. *Class-Balanced Loss Based on Effective Number of Samples.* CVPR 2019,
  arXiv 1901.05555.
- Lin, Goyal, Girshick, He, Dollár. *Focal Loss for Dense Object Detection.* ICCV 2017, arXiv 1708.02002.
- He, Zhang, Ren, Sun. *Deep Residual Learning for Image Recognition.* CVPR 2016, arXiv 1512.03385.
- Cao, Wei, Gaidon, Arechiga, Ma. *Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss.*
  NeurIPS 2019, arXiv 1906.07413. (the long-tailed CIFAR-10)
- Smith, Topin. *Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates.* 2018,
  arXiv 1708.07120. (one-cycle)
- Guo, Pleiss, Sun, Weinberger. *On Calibration of Modern Neural Networks.* ICML 2017, arXiv 1706.04599.
"""


def meta(plan: Plan, executions: Sequence[Execution]) -> DocumentMeta:
    """First page and appendix of the document."""
    profile = plan.profile
    machine = device.describe()
    return DocumentMeta(
        title=TITLE,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=commit(),
        profile=profile,
        machine=f"{machine['device']}, {machine['cores']} cores, {machine['platform']}",
        versions={"Python": machine["python"]} | {p: version(p) for p in ("torch", "torchvision", "papermill")},
        shortened=shortened(plan),
        summary=summary(profile, executions),
        appendix=appendix(profile, executions),
        missing=[(e.name, e.failure) for e in executions if e.failure],
    )


def commit() -> str:
    """The commit of this checkout, and whether files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", paths.ROOT, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (", with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not in a git checkout"


def shortened(plan: Plan) -> str:
    """Every departure from the write-up's settings, as a table; "" where there is none."""
    if not plan.departures:
        return ""
    rows = [f"| {d.name} | {_short(d.exact)} | {_short(d.here)} | {', '.join(d.notebooks)} |" for d in plan.departures]
    table = _table(["parameter", "write-up", "here", "in"], rows)
    return (
        f"**This report departs from the write-up's settings** (profile *{plan.profile}*), in the table below; it may "
        f"also have fewer seeds and fewer of the additional comparisons.\n\n{table}"
    )


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(v if isinstance(v, str) else f"{v:g}" for v in value)
    return f"{value}"


def summary(profile: str, executions: Sequence[Execution]) -> str:
    """The notebooks' main results, and the terms used in the report."""
    lines = [line for e in executions for line in headlines(e.read())]
    if not lines:
        return ""
    said = "\n".join(f"- {line}" for line in lines)
    return (
        f"# In short {{.unnumbered}}\n\n{said}\n\nEvery number here is generated from records of training runs; the "
        "appendix lists the runs of each figure, and the parameter file of each run. "
        f"{_untrained(profile, executions)}"
        "*Original* marks what the original write-up states, *best epoch* its rule (the epoch of the highest "
        "accuracy on the test set), *last epoch* the clean one."
    )


def _untrained(profile: str, executions: Sequence[Execution]) -> str:
    """Return the first page's sentence on a report that trains nothing; "" for others."""
    notebooks = [e.read() for e in executions]
    if not any(n.metadata.get("papermill", {}).get("parameters", {}).get("runs") == "published" for n in notebooks):
        return ""
    store = opened(profile, "published")
    files = [store.file(key) for key in {key for n in notebooks for noted in exhibits(n) for key in noted["runs"]}]
    kept = sum(file is not None and file.is_relative_to(paths.PUBLISHED) for file in files)
    which = "" if kept == len(files) else f" ({kept} of them; the other {len(files) - kept} are on this machine only)"
    return (
        f"The runs are those that the repository keeps{which}: nothing was trained for this report; the appendix says "
        "when, where and by which version of the numerics they were made. "
    )


def appendix(profile: str, executions: Sequence[Execution]) -> str:
    """Runs of each figure, parameter file of each run, execution times, references."""
    records = {record.key: record for record in opened(profile, "published").records()}
    used: dict[str, Record] = {}
    origins, numbers = [], {"figure": 0, "table": 0}
    for execution in executions:
        for noted in exhibits(execution.read()):
            kind = noted["kind"]
            numbers[kind] += 1
            runs = [key for key in noted["runs"] if key in records]
            used |= {key: records[key] for key in runs}
            keys = ", ".join(f"`{key[:8]}`" for key in runs) or "no run"
            origins.append(f"| {kind.capitalize()} {numbers[kind]} | {noted['name']} | {execution.name} | {keys} |")
    made = {key: f"{r.machine['device']}, torch {r.machine['torch']}, numerics {r.numerics}" for key, r in used.items()}
    mixed = len(set(made.values())) > 1
    runs_table = [
        f"| `{r.key[:8]}` | {r.experiment.title}: {details(r.experiment)} | {r.experiment.epochs} | "
        f"{r.wall_time:.0f} s | {r.finished[:16]} | {r.origin} |{f' {made[key]} |' if mixed else ''}"
        for key, r in used.items()
    ]
    costs = [
        f"| {e.name} | {_amount(e.seconds, 0, 's')} | {_amount(e.peak_memory / 1e9, 1, 'GB')} | "
        f"{_cell(e.failure or _state(e))} |"
        for e in executions
    ]
    machines = sorted({f"{r.machine['device']}, torch {r.machine['torch']}" for r in used.values()})
    finished = sorted(r.finished[:10] for r in used.values())
    when = f"{len(used)} runs, finished {finished[0]} to {finished[-1]}, numerics version " if used else ""
    when += ", ".join(sorted({str(r.numerics) for r in used.values()}))
    parts = [
        "# Origin of the figures {.unnumbered}",
        "Each figure and table with its notebook and its runs.",
        _table(["", "name", "notebook", "runs"], origins),
        "Each run is kept as `outputs/runs/<run>/record.json` (the name there is longer than the eight digits here). "
        f"{when}. Trained on: {'; '.join(machines) or 'nothing'}.",
        _table(_RUN_COLUMNS + (["made on"] if mixed else []), runs_table),
        "Execution of the notebooks: wall time, and peak memory of the kernel with its child processes. "
        "Runs that were stored before are loaded, not repeated.",
        _table(["notebook", "time", "peak memory", "state"], costs),
        REFERENCES,
    ]
    return "\n\n".join(parts)


_RUN_COLUMNS = ["run", "experiment", "epochs", "time", "finished (UTC)", "parameters"]


def _state(execution: Execution) -> str:
    failed = failed_runs(execution.read())
    return f"without {len(failed)} runs that failed" if failed else "complete"


def _amount(value: float, digits: int, unit: str) -> str:
    return f"{value:.{digits}f} {unit}" if value else "not measured"


def _cell(text: str) -> str:
    """Text that cannot break a table: its first line."""
    return text.splitlines()[0].replace("|", "¦")


def _table(head: list[str], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|:---" * len(head) + "|", *rows])
