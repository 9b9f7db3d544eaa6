"""Dask workers: a local cluster sized to the machine, or a cluster that runs already."""

import asyncio
import atexit
import json
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, Nanny, Scheduler, Security, SpecCluster, rpc
from distributed.comm import get_address_host_port
from distributed.system import MEMORY_LIMIT

from lib.system import files
from lib.system.errors import UserError, clipped, reason

LOSSES = 3  # workers that a run may lose while it trains before it counts as failed
_PATIENCE = 10  # seconds to reach a scheduler
_KEEP = 10  # seconds that a local cluster is kept for the next sweep of this program: a notebook often has several
_HOST = "127.0.0.1"
_SETTINGS = {
    "distributed.scheduler.allowed-failures": LOSSES - 1,
    # A run's memory is its model's: nothing can be moved to disk, and a pause would last for ever.
    **{f"distributed.worker.memory.{step}": False for step in ("target", "spill", "pause")},
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": f"{_PATIENCE}s",
    # Every scheduler and worker starts an HTTP server, which serves nothing and is stopped at once.
    **{f"distributed.{role}.http.routes": [] for role in ("scheduler", "worker")},
    **{f"distributed.{role}.preload": ["lib.runs.preload"] for role in ("scheduler", "worker")},
}
_kept: list["_Local"] = []
_lock = threading.RLock()


class _Local:
    """Single-run workers on this machine; everything listens on 127.0.0.1 alone and asks for a certificate."""

    def __init__(self, workers: int):
        self.workers = workers
        self.timer = threading.Timer(_KEEP, close_kept)
        security = Security.temporary()
        common: dict[str, Any] = {"host": _HOST, "protocol": "tls://", "security": security, "dashboard": False}
        options = {**common, "nthreads": 1, "memory_limit": MEMORY_LIMIT // workers, "silence_logs": logging.CRITICAL}
        # Not by the cluster's own setting, which ends with it: closed connections are logged a moment later.
        for handler in logging.getLogger("distributed").handlers:
            handler.setLevel(logging.CRITICAL)
        with dask.config.set(_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.cluster = SpecCluster(
                workers={n: {"cls": Nanny, "options": options} for n in range(workers)},
                scheduler={"cls": Scheduler, "options": {**common, "dashboard_address": f"{_HOST}:0"}},
                security=security,
            )
            self.client = Client(self.cluster, set_as_default=False)

    def kill(self) -> None:
        """End the workers at once: their checkpoints hold every finished epoch."""
        for nanny in self.cluster.workers.values():
            nanny.close_gracefully()  # or it would start another worker
            if nanny.process and nanny.process.pid:
                with suppress(psutil.Error):
                    psutil.Process(nanny.process.pid).kill()
        self.close(patience=2)

    def close(self, patience: float = _PATIENCE) -> None:
        self.timer.cancel()
        for part in (self.client, self.cluster):
            with suppress(Exception):
                part.close(timeout=patience)


@atexit.register
def close_kept() -> None:
    """End the local workers that are kept for another sweep."""
    with _lock:
        while _kept:
            _kept.pop().close()


@contextmanager
def local(workers: int) -> Iterator[Client]:
    """Start workers on this machine, or take those of the last sweep; UserError where they cannot be started."""
    with _lock:
        own = _kept.pop() if _kept and _kept[-1].workers == workers and _kept[-1].client.status == "running" else None
        close_kept()  # of another size
    try:
        own = own or _Local(workers)
    except RuntimeError as error:
        raise UserError(
            f"The worker processes could not be started ({error}). A script that trains several runs has to do so "
            'under `if __name__ == "__main__":`, because each worker reads the script again.'
        ) from error
    try:
        own.timer.cancel()
        yield own.client
    except BaseException:
        own.kill()
        raise
    own.timer = threading.Timer(_KEEP, close_kept)
    own.timer.daemon = True
    _kept.append(own)
    own.timer.start()


async def _identity(address: str) -> Any:
    security = Security().get_connection_args("client")
    async with asyncio.timeout(_PATIENCE), rpc(address, connection_args=security) as scheduler:
        return (await scheduler.identity(n_workers=0))["type"]


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a Dask cluster by its scheduler's address or the file it wrote; UserError if unreachable."""
    try:
        file = Path(scheduler).expanduser()
        address = json.loads(files.regular(file, files.TEXT).read_bytes())["address"] if file.is_file() else scheduler
        # A look first: a client that fails would be left to the garbage collector, one that meets silence would wait.
        socket.create_connection(get_address_host_port(address), timeout=_PATIENCE).close()
        with ThreadPoolExecutor(1) as thread:  # a notebook's has an event loop already
            thread.submit(asyncio.run, _identity(address)).result()
        with dask.config.set({"distributed.comm.timeouts.connect": f"{_PATIENCE}s"}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ; a sweep compares those that matter
            client = Client(address, set_as_default=False, timeout=_PATIENCE)
    except Exception as error:  # of any type, for odd addresses and for what speaks something else
        raise UserError(f"No Dask scheduler answers at {clipped(scheduler, 100)} ({reason(error)}).") from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_PATIENCE)
