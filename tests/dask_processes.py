"""Schedulers and workers of Dask in processes of their own."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from forked import forked

from lib.system import paths


def environment(**more):
    path = os.pathsep.join([str(Path(__file__).parent), str(paths.ROOT), *filter(None, sys.path)])
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": path, **{k: str(v) for k, v in more.items()}}


def until(what, seconds=60):
    """Wait for something to be true, and return it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


@contextmanager
def scheduler(folder, *options, fork=True):
    """A scheduler: its process, and the file that tells its address.

    Args:
        fork: from a process that has imported torch, which is quicker (tests/forked.py).
    """
    folder.mkdir(exist_ok=True)
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file), *options]
    with (forked if fork else started)("distributed.cli.dask_scheduler", options, folder, environment()) as process:
        until(file.exists)
        yield process, str(file)


@contextmanager
def worker(folder, file, *options, waited_for=True, **more):
    """A worker of a scheduler; by default it is waited for until it has joined."""
    folder.mkdir(exist_ok=True)
    options = ["--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--no-nanny", *options]
    with forked("distributed.cli.dask_worker", options, folder, environment(**more)) as process:
        if waited_for:
            until(lambda: "Registered to" in (folder / "log").read_text())
        yield process


@contextmanager
def started(module, arguments, folder, environment):
    """A process that imports everything itself; as `forked` otherwise."""
    with (folder / "log").open("ab") as log:
        own = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield own
    finally:
        own.kill()
        own.wait()


def working(parent=None):
    """The worker processes of a local cluster, told by how multiprocessing starts them."""
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found
