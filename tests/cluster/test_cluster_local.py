"""Runs on the workers of a local cluster: the same bits, whatever happens to workers, client and disk."""

import itertools
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress

import psutil
import pytest
import torch
from conftest import ENDLESS, numbers, tiny
from dask_processes import environment, until, working
from distributed import Security

from lib.runs import sweep
from lib.runs.store import Store
from lib.runs.sweep import cluster
from lib.system.errors import NoRoom, UserError
from lib.training import Interrupted

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


#: Trains in a process of its own: folder of the store, epochs, seeds; says each epoch, and the end.
CLIENT = """
import signal, sys
from conftest import tiny
from lib.runs import sweep
from lib.runs.store import Store

def say(experiment, epoch):
    print("epoch", experiment.seed, epoch.epoch, flush=True)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background
    folder, epochs, *seeds = sys.argv[1:]
    runs = [tiny(model="ConvNet", epochs=int(epochs), seed=int(s)) for s in seeds]
    try:
        sweep.run(runs, store=Store(folder), workers=2, on_epoch=say)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print("over", flush=True)
"""


def client(tmp_path, store, *arguments, guarded=True):
    script = tmp_path / "client.py"
    script.write_text(CLIENT if guarded else CLIENT.replace('if __name__ == "__main__":', "if True:"))
    command = [sys.executable, str(script), str(store.folder), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )


def test_a_killed_worker_costs_nothing_but_time(store, tmp_path, capsys):
    """Its run is trained again on another one, and ends with the same bits."""
    runs = [tiny(model="ConvNet", epochs=6, seed=seed) for seed in (1, 2, 3)]
    killed = []

    def kill_a_worker(experiment, epoch):
        if not killed and epoch.epoch >= 2:
            victim = working()[0]
            killed.append(victim.pid)
            victim.kill()

    records = sweep.run(runs, store=store, workers=2, on_epoch=kill_a_worker)
    assert killed
    assert "A worker was lost; ConvNet CE seed" in capsys.readouterr().err
    undisturbed = sweep.run(runs, store=Store(tmp_path / "alone"), workers=1, on_epoch=lambda *_: None)
    assert [numbers(r) for r in records] == [numbers(r) for r in undisturbed]
    for run in runs:
        one, other = (s.tensors(run, "last") for s in (store, Store(tmp_path / "alone")))
        assert all(torch.equal(one[name], other[name]) for name in one)
    cluster.close_kept()
    assert working() == []


def test_a_killed_client_leaves_no_worker_and_no_half_record_and_the_next_goes_on(store, tmp_path):
    first = client(tmp_path, store, 12, 0, 1)
    try:
        while not (line := first.stdout.readline()).startswith("epoch") or int(line.split()[2]) < 3:
            pass
        workers = working(first.pid)
        assert len(workers) == 2
    finally:
        first.kill()
        first.communicate(timeout=30)
    until(lambda: not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers), seconds=20)
    assert store.records() == []
    assert list(store.folder.glob("*/record.json")) == []

    seen = {}
    runs = [tiny(model="ConvNet", epochs=12, seed=seed) for seed in (0, 1)]
    resumed = sweep.run(runs, store=store, workers=1, on_epoch=lambda e, epoch: seen.setdefault(e.seed, epoch.epoch))
    assert max(seen.values()) > 3  # from the last finished epoch
    undisturbed = sweep.run(runs, store=Store(tmp_path / "alone"), workers=1, on_epoch=lambda *_: None)
    assert [numbers(r) for r in resumed] == [numbers(r) for r in undisturbed]
    assert not list(store.checkpoint(runs[0]).parent.iterdir())


def test_ctrl_c_ends_client_and_workers_in_seconds(store, tmp_path):
    process = client(tmp_path, store, 5000, 0, 1)
    try:
        assert process.stdout.readline().startswith("epoch")
        workers = working(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
    assert out.endswith("interrupted\nover\n")
    assert "Traceback" not in err
    assert not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers)


def test_stop_ends_the_sweep_and_its_workers_and_keeps_what_is_finished(store):
    short, endless, seen = tiny(), tiny(**ENDLESS), []
    settings = {"store": store, "workers": 2, "on_epoch": lambda experiment, _: seen.append(experiment.key)}
    with pytest.raises(Interrupted):
        sweep.run([short, endless], **settings, stop=lambda: bool(store.get(short)) and endless.key in seen)
    assert [record.key for record in store.records()] == [short.key]
    assert store.checkpoint(endless).exists()
    assert working() == []


