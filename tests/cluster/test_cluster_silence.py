"""Nobody is waited for in silence: what does not answer is named within seconds, and goes on where it can."""

import http.server
import json
import re
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import tiny
from dask_processes import scheduler, worker
from filelock import FileLock

from lib.runs import sweep
from lib.runs.sweep import cluster, spread
from lib.runs.sweep.job import Job
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


@contextmanager
def served(talk):
    """The address of a server that does `talk` with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve():
            connections = []
            while not over.is_set():
                try:
                    connections.append(server.accept()[0])
                    talk(connections[-1])
                except OSError:  # nobody came, or the other one has left
                    continue
            for connection in connections:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@contextmanager
def pages():
    """The address of an HTTP server."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    quiet = type("Quiet", (http.server.ThreadingHTTPServer,), {"handle_error": lambda *_: None})
    with quiet(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refused(store, address):
    """The sentence that a sweep ends with, without a client that is left behind."""
    threads, start = {*threading.enumerate()}, time.monotonic()
    with pytest.raises(UserError, match=rf"^No Dask scheduler answers at {address} \(.*\)\.$") as error:
        sweep.run([tiny()], store=store, scheduler=address)
    assert time.monotonic() - start < 30
    assert not [t for t in threading.enumerate() if t not in threads and t.name == "IO loop"]
    return str(error.value)


SPEECHES = {
    "silence": lambda connection: None,
    "the end": lambda connection: connection.close(),
    "text": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "zeros": lambda connection: connection.sendall(bytes(4096)),
    "half a message": lambda connection: connection.sendall((100).to_bytes(8, "little") + b"\x01"),
    "an echo": lambda connection: threading.Thread(target=echo, args=[connection]).start(),
}


def echo(connection):
    try:
        while content := connection.recv(65536):
            connection.sendall(content)
    except OSError:
        pass


@pytest.mark.parametrize("speech", SPEECHES)
def test_a_port_that_speaks_something_else_is_one_sentence(store, monkeypatch, speech):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with served(SPEECHES[speech]) as address:
        assert len(refused(store, address)) < 300


def test_a_port_for_browsers_is_one_sentence(store, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with pages() as address:
        refused(store, address)


def test_no_scheduler_but_its_page_or_a_worker_or_a_frozen_one_is_one_sentence(store, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with scheduler(tmp_path / "s") as (process, file), worker(tmp_path / "w", file):
        told = json.loads(Path(file).read_text())
        refused(store, f"tcp://127.0.0.1:{told['services']['dashboard']}")
        refused(store, listening_at(tmp_path / "w"))
        process.suspend()
        refused(store, told["address"])


def listening_at(folder):
    """The address in the log of a worker."""
    return re.search(r"Start worker at: +(\S+)", (folder / "log").read_text())[1]


@pytest.fixture
def impatient(monkeypatch):
    """Seconds become tenths; a worker's heartbeats come twice a second."""
    monkeypatch.setattr(spread, "_EVERY", 0.2)
    monkeypatch.setattr(spread, "_PATIENCE", 2)
    monkeypatch.setattr(spread, "_SILENT", 15)


def until_said(sentence, act):
    """A `tell` that calls `act` once a sentence is said, and the sentences said by then."""
    heard = []

    def tell(event):
        if re.search(sentence, event.line):
            heard.append(event.line)
            act()

    return tell, heard


def test_a_scheduler_that_freezes_is_said_and_waited_for(store, tmp_path, impatient, capsys):
    runs = [tiny(model="ConvNet", epochs=3, seed=seed) for seed in range(2)]
    frozen = []
    with scheduler(tmp_path / "s") as (process, address), worker(tmp_path / "w", address):

        def freeze(experiment, epoch):
            if not frozen:
                frozen.append(time.monotonic())
                process.suspend()

        tell, heard = until_said("The Dask scheduler does not answer", process.resume)
        records = sweep.run(runs, store=store, scheduler=address, on_epoch=freeze, tell=tell)
    assert len(records) == 2
    assert len(heard) == 1
    assert (
        capsys.readouterr().err.count("The Dask scheduler does not answer (frozen or cut off?); waiting for it.") == 1
    )


def test_a_sweep_ends_beside_a_scheduler_that_stays_frozen(store, tmp_path, impatient):
    """Also with what was finished before."""
    short, other = tiny(), tiny(model="ConvNet", epochs=5000)
    stopped = []
    with scheduler(tmp_path / "s") as (process, address), worker(tmp_path / "w", address):

        def freeze(experiment, epoch):
            if experiment == other:
                process.suspend()

        tell, _ = until_said("does not answer", lambda: stopped.append(time.monotonic()))
        settings = {"store": store, "on_epoch": freeze, "tell": tell, "stop": lambda: bool(stopped)}
        with pytest.raises(KeyboardInterrupt, match="Stopped"):
            sweep.run([short, other], scheduler=address, **settings)
        assert time.monotonic() - stopped[0] < 30
    assert [record.key for record in store.records()] == [short.key]


def test_a_frozen_worker_is_named_with_its_run_and_one_in_a_long_epoch_is_not(store, tmp_path, impatient, capsys):
    """The other one trains an epoch that is longer than the silence; the frozen one goes on when it can."""
    runs = [tiny(), *(tiny(model="ResNet-32", seed=seed) for seed in range(2))]
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w0", address) as victim:
        own = listening_at(tmp_path / "w0")
        with worker(tmp_path / "w1", address):

            def freeze(experiment, epoch):
                if experiment == runs[0]:
                    victim.suspend()

            tell, heard = until_said(r"Worker \S+ does not answer", victim.resume)
            assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=freeze, tell=tell)) == 3
    assert len(heard) == 1
    assert heard[0] in [f"Worker {own} does not answer (frozen?); waiting for it: {run.title}." for run in runs]
    assert re.findall("Worker .*", capsys.readouterr().err) == heard


def test_a_worker_that_is_frozen_from_the_start_is_named_and_takes_runs_when_it_goes_on(store, tmp_path, impatient):
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address) as frozen:
        frozen.suspend()
        tell, heard = until_said(r"Worker \S+ does not answer \(frozen\?\); waiting for it: new runs", frozen.resume)
        assert len(sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None, tell=tell)) == 1
    assert len(heard) == 1


