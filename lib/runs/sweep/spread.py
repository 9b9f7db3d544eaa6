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
from dataclasses import dataclass

from distributed import Client, Future, KilledWorker
from filelock import FileLock

from lib import data
from lib.experiment import Experiment
from lib.runs import worker
from lib.runs.sweep.cluster import LOSSES
from lib.runs.sweep.job import STOPPED, Job
from lib.system.errors import NoRoom, UserError
from lib.training import Epoch, Interrupted

#: Seconds between two looks at the cluster, and at runs that other programs hold.
_EVERY = 1.0
#: Seconds without a connection after which the scheduler counts as lost.
_LOST = 15
#: Seconds in which a local worker that has ended is started again.
_RESTART = 60


@dataclass
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future | None = None
    only: frozenset[str] = frozenset()  # workers it may go to; none named: any
    starts: int = 0  # each but the last one ended with its worker
    given_up: int = 0  # times that Dask did, which also counts starts that it was not told of


class Spread:
    """One sweep on the workers of a client.

    Args:
        threads: of each run.
        local: the workers share this machine's disk.
    """

    def __init__(self, job: Job, client: Client, *, threads: int, local: bool):
        self.job, self.client, self.threads, self.local = job, client, threads, local
        self.topic = f"sweep-{uuid.uuid4().hex}"
        self.news: queue.Queue = queue.Queue()
        self.running: dict[str, _Running] = {}
        self.workers: set[str] = set()
        self.unfit: dict[str, str] = {}  # worker -> reason
        self.said: set[str] = set()
        self.looked = 0.0
        self.connected = self.staffed = time.monotonic()  # when the scheduler and a worker were last there

    @property
    def fit(self) -> frozenset[str]:
        return frozenset(self.workers - self.unfit.keys())

    def run(self) -> None:
        """Train and store the missing runs of the job.

        Raises:
            UserError: the scheduler is lost, or no worker can train these runs.
            NoRoom: a run, or its state, could not be stored.
            Interrupted: on the job's `stop`.
        """
        waiting: deque[Experiment] = deque(self.job.missing)
        elsewhere: deque[Experiment] = deque()  # trained by another program
        self.client.subscribe_topic(self.topic, lambda event: self.news.put((self._told, event[1])))
        try:
            while waiting or elsewhere or self.running:
                if self.job.stop():
                    raise Interrupted(STOPPED)
                if time.monotonic() - self.looked > _EVERY:
                    self._look()
                    waiting, elsewhere = waiting + elsewhere, deque()
                # Elsewhere a few more than workers, so that none waits for its next run.
                most = len(self.fit) + (0 if self.local else max(2, len(self.fit) // 2))
                while waiting and len(self.running) < most:
                    self._begin(waiting.popleft(), elsewhere)
                with suppress(queue.Empty):
                    act, what = self.news.get(timeout=_EVERY / 4)
                    act(what)
        finally:
            with suppress(Exception):  # the scheduler may be lost
                self.client.cancel([run.future for run in self.running.values() if run.future], force=True)
                self.client.unsubscribe_topic(self.topic)
            for run in self.running.values():
                run.lock.release()

    def _begin(self, experiment: Experiment, elsewhere: deque[Experiment]) -> None:
        lock = self.job.lock(experiment)
        if lock is None:
            self._say(f"{experiment.title} is being trained by another program; waiting for it.")
            elsewhere.append(experiment)
        elif self.job.store.get(experiment):  # meanwhile, by another program
            self.job.over(experiment, lock)
        else:
            self.running[experiment.key] = _Running(experiment, lock)
            self._send(self.running[experiment.key])

    def _send(self, run: _Running) -> None:
        """Submit a run, to the workers that are not known to be unfit."""
        key = run.experiment.key
        run.only = self.fit if self.unfit else frozenset()
        run.future = self.client.submit(
            worker.work,
            run.experiment.model_dump(mode="json"),
            self.job.origin,
            self.topic,
            self.threads,
            self.job.store.checkpoint(run.experiment) if self.local else None,
            worker.versions(),
            key=f"{key}-{uuid.uuid4().hex[:8]}",
            workers=sorted(run.only) or None,
            pure=False,
        )
        run.future.add_done_callback(lambda done: self.news.put((self._done, (key, done))))

    def _told(self, event: dict[str, str]) -> None:
        """A run has started on a worker, or finished an epoch."""
        run = self.running.get(event["key"])
        if not (run and run.future and run.future.key == event["task"]):
            return
        if "epoch" in event:
            self.job.epoch(run.experiment, Epoch.model_validate_json(event["epoch"]))
            return
        run.starts += 1
        if run.starts > 1:
            print(f"A worker was lost; {run.experiment.title} is trained again.", file=sys.stderr)

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
            self._refuse(*content)
        else:
            self._send_data(run.experiment.data, content)
        self._send(run)

    def _stopped(self, run: _Running, error: BaseException) -> None:
        if isinstance(error, NoRoom):
            raise error
        if isinstance(error, worker.Abandoned):
            self._send(run)
        elif not isinstance(error, KilledWorker):
            self._over(run, error)
        else:  # Dask also counts workers that another run has brought down
            run.given_up += 1
            if max(run.starts, run.given_up) < LOSSES:
                self._send(run)
                return
            why = f"its worker process was ended from outside (out of memory?), {LOSSES} times; run again to go on."
            self._over(run, UserError(why))

    def _over(self, run: _Running, error: BaseException | None = None) -> None:
        del self.running[run.experiment.key]
        self.job.over(run.experiment, run.lock, error)

    def _send_data(self, name: str, address: str) -> None:
        """Give a worker the data set; a neighbour on its machine may have been sent it meanwhile."""
        reason = self._receive(address, None)
        if reason:
            self._say(f"Worker {address} has no {name}; it is sent there.")
            try:
                reason = self._receive(address, data.fetch().read_bytes())
            except UserError as error:
                reason = str(error)
        if reason:
            self._refuse(address, f"it has no {name} and cannot keep it ({reason})")

    def _receive(self, address: str, content: bytes | None) -> str | None:
        return self.client.run(worker.receive, content, workers=[address], on_error="ignore").get(address)

    def _refuse(self, address: str, reason: str) -> None:
        self.unfit[address] = reason
        self._say(f"Worker {address} gets no runs: {reason}.")
        self._refuse_if_no_worker_is_fit()

    def _refuse_if_no_worker_is_fit(self) -> None:
        if self.workers and not self.fit:
            reasons = "; ".join(f"{address}: {self.unfit[address]}" for address in sorted(self.workers))
            raise UserError(f"No worker can train for this program. {reasons}.")

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
            self.job.progress.workers = max(1, len(self.fit))
        self._refuse_if_no_worker_is_fit()
        for run in self.running.values():
            if run.only and not run.only & self.workers:  # all workers that it may go to have left
                self._send(run)

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            print(line, file=sys.stderr, flush=True)
