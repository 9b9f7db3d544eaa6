"""Runs on Dask workers: the same bits as anywhere, whatever happens to workers, client, scheduler and disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from conftest import small
from distributed import Client, Future, LocalCluster
from test_data_cifar10 import BATCHES

from lib import data, paths, sweep
from lib.errors import NoRoom, UserError
from lib.records import Store
from lib.sweep import cluster, versions, workforce
from lib.sweep import spread as spreading
from lib.sweep.parts import Sweep
from lib.sweep.spread import spread

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = str(Path(__file__).parent)
FEW = {"imbalance": "exponential", "factor": 0.02, "batch_size": 64}  # some 350 images of the sample
#: Longer than any test waits.
ENDLESS = {"model": "ConvNet", "epochs": 5000}


def tiny(**fields):
    return small(**{**FEW, "epochs": 1, **fields})


def numbers(record):
    """All of a record that must not depend on how it was trained."""
    history = [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in record.history]
    return record.key, record.counts, history


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture(autouse=True)
def two_cores_and_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # for worker processes
    monkeypatch.setattr(sweep.device, "gpus", lambda: 0)
    monkeypatch.setattr(sweep.device, "default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(sweep, "_cores", lambda: 2)
    yield
    cluster.close_kept()


def environment(**more):
    path = os.pathsep.join([HERE, str(paths.ROOT), *filter(None, sys.path)])
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": path, **{k: str(v) for k, v in more.items()}}


def until(what, seconds=60):
    """Wait for something to be true, and return it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


@contextmanager
def process(command, folder, **more):
    """A process that is killed at the end, with all that it started; its output is in folder/log."""
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment(**more), stdout=log, stderr=log)
    try:
        yield started
    finally:
        with suppress(psutil.Error):
            for child in psutil.Process(started.pid).children(recursive=True):
                child.kill()
        started.kill()
        started.wait()


def dask(*arguments):
    return [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]


@contextmanager
def scheduler(folder, *options):
    """A scheduler in a process of its own: that process and its address."""
    folder.mkdir(exist_ok=True)
    file = folder / "scheduler.json"
    command = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    with process([*command, *options], folder) as started:
        until(file.exists)
        yield started, str(file)


@contextmanager
def worker(folder, address, *options, **more):
    folder.mkdir(exist_ok=True)
    command = dask("worker", "--scheduler-file", address, "--nthreads", "1", "--no-dashboard", "--no-nanny", *options)
    with process(command, folder, **more) as started:
        yield started


def working(parent=None):
    """The worker processes of a local cluster, told by how multiprocessing starts them."""
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


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
        one, other = (s.weights(run, "last") for s in (store, Store(tmp_path / "alone")))
        assert all(torch.equal(one[name], other[name]) for name in one)
    cluster.close_kept()
    assert working() == []


#: Trains in a process of its own: folder of the store, epochs, seeds; says each epoch, and the end.
CLIENT = """
import signal, sys
from conftest import small
from lib import sweep
from lib.records import Store

def say(experiment, epoch):
    print("epoch", experiment.seed, epoch.epoch, flush=True)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background
    few = {"imbalance": "exponential", "factor": 0.02, "batch_size": 64}
    folder, epochs, *seeds = sys.argv[1:]
    runs = [small(model="ConvNet", epochs=int(epochs), seed=int(s), **few) for s in seeds]
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
    assert [(e.key, why.startswith("The loss became")) for e, why in error.value.reasons] == [(bad.key, True)]
    assert sorted(r.key for r in store.records()) == sorted(e.key for e in good)


def test_a_worker_without_memory_is_said(store):
    large = tiny(model="ResNet-32", batch_size=350)  # what its layers put out takes more than the worker may use
    tell = Sweep([large], store, "", on_epoch=lambda *_: None)
    with cluster.local(1, threads=1, memory=800e6) as crew:
        ((run, error),) = spread(tell, crew)
    assert run == large
    assert "its worker ran out of memory: each may use 0.8 GB, 3 times" in str(error)


def test_workers_that_do_not_come_back_are_said(store, monkeypatch):
    """Dask's nanny gives up where a worker ends before it has quite started."""
    monkeypatch.setattr(spreading, "_RESTART", 2)
    killed = []

    def end(experiment, epoch):
        if not killed:
            (own,) = crew.client.cluster.workers.values()
            own.close_gracefully()
            killed.append(working()[0])
            killed[0].kill()

    tell = Sweep([tiny(**ENDLESS)], store, "", on_epoch=end)
    with pytest.raises(UserError, match="The worker processes have ended"), cluster.local(1, threads=1) as crew:
        spread(tell, crew)
    assert killed


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


