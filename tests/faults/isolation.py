"""Processes for cases that may hang, die or take all memory: each is forked from one that has imported the library.

A pool of spawned processes does the forking: a process that has run pytest for a while has threads, which a fork loses.
"""

import atexit
import concurrent.futures
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Outcome(NamedTuple):
    kind: str  # returned, raised, hung or died
    value: Any  # what was returned, or the traceback
    said: str  # on both streams


@pytest.fixture(scope="module")
def processes(request):
    """A pool of processes to submit `isolated` to: one for the small portion in `make test`, else two."""
    number, spawn = 2 if request.config.option.markexpr == "faults" else 1, multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(number, mp_context=spawn, initializer=_prepare) as executor:
        yield executor


def _prepare():
    import torch
    import torch._dynamo  # the first optimiser of a process would import it, for seconds

    import lib.runs.sweep  # noqa: F401
    import longtail_writeup.report.runner  # noqa: F401

    atexit.register(os._exit, 0)  # taking torch apart takes seconds
    torch.set_num_threads(1)  # sums on one thread are added in one order; and a fork loses the others


def isolated(function, *arguments, seconds=60.0, gigabytes=2):
    """Call a function in a forked process; it has so many seconds, and so much memory beyond what it starts with."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        if (pid := os.fork()) == 0:
            os.setsid()
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
            theirs.send(_call(function, arguments, gigabytes))
            os._exit(0)
        theirs.close()
        try:
            kind, value = ours.recv() if ours.poll(seconds) else ("hung", f"nothing after {seconds} s")
        except EOFError:
            kind, value = "died", ""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said.seek(0)
        return Outcome(kind, value, said.read(100_000))


def _call(function, arguments, gigabytes):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (gigabytes << 30),) * 2)
    try:
        result = ("returned", function(*arguments))
    except BaseException:
        result = ("raised", traceback.format_exc())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return result