def test_a_script_that_every_worker_would_read_again_is_told_so(store, tmp_path):
    _, err = client(tmp_path, store, 1, 0, 1, guarded=False).communicate(timeout=40)
    assert 'A script that trains several runs has to do so under `if __name__ == "__main__":`' in err


def test_two_programs_on_one_store_train_each_run_once(store, tmp_path):
    programs = [client(tmp_path, store, 2, 0, 1, 2, 3), client(tmp_path, store, 2, 3, 2, 1, 0)]
    outputs = [program.communicate(timeout=240)[0] for program in programs]
    assert all(out.endswith("over\n") for out in outputs)
    told = Counter(line for out in outputs for line in out.splitlines() if line.startswith("epoch"))
    assert told == {f"epoch {seed} {epoch}": 1 for seed in range(4) for epoch in (1, 2)}
    assert {r.experiment.seed for r in store.records()} == {0, 1, 2, 3}


def test_a_failing_run_is_named_and_the_others_finish(store):
    good, bad = [tiny(model="ConvNet", seed=seed) for seed in (1, 2)], tiny(model="ConvNet", learning_rate=1e30)
    with pytest.raises(sweep.RunsFailed) as error:
        sweep.run([bad, *good], store=store, workers=2, on_epoch=lambda *_: None)
    assert [(e.key, "the loss became" in why) for e, why in error.value.reasons] == [(bad.key, True)]
    assert sorted(r.key for r in store.records()) == sorted(e.key for e in good)


def test_a_full_disk_stops_the_sweep_with_a_sentence(store, monkeypatch):
    runs = [tiny(seed=0), tiny(seed=1), *(tiny(**ENDLESS, seed=seed) for seed in (2, 3))]
    put = Store.put

    def full(self, record, weights):
        if self.records():
            raise NoRoom("Run 1 could not be stored: No space left on device. Make room and run again.")
        put(self, record, weights)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(UserError, match="No space left on device"):
        sweep.run(runs, store=store, workers=2, on_epoch=lambda *_: None)
    assert len(store.records()) == 1
    assert working() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a disk of a few kilobytes")