def test_an_interrupt_while_the_workers_start_leaves_none_behind(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "Client", interrupted)
    with pytest.raises(KeyboardInterrupt), cluster.local(2, threads=1):
        pass
    until(lambda: not working(), seconds=15)


class Quiet:
    """A client whose event loop only remembers what it was asked."""

    def __init__(self):
        self.loop, self.asked = self, []

    def add_callback(self, function, *arguments):
        self.asked.append((function.__name__, *arguments))


@pytest.fixture
def force():
    """A workforce that nobody answers, and what it says."""
    said = []
    found = workforce.Workforce(Quiet(), check=True, tell=lambda *_: None, say=said.append)
    found.said = said
    return found


def there(*addresses, **more):
    return {address: {"nthreads": 1, "status": "running", **more} for address in addresses}


def test_runs_wait_until_the_workers_that_are_there_have_told_their_versions(force):
    """Else those that answer first would get them all."""
    force.seen(there("a", "b"))
    assert force.to_go_to() == frozenset()  # nobody, which is not the same as anybody
    force.judge({"a": ""})
    assert force.undecided
    assert force.workers == {"a"} == force.to_go_to()
    force.judge({"b": ""})
    assert not force.undecided
    assert force.workers == {"a", "b"}
    assert force.to_go_to() is None  # any, also those that join later


def test_a_worker_that_comes_back_is_asked_again(force):
    """Another process at the same address, as after an update."""
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": "it is old"})
    assert force.fit == {"a"}
    force.seen(there("a", "b"))
    assert force._client.asked.count(("_ask", "b")) == 1
    force.gone("b")
    force.seen(there("a", "b"))
    assert force._client.asked.count(("_ask", "b")) == 2
    force.judge({"b": ""})
    assert force.fit == {"a", "b"}


def test_a_worker_is_asked_again_where_the_connection_failed(force):
    force.seen(there("a"))
    force.judge({"a": OSError("timed out")})
    force.seen(there("a"))
    assert force._client.asked.count(("_ask", "a")) == 2
    assert not force.said


def test_one_that_is_refused_before_the_others_are_seen_does_not_end_the_sweep(force):
    force.refuse("quick", "it is old")
    assert force.there == set()
    force.seen(there("quick", "slow"))
    force.judge({"slow": ""})
    assert force.fit == {"slow"}
    with pytest.raises(UserError, match="The worker at quick is refused: it is old"):
        force.seen(there("quick"))


def test_a_paused_worker_gets_no_new_runs_and_is_said(force):
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": ""})
    force.seen(there("a") | there("b", status="paused"))
    assert force.workers == {"a"} == force.to_go_to()
    assert force.fit == {"a", "b"}
    assert "Dask has paused the worker at b, which is short of memory" in force.said[0]


@pytest.fixture
def sent(force, store):
    """A sweep of two runs, of which the first has started, with `force`; and a function: the seeds sent since."""
    under_way = spreading._Spread(Sweep([], store, ""), SimpleNamespace(client=force._client, local=False))
    under_way.force, again = force, []
    for seed in (0, 1):
        future = SimpleNamespace(status="pending", key=f"key {seed}")
        run = spreading._Running(tiny(seed=seed), lock=None, future=future, started=seed == 0)
        under_way.running[run.experiment.key] = run
    under_way._send = lambda run: again.append(run.experiment.seed)

    def since(workers):
        again.clear()
        under_way._workers(workers)
        return list(again)

    return under_way, since


def test_a_run_that_waits_may_go_to_a_worker_that_became_fit_later(force, sent):
    """Else all would stay with those that were quicker; one that has started stays where it is."""
    under_way, since = sent
    force.seen(there("a", "b"))
    force.judge({"a": ""})
    for run in under_way.running.values():
        run.only = frozenset({"a"})
    assert since(there("a", "b")) == []  # nobody has said yet whether b is fit
    force.judge({"b": ""})
    assert since(there("a", "b")) == [1]


def test_a_run_that_waits_leaves_a_worker_that_is_paused(force, sent):
    _, since = sent
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": ""})
    assert since(there("a", "b")) == []
    paused = there("a") | there("b", status="paused")
    assert since(paused) == [1]
    assert since(paused) == []  # once


def test_a_result_that_the_connection_lost_is_fetched_again_and_not_trained_again(force, sent):
    under_way, since = sent
    force.seen(there("a"))
    force.judge({"a": ""})
    (key, run), _ = under_way.running.items()
    run.future.status = "finished"
    under_way._came((key, run.future, OSError("connection reset")))
    assert since(there("a")) == []
    assert force._client.asked.count(("_fetch", key, run.future)) == 1
    since(there("a"))
    assert force._client.asked.count(("_fetch", key, run.future)) == 1


