"""Contenders in processes of their own, and measurements taken in turns."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import pandas as pd
import psutil
import torch

from benchmarks.loops import Contender
from lib.system.errors import UserError
from lib.system.memory import Footprint

_WARM_UP = 1024  # images at most, before anything is measured
_ENDED = "A contender's process was ended from outside (out of memory?)."
_PATIENCE = 5  # seconds for an idle process to end

Make = Callable[[], Contender]  # picklable: a class, or a partial of one


class Process:
    """A contender in a process of its own; a context manager."""

    def __init__(self, make: Make, threads: int, environment: Mapping[str, str] | None = None):
        self._environment = dict(environment or {})
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        # Not a daemon, which could not have a DataLoader's workers as children; it ends when the pipe closes.
        self._process = context.Process(target=_serve, args=(self._theirs, make, threads))

    def __enter__(self) -> "Process":
        before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)  # a spawned process inherits it from its first moment
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        self._theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():  # in the middle of a training whose result is not needed
            self._process.kill()
            self._process.join()

    def send(self, call: str, *arguments: Any) -> None:
        """Ask for a method of the contender; `receive` waits for its answer."""
        try:
            self._pipe.send((call, arguments))
        except OSError:
            raise UserError(_ENDED) from None

    def receive(self) -> Any:
        """Return the answer; raise UserError with the process's traceback when it failed or was ended from outside."""
        try:
            answer, failure = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise UserError(_ENDED) from None
        if failure:
            raise UserError(f"A contender failed:\n{failure}")
        return answer

    def ask(self, call: str, *arguments: Any) -> Any:
        self.send(call, *arguments)
        return self.receive()

    def memory(self) -> Footprint:
        return Footprint.of(psutil.Process(self._process.pid))


def _end_with_parent() -> None:
    """End with the parent: a killed one must not leave trainings behind."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _serve(pipe: Connection, make: Make, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    contender: Contender | None = None
    while True:
        try:
            call, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            contender = contender or make()
            pipe.send((getattr(contender, call)(*arguments), None))
        except KeyboardInterrupt:
            return
        except Exception:
            pipe.send((None, traceback.format_exc(limit=-3)))


@dataclass(frozen=True)
class Row:
    """One line of a comparison."""

    make: Make
    threads: int
    workers: int = 1  # processes that do the same side by side
    environment: tuple[tuple[str, str], ...] = ()  # variables they start with


def in_turns(rows: Mapping[str, Row], images: int, repeats: int) -> pd.DataFrame:
    """Speed of several contenders, measured in turns: each trains, then the next, `repeats` times around.

    Args:
        images: of one measurement, per worker.

    Returns:
        One row per measurement: contender, repeat, images, seconds, images_per_second. Repeat 0 is the cold
        start: from an empty process (libraries, data, model) to the end of its first batch.
    """
    samples = []
    with ExitStack() as stack:
        teams: dict[str, list[Process]] = {}
        for name, row in rows.items():
            start = time.perf_counter()
            teams[name] = [
                stack.enter_context(Process(row.make, row.threads, dict(row.environment))) for _ in range(row.workers)
            ]
            _together(teams[name], 1)
            samples.append((name, 0, 0, time.perf_counter() - start))
        for team in teams.values():
            _together(team, min(images, _WARM_UP))  # first compilations and allocations are not measured
        for repeat in range(1, repeats + 1):
            for name, team in teams.items():
                start = time.perf_counter()
                _together(team, images)
                samples.append((name, repeat, images * len(team), time.perf_counter() - start))
    frame = pd.DataFrame(samples, columns=["contender", "repeat", "images", "seconds"])
    return frame.assign(images_per_second=frame.images / frame.seconds)


def _together(team: Sequence[Process], images: int) -> None:
    for process in team:
        process.send("train", images)
    for process in team:
        process.receive()


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
                process.send("accuracy", epochs)
                team.append((name, seed, process))
            samples += [(name, seed, process.receive()) for name, seed, process in team]
    return pd.DataFrame(samples, columns=["contender", "seed", "accuracy"])
