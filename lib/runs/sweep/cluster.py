"""Dask workers: a local cluster sized to the machine, or one that is there already."""

import atexit
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.system import MEMORY_LIMIT

from lib.system import device
from lib.system.errors import UserError

#: Seconds to reach a scheduler.
PATIENCE = 10
#: Times that a run may lose its worker before it counts as failed.
LOSSES = 3
#: Part of the machine's memory, shared evenly, beyond which a worker is ended rather than the machine.
_MEMORY = 0.95
#: Seconds that a local cluster is kept for the next sweep.
_KEEP = 10
_NANNY_MEMORY = logging.getLogger("distributed.nanny.memory")
_SETTINGS = {
    "distributed.scheduler.allowed-failures": LOSSES - 1,
    # A run's memory is its model's: there is nothing that could be moved to disk, and a pause would last for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": _MEMORY,
    "distributed.comm.timeouts.connect": f"{PATIENCE}s",
}


class _Client(Client):
    """A client that is never left to the garbage collector, also where it cannot start or nobody answers its goodbye.

    The collector would close it at some later moment. If that is while another client starts, closing waits for a lock
    that this very thread holds, and the program hangs.
    """

    def start(self, **options: Any) -> None:
        try:
            super().start(**options)
        except BaseException:
            self.end(patience=1)
            raise

    def end(self, patience: float) -> None:
        """Close it; after so many seconds without an answer it counts as closed."""
        try:
            with suppress(Exception):
                self.close(timeout=patience)
            with suppress(Exception):
                self._loop_runner.stop()  # which closing leaves out where the connection had failed
        finally:
            self.status = "closed"


@dataclass(frozen=True)
class Crew:
    """A client, and what is to be known of the workers behind it."""

    client: Client
    local: bool  # on this machine, started for one sweep; they share its disk
    threads: int = 1  # of a run
    memory: float = 0.0  # bytes that each worker may use; 0: not ours to say
    over_memory: set[str] = field(default_factory=set)  # what was said of workers that were ended for using more

    @property
    def dashboard(self) -> str:
        """Where Dask shows the cluster at work."""
        return self.client.dashboard_link or ""


@dataclass
class _Local:
    """A local cluster, and its client."""

    workers: int
    memory: float
    cluster: SpecCluster
    client: _Client
    over_memory: "_OverMemory"

    def is_well(self) -> bool:
        return self.client.status == "running" and not self.over_memory.workers


_kept: _Local | None = None  # from the last sweep of this program, until _timer closes it
_timer: threading.Timer | None = None
_lock = threading.RLock()


@contextmanager
def local(workers: int, threads: int, memory: float | None = None) -> Iterator[Crew]:
    """So many single-run workers on this machine: of its cores, or one per GPU.

    They are kept a little for the program's next sweep: a notebook often has several, and starting workers takes
    seconds.

    Args:
        threads: of each run.
        memory: bytes that each may use; by default an even share of what this program may use.

    Raises:
        UserError: they cannot be started.
    """
    memory = memory or MEMORY_LIMIT // workers
    own = _take(workers, memory) or _start(workers, memory)
    try:
        yield Crew(own.client, local=True, threads=threads, memory=memory, over_memory=own.over_memory.workers)
    except BaseException:
        _end_at_once(own.cluster)
        _close(own, patience=2)  # whoever pressed Ctrl-C waits
        raise
    _keep(own)


def _take(workers: int, memory: float) -> _Local | None:
    """The kept cluster, where it is what is asked for; another one is closed."""
    global _kept
    with _lock:
        if _kept is None or (_kept.workers, _kept.memory) != (workers, memory) or not _kept.is_well():
            close_kept()
            return None
        _timer.cancel()
        own, _kept = _kept, None
        return own


def _keep(own: _Local) -> None:
    global _kept, _timer
    with _lock:
        close_kept()
        if not own.is_well():
            _close(own)
            return
        _kept, _timer = own, threading.Timer(_KEEP, close_kept)
        _timer.daemon = True
        _timer.start()


@atexit.register
def close_kept() -> None:
    """End the workers that wait for another sweep, if any do."""
    global _kept
    with _lock:
        if _kept is not None:
            _timer.cancel()
            _close(_kept)
            _kept = None


def _start(workers: int, memory: float) -> _Local:
    over_memory = _OverMemory()
    _NANNY_MEMORY.addHandler(over_memory)
    environments = [{"CUDA_VISIBLE_DEVICES": str(n)} if device.gpus() > 1 else {} for n in range(workers)]
    worker = {"nthreads": 1, "memory_limit": int(memory), "silence_logs": logging.CRITICAL}
    before = set(SpecCluster._instances)  # an interrupted constructor returns nothing to close
    try:
        with dask.config.set(_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a dashboard's port in use, where another one is taken
            cluster = SpecCluster(
                workers={n: {"cls": Nanny, "options": {**worker, "env": env}} for n, env in enumerate(environments)},
                scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}},
                silence_logs=logging.CRITICAL,
            )
            return _Local(workers, memory, cluster, _Client(cluster, set_as_default=False), over_memory)
    except BaseException as error:
        _NANNY_MEMORY.removeHandler(over_memory)
        for cluster in set(SpecCluster._instances) - before:
            _end_at_once(cluster)
            with suppress(Exception):
                cluster.close(timeout=2)
        if not isinstance(error, RuntimeError):
            raise
        raise UserError(
            f"The worker processes could not be started ({error}). A script that trains several runs has to do so "
            'under `if __name__ == "__main__":`, because each worker reads the script again.'
        ) from error


def _end_at_once(cluster: SpecCluster) -> None:
    """Kill the workers: their checkpoints hold every finished epoch."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # or it would start another worker, which closing then waits for
        if nanny.process and nanny.process.pid:
            with suppress(psutil.Error):
                psutil.Process(nanny.process.pid).kill()


def _close(own: _Local, patience: float = PATIENCE) -> None:
    _NANNY_MEMORY.removeHandler(own.over_memory)
    own.client.end(patience)
    with suppress(OSError):  # TimeoutError is one
        own.cluster.close(timeout=patience)


class _OverMemory(logging.Handler):
    """Hears a nanny say that it ends its worker, which the scheduler is not told the reason of."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if "memory budget" in record.getMessage():
            self.workers.add(record.getMessage())


@contextmanager
def connected(scheduler: str) -> Iterator[Crew]:
    """The workers of a Dask cluster that is there already.

    Args:
        scheduler: its address, or the file that `dask scheduler --scheduler-file` wrote.

    Raises:
        UserError: it cannot be reached.
    """
    file = Path(scheduler).expanduser()
    where = {"scheduler_file": str(file)} if file.is_file() else {"address": scheduler}
    with dask.config.set({"distributed.comm.timeouts.connect": f"{PATIENCE}s"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ; a sweep looks at those that matter
        try:
            client = _Client(**where, set_as_default=False, timeout=PATIENCE)
        except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:  # all of them for odd addresses
            reason = str(error) or type(error).__name__
            raise UserError(f"No Dask scheduler answers at {scheduler} ({reason}).") from error
        try:
            yield Crew(client, local=False)
        finally:
            client.end(PATIENCE)