@pytest.mark.parametrize(
    ("name", "version"), [("torch", "2.0.0"), ("lib", "0.0.9"), ("numerics", "7"), ("lib", "none")]
)
def test_every_version_that_decides_the_numbers_counts(name, version):
    ours = versions.versions()
    assert versions.different(ours, ours) == ""
    said = versions.different(ours | {name: version}, ours)
    assert said == f"it has {name} {version} where this program has {ours[name]}; install the same there"


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


@pytest.mark.parametrize("odd", ["tls://127.0.0.1:9", "nonsense://x", "{}", '{"address": 7}', "a: yaml file"])
def test_an_odd_scheduler_is_one_sentence(store, tmp_path, odd):
    if "://" not in odd:
        (tmp_path / "file").write_text(odd)
        odd = str(tmp_path / "file")
    with pytest.raises(UserError, match="No Dask scheduler answers at "):
        sweep.run([tiny()], store=store, scheduler=odd)


def test_a_scheduler_that_does_not_answer_is_said(store):
    start = time.monotonic()
    with pytest.raises(UserError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        sweep.run([tiny()], store=store, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 30


def another_lib(folder, change):
    """A copy of lib in which one thing is changed."""
    shutil.copytree(paths.ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    change(folder / "lib")
    return folder


def older(lib):
    (lib / "__init__.py").write_text('__version__ = "0.0.9"\n')


def other_numerics(lib):
    file = lib / "experiment.py"
    file.write_text(file.read_text().replace("NUMERICS_VERSION = 1", "NUMERICS_VERSION = 7"))


def broken(lib):
    (lib / "training" / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (older, "lib 0.0.9 where this program has 0."),
        (other_numerics, "numerics 7 where this program has 1"),
        (broken, r"it cannot run this program \(OSError: libcudart"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_worker_of_another_version_is_refused_with_both_named(store, tmp_path, change, found, late):
    """Also one that joins when the sweep is under way."""
    (tmp_path / "other").mkdir()
    path = another_lib(tmp_path / "other", change)
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        start = lambda: stack.enter_context(worker(tmp_path / "w", address, PYTHONPATH=path))  # noqa: E731
        if late:
            threading.Timer(2, start).start()
        else:
            start()
            until(lambda: "Registered to" in (tmp_path / "w" / "log").read_text())
        with pytest.raises(UserError, match=found):
            sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert store.records() == []


def test_a_scheduler_that_has_lib_does_not_load_it(store, tmp_path):
    """Loading torch can take longer than a scheduler may be silent."""
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address):
        assert len(sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)) == 1
        with Client(scheduler_file=address, set_as_default=False) as other:
            # No function of this module, which would load `lib` itself.
            assert other.run_on_scheduler(lambda: {"lib", "torch"} & set(sys.modules)) == set()


def test_a_result_that_is_lost_with_its_worker_is_computed_once_more_and_not_twice(store, tmp_path, monkeypatch):
    fetch, sent = workforce.Workforce.fetch, []
    submit = Client.submit
    monkeypatch.setattr(Client, "submit", lambda *a, **k: sent.append(k["key"]) or submit(*a, **k))
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        first = stack.enter_context(worker(tmp_path / "w", address))
        until(lambda: "Registered to" in (tmp_path / "w" / "log").read_text())

        def lose_and_fetch(*asked):
            if first.poll() is None:
                stack.enter_context(worker(tmp_path / "w2", address))
                until(lambda: "Registered to" in (tmp_path / "w2" / "log").read_text())
                first.kill()
                first.wait()
            fetch(*asked)

        monkeypatch.setattr(workforce.Workforce, "fetch", lose_and_fetch)
        (record,) = sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(record.history) == 1
    assert len(sent) == 1


def test_a_worker_with_several_threads_is_refused(store, tmp_path):
    with (
        scheduler(tmp_path / "s") as (_, address),
        worker(tmp_path / "w", address, "--nthreads", "3"),
        pytest.raises(UserError, match="would train 3 runs at a time in one process; start workers with --nthreads 1"),
    ):
        sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)


def test_one_unfit_worker_does_not_spoil_the_sweep_of_the_others(store, tmp_path, capsys):
    """It joins late, and is free again in a moment: every run that is waiting would go there."""
    runs = [tiny(model="ConvNet", epochs=2, seed=seed) for seed in range(6)]
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address), ExitStack() as stack:
        late = []

        def join(experiment, epoch):
            if not late:
                late.append(stack.enter_context(worker(tmp_path / "late", address, "--nthreads", "3")))
                until(lambda: "Registered to" in (tmp_path / "late" / "log").read_text())

        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=join)) == 6
    assert capsys.readouterr().err.count("is refused: it would train 3 runs at a time") == 1


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
        until(lambda: "Registered to" in (tmp_path / "frozen" / "log").read_text())
        frozen.send_signal(signal.SIGSTOP)
        stack.enter_context(worker(tmp_path / "w", address))
        until(lambda: "Registered to" in (tmp_path / "w" / "log").read_text())
        runs = [tiny(seed=1), tiny(seed=2)]
        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)) == 2
    assert "does not answer yet; runs go there when it does." in capsys.readouterr().err


