"""Runs spread over Dask workers, a few at a time, each stored here as soon as it is finished."""

import queue
import sys
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Future, KilledWorker
from filelock import FileLock

from lib import data
from lib.errors import UserError
from lib.experiment import Experiment
from lib.sweep.cluster import LOSSES, Crew
from lib.sweep.failures import Failures
from lib.sweep.parts import Sweep, claim, give_back
from lib.sweep.worker import NoData, Task, receive, work
from lib.training import Epoch

#: Seconds after which a scheduler that does not answer counts as gone.
GONE = 15
#: Seconds between two looks at claims that other programs hold, and at the cluster.
_EVERY = 1.0
#: What Dask calls a future whose result will not come.
_LOST = ("cancelled", "lost")
#: Runs handed to a cluster that is not ours, at the least: it may grow when work is waiting.
_AHEAD = 64


def spread(sweep: Sweep, crew: Crew) -> Failures:
    """Train the missing runs; what failed, and why.

    Only this thread stores, shows and decides: what Dask's threads bring waits in a queue.

    Raises:
        UserError: the scheduler is gone, or a run could not be stored.
    """
    return _Spread(sweep, crew).run()


@dataclass
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future


@dataclass
class _Spread:
    sweep: Sweep
    crew: Crew
    topic: str = field(default_factory=lambda: f"epochs-{uuid.uuid4().hex}")
    news: queue.Queue = field(default_factory=queue.Queue)
    running: dict[str, _Running] = field(default_factory=dict)
    failures: Failures = field(default_factory=list)
    workers: int = 0  # at the last look
    looked: float = 0.0  # when that was
    answered: float = field(default_factory=time.monotonic)  # when the scheduler was last there
    said: set[str] = field(default_factory=set)

    def run(self) -> Failures:
        client = self.crew.client
        client.subscribe_topic(self.topic, lambda event: self.news.put(("epoch", event[1])))
        client.subscribe_topic("all", lambda event: self.news.put(("cluster", event[1])))
        waiting, elsewhere = deque(self.sweep.missing), deque()
        try:
            while waiting or elsewhere or self.running:
                if time.monotonic() - self.looked > _EVERY:
                    self._look()
                    waiting, elsewhere = waiting + elsewhere, deque()
                self._submit(waiting, elsewhere)
                try:
                    kind, what = self.news.get(timeout=_EVERY)
                except queue.Empty:
                    continue
                getattr(self, f"_{kind}")(what)
        finally:
            for run in self.running.values():
                run.lock.release()
            with suppress(Exception):  # also where the scheduler is gone
                client.unsubscribe_topic(self.topic)
                client.unsubscribe_topic("all")
        order = [experiment.key for experiment in self.sweep.missing]
        return sorted(self.failures, key=lambda failure: order.index(failure[0].key))

    def _submit(self, waiting: deque[Experiment], elsewhere: deque[Experiment]) -> None:
        while waiting and len(self.running) < self._most():
            experiment = waiting.popleft()
            lock = claim(self.sweep.store, experiment, wait=False)
            if lock is None:
                self._say(f"{experiment.title} is being trained by another program; waiting for it.")
                elsewhere.append(experiment)
            elif self.sweep.store.get(experiment):  # meanwhile, by another program
                give_back(lock, self.sweep.store, experiment)
                self.sweep.ended(experiment)
            else:
                self.running[experiment.key] = _Running(experiment, lock, self._send(experiment))

    def _most(self) -> int:
        if self.crew.client.status != "running":
            return 0
        ahead = 2 * self.workers  # so that no worker waits for its next run
        return ahead if self.crew.local else max(ahead, _AHEAD)

    def _send(self, experiment: Experiment) -> Future:
        task = Task(
            experiment,
            self.sweep.origin,
            self.topic,
            threads=self.crew.threads,
            checkpoint=self.sweep.store.checkpoint(experiment) if self.crew.local else None,
        )
        # A key of its own: two programs may use one scheduler and different stores.
        future = self.crew.client.submit(work, task, key=f"train-{experiment.key}-{uuid.uuid4().hex[:8]}")
        future.add_done_callback(lambda done: self.news.put(("done", (experiment.key, done))))
        return future

    def _epoch(self, told: dict[str, str]) -> None:
        run = self.running.get(told["key"])
        if run is None:
            return
        try:
            self.sweep.epoch(run.experiment, Epoch.model_validate_json(told["epoch"]))
        except Exception as error:  # what cannot be shown must not stop the training
            print(f"The progress of {run.experiment.title} could not be shown: {error}", file=sys.stderr)

    def _cluster(self, event: dict[str, Any]) -> None:
        """A worker that was lost with a run of ours."""
        if event.get("action") != "remove-worker":
            return
        lost = set(event.get("processing-tasks") or ())
        for run in self.running.values():
            if run.future.key in lost:
                print(f"A worker was lost; {run.experiment.title} is trained elsewhere.", file=sys.stderr)

    def _done(self, what: tuple[str, Future]) -> None:
        key, future = what
        run = self.running.get(key)
        if run is None or run.future is not future:
            return
        if future.status in _LOST:  # with its scheduler, most likely: `_look` finds out
            return
        store = self.sweep.store
        try:
            outcome = future.result()
        except NoData as error:
            self._send_data(error)
            run.future = self._send(run.experiment)
            return
        except Exception as error:
            if self.crew.client.status != "running":  # not the run's fault
                return
            self.failures.append((run.experiment, self._in_words(error)))
        else:
            store.put(*outcome)
        del self.running[key]
        give_back(run.lock, store, run.experiment)
        self.sweep.ended(run.experiment)

    def _in_words(self, error: Exception) -> Exception:
        if not isinstance(error, KilledWorker):
            return error
        if self.crew.over_memory:
            why = f"its worker ran out of memory: each may use {self.crew.memory / 1e9:.1f} GB"
        else:
            why = "its worker process was ended from outside (out of memory?)"
        return UserError(f"{why}, {LOSSES if self.crew.local else 'several'} times; run again to go on.")

    def _send_data(self, error: NoData) -> None:
        content = data.fetch().read_bytes()
        self._say(f"The worker at {error.worker} has no {error.name}; it is sent there.")
        self.crew.client.run(receive, content, workers=[error.worker])

    def _look(self) -> None:
        """Is the scheduler still there, and any worker?"""
        client, now = self.crew.client, time.monotonic()
        self.looked = now
        if client.status == "running":
            self.answered = now
            self.workers = self.crew.workers()
            if self.sweep.progress:
                self.sweep.progress.workers = max(1, self.workers)
            for run in self.running.values():
                if run.future.status in _LOST:  # and the scheduler is there
                    run.future = self._send(run.experiment)
            if not self.workers:
                self._say("There is no worker; waiting for one.")
        elif now - self.answered > GONE or client.status in ("closed", "closing"):
            raise UserError(
                "The Dask scheduler is gone; what was finished is stored. Start one and run again, to train the rest."
            )

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            print(line, file=sys.stderr, flush=True)
