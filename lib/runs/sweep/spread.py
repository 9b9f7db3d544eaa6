"""Runs spread over Dask workers, each stored here as soon as it is finished.

Dask assigns the runs, repeats those that lose their worker, and reports lost schedulers. Only this thread stores, shows
and decides: events and finished runs wait in a queue.
"""

import asyncio
import queue
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
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
_PATIENCE = 5.0  # seconds for an answer of the scheduler or a worker
_SILENT = 12  # looks in a row at which a worker that has sent no new heartbeat counts as silent
_RESTART = 120  # seconds in which a local worker that has ended is started again, on a busy machine


@dataclass(frozen=True)
class _Running:
    experiment: Experiment
    lock: FileLock
    future: Future
    only: frozenset[str]  # workers that it was sent to; none named: any


class Spread:
    """One sweep on the workers of a client; local ones share this machine's disk, and `threads` are those of a run."""

    def __init__(self, job: Job, client: Client, *, threads: int, local: bool):
        self.job, self.client, self.threads, self.local = job, client, threads, local
        self.call = lambda name, **kw: client.sync(getattr(client.scheduler, name), callback_timeout=_PATIENCE, **kw)
        self.versions = worker.examiner()()
        self.topic = f"sweep-{uuid.uuid4().hex}"
        self.news: queue.Queue = queue.Queue()
        self.waiting = deque(job.missing)
        self.running: dict[Any, _Running] = {}  # by Dask's key
        self.starts: Counter[str] = Counter()  # by run; each but the last one ended with its worker
        self.given_up: Counter[str] = Counter()  # by run, by Dask, which also counts starts that it was not told of
        self.admitted: set[str] = set()  # workers that take runs
        self.refused: dict[str, str] = {}  # worker -> reason
        self.heard: dict[str, tuple[float, int]] = {}  # worker -> its last heartbeat, and looks since without a new one
        self.looked, self.attended = 0.0, time.monotonic()  # the last look; the last one that found a worker

    def run(self) -> None:
        """Train and store the missing runs of the job; it raises as `lib.runs.sweep.run`."""
        self.client.subscribe_topic(self.topic, lambda event: self.news.put((self._told, event[1])))
        try:
            while self.waiting or self.running:
                if self.job.stop():
                    raise Interrupted(STOPPED)
                if time.monotonic() - self.looked > _EVERY:
                    self._look()
                for _ in range(len(self.waiting)):
                    # A second run per worker saves it the wait for its next one; not among the last runs, as Dask does
                    # not move it from a busy worker to an idle one.
                    ahead = 2 if len(self.waiting) > 2 * len(self.admitted) else 1
                    if len(self.running) < ahead * len(self.admitted):
                        self._begin(self.waiting.popleft())
                with suppress(queue.Empty):
                    act, *what = self.news.get(timeout=_EVERY / 4)
                    act(*what)
        finally:
            with suppress(Exception):  # the scheduler may be lost
                self.client.cancel([run.future for run in self.running.values()], force=True)
                self.client.unsubscribe_topic(self.topic)
            for run in self.running.values():
                run.lock.release()

    def _begin(self, experiment: Experiment) -> None:
        """Lock and send a run; it waits on while another program has it."""
        store = self.job.store
        if (lock := store.lock(experiment)) is None:
            self.job.wait(experiment)
            self.waiting.append(experiment)
            return
        if store.get(experiment):  # meanwhile, by another program
            self.job.over(experiment, lock)
            return
        checkpoint = store.checkpoint(experiment) if self.local else None
        states = self.job.states.get(experiment.key) if self.local else None
        only = frozenset[str]() if self.local else frozenset(self.admitted)
        future = self.client.submit(
            worker.work,
            *(experiment, self.job.origin, self.topic, self.threads, checkpoint, states),
            key=f"{experiment.key}-{uuid.uuid4().hex[:8]}",
            workers=sorted(only) or None,
            pure=False,
        )
        self.running[future.key] = _Running(experiment, lock, future, only)
        self.client.loop.add_callback(self._fetch, future)  # type: ignore[union-attr]  # it runs

    async def _fetch(self, future: Future) -> None:
        """Wait for the outcome of a run in the client's loop: a frozen worker holds up no other run."""
        outcome = await asyncio.gather(future, return_exceptions=True)
        self.news.put((self._done, future, *outcome))

    def _again(self, run: _Running) -> None:
        """Take a run back that has lost its worker; it is the next to be sent."""
        del self.running[run.future.key]
        run.lock.release()
        self.waiting.appendleft(run.experiment)

    def _told(self, event: dict[str, Any]) -> None:
        """A run has started on a worker, or got on within an epoch, or finished one."""
        run = self.running.get(event["task"])  # None where it was taken back
        if run and "epoch" in event:
            self.job.epoch(run.experiment, Epoch.model_validate_json(event["epoch"]))
        elif run and "step" in event:
            self.job.step(run.experiment, *event["step"])
        elif run:
            self.starts[run.experiment.key] += 1
            if (times := self.starts[run.experiment.key]) > 1:
                self.job.say(f"{event['task']} {times}", f"A worker was lost; {run.experiment.title} is trained again.")

    def _done(self, future: Future, outcome: Any) -> None:
        run = self.running.get(future.key)
        if run is None or future.status == "cancelled":  # taken back, or the scheduler is lost, which `_look` reports
            return
        error = outcome if future.status == "error" else None
        if isinstance(error, NoRoom):
            raise error
        if isinstance(error, KilledWorker):  # Dask also counts workers that another run has brought down
            key = run.experiment.key
            self.given_up[key] += 1
            if (times := max(self.starts[key], self.given_up[key])) < LOSSES:
                self._again(run)
                return
            error = UserError(
                f"its worker process was ended from outside (out of memory?), {times} times; run again to go on."
            )
        if error is None:
            if isinstance(outcome, BaseException):  # lost with the scheduler, which `_look` reports
                return
            self.job.store.put(*outcome)
        del self.running[future.key]
        self.job.over(run.experiment, run.lock, error)

    def _look(self) -> None:
        """Ask the scheduler for its workers; report a lost scheduler, and workers that do not come back."""
        self.looked = time.monotonic()
        if self.client.status != "running":  # also while it connects again: Dask has forgotten the runs
            raise UserError("The Dask scheduler is lost; finished runs are stored. Start one and run again.")
        try:
            workers = self.call("identity", n_workers=-1)["workers"]
            self.job.said.pop("scheduler", None)
            self._listen(workers)
            self.admitted = set(workers) if self.local else self.admitted & workers.keys() | self._admit(workers)
        except OSError as error:  # a scheduler that has closed the connection is lost, as the next look tells
            if isinstance(error, TimeoutError) and self.client.status == "running" and not self.local:
                self.job.say("scheduler", "The Dask scheduler does not answer (frozen or cut off?); waiting for it.")
            return
        if workers:
            self.attended = self.looked
            self.job.said.pop("workers", None)
            if workers.keys() <= self.refused.keys():
                reasons = "; ".join(f"{address}: {self.refused[address]}" for address in sorted(workers))
                raise UserError(f"No worker can train for this program. {reasons}.")
        elif self.local and self.looked - self.attended > _RESTART:
            raise UserError("The worker processes have ended and were not started again; finished runs are stored.")
        else:
            self.job.say("workers", "There is no worker; waiting for one.")
        if self.job.progress:
            self.job.progress.workers = max(1, len(self.admitted))
        for run in list(self.running.values()):
            if not (self.local or run.only & self.admitted):  # all workers that it was sent to have left
                self._again(run)

    def _listen(self, workers: Mapping[str, Any]) -> None:
        """Name workers whose heartbeats have stopped, with their runs; an epoch, however long, does not stop them."""
        for address, found in workers.items():
            last, looks = self.heard.get(address, (None, 0))
            looks = looks + 1 if found["last_seen"] == last else 0  # no seconds: clocks differ, and programs pause
            self.heard[address] = found["last_seen"], looks
            if not looks:
                self.job.said.pop(address, None)
            elif looks >= _SILENT and address not in self.refused:
                held = [key for name in ("processing", "has_what") for key in self.call(name).get(address, ())]
                runs = ", ".join(run.experiment.title for key, run in self.running.items() if key in held) or "new runs"
                self.job.say(address, f"Worker {address} does not answer (frozen?); waiting for it: {runs}.")

    def _admit(self, workers: Mapping[str, Any]) -> set[str]:
        """Return the new workers that can take runs; the others are named with the reason."""
        reasons, new = {}, {a for a in workers if not self.heard[a][1]} - self.admitted - self.refused.keys()
        for address, found in self._ask(new, worker.examiner(), patience=_PATIENCE).items():
            if (threads := workers[address]["nthreads"]) != 1:
                reasons[address] = f"it would train {threads} runs at a time in one process; start it with --nthreads 1"
            elif isinstance(found, Exception):  # another Python, most likely
                reasons[address] = f"it cannot be asked for its versions ({type(found).__name__}: {found})"
            else:
                reasons[address] = worker.difference(found, self.versions)
        if any(run.data == "cifar10" for run in self.job.missing):
            able = [address for address, reason in reasons.items() if not reason]
            kept = self._ask(able, worker.receive, None)
            reasons = {address: reason for address, reason in reasons.items() if reason or address in kept}
            reasons |= {address: self._send_data(address) for address, reason in kept.items() if reason}
        for address, reason in reasons.items():
            if reason:
                self.refused[address] = reason
                self.job.say(address, f"Worker {address} gets no runs: {reason}.")
        return {address for address, reason in reasons.items() if not reason}

    def _send_data(self, address: str) -> str:
        """Give a worker the data set; return the reason where it cannot have it."""
        if self._ask([address], worker.receive, None).get(address) == "":  # a neighbour on its machine was sent it
            return ""
        self.job.say(address, f"Worker {address} has no cifar10; it is sent there.")
        try:
            reason = self._ask([address], worker.receive, data.fetch().read_bytes(), patience=600).get(address, "")
        except UserError as error:
            reason = str(error)
        return reason and f"it has no cifar10 and cannot keep it ({reason})"

    def _ask(self, addresses: Collection[str], function: Callable, *arguments: Any, patience: float = 20) -> dict:
        """Call a function on workers; return the answers of those that have not left and answer in time."""
        ask = partial(self.client.run, function, *arguments, on_error="return", asynchronous=True)
        asked = [ask(workers=[address], callback_timeout=patience) for address in addresses]
        found = self.client.sync(asyncio.gather, *asked, return_exceptions=True)
        answers = [one for answer in found if isinstance(answer, dict) for one in answer.items()]
        return {address: answer for address, answer in answers if not isinstance(answer, OSError)}
