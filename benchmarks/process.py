"""Contenders in processes of their own, and measurements taken in turns."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import psutil
import torch

from benchmarks.loops import Contender
from lib.system.errors import UserError

_WARM_UP = 1024  # images at most, before anything is measured

Make = Callable[[], Contender]  # picklable: a class, or a partial of one


class Process:
    """A contender in a process of its own: a pool of one worker, which makes the contender at its first call."""

    def __init__(self, make: Make, threads: int, environment: Mapping[str, str] | None = None):
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, spawn, _begin, (make, threads))
        before = dict(os.environ)
        os.environ.update(environment or {})  # a spawned process inherits it
        try:
            self._pid = self._pool.submit(os.getpid)  # starts the process, does not wait for it
        finally:
            os.environ.clear()
            os.environ.update(before)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure:  # perhaps in the middle of a training whose result is not needed
            self.kill()
        self._pool.shutdown()

    def send(self, call: str, *arguments: Any) -> Future:
        """Call a method of the contender, without waiting."""
        try:
            return self._pool.submit(_call, call, arguments)
        except BrokenProcessPool as error:
            failed: Future = Future()
            failed.set_exception(error)
            return failed

    def ask(self, call: str, *arguments: Any) -> Any:
        """Call a method of the contender and return its result."""
        return result(self.send(call, *arguments))

    def kill(self) -> None:
        """End the process at once."""
        with suppress(psutil.NoSuchProcess, BrokenProcessPool):
            psutil.Process(self._pid.result()).kill()


def result(answer: Future) -> Any:
    """Wait for an answer; UserError with the traceback of a contender that failed or was ended from outside."""
    try:
        return answer.result()
    except BrokenProcessPool:
        raise UserError("A contender's process was ended from outside (out of memory?).") from None
    except Exception as error:
        raise UserError(f"A contender failed:\n{error.__cause__ or error}") from None  # the cause is its traceback


_make: Make
_contender: Contender | None = None


def _begin(make: Make, threads: int) -> None:
    global _make
    _make = make
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End with the parent: a killed one must not leave trainings behind."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _call(name: str, arguments: tuple) -> Any:
    global _contender
    _contender = _contender or _make()
    return getattr(_contender, name)(*arguments)


@dataclass(frozen=True)
class Row:
    """One line of a comparison."""

    make: Make
    threads: int
    workers: int = 1  # processes that do the same side by side
    environment: tuple[tuple[str, str], ...] = ()  # variables they start with


def in_turns(rows: Mapping[Any, Row], images: int, repeats: int) -> pd.DataFrame:
    """Speed of several contenders, measured in turns: each trains, then the next, `repeats` times around.

    Args:
        images: of one measurement, per worker.

    Returns:
        One row per measurement: contender, repeat, images, seconds, images_per_second. Repeat 0 is the cold
        start: from an empty process (libraries, data, model) to the end of its first batch.
    """
    samples = []
    with ExitStack() as stack:
        teams: dict[Any, list[Process]] = {}
        for name, row in rows.items():
            start = time.perf_counter()
            make = partial(Process, row.make, row.threads, dict(row.environment))
            teams[name] = [stack.enter_context(make()) for _ in range(row.workers)]
            together(teams[name], "train", 1)
            samples.append((name, 0, 0, time.perf_counter() - start))
        for team in teams.values():
            together(team, "train", min(images, _WARM_UP))  # first compilations and allocations are not measured
        for repeat in range(1, repeats + 1):
            for name, team in teams.items():
                start = time.perf_counter()
                together(team, "train", images)
                samples.append((name, repeat, images * len(team), time.perf_counter() - start))
    frame = pd.DataFrame(samples, columns=["contender", "repeat", "images", "seconds"])
    return frame.assign(images_per_second=frame.images / frame.seconds)


def together(team: Sequence[Process], call: str, *arguments: Any) -> None:
    """Call a method of several contenders at once, and wait for all of them."""
    for answer in [process.send(call, *arguments) for process in team]:
        result(answer)


def accuracies(makes: Mapping[str, Callable[..., Contender]], epochs: int, seeds: int, cores: int) -> pd.DataFrame:
    """Test accuracy after the same number of epochs; several at once, as accuracy needs no clock.

    Returns:
        One row per contender and seed: contender, seed, accuracy.
    """
    jobs = [(name, seed) for name in makes for seed in range(seeds)]
    samples = []
    for first in range(0, len(jobs), cores):
        with ExitStack() as stack:
            team = []
            for name, seed in jobs[first : first + cores]:
                process = stack.enter_context(Process(partial(makes[name], seed=seed), threads=1))
                team.append((name, seed, process.send("accuracy", epochs)))
            samples += [(name, seed, result(answer)) for name, seed, answer in team]
    return pd.DataFrame(samples, columns=["contender", "seed", "accuracy"])
