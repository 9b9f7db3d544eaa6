"""Runs spread over Dask workers, each stored here as soon as it is finished.

Dask assigns the runs, repeats those that lose their worker, and reports lost schedulers. Only this thread stores, shows
and decides: events and finished runs wait in a queue.
"""

import queue
import sys
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, KilledWorker
from filelock import FileLock

from lib import data
from lib.experiment import Experiment
from lib.runs import worker
from lib.runs.sweep.cluster import LOSSES
from lib.runs.sweep.job import Job
from lib.runs.sweep.locks import lock, unlock
from lib.system.errors import NoRoom, UserError
from lib.training import Epoch, Interrupted

#: Seconds between two looks at the cluster, and at runs that other programs hold.
_EVERY = 1.0
#: Seconds without a connection after which the scheduler counts as lost.
_LOST = 15
#: Seconds in which a local worker that has ended is started again.
_RESTART = 60


def spread(job: Job, client: Client, *, threads: int, local: bool) -> None:
    """Train the missing runs of a job on the workers of a client.

    Args:
        threads: of each run.
        local: the workers share this machine's disk.

    Raises:
        UserError: the scheduler is lost, or no worker can train these runs.
        NoRoom: a run, or its state, could not be stored.
        Interrupted: on the job's `stop`.
    """
    _Spread(job, client, threads, local).run()


@dataclass
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future | None = None
    only: frozenset[str] = frozenset()  # workers it may go to; none named: any
    training: bool = False  # on a worker
    losses: int = 0  # workers lost while it trained there


