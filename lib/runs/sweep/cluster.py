"""Dask workers: a local cluster sized to the machine, or a cluster that runs already."""

import atexit
import json
import logging
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
#: Seconds that a local cluster is kept for the next sweep of this program: a notebook often has several.
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
    # Every scheduler and worker has an HTTP server; these serve nothing.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@dataclass
class _Local:
    workers: int
    cluster: SpecCluster
    client: Client
    certificate: tempfile.TemporaryDirectory
    timer: threading.Timer | None = None

    def close(self, patience: float = PATIENCE) -> None:
        if self.timer:
            self.timer.cancel()
        with suppress(Exception):
            self.client.close(timeout=patience)
        with suppress(Exception):
            self.cluster.close(timeout=patience)
        self.certificate.cleanup()

    def kill(self) -> None:
        """End the workers at once: their checkpoints hold every finished epoch."""
        for nanny in self.cluster.workers.values():
            nanny.close_gracefully()  # or it would start another worker
            if nanny.process and nanny.process.pid:
                with suppress(psutil.Error):
                    psutil.Process(nanny.process.pid).kill()
        self.close(patience=2)


_kept: list[_Local] = []  # one at most
_lock = threading.RLock()


@atexit.register
def close_kept() -> None:
    """End the local workers that are kept for another sweep."""
    with _lock:
        while _kept:
            _kept.pop().close()


@contextmanager
def local(workers: int) -> Iterator[Client]:
    """Start single-run workers on this machine, one per core or GPU; they listen on 127.0.0.1 alone and speak TLS.

    Raises:
        UserError: they cannot be started.
    """
    with _lock:
        own = _kept.pop() if _kept else None
    if own and (own.workers != workers or own.client.status != "running"):
        own.close()
        own = None
    own = own or _start(workers)
    if own.timer:
        own.timer.cancel()
    try:
        yield own.client
    except BaseException:
        own.kill()
        raise
    with _lock:
        close_kept()
        _kept.append(own)
        own.timer = threading.Timer(_KEEP, close_kept)
        own.timer.daemon = True
        own.timer.start()


def _start(workers: int) -> _Local:
    security = Security.temporary()
    certificate = tempfile.TemporaryDirectory(prefix="writeup-tls-")  # private; Dask's HTTP servers read files
    key, cert = Path(certificate.name, "key.pem"), Path(certificate.name, "cert.pem")
    key.write_text(security.tls_scheduler_key)
    cert.write_text(security.tls_scheduler_cert)
    tls = {f"distributed.scheduler.dashboard.tls.{name}": str(file) for name, file in (("key", key), ("cert", cert))}
    common: dict[str, Any] = {"host": _HOST, "protocol": "tls://", "security": security, "dashboard": False}
    options = {**common, "nthreads": 1, "memory_limit": MEMORY_LIMIT // workers, "silence_logs": logging.CRITICAL}
    gpus = [{"CUDA_VISIBLE_DEVICES": str(n)} if device.gpus() > 1 else {} for n in range(workers)]
    try:
        with dask.config.set({**_SETTINGS, **tls}), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cluster = SpecCluster(
                workers={n: {"cls": Nanny, "options": {**options, "env": env}} for n, env in enumerate(gpus)},
                scheduler={"cls": Scheduler, "options": {**common, "dashboard_address": f"{_HOST}:0"}},
                security=security,
                silence_logs=logging.CRITICAL,
            )
            return _Local(workers, cluster, Client(cluster, set_as_default=False), certificate)
    except RuntimeError as error:
        raise UserError(
            f"The worker processes could not be started ({error}). A script that trains several runs has to do so "
            'under `if __name__ == "__main__":`, because each worker reads the script again.'
        ) from error


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