def test_a_cluster_that_starts_workers_for_waiting_work_is_given_some(store, monkeypatch):
    """As those of SLURM and Kubernetes can."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None, silence_logs=50) as growing:
        growing.adapt(minimum=0, maximum=1, interval="200ms")
        runs = [tiny(seed=seed) for seed in range(3)]
        address = growing.scheduler_address
        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)) == 3


#: For a process that is to find no `lib`.
WITHOUT_LIB = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "lib":
            raise ModuleNotFoundError("No module named 'lib'", name="lib")

sys.meta_path.insert(0, Nothing())
"""


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_without_lib_is_refused_and_a_scheduler_without_it_will_do(store, tmp_path, late):
    (tmp_path / "without.py").write_text(WITHOUT_LIB)
    preload = ("--preload", str(tmp_path / "without.py"))
    with scheduler(tmp_path / "s", *preload) as (_, address), ExitStack() as stack:
        start = lambda name, *more: stack.enter_context(worker(tmp_path / name, address, *more))  # noqa: E731
        if late:  # there is work for it when it comes
            threading.Timer(2, start, ("w", *preload)).start()
        else:
            start("w", *preload)
            until(lambda: "Registered to" in (tmp_path / "w" / "log").read_text())
        with pytest.raises(UserError, match=r"is refused: it has lib none where this program has \d"):
            sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
        start("w2")
        until(lambda: "Registered to" in (tmp_path / "w2" / "log").read_text())
        assert len(sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)) == 1


def test_data_that_nobody_has_are_said(store, tmp_path, monkeypatch):
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path / "mine"))
    asked = []

    def fetch(*_):
        asked.append(1)
        raise UserError("There is no network.")

    monkeypatch.setattr(data, "fetch", fetch)
    nowhere = {"WRITEUP_CACHE": tmp_path / "theirs", "HOME": tmp_path, "TMPDIR": tmp_path, "PATH": "/nowhere"}
    with (
        scheduler(tmp_path / "s") as (_, address),
        worker(tmp_path / "w", address, **nowhere),
        pytest.raises(UserError, match=r"has no cifar10, and this program has none to send \(There is no network"),
    ):
        sweep.run([small(data="cifar10")], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(asked) == 1


def test_an_abandoned_run_makes_room_for_the_next_sweep(store, tmp_path):
    """Dask cannot stop a thread: a run that nobody waits for stops itself."""

    def interrupt(experiment, epoch):
        raise KeyboardInterrupt

    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address):
        with pytest.raises(KeyboardInterrupt):
            sweep.run([tiny(**ENDLESS)], store=store, scheduler=address, on_epoch=interrupt)
        (record,) = sweep.run([tiny(seed=5)], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert record.experiment.seed == 5


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
                command = dask("scheduler", "--host", address, "--no-dashboard", "--scheduler-file", file)
                replaced.append(stack.enter_context(process(command, tmp_path)))
                stack.enter_context(worker(tmp_path / "w2", file))
            elif len(seen) > 20 and seen.count(1) > 1:
                raise KeyboardInterrupt  # enough seen

        with pytest.raises(KeyboardInterrupt):
            sweep.run([run], store=store, scheduler=address, on_epoch=replace)
    assert seen.count(1) == 2


#: Lets a worker, and this process, take the miniature for CIFAR-10.
PRELOAD = """
from lib.data import cifar10
from test_data_cifar10 import LAYOUT
cifar10.LAYOUT = LAYOUT
"""


def test_data_that_workers_lack_come_from_the_client(store, tmp_path, monkeypatch, capsys):
    """Four workers, of which one has the data set, one a damaged copy, and one a cache that can't be written."""
    from test_data_cifar10 import LAYOUT

    monkeypatch.setattr("lib.data.cifar10.LAYOUT", LAYOUT)
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path / "mine"))
    whole = BATCHES.tobytes()
    for n, content in enumerate([whole, whole[:-1] + b"x", None, None]):
        folder = tmp_path / f"cache{n}"
        folder.mkdir()
        if content:
            (folder / "cifar10.bin").write_bytes(content)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cifar10.bin").write_bytes(whole)
    (tmp_path / "file").write_text("where a folder should be")
    (tmp_path / "preload.py").write_text(PRELOAD)
    caches = [tmp_path / "cache0", tmp_path / "cache1", tmp_path / "cache2", tmp_path / "file" / "cache3"]
    runs = [small(data="cifar10", epochs=1, batch_size=4, seed=seed) for seed in range(16)]
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        for n, cache in enumerate(caches):
            (tmp_path / f"t{n}").mkdir()
            nowhere = {
                "WRITEUP_CACHE": cache,
                "HOME": tmp_path / "home",
                "PATH": "/nowhere",
                "TMPDIR": tmp_path / f"t{n}",
            }
            options = ("--preload", str(tmp_path / "preload.py"))
            stack.enter_context(worker(tmp_path / f"w{n}", address, *options, **nowhere))
        for n in range(4):
            until(lambda n=n: "Registered to" in (tmp_path / f"w{n}" / "log").read_text())
        records = sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(records) == 16
    assert {r.data_digest for r in records} == {LAYOUT.digest}
    said = capsys.readouterr().err
    assert said.count("has no cifar10; it is sent there.") == 3
    assert (tmp_path / "cache1" / "cifar10.bin").read_bytes() == whole
    assert (tmp_path / "cache2" / "cifar10.bin").read_bytes() == whole


