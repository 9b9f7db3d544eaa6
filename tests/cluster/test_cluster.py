"""Runs on the workers of a Dask cluster elsewhere: the same bits as here, whatever happens to workers and scheduler."""

import gc
import threading
import time
from contextlib import ExitStack

import pytest
from conftest import ENDLESS, numbers, tiny
from dask_processes import scheduler, worker
from distributed import Client

from lib.runs import sweep
from lib.runs.store import Store
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
    assert store.tensors(runs[0], "best").keys() == alone_store.tensors(runs[0], "best").keys()
    assert not list(store.checkpoint(runs[0]).parent.iterdir())


def test_a_scheduler_that_is_gone_is_said_and_what_was_finished_is_kept(store, tmp_path):
    short, endless = tiny(seed=7), tiny(**ENDLESS)
    killed = []
    with scheduler(tmp_path / "s") as (process, address), worker(tmp_path / "w", address):

        def kill(experiment, epoch):
            if not killed and experiment == endless:
                killed.append(time.monotonic())
                process.kill()

        with pytest.raises(UserError, match="The Dask scheduler is lost; finished runs are stored"):
            sweep.run([short, endless], store=store, scheduler=address, on_epoch=kill)
        assert time.monotonic() - killed[0] < 30
    assert [r.key for r in store.records()] == [short.key]
    (again,) = sweep.run([short], store=store, workers=1, on_epoch=lambda *_: pytest.fail("trained again"))
    assert again.key == short.key


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


def test_a_scheduler_that_does_not_answer_is_said(store):
    start, threads = time.monotonic(), loops()
    with pytest.raises(UserError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        sweep.run([tiny()], store=store, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 30
    assert loops() <= threads


def loops():
    """The threads in which Dask's clients run."""
    return {thread for thread in threading.enumerate() if thread.name == "IO loop"}