@dataclass
class _Spread:
    job: Job
    client: Client
    threads: int
    local: bool
    topic: str = field(default_factory=lambda: f"sweep-{uuid.uuid4().hex}")
    news: queue.Queue = field(default_factory=queue.Queue)
    running: dict[str, _Running] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    unfit: dict[str, str] = field(default_factory=dict)  # worker -> reason
    said: set[str] = field(default_factory=set)
    looked: float = -_EVERY
    connected: float = field(default_factory=time.monotonic)  # when the scheduler was last there
    staffed: float = field(default_factory=time.monotonic)  # when a worker was last there

    def run(self) -> None:
        self.wanted = worker.versions()
        waiting: deque[Experiment] = deque(self.job.missing)
        elsewhere: deque[Experiment] = deque()
        self.client.subscribe_topic(self.topic, lambda event: self.news.put((self._told, event[1])))
        self.client.subscribe_topic("all", lambda event: self.news.put((self._lost_worker, event[1])))
        try:
            while waiting or elsewhere or self.running:
                if self.job.stop():
                    raise Interrupted("Stopped. Finished runs are kept; run again to go on.")
                if time.monotonic() - self.looked > _EVERY:
                    self._look()
                    waiting, elsewhere = waiting + elsewhere, deque()
                while waiting and len(self.running) < self._most():
                    self._begin(waiting.popleft(), elsewhere)
                with suppress(queue.Empty):
                    act, what = self.news.get(timeout=_EVERY if self.running else _EVERY / 4)
                    act(what)
        finally:
            with suppress(Exception):  # the scheduler may be lost
                self.client.cancel([run.future for run in self.running.values() if run.future], force=True)
                self.client.unsubscribe_topic(self.topic)
                self.client.unsubscribe_topic("all")
            for run in self.running.values():
                run.lock.release()

    def _most(self) -> int:
        """Runs at a time: one per worker, and a few more elsewhere, so that no worker waits for its next run."""
        fit = len(self.workers - self.unfit.keys())
        return fit if self.local else fit + max(2, fit // 2)

    def _begin(self, experiment: Experiment, elsewhere: deque[Experiment]) -> None:
        own = lock(self.job.store, experiment)
        if own is None:
            self._say(f"{experiment.title} is being trained by another program; waiting for it.")
            elsewhere.append(experiment)
        elif self.job.store.get(experiment):  # meanwhile, by another program
            unlock(own, self.job.store, experiment)
            self.job.ended(experiment)
        else:
            self.running[experiment.key] = _Running(experiment, own)
            self._send(self.running[experiment.key])

    def _send(self, run: _Running) -> None:
        """Submit a run, to the workers that are not known to be unfit."""
        experiment = run.experiment
        run.only = frozenset(self.workers - self.unfit.keys()) if self.unfit else frozenset()
        run.training = False
        run.future = self.client.submit(
            worker.work,
            experiment.model_dump(mode="json"),
            self.job.origin,
            self.topic,
            self.threads,
            self.job.store.checkpoint(experiment) if self.local else None,
            self.wanted,
            key=f"{experiment.key}-{uuid.uuid4().hex[:8]}",
            workers=sorted(run.only) or None,
            pure=False,
        )
        run.future.add_done_callback(lambda done: self.news.put((self._done, (experiment.key, done))))

    def _told(self, event: dict[str, str]) -> None:
        """A run has started on a worker, or finished an epoch."""
        run = self.running.get(event["key"])
        if run and run.future and run.future.key == event["task"]:
            run.training = True
            if "epoch" in event:
                self.job.epoch(run.experiment, Epoch.model_validate_json(event["epoch"]))

    def _lost_worker(self, event: dict[str, Any]) -> None:
        if event.get("action") != "remove-worker":
            return
        keys = set(event.get("processing-tasks") or ())
        for run in self.running.values():
            if run.training and run.future and run.future.key in keys:
                print(f"A worker was lost; {run.experiment.title} is trained elsewhere.", file=sys.stderr)
                run.losses, run.training = run.losses + 1, False

    def _done(self, what: tuple[str, Future]) -> None:
        key, future = what
        run = self.running.get(key)
        if run is None or run.future is not future or future.status == "cancelled":
            return  # an earlier future of the run, or the scheduler is lost, which `_look` reports
        if future.status == "error":
            self._stopped(run, future.exception())
            return
        try:
            outcome, content = future.result()
        except Exception:  # lost with the scheduler, which `_look` reports
            return
        if outcome == worker.DONE:
            self.job.store.put(*content)
            self._over(run)
            return
        if outcome == worker.UNFIT:
            address, reason = content
            self.unfit[address] = reason
            self._say(f"Worker {address} gets no runs: {reason}.")
        else:
            self._send_data(run.experiment.data, content)
        self._refuse_if_no_worker_is_fit()
        self._send(run)

    def _stopped(self, run: _Running, error: BaseException) -> None:
        if isinstance(error, NoRoom):
            raise error
        if isinstance(error, worker.Abandoned) or (isinstance(error, KilledWorker) and run.losses < LOSSES):
            self._send(run)  # Dask counts every loss, also of a worker that another run has brought down
        elif isinstance(error, KilledWorker):
            self._over(
                run,
                UserError(
                    f"its worker process was ended from outside (out of memory?), {LOSSES} times; run again to go on."
                ),
            )
        else:
            self._over(run, error)

    def _over(self, run: _Running, error: BaseException | None = None) -> None:
        del self.running[run.experiment.key]
        unlock(run.lock, self.job.store, run.experiment)
        self.job.ended(run.experiment, error)

    def _send_data(self, name: str, address: str) -> None:
        """Give a worker the data set; a neighbour on its machine may have been sent it meanwhile."""
        why = self.client.run(worker.receive, None, workers=[address], on_error="ignore").get(address)
        if why:
            self._say(f"Worker {address} has no {name}; it is sent there.")
            try:
                content = data.fetch().read_bytes()
                why = self.client.run(worker.receive, content, workers=[address], on_error="ignore").get(address)
            except UserError as error:
                why = str(error)
        if why:
            self.unfit[address] = f"it has no {name} and cannot keep it ({why})"
            self._say(f"Worker {address} gets no runs: {self.unfit[address]}.")

    def _look(self) -> None:
        """Ask the scheduler for its workers; report a lost scheduler, and workers that do not come back."""
        self.looked = time.monotonic()
        if self.client.status == "running":
            self.connected = self.looked
            with suppress(Exception):
                self.workers = set(self.client.scheduler_info(n_workers=-1)["workers"])
        elif self.client.status == "closed" or self.looked - self.connected > _LOST:
            raise UserError("The Dask scheduler is lost; finished runs are stored. Start one and run again.")
        if self.workers:
            self.staffed = self.looked
        elif self.local and self.looked - self.staffed > _RESTART:
            raise UserError(
                "The worker processes have ended and were not started again; most likely there was no memory left. "
                "Finished runs are stored; run again to go on."
            )
        else:
            self._say("There is no worker; waiting for one.")
        if self.job.progress:
            self.job.progress.workers = max(1, len(self.workers - self.unfit.keys()))
        self._refuse_if_no_worker_is_fit()
        for run in self.running.values():
            if run.only and not run.only & self.workers:  # all workers that it may go to have left
                self._send(run)

    def _refuse_if_no_worker_is_fit(self) -> None:
        if self.workers and not self.workers - self.unfit.keys():
            reasons = "; ".join(f"{address}: {self.unfit[address]}" for address in sorted(self.workers))
            raise UserError(f"No worker can train for this program. {reasons}.")

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            print(line, file=sys.stderr, flush=True)
