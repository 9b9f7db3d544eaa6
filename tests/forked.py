"""Processes forked from one that has imported torch and Dask: real ones, without the seconds that importing takes.

Nothing here may import `lib`: some of these processes are to find another one, or none. What torch and Dask read from
the environment when they are imported is that of the first process, and none of them may have children.
"""

import importlib
import multiprocessing
import os
import sys
from contextlib import contextmanager, suppress

import psutil

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["torch", "pandas", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"])


@contextmanager
def forked(module, arguments, folder, environment):
    """A process that runs the command line of a module; it is killed at the end, and its output is in folder/log."""
    (folder / "log").touch()
    started = _FORK.Process(target=_become, args=(module, arguments, folder, environment), daemon=True)
    started.start()
    process = psutil.Process(started.pid)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        started.join()


def _become(module, arguments, folder, environment):
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    os.chdir(folder)
    with open("log", "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    importlib.import_module(module).main(arguments)
