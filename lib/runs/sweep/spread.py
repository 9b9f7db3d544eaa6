"""Runs spread over Dask workers, each stored here as soon as it is finished.

Dask assigns the runs, repeats those that lose their worker, and reports lost schedulers. Only this thread stores, shows
and decides: events and finished runs wait in a queue.
"""

import queue
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker
from filelock import FileLock

from lib import data
from lib.experiment import Experiment
from lib.runs.sweep import worker
from lib.runs.sweep.cluster import LOSSES
from lib.runs.sweep.job import STOPPED, Job
from lib.system.errors import NoRoom, UserError
from lib.training import Epoch, Interrupted

_EVERY = 1.0  # seconds between two looks at the cluster
_RESTART = 60  # seconds in which a local worker that has ended is started again


@dataclass
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future | None = None
    only: frozenset[str] = frozenset()  # workers that it was sent to; none named: any
    starts: int = 0  # each but the last one ended with its worker
    given_up: int = 0  # times that Dask did, which also counts starts that it was not told of


class Spread:
    """One sweep on the workers of a client; local ones share this machine's disk, and `threads` are those of a run."""

    def __init__(self, job: Job, client: Client, *, threads: int, local: bool):
        self.job, self.client, self.threads, self.local = job, client, threads, local
        self.versions = worker.examiner()()
        self.topic = f"sweep-{uuid.uuid4().hex}"
        self.news: queue.Queue = queue.Queue()
        self.running: dict[str, _Running] = {}
        self.fit: set[str] = set()  # workers that take runs
        self.unfit: dict[str, str] = {}  # worker -> reason
        self.said: set[str] = set()
        self.looked = 0.0
        self.staffed = time.monotonic()  # when a worker was last there

    def run(self) -> None:
        """Train and store the missing runs of the job; it raises as `lib.runs.sweep.run`."""
        waiting = deque(self.job.missing)
        self.client.subscribe_topic(self.topic, lambda event: self.news.put((self._told, event[1])))
        try:
            while waiting or self.running:
                if self.job.stop():
                    raise Interrupted(STOPPED)
                if time.monotonic() - self.looked > _EVERY:
                    self._look()
                # Two runs per worker, so that none waits for its next run.
                for _ in range(min(len(waiting), 2 * len(self.fit) - len(self.running))):
                    if not self._begin(waiting[0]):
                        waiting.append(waiting[0])
                    waiting.popleft()
                with suppress(queue.Empty):
                    act, what = self.news.get(timeout=_EVERY / 4)
                    act(what)
        finally:
            with suppress(Exception):  # the scheduler may be lost
                self.client.cancel([run.future for run in self.running.values() if run.future], force=True)
                self.client.unsubscribe_topic(self.topic)
            for run in self.running.values():
                run.lock.release()

    def _begin(self, experiment: Experiment) -> bool:
        """Lock and send a run; False while another program has it."""
        lock = self.job.store.lock(experiment)
        if lock is None:
            self._say(f"{experiment.title} is being trained by another program; waiting for it.")
            return False
        if self.job.store.get(experiment):  # meanwhile, by another program
            self.job.over(experiment, lock)
        else:
            self.running[experiment.key] = _Running(experiment, lock)
            self._send(self.running[experiment.key])
        return True

    def _send(self, run: _Running) -> None:
        key = run.experiment.key
        checkpoint = self.job.store.checkpoint(run.experiment) if self.local else None
        run.only = frozenset() if self.local else frozenset(self.fit)
        if not (self.local or self.fit):  # sent when there is one, at a later look
            return
        run.future = self.client.submit(
            worker.work,
            *(run.experiment, self.job.origin, self.topic, self.threads, checkpoint),
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
            self._failed(run, future.exception())
            return
        try:
            outcome = future.result()
        except Exception:  # lost with the scheduler, which `_look` reports
            return
        self.job.store.put(*outcome)
        self.job.over(run.experiment, self.running.pop(key).lock)

    def _failed(self, run: _Running, error: BaseException) -> None:
        if isinstance(error, NoRoom):
            raise error
        if isinstance(error, KilledWorker):  # Dask also counts workers that another run has brought down
            run.given_up += 1
            if max(run.starts, run.given_up) < LOSSES:
                self._send(run)
                return
            error = UserError(
                f"its worker process was ended from outside (out of memory?), {LOSSES} times; run again to go on."
            )
        self.job.over(run.experiment, self.running.pop(run.experiment.key).lock, error)

    def _look(self) -> None:
        """Ask the scheduler for its workers; report a lost scheduler, and workers that do not come back."""
        self.looked = time.monotonic()
        if self.client.status != "running":  # also while it connects again: Dask has forgotten the runs
            raise UserError("The Dask scheduler is lost; finished runs are stored. Start one and run again.")
        workers: Mapping[str, Any] = {}
        with suppress(OSError):
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
            self.fit = set(workers) if self.local else self.fit & workers.keys() | self._admit(workers)
        if workers:
            self.staffed = self.looked
        elif self.local and self.looked - self.staffed > _RESTART:
            raise UserError("The worker processes have ended and were not started again; finished runs are stored.")
        else:
            self._say("There is no worker; waiting for one.")
        if workers and workers.keys() <= self.unfit.keys():
            reasons = "; ".join(f"{address}: {self.unfit[address]}" for address in sorted(workers))
            raise UserError(f"No worker can train for this program. {reasons}.")
        if self.job.progress:
            self.job.progress.workers = max(1, len(self.fit))
        for run in self.running.values():
            if not self.local and self.fit and not run.only & self.fit:  # all workers that it was sent to have left
                self._send(run)

    def _admit(self, workers: Mapping[str, Any]) -> set[str]:
        """Return the new workers that can take runs; the others are named with the reason."""
        reasons = {}
        new = workers.keys() - self.fit - self.unfit.keys()
        for address, found in self._ask(new, worker.examiner()).items():
            if (threads := workers[address]["nthreads"]) != 1:
                reasons[address] = f"it would train {threads} runs at a time in one process; start it with --nthreads 1"
            elif isinstance(found, Exception):  # another Python, most likely
                reasons[address] = f"it cannot be asked for its versions ({type(found).__name__}: {found})"
            else:
                reasons[address] = worker.difference(found, self.versions)
        if any(run.data == "cifar10" for run in self.job.missing):
            fit = [address for address, reason in reasons.items() if not reason]
            lacking = [address for address, reason in self._ask(fit, worker.receive, None).items() if reason]
            reasons |= {address: self._send_data(address) for address in lacking}
        for address, reason in reasons.items():
            if reason:
                self.unfit[address] = reason
                self._say(f"Worker {address} gets no runs: {reason}.")
        return {address for address, reason in reasons.items() if not reason}

    def _send_data(self, address: str) -> str:
        """Give a worker the data set; return the reason where it cannot have it."""
        if self._ask([address], worker.receive, None).get(address) == "":  # a neighbour on its machine was sent it
            return ""
        self._say(f"Worker {address} has no cifar10; it is sent there.")
        try:
            reason = self._ask([address], worker.receive, data.fetch().read_bytes()).get(address, "")
        except UserError as error:
            reason = str(error)
        return reason and f"it has no cifar10 and cannot keep it ({reason})"

    def _ask(self, addresses: Collection[str], function: Callable, *arguments: Any) -> dict[str, Any]:
        """Call a function on workers; return the answers of those that have not left."""
        if not addresses:
            return {}
        answers = self.client.run(function, *arguments, workers=list(addresses), on_error="return")
        return {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            print(line, file=sys.stderr, flush=True)