def test_heartbeats_are_counted_by_looks_not_by_a_clock(store, capsys):
    """A sweep that pauses, or whose scheduler does, has looked once; a worker that freezes twice is named twice."""
    client = SimpleNamespace(
        sync=lambda call, **_: call(),
        scheduler=SimpleNamespace(processing=lambda: {"a": ["task"]}, has_what=lambda: {}),
    )
    job = Job([tiny()], store, "", None, None, lambda: False)
    sweeping = spread.Spread(job, client, threads=1, local=True)
    sweeping.running = {"task": SimpleNamespace(experiment=tiny())}

    def look(times, *heartbeats):
        for heartbeat in heartbeats:
            for _ in range(times):
                sweeping._listen({"a": {"last_seen": heartbeat}, "b": {"last_seen": time.monotonic()}})
        return capsys.readouterr().err

    assert look(spread._SILENT, *range(5)) == ""
    sentence = f"Worker a does not answer (frozen?); waiting for it: {tiny().title}.\n"
    assert look(spread._SILENT * 3, 7) == sentence
    assert look(1, 8) == ""
    assert look(spread._SILENT + 1, 9) == sentence


def test_a_run_that_another_program_trains_is_said_once_and_taken_up(store, tmp_path, impatient, capsys):
    experiment = tiny(seed=3)
    checkpoint = store.checkpoint(experiment)
    checkpoint.parent.mkdir(parents=True)
    theirs = FileLock(checkpoint.with_suffix(".lock"))
    stops = []

    def stop():
        stops.append(1)
        if len(stops) == 10:
            theirs.release()

    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address), theirs:
        tell, heard = until_said("another program", lambda: None)
        settings = {"store": store, "on_epoch": lambda *_: None, "tell": tell, "stop": stop}
        assert len(sweep.run([experiment], scheduler=address, **settings)) == 1
    sentence = f"{experiment.title} is being trained by another program (no epoch is done yet); waiting for it."
    assert heard == [sentence]
    assert capsys.readouterr().err.count(sentence) == 1
