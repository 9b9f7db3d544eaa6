"""Papermill over a profile's notebooks, then the report.

The executed notebooks are the log. A notebook that fails is kept up to the failing cell, the others still run, the
report names the missing part, and `report` returns False.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any
from unittest import mock

import papermill
import psutil
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from rich.console import Console

from lib import data
from lib.notebook.parameters import VARIABLE, Plan, described, file_of
from lib.runs import progress
from lib.system import files, paths
from lib.system.errors import FULL, NoRoom, UserError, clipped
from lib.training import training_part
from longtail_writeup import VARIABLE as ROOT
from longtail_writeup.report import front
from longtail_writeup.report.document import Execution, assemble, failed_runs, missing_artefacts, write_report

#: Of kernels and their workers: they see neither the working directory's modules nor a person's own settings.
_SETTINGS = {
    "PYTHONSAFEPATH": "1",
    "PYTHONSTARTUP": "",
    "PYTHONUTF8": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not another one of the same name
    "JUPYTER_PATH": "",
    # Semaphores that an interrupted kernel leaves; multiprocessing's tracker removes them, with a warning.
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}
_EVERY = 1.0  # seconds between two looks: measuring takes some milliseconds, which a benchmark would notice


def report(profile: str, changes: dict[str, Any] | None = None, show_code: bool = False) -> bool:
    """Execute a profile's notebooks, with `changes` to its parameters; write outputs/<profile>/report.{html,pdf}.

    Returns True where every notebook finished and produced what it declares, and no run failed. Raises UserError for a
    profile or parameter that does not exist or has a wrong value, before any kernel starts.
    """
    plan = Plan.of(profile, changes)
    files.try_writing(paths.OUTPUTS / profile, paths.RUNS)
    for name, values in plan.values.items():
        dataset = data.load(values["dataset"])  # fetched here, where its progress can be seen
        try:
            training_part(dataset, described(values))
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
    with files.only_program(paths.OUTPUTS / profile / ".lock", f"making or publishing the report of {profile}"):
        files.restore(paths.PUBLISHED / profile)
        return _report(plan, show_code)


def _report(plan: Plan, show_code: bool) -> bool:
    folder, total = paths.OUTPUTS / plan.profile, len(plan.values)
    plan.save(file_of(plan.profile))
    os.environ[VARIABLE] = str(file_of(plan.profile))
    try:
        executions = [
            execute(paths.NOTEBOOKS / f"{name}.ipynb", values, folder / f"{name}.ipynb", f"[{n}/{total}] {name}")
            for n, (name, values) in enumerate(plan.values.items(), start=1)
        ]
    finally:
        del os.environ[VARIABLE]
    parts = {
        "introduction": front.introduction(plan),
        "summary": front.summary(plan, executions),
        "notice": front.shortened(plan),
    }
    parts["appendix"], parts["origins"] = front.appendix(plan, executions)
    failures = {e.name: e.failure for e in executions if e.failure}
    notebooks = [e.path for e in executions]
    document = assemble(notebooks, front.title(plan), front.facts(plan.profile), missing=failures, **parts)
    html, pdf = write_report(document, folder, show_code=show_code)
    print(f"report: {paths.shown(html)} and {paths.shown(pdf)}")
    lacking = [f"{e.name} is missing from it: {e.failure} See {paths.shown(e.path)}." for e in executions if e.failure]
    for e in executions:
        if titles := failed_runs(e.notebook):
            lacking.append(f"{e.name} is without {len(titles)} runs that failed: {', '.join(titles)}.")
    for line in lacking:
        print(line, file=sys.stderr)
    return not lacking


def execute(notebook: Path, values: dict[str, Any], output: Path, label: str) -> Execution:
    """Execute one notebook with checked parameters; errors are returned. Its terminal lines start with `label`."""
    print(f"{label} ...", flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)  # it may be another user's
    start, used = time.monotonic(), [0]
    try:
        _execute(notebook, output, values, label, used)
        failure = missing_artefacts(output)
    except PapermillExecutionError as error:
        failure = clipped(f"cell {error.exec_count} stopped with {error.ename}: {error.evalue}", 2000)
    except DeadKernelError:
        failure = "its kernel was ended from outside while it worked; most likely there was no memory left"
    except Exception as error:  # whatever it is, the other notebooks still run
        if getattr(error, "errno", None) in FULL:
            raise NoRoom(f"{paths.shown(output)} could not be saved: {clipped(f'{error}')}.") from error
        no_start = isinstance(error, NoSuchKernel) or "before replying" in str(error)
        said = clipped(f"{error}", 2000)
        failure = f"its kernel could not start ({said})" if no_start else f"{type(error).__name__}: {said}"
    if failure and failure[-1] not in ".!?":
        failure += "."
    seconds = time.monotonic() - start
    print(f"{label} {'failed' if failure else 'done'} in {seconds:.0f} s", flush=True)
    return Execution(notebook.stem, output, seconds, failure, max(used))


def _execute(notebook: Path, output: Path, values: dict[str, Any], label: str, used: list[int]) -> None:
    """Call Papermill; meanwhile note the memory `used`, and show progress: one changing line, or a line per run.

    In the main thread nbclient handles Ctrl-C itself and kills the kernel. Papermill has a thread of its own: Ctrl-C is
    raised here and sent to the kernel, which stops its training, and the notebook is kept.
    """
    options = {
        "parameters": values,
        "kernel_name": "python3",
        "progress_bar": False,
        "start_timeout": 120,  # seconds, on a loaded machine
        "extra_arguments": ["--log-level=CRITICAL"],  # to the kernel: no warnings about its transport
    }
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    rest, over, settings = "", False, _SETTINGS | {ROOT: str(paths.ROOT)}
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as own,
        NamedTemporaryFile("r", suffix=".jsonl", encoding="utf-8") as events,
        ThreadPool(1) as pool,
        console.status(label) as shown,
        mock.patch.dict(os.environ, settings | {progress.VARIABLE: events.name, "IPYTHONDIR": own}),
    ):
        call = pool.apply_async(papermill.execute_notebook, (notebook, output), options)
        try:
            while not over:
                over = call.ready()  # asked before the last look, which then misses nothing
                used.append(memory())
                lines, newline, rest = (rest + events.read()).rpartition("\n")
                for event in progress.read(lines + newline):
                    shown.update(f"{label} · {event.line}")
                    if event.worth_a_line and not console.is_terminal:
                        console.print(f"{label} · {event.line}")
                call.wait(_EVERY)
            call.get()
        except KeyboardInterrupt:
            for kernel in psutil.Process().children():
                kernel.send_signal(signal.SIGINT)
            call.wait(20)  # seconds, for the kernels to end
            raise


def memory() -> int:
    """Return the memory, in bytes, that the children of this process use together; shared memory counts once."""
    used = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            try:
                used += child.memory_full_info().pss
            except (AttributeError, psutil.AccessDenied):  # not on Linux: what is shared counts each time
                used += child.memory_info().rss
    return used
