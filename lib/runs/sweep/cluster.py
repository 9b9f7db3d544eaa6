"""Dask workers: a local cluster sized to the machine, or one that runs already."""

import atexit
import json
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, Nanny, Scheduler, Security, SpecCluster
from distributed.comm import get_address_host_port
from distributed.system import MEMORY_LIMIT

from lib.system import device
from lib.system.errors import UserError

#: Seconds to reach a scheduler.
PATIENCE = 10
#: Workers that a run may lose while it trains before it counts as failed.
LOSSES = 3
#: Seconds that a local cluster is kept for the next sweep of this program.
_KEEP = 10
_HOST = "127.0.0.1"
_SETTINGS = {
    "distributed.scheduler.allowed-failures": LOSSES - 1,
    # A run's memory is its model's: nothing can be moved to disk, and a pause would last for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": f"{PATIENCE}s",
}


class _Kept:
    """The local cluster of the last sweep, until a timer closes it: a notebook often has several sweeps."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.own: tuple[int, SpecCluster, Client] | None = None
        self.timer: threading.Timer | None = None

    def take(self, workers: int) -> tuple[SpecCluster, Client] | None:
        with self.lock:
            if self.own is None or self.own[0] != workers or self.own[2].status != "running":
                self.close()
                return None
            if self.timer:
                self.timer.cancel()
            (_, cluster, client), self.own = self.own, None
            return cluster, client

    def keep(self, workers: int, cluster: SpecCluster, client: Client) -> None:
        with self.lock:
            self.close()
            self.own = workers, cluster, client
            self.timer = threading.Timer(_KEEP, self.close)
            self.timer.daemon = True
            self.timer.start()

    def close(self) -> None:
        with self.lock:
            if self.own:
                if self.timer:
                    self.timer.cancel()
                _close(*self.own[1:], patience=PATIENCE)
                self.own = None


_kept = _Kept()


@atexit.register
def close_kept() -> None:
    """End the local workers that are kept for another sweep."""
    _kept.close()


@contextmanager
def local(workers: int) -> Iterator[Client]:
    """Start single-run workers on this machine, one per core or GPU; they listen on 127.0.0.1 alone and speak TLS.

    Raises:
        UserError: they cannot be started.
    """
    cluster, client = _kept.take(workers) or _start(workers)
    try:
        yield client
    except BaseException:
        _kill(cluster)
        _close(cluster, client, patience=2)
        raise
    _kept.keep(workers, cluster, client)


def _start(workers: int) -> tuple[SpecCluster, Client]:
    security = Security.temporary()
    common: dict[str, Any] = {"host": _HOST, "protocol": "tls://", "security": security, "dashboard": False}
    options = {**common, "nthreads": 1, "memory_limit": MEMORY_LIMIT // workers, "silence_logs": logging.CRITICAL}
    gpus = [{"CUDA_VISIBLE_DEVICES": str(n)} if device.gpus() > 1 else {} for n in range(workers)]
    try:
        with dask.config.set(_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cluster = SpecCluster(
                workers={n: {"cls": Nanny, "options": {**options, "env": env}} for n, env in enumerate(gpus)},
                scheduler={"cls": Scheduler, "options": {**common, "dashboard_address": f"{_HOST}:0"}},
                security=security,
                silence_logs=logging.CRITICAL,
            )
            return cluster, Client(cluster, set_as_default=False)
    except RuntimeError as error:
        raise UserError(
            f"The worker processes could not be started ({error}). A script that trains several runs has to do so "
            'under `if __name__ == "__main__":`, because each worker reads the script again.'
        ) from error


def _kill(cluster: SpecCluster) -> None:
    """End the workers at once: their checkpoints hold every finished epoch."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # or it would start another worker
        if nanny.process and nanny.process.pid:
            with suppress(psutil.Error):
                psutil.Process(nanny.process.pid).kill()


def _close(cluster: SpecCluster, client: Client, patience: float) -> None:
    with suppress(Exception):
        client.close(timeout=patience)
    with suppress(Exception):
        cluster.close(timeout=patience)


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a Dask cluster that runs already.

    Args:
        scheduler: its address, or the file that `dask scheduler --scheduler-file` wrote.

    Raises:
        UserError: it cannot be reached.
    """
    try:
        file = Path(scheduler).expanduser()
        address = json.loads(file.read_text())["address"] if file.is_file() else scheduler
        # A look first: a client whose connection fails would be left to the garbage collector.
        socket.create_connection(get_address_host_port(address), timeout=PATIENCE).close()
        with dask.config.set({"distributed.comm.timeouts.connect": f"{PATIENCE}s"}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ; a sweep compares those that matter
            client = Client(address, set_as_default=False, timeout=PATIENCE)
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:  # all of them for odd addresses
        raise UserError(f"No Dask scheduler answers at {scheduler} ({error or type(error).__name__}).") from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=PATIENCE)
