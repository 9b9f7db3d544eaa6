"""Runs spread over Dask workers, a few at a time, each stored here as soon as it is finished."""

import queue
import sys
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Future, KilledWorker
from filelock import FileLock

from lib.experiment import Experiment
from lib.runs.sweep.cluster import LOSSES, Crew
from lib.runs.sweep.failures import Failures
from lib.runs.sweep.parcel import parcel
from lib.runs.sweep.parts import Sweep, claim, give_back
from lib.runs.sweep.worker import Abandoned, NoData, Task
from lib.runs.sweep.workforce import Workforce
from lib.system.errors import NoRoom, UserError
from lib.training import Epoch

#: Seconds after which a scheduler that does not answer counts as gone.
GONE = 15
#: Seconds in which a worker of ours that has ended is started again, on a machine that is busy with other things too.
_RESTART = 60
#: Seconds between two looks at claims that other programs hold.
_EVERY = 1.0
#: What Dask calls a future whose result will not come. (One that is "lost" with its worker is computed again.)
_LOST = "cancelled"
#: Runs handed to a cluster that is not ours, at the least: it may grow when work is waiting.
_AHEAD = 64
#: Runs handed to one that has no worker yet, which may be one that starts them for work that is waiting.
_FIRST = 2


def spread(sweep: Sweep, crew: Crew) -> Failures:
    """Train the missing runs; what failed, and why.

    Only this thread stores, shows and decides: what other threads bring waits in a queue.

    Raises:
        UserError: the scheduler is gone, or no worker is fit.
        NoRoom: a run, or its state, could not be stored.
    """
    return _Spread(sweep, crew).run()


@dataclass
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future | None = None  # None while it waits to be sent again
    only: frozenset[str] | None = None  # workers it may go to; None: any
    started: bool = False  # on a worker, since it was sent
    losses: int = 0  # workers that it lost while it trained there
    spared: bool = False  # since it was sent, it lost one for which it only waited behind a run that trained there
    stuck: bool = False  # its result could not be fetched