def test_a_machine_gets_the_data_once_for_all_its_workers(store, tmp_path, monkeypatch, capsys):
    """Also where its cache cannot be written."""
    from test_data_cifar10 import LAYOUT

    monkeypatch.setattr("lib.data.cifar10.LAYOUT", LAYOUT)
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path))
    (tmp_path / "cifar10.bin").write_bytes(BATCHES.tobytes())
    (tmp_path / "file").write_text("where a folder should be")
    (tmp_path / "preload.py").write_text(PRELOAD)
    (tmp_path / "t").mkdir()
    nowhere = {"WRITEUP_CACHE": tmp_path / "file" / "cache", "HOME": tmp_path / "home", "TMPDIR": tmp_path / "t"}
    runs = [small(data="cifar10", epochs=1, batch_size=4, seed=seed) for seed in range(9)]
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        for n in range(3):
            options = ("--preload", str(tmp_path / "preload.py"))
            stack.enter_context(worker(tmp_path / f"w{n}", address, *options, **nowhere, PATH="/nowhere"))
        for n in range(3):
            until(lambda n=n: "Registered to" in (tmp_path / f"w{n}" / "log").read_text())
        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)) == 9
    assert capsys.readouterr().err.count("has no cifar10; it is sent there.") == 1
    assert len(list((tmp_path / "t").glob("longtail-writeup-*/cifar10.bin"))) == 1


def test_what_arrives_damaged_is_not_kept(tmp_path, monkeypatch):
    from test_data_cifar10 import LAYOUT

    monkeypatch.setattr("lib.data.cifar10.LAYOUT", LAYOUT)
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path))
    whole = BATCHES.tobytes()
    for damaged in (whole[:-1] + b"x", whole[:-7], b""):
        with pytest.raises(UserError, match="the copy that was sent"):
            data.install(damaged)
        assert not data.is_cached()
    data.install(whole)
    assert data.cache_path().read_bytes() == whole


def test_several_gpus_get_a_worker_each(monkeypatch):
    """Seen in what the workers are started with, since there are no GPUs here."""
    asked = {}

    def started(workers, scheduler, **options):
        asked.update(workers)
        raise RuntimeError("enough seen")

    started._instances = ()
    monkeypatch.setattr(sweep.device, "gpus", lambda: 2)
    monkeypatch.setattr(cluster, "SpecCluster", started)
    assert sweep._together([tiny(seed=s) for s in range(5)], None) == 2
    with pytest.raises(UserError, match="enough seen"), cluster.local(2, threads=1):
        pass
    assert [options["options"]["env"]["CUDA_VISIBLE_DEVICES"] for options in asked.values()] == ["0", "1"]


def test_fused_runs_and_a_scheduler_exclude_each_other(store):
    with pytest.raises(UserError, match="ask for one of them"):
        sweep.run([tiny()], store=store, scheduler="tcp://127.0.0.1:9", replicas=2)


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
