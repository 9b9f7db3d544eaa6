"""The benchmark's own report: its notebook through Papermill, then HTML and PDF; and the tables of its README."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

from benchmarks import bars, contenders, measure, summary
from lib import data
from lib.notebook import parameters
from lib.system import files, paths
from lib.system.errors import UserError, quoted
from longtail_writeup.report import runner
from longtail_writeup.report.document import assemble, write_report
from longtail_writeup.report.front import facts

HERE = Path(__file__).parent
NOTEBOOK = HERE / "benchmark.ipynb"
#: The measurements of the last full run, which the repository stores; conditions.csv says where they were taken.
RESULTS = HERE / "results"
README = HERE / "README.md"
_BLOCK = re.compile(r"(<!-- generated: python -m benchmarks table -->\n).*(<!-- end of generated -->)", re.DOTALL)


def folder(profile: str) -> Path:
    """The place of a profile's measurements and report."""
    return paths.OUTPUTS / "benchmark" / profile


def run(profile: str) -> None:
    """Execute the notebook with benchmarks/params/<profile>.yaml and write its report.

    Raises UserError where the notebook did not finish or lacks a figure or a table; the last report and its
    measurements stay then.
    """
    known = sorted(file.stem for file in (HERE / "params").glob("*.yaml"))
    if profile not in known:
        raise UserError(f"benchmarks/params has no profile {quoted(profile)}; its profiles: {', '.join(known)}.")
    values = parameters.read(HERE / "params" / f"{profile}.yaml", NOTEBOOK) | {"profile": profile}
    contenders.check_installed()
    data.load(values["dataset"])  # fetched here, where its progress can be seen
    failed = folder(profile).with_name(f"{profile}-failed.ipynb")
    with files.only_program(folder(profile).with_suffix(".lock"), "measuring"), files.replaced(folder(profile)):
        # Measurements of two runs do not belong together; those of the last one come back where this one fails.
        log = folder(profile) / NOTEBOOK.name
        try:
            execution = runner.execute(NOTEBOOK, values, log, "benchmark")
            if execution.failure:
                raise UserError(f"benchmark: {execution.failure} See {paths.shown(failed)}.")
        except BaseException:
            if log.exists():
                log.replace(failed)
            raise
        written = write_report(document("Speed of the training loop", [execution.path], profile), folder(profile))
    print(f"report: {' and '.join(map(paths.shown, written))}")


def document(title: str, notebooks: Sequence[Path], profile: str = "") -> NotebookNode:
    """Executed notebooks as one document."""
    return assemble(notebooks, title, facts(profile))


def keep(profile: str) -> None:
    """Store the measurements of a finished run in benchmarks/results, and write the README's tables anew."""
    files.restore(folder(profile))
    if not (folder(profile) / "report.pdf").exists():
        raise UserError(
            f"There is no report in {paths.shown(folder(profile))}. Try: python -m benchmarks run --profile {profile}"
        )
    for file in folder(profile).glob("*.csv"):
        shutil.copy(file, RESULTS)
    write_readme()


def write_readme() -> None:
    """Write the README's tables anew, from benchmarks/results."""
    text, found = _BLOCK.subn(lambda match: match[1] + block() + match[2], README.read_text("utf-8"))
    if not found:
        raise UserError("benchmarks/README.md lacks the marks around its generated tables; see benchmarks/report.py.")
    README.write_text(text, "utf-8")


def block() -> str:
    """The README's tables as markdown, from benchmarks/results."""
    measured = bars.Measured.load(RESULTS)
    accuracy = measure.load(RESULTS, "accuracy")
    facts = dict(measured.conditions.to_numpy())
    versions = f"lib {facts['lib']}, torch {facts['torch']}, {facts['precision']}"
    parts = [f"Measured on {facts['device']}, {facts['cores']} cores, with {versions}."]
    for model, frame in measured.speed.items():
        parts += [f"**{model}**", summary.markdown(summary.comparison(frame, accuracy[model]))]
    return "\n\n".join([*parts, "**Bars**", summary.markdown(bars.table(measured))]) + "\n\n"
