"""Runs on the workers of a Dask cluster elsewhere: the same bits as here, whatever happens to workers and scheduler."""

import asyncio
import gc
import json
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import ENDLESS, numbers, tiny
from dask_processes import environment, scheduler, worker
from distributed import Client, Future, LocalCluster

from lib.runs import sweep
from lib.runs.store import Store
from lib.runs.sweep import cluster, workforce
from lib.runs.sweep import spread as spreading
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


def test_workers_elsewhere_share_no_disk_and_give_the_same_bits(store, tmp_path):
    runs = [tiny(model="ConvNet", epochs=2, seed=seed) for seed in range(3)]
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        for n in range(2):
            stack.enter_context(worker(tmp_path / f"w{n}", address))
        seen = []
        records = sweep.run(
            runs,
            store=store,
            scheduler=address,
            origin="far",
            on_epoch=lambda e, epoch: seen.append((e.seed, epoch.epoch)),
        )
    assert sorted(seen) == [(seed, epoch) for seed in range(3) for epoch in (1, 2)]
    assert {r.origin for r in records} == {"far"}
    alone_store = Store(tmp_path / "alone")
    alone_records = sweep.run(runs, store=alone_store, workers=1, on_epoch=lambda *_: None)
    assert [numbers(r) for r in records] == [numbers(r) for r in alone_records]
    assert store.weights(runs[0], "best").keys() == alone_store.weights(runs[0], "best").keys()
    assert not list(store.checkpoint(runs[0]).parent.iterdir())


def test_a_scheduler_that_is_gone_is_said_and_what_was_finished_is_kept(store, tmp_path):
    short, endless = tiny(seed=7), tiny(**ENDLESS)
    killed = []
    with scheduler(tmp_path / "s") as (process, address), worker(tmp_path / "w", address):

        def kill(experiment, epoch):
            if not killed and experiment == endless:
                killed.append(time.monotonic())
                process.kill()

        with pytest.raises(UserError, match="The Dask scheduler is gone; what was finished is stored"):
            sweep.run([short, endless], store=store, scheduler=address, on_epoch=kill)
        assert time.monotonic() - killed[0] < 30
    assert [r.key for r in store.records()] == [short.key]
    (again,) = sweep.run([short], store=store, workers=1, on_epoch=lambda *_: pytest.fail("trained again"))
    assert again.key == short.key


def test_a_scheduler_that_comes_back_is_worked_with_again(store, tmp_path):
    """At the same address, with another worker; its epochs are seen too."""
    seen, replaced = [], []
    run = tiny(model="ConvNet", epochs=200)
    with ExitStack() as stack:
        first, file = stack.enter_context(scheduler(tmp_path / "s"))
        stack.enter_context(worker(tmp_path / "w", file))
        address = json.loads(Path(file).read_text())["address"]

        def replace(experiment, epoch):
            seen.append(epoch.epoch)
            if not replaced:
                first.kill()
                first.wait()
                port = address.rpartition(":")[2]
                replaced.append(stack.enter_context(scheduler(tmp_path / "s", "--port", port)))
                stack.enter_context(worker(tmp_path / "w2", file))
            elif len(seen) > 20 and seen.count(1) > 1:
                raise KeyboardInterrupt  # enough seen

        with pytest.raises(KeyboardInterrupt):
            sweep.run([run], store=store, scheduler=address, on_epoch=replace)
    assert seen.count(1) == 2


@pytest.mark.parametrize("frozen", ["at an epoch", "with a result to fetch"])
def test_a_frozen_scheduler_is_said(store, tmp_path, monkeypatch, frozen):
    """A machine that hangs sends no goodbye."""
    stopped = []
    fetch = workforce.Workforce.fetch
    with scheduler(tmp_path / "s") as (process, address), worker(tmp_path / "w", address):

        def stop(*_):
            if not stopped:
                stopped.append(time.monotonic())
                process.send_signal(signal.SIGSTOP)

        def stop_and_fetch(*asked):
            if frozen == "with a result to fetch":
                stop()
            fetch(*asked)

        monkeypatch.setattr(workforce.Workforce, "fetch", stop_and_fetch)
        if frozen == "with a result to fetch":
            monkeypatch.setattr(spreading, "GONE", 3)  # the other one tries how long it really is
        runs = [tiny(seed=1), tiny(**ENDLESS)]
        with pytest.raises(UserError, match="The Dask scheduler is gone"):
            sweep.run(runs, store=store, scheduler=address, on_epoch=stop if frozen == "at an epoch" else lambda *_: 0)
        assert time.monotonic() - stopped[0] < 30


