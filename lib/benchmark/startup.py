"""How long things take before anything is trained, and how much memory a worker holds."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial

import pandas as pd

from lib import paths
from lib.benchmark.process import Process
from lib.benchmark.shares import Evaluated
from lib.benchmark.task import Task

#: What is timed, each in a fresh interpreter, and the code for it.
_STARTS = {
    "the command line's help": "import lib.__main__ as m; m.app(['--help'], standalone_mode=False)",
    "import of lib with torch": "import lib.training",
}
_LOADING = (
    "import time; import lib.training; from lib import data; start = time.perf_counter(); data.load({name!r}); "
    "print(time.perf_counter() - start)"
)


def start_up(dataset: str, repeats: int) -> pd.DataFrame:
    """Seconds until the command line has printed its help, torch is imported, the data set is loaded.

    Returns:
        One row per measurement: what, seconds. The interpreter's own start (some 20 ms) is included in the
        first two; loading is timed inside a process that has imported torch already.
    """
    samples = []
    for _ in range(repeats):
        for what, code in _STARTS.items():
            start = time.perf_counter()
            _python(code)
            samples.append((what, time.perf_counter() - start))
        samples.append(("the data set from the local cache", float(_python(_LOADING.format(name=dataset)))))
    return pd.DataFrame(samples, columns=["what", "seconds"])


def _python(code: str) -> str:
    environment = {**os.environ, "TERM": "dumb"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=paths.ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def worker_memory(task: Task, workers: int, precision: str, images: int = 640) -> pd.DataFrame:
    """Memory of sweep workers at work side by side, in bytes.

    Returns:
        One row per worker: worker, resident and private (see lib.footprint) after a training of
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
