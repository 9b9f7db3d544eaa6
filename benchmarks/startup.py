"""How long things take before anything is trained, and how much memory a worker holds."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial

import pandas as pd

from benchmarks.process import Process
from benchmarks.shares import Evaluated
from benchmarks.task import Task
from lib.system import paths

#: What is timed.
HELP, TORCH, IMPORT = "the command line's help", "import of torch alone", "import of lib with torch"
DATA = "the data set from the local cache"

#: The code for it, each in a fresh interpreter, whose start counts.
_STARTS = {
    HELP: "import lib.__main__ as m; m.app(['--help'], standalone_mode=False)",
    TORCH: "import torch",
    IMPORT: "import lib.training",
}
#: The same, timed inside, once everything is imported.
_LOADING = """
import time
import lib.training
from lib import data
start = time.perf_counter()
data.load({name!r})
print(time.perf_counter() - start)
"""


def start_up(dataset: str, repeats: int) -> pd.DataFrame:
    """Seconds until the command line has printed its help, torch is imported, the data set is loaded.

    Returns:
        One row per measurement: what, seconds. The interpreter's own start is included in the first three; loading is
        timed in a process that has imported torch already.
    """
    samples = []
    for _ in range(repeats):
        for what, code in _STARTS.items():
            start = time.perf_counter()
            _python(code)
            samples.append((what, time.perf_counter() - start))
        samples.append((DATA, float(_python(_LOADING.format(name=dataset)))))
    return pd.DataFrame(samples, columns=["what", "seconds"])


def _python(code: str) -> str:
    environment = {**os.environ, "TERM": "dumb"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=paths.ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def worker_memory(task: Task, workers: int, precision: str, images: int = 640) -> pd.DataFrame:
    """Memory of sweep workers at work side by side, in bytes.

    Returns:
        One row per worker: worker, resident and private (see lib.system.memory) after a training of
        so many images and an evaluation, and the peak of resident.
    """
    make = partial(Evaluated, task, precision=precision)
    with ExitStack() as stack:
        team = [stack.enter_context(Process(make, threads=1)) for _ in range(workers)]
        for call, arguments in (("train", (images,)), ("evaluate", ())):
            for process in team:
                process.send(call, *arguments)
            for process in team:
                process.receive()
        seen = [vars(process.memory()) | {"peak": process.ask("peak_resident")} for process in team]
    return pd.DataFrame([{"worker": n, **memory} for n, memory in enumerate(seen, start=1)])