def test_a_frozen_worker_is_worked_around(store, tmp_path, capsys):
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        frozen = stack.enter_context(worker(tmp_path / "frozen", address))
        frozen.send_signal(signal.SIGSTOP)
        stack.enter_context(worker(tmp_path / "w", address))
        runs = [tiny(seed=1), tiny(seed=2)]
        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)) == 2
    assert "does not answer yet; runs go there when it does." in capsys.readouterr().err


def test_a_result_that_is_lost_with_its_worker_is_computed_once_more_and_not_twice(store, tmp_path, monkeypatch):
    fetch, sent = workforce.Workforce.fetch, []
    submit = Client.submit
    monkeypatch.setattr(Client, "submit", lambda *a, **k: sent.append(k["key"]) or submit(*a, **k))
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        first = stack.enter_context(worker(tmp_path / "w", address))

        def lose_and_fetch(*asked):
            if first.is_running():
                stack.enter_context(worker(tmp_path / "w2", address))
                first.kill()
                first.wait()
            fetch(*asked)

        monkeypatch.setattr(workforce.Workforce, "fetch", lose_and_fetch)
        (record,) = sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(record.history) == 1
    assert len(sent) == 1


def test_a_run_that_somebody_cancels_is_sent_again(store, tmp_path):
    """Any program that knows the scheduler can cancel; nobody is to wait for ever."""
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address):
        cancelled = []

        def cancel(experiment, epoch):
            if not cancelled:
                with Client(scheduler_file=address, set_as_default=False) as other:
                    for keys in other.processing().values():
                        cancelled.extend(keys)
                    other.cancel([Future(key, other) for key in cancelled], force=True)

        (record,) = sweep.run([tiny(model="ConvNet", epochs=8)], store=store, scheduler=address, on_epoch=cancel)
    assert cancelled
    assert len(record.history) == 8


def test_an_abandoned_run_makes_room_for_the_next_sweep(store, tmp_path):
    """Dask cannot stop a thread: a run that nobody waits for stops itself."""

    def interrupt(experiment, epoch):
        raise KeyboardInterrupt

    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address):
        with pytest.raises(KeyboardInterrupt):
            sweep.run([tiny(**ENDLESS)], store=store, scheduler=address, on_epoch=interrupt)
        (record,) = sweep.run([tiny(seed=5)], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert record.experiment.seed == 5


def test_a_cluster_that_starts_workers_for_waiting_work_is_given_some(store, monkeypatch):
    """As those of SLURM and Kubernetes can."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None, silence_logs=50) as growing:
        growing.adapt(minimum=0, maximum=1, interval="200ms")
        runs = [tiny(seed=seed) for seed in range(3)]
        address = growing.scheduler_address
        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)) == 3


@pytest.mark.parametrize("odd", ["tls://127.0.0.1:9", "nonsense://x", "{}", '{"address": 7}', "a: yaml file"])
def test_an_odd_scheduler_is_one_sentence(store, tmp_path, odd):
    if "://" not in odd:
        (tmp_path / "file").write_text(odd)
        odd = str(tmp_path / "file")
    before = left_open()
    with pytest.raises(UserError, match="No Dask scheduler answers at ") as error:
        sweep.run([tiny()], store=store, scheduler=odd)
    assert left_open() == before, f"{error} keeps a client alive"


def left_open():
    """Clients that the garbage collector would close, at a moment of its choice (see lib.runs.sweep.cluster)."""
    clients = [o for o in gc.get_objects() if issubclass(type(o), Client)]
    return {client for client in clients if client.status not in ("newly-created", "closed")}


def test_a_client_that_can_neither_start_nor_close_says_why_it_could_not_start(monkeypatch):
    async def fail(client, **_):
        client.status = "connecting"
        raise ValueError("an odd address")

    async def hang(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr(Client, "_start", fail)
    monkeypatch.setattr(Client, "_close", hang)
    before = left_open()
    with pytest.raises(UserError, match="an odd address") as error, cluster.connected("tcp://127.0.0.1:9"):
        pass
    assert left_open() == before, f"{error} keeps a client alive"


def test_a_scheduler_that_does_not_answer_is_said(store):
    start, threads = time.monotonic(), loops()
    with pytest.raises(UserError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        sweep.run([tiny()], store=store, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 30
    assert loops() <= threads


def loops():
    """The threads in which Dask's clients run."""
    return {thread for thread in threading.enumerate() if thread.name == "IO loop"}