def test_a_disk_that_is_really_full_is_said_and_goes_on_when_there_is_room(store, tmp_path):
    store.folder.mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(store.folder)]
    if subprocess.run(disk, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with suppress(OSError), (store.folder / "full").open("wb") as everything:
            while True:
                everything.write(bytes(4096))
                everything.flush()
        full = client(tmp_path, store, 2, 0, 1)
        _, err = full.communicate(timeout=120)
        assert full.returncode == 1
        assert "No space left on device" in err.splitlines()[-1]
        assert "runs failed" not in err  # the others were not trained in vain
        assert store.records() == []
        (store.folder / "full").unlink()
        out, err = client(tmp_path, store, 2, 0, 1).communicate(timeout=120)
        assert out.endswith("over\n"), err
        assert {r.experiment.seed for r in store.records()} == {0, 1}
    finally:
        subprocess.run(["umount", "-l", str(store.folder)], check=True)


def test_without_a_cluster_too_a_full_disk_ends_it_before_the_next_run(store, monkeypatch):
    trained = []

    def full(self, record, weights):
        trained.append(record.experiment.seed)
        raise NoRoom("No space left on device.")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(UserError, match="No space left on device"):
        sweep.run([tiny(seed=s) for s in range(3)], store=store, workers=1, on_epoch=lambda *_: None)
    assert trained == [0]


def test_the_next_sweep_finds_the_workers_of_the_last_one(store, monkeypatch):
    monkeypatch.setattr(cluster, "_KEEP", 2)
    sweep.run([tiny(seed=0), tiny(seed=1)], store=store, on_epoch=lambda *_: None)
    first = {w.pid for w in working()}
    assert len(first) == 2
    sweep.run([tiny(seed=2), tiny(seed=3)], store=store, on_epoch=lambda *_: None)
    assert {w.pid for w in working()} == first
    until(lambda: not working(), seconds=15)  # they do not stay for ever


def test_one_run_needs_no_cluster(store, monkeypatch):
    monkeypatch.setattr(cluster, "local", lambda *_, **__: pytest.fail("a cluster for one run"))
    assert len(sweep.run([tiny()], store=store, on_epoch=lambda *_: None)) == 1


#: A run of this seed ends its worker as soon as it trains.
DEADLY = 666


def test_a_run_that_kills_its_worker_each_time_is_failed_and_the_others_finish(store):
    ended = []

    def end(experiment, epoch):
        if experiment.seed == DEADLY:
            with suppress(psutil.Error, ValueError):
                # Not one that is being started: Dask does not start it once more.
                trained = [w for w in working() if any("libtorch" in part.path for part in w.memory_maps())]
                busiest = max(trained, key=lambda w: (w.pid not in ended, w.cpu_times().user))
                ended.append(busiest.pid)
                busiest.kill()

    runs = [tiny(**ENDLESS, seed=DEADLY), *(tiny(seed=seed) for seed in range(3))]
    with pytest.raises(sweep.RunsFailed) as error:
        sweep.run(runs, store=store, workers=2, on_epoch=end)
    ((run, why),) = error.value.reasons
    assert run.seed == DEADLY
    assert "was ended from outside (out of memory?), 3 times" in why
    assert {r.experiment.seed for r in store.records()} == {0, 1, 2}


def test_everything_local_listens_on_the_loopback_alone_and_asks_for_the_certificate(store, tmp_path, monkeypatch):
    """Every socket of the sweep's processes, while it trains and while its workers are kept, as somebody else sees it.

    There is no file either that holds a key, where a killed program would leave it.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # read again
    before, seen, keys = listening(), [], []

    def look(experiment, epoch):
        seen.append(listening() - before)
        keys.extend(file for file in tmp_path.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes())

    sweep.run([tiny(seed=seed, epochs=3) for seed in range(2)], store=store, workers=2, on_epoch=look)
    look(None, None)
    assert keys == []
    assert seen[0] == seen[-1]
    assert len(seen[0]) == 5  # a scheduler, two nannies and two workers, none of them with an HTTP server
    hellos = [b"GET / HTTP/1.0\r\n\r\n", struct.pack("<QQ", 16, 0) + bytes(16)]
    contexts = [None, anonymous(), stranger()]
    for kind, address in seen[0]:
        assert (kind, address.ip) == (socket.AF_INET, "127.0.0.1")
        for hello, context in itertools.product(hellos, contexts):
            told = answer(address, hello, context)
            assert told == b"" or told.startswith(TLS_ALERT), f"{address} answers {hello} with {told}"
    cluster.close_kept()
    assert listening() <= before


TLS_ALERT = b"\x15"


def listening():
    """Sockets of this process and its children that others can connect to, those of files among them."""
    own = psutil.Process()
    found = set()
    for process in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):
            found |= {
                (c.family, c.laddr)
                for c in process.net_connections(kind="all")
                if c.status == psutil.CONN_LISTEN
                or (c.laddr and (c.family == socket.AF_UNIX or c.type == socket.SOCK_DGRAM))
            }
    return found


def anonymous():
    """TLS of a client that has no certificate and takes any."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def stranger():
    """TLS of a client that has made its certificate itself, as the sweep does."""
    context = Security.temporary().get_connection_args("client")["ssl_context"]
    context.verify_mode = ssl.CERT_NONE
    return context


def answer(address, hello, context):
    """Bytes that a client gets, in a TLS context or None; none where the connection is refused, closed or silent."""
    with suppress(OSError), socket.create_connection(address, timeout=1) as connection:
        own = context.wrap_socket(connection) if context else connection
        own.sendall(hello)
        return own.recv(64)
    return b""


def test_no_run_waits_for_a_busy_worker_while_another_has_none(store):
    """A long run and three short ones on two workers: the long one is the last to end, whoever is sent what."""
    long, *short = [tiny(seed=seed, epochs=epochs) for seed, epochs in enumerate((100, 1, 1, 1))]
    over = []
    sweep.run([long, *short], store=store, workers=2, on_epoch=lambda e, epoch: over.append((e, epoch.epoch)))
    assert [e for e, epoch in over if epoch == e.epochs] == [*short, long]