@dataclass
class _Spread:
    sweep: Sweep
    crew: Crew
    topic: str = field(default_factory=lambda: f"epochs-{uuid.uuid4().hex}")
    news: queue.Queue = field(default_factory=queue.Queue)
    running: dict[str, _Running] = field(default_factory=dict)
    failures: Failures = field(default_factory=list)
    looked: float = 0.0  # when claims that others hold were last tried
    said: set[str] = field(default_factory=set)
    begun: bool = False  # whether workers have been sent runs
    paused: set[str] = field(default_factory=set)  # workers that were at the last look
    alone_since: float = 0.0  # when a worker was last there

    def run(self) -> Failures:
        tell = lambda kind, what: self.news.put((kind, what))  # noqa: E731
        self.force = Workforce(self.crew.client, not self.crew.local, tell, self._say)
        self._subscribe()
        waiting, elsewhere = deque(self.sweep.missing), deque()
        try:
            while waiting or elsewhere or self.running:
                if time.monotonic() - self.looked > _EVERY:
                    self._is_scheduler_there()
                    waiting, elsewhere = waiting + elsewhere, deque()
                self._submit(waiting, elsewhere)
                try:
                    kind, what = self.news.get(timeout=_EVERY)
                except queue.Empty:
                    continue
                getattr(self, f"_{kind}")(what)
        finally:
            self.force.close()
            for run in self.running.values():
                run.lock.release()
            with suppress(Exception):  # also where the scheduler is gone
                self.crew.client.unsubscribe_topic(self.topic)
                self.crew.client.unsubscribe_topic("all")
        order = [experiment.key for experiment in self.sweep.missing]
        return sorted(self.failures, key=lambda failure: order.index(failure[0].key))

    def _subscribe(self) -> None:
        client = self.crew.client
        client.subscribe_topic(self.topic, lambda event: self.news.put(("told", event[1])))
        client.subscribe_topic("all", lambda event: self.news.put(("cluster", event[1])))

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
                self.running[experiment.key] = _Running(experiment, lock)
                self._send(self.running[experiment.key])

    def _most(self) -> int:
        if self.crew.client.status != "running" or not self.force.has_looked:
            return 0
        if not self.force.there:
            return 0 if self.crew.local else _FIRST
        if self.force.undecided and not self.begun:
            return 0
        ahead = 2 * len(self.force.workers)  # so that no worker waits for its next run
        # What may only go to those that are there now would not go to those that come.
        return ahead if self.crew.local or self.force.to_go_to() is not None else max(ahead, _AHEAD)

    def _send(self, run: _Running) -> None:
        """Hand a run to the cluster; where no worker is fit, it is put aside until one is."""
        if run.future and run.future.status != _LOST:  # or Dask would go on with it
            self.crew.client.loop.add_callback(self.crew.client.cancel, [run.future], asynchronous=True)
        run.started = run.stuck = run.spared = False
        run.only, run.future = self.force.to_go_to(), None
        if run.only is not None and not run.only:
            return
        experiment = run.experiment
        # A key of its own: two programs may use one scheduler and different stores.
        key = f"train-{experiment.key}-{uuid.uuid4().hex[:8]}"
        task = Task(
            experiment,
            self.sweep.origin,
            self.topic,
            submission=key,
            threads=self.crew.threads,
            checkpoint=self.sweep.store.checkpoint(experiment) if self.crew.local else None,
        )
        workers = sorted(run.only) if run.only else None
        run.future = self.crew.client.submit(*parcel(task), key=key, workers=workers)
        run.future.add_done_callback(lambda done: self.news.put(("done", (experiment.key, done))))
        self.begun = self.begun or bool(self.force.there)

    def _told(self, told: dict[str, str]) -> None:
        """A run has started on a worker, or finished an epoch."""
        run = self.running.get(told["key"])
        if run is None or run.future is None or run.future.key != told["submission"]:
            return
        run.started = True
        if "epoch" in told:
            self.sweep.epoch(run.experiment, Epoch.model_validate_json(told["epoch"]))

    def _cluster(self, event: dict[str, Any]) -> None:
        """A worker that was lost with a run of ours."""
        if event.get("action") != "remove-worker":
            return
        self.force.gone(event["worker"])
        keys = set(event.get("processing-tasks") or ())
        lost = [run for run in self.running.values() if run.future and run.future.key in keys]
        training = [run for run in lost if run.started]
        for run in lost:
            run.spared |= bool(training) and not run.started
        for run in training:
            print(f"A worker was lost; {run.experiment.title} is trained elsewhere.", file=sys.stderr)
            run.losses, run.started = run.losses + 1, False

    def _done(self, what: tuple[str, Future]) -> None:
        """A run is over; its result, or its error, is still where it was."""
        key, future = what
        if self._is_awaited(key, future):
            self.force.fetch(key, future)

    def _came(self, what: tuple[str, Future, Any]) -> None:
        """What a run has come to is here."""
        key, future, outcome = what
        if not self._is_awaited(key, future):
            return
        run = self.running[key]
        if isinstance(outcome, dict):  # a worker that joined and was given the run before it told its versions
            self.force.refuse(outcome["worker"], outcome["why"])
            run.future = None  # the next look shows who else is there
        elif not isinstance(outcome, Exception):
            self.sweep.store.put(*outcome)
            self._over(run)
        elif future.status == "error":
            self._stopped(run, outcome)
        elif isinstance(outcome, OSError):  # the connection's; the result is still there, and `_workers` asks again
            run.stuck = True
        else:
            self._failed(run, outcome)

    def _is_awaited(self, key: str, future: Future) -> bool:
        """Whether it is a run's latest future, and not lost: with its scheduler, most likely; `_workers` finds out."""
        return key in self.running and self.running[key].future is future and future.status != _LOST

    def _stopped(self, run: _Running, error: Exception) -> None:
        """A run has come back without a record; its fault, or its worker's."""
        if isinstance(error, NoData):
            run.future = None
            self.force.send_data(error.worker, error.name, run.experiment.key)
        elif isinstance(error, Abandoned):  # its key was cancelled, so that Dask tells nobody; and yet
            self._send(run)
        elif isinstance(error, KilledWorker) and run.spared and run.losses < LOSSES:
            self._send(run)  # Dask counts every loss, also of a worker that another run has brought down
        elif isinstance(error, NoRoom):
            raise error
        else:
            self._failed(run, error)

    def _failed(self, run: _Running, error: Exception) -> None:
        self.failures.append((run.experiment, self._in_words(error)))
        self._over(run)

    def _over(self, run: _Running) -> None:
        del self.running[run.experiment.key]
        give_back(run.lock, self.sweep.store, run.experiment)
        self.sweep.ended(run.experiment)

    def _in_words(self, error: Exception) -> Exception:
        if not isinstance(error, KilledWorker):
            return error
        if any(error.last_worker.address in line for line in self.crew.over_memory):
            why = f"its worker ran out of memory: each may use {self.crew.memory / 1e9:.1f} GB"
        else:
            why = "its worker process was ended from outside (out of memory?)"
        return UserError(f"{why}, {LOSSES if self.crew.local else 'several'} times; run again to go on.")

    def _refused(self, what: tuple[str, str]) -> None:
        """A worker has no data set, and can be given none."""
        self.force.refuse(*what)

    def _delivered(self, key: str) -> None:
        """The data set has been sent to a worker, or the worker has gone."""
        self.force.delivering.discard(key)
        if key in self.running:
            self._send(self.running[key])

    def _workers(self, there: Mapping[str, Any]) -> None:
        """The scheduler has answered, with the workers that there are."""
        self.force.seen(there)
        if self.sweep.progress:
            self.sweep.progress.workers = max(1, len(self.force.workers))
        lost = [run.future for run in self.running.values() if run.future and run.future.status == _LOST]
        if lost:  # and the scheduler is there: another one than before, or somebody has cancelled them
            self._subscribe()
        paused, self.paused = self.force.paused - self.paused, self.force.paused
        for key, run in self.running.items() if not self.force.undecided else ():
            nowhere_to_go = run.only and not run.only & self.force.fit
            put_aside = run.future is None and key not in self.force.delivering
            waits_in_vain = run.future and not run.started and (self._has_more_choice(run) or paused)
            if run.future in lost or nowhere_to_go or put_aside or waits_in_vain:
                self._send(run)
            elif run.stuck:
                run.stuck = False
                self.force.fetch(key, run.future)
        if not there:
            self._say("There is no worker; waiting for one.")

    def _has_more_choice(self, run: _Running) -> bool:
        """Whether workers are fit now that were not when a run was sent."""
        choice = self.force.to_go_to()
        return run.only is not None and (choice is None or choice > run.only)

    def _fitness(self, answers: Mapping[str, str | Exception]) -> None:
        """Workers have said whether they can run this program."""
        self.force.judge(answers)

    def _is_scheduler_there(self) -> None:
        self.looked = time.monotonic()
        silent = self.force.silent_since
        if self.crew.client.status in ("closed", "closing") or (silent and self.looked - silent > GONE):
            raise UserError(
                "The Dask scheduler is gone; what was finished is stored. Start one and run again, to train the rest."
            )
        if self.force.there or not self.force.has_looked:
            self.alone_since = self.looked
        elif self.crew.local and self.looked - self.alone_since > _RESTART:
            raise UserError(
                "The worker processes have ended and were not started again; most likely there was no memory left. "
                "What was finished is stored; run again to go on."
            )

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            print(line, file=sys.stderr, flush=True)
