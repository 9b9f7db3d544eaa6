"""Workers whose versions differ, that lack `lib` or cannot load it, or would train several runs at a time."""

import shutil
import threading
from contextlib import ExitStack

import pytest
from conftest import tiny
from dask_processes import scheduler, worker

from lib.runs import sweep
from lib.runs.sweep.worker import difference, examiner
from lib.system import paths
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


@pytest.mark.parametrize(("name", "version"), [("torch", "2.0.0"), ("lib", "0.0.9"), ("numerics", "7")])
def test_every_version_that_decides_the_numbers_counts(name, version):
    ours = examiner()()
    assert difference(ours, ours) == ""
    said = difference(ours, ours | {name: version})
    assert f"{name} {ours[name]} where this program has {version}" in said


def another_lib(folder, change):
    """A copy of lib in which one thing is changed."""
    shutil.copytree(paths.ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    change(folder / "lib")
    return folder


def older(lib):
    """As the release before: the sweep had its modules elsewhere."""
    (lib / "__init__.py").write_text('__version__ = "0.0.9"\n')
    shutil.rmtree(lib / "runs" / "sweep")


def other_numerics(lib):
    file = lib / "experiment.py"
    file.write_text(file.read_text().replace("NUMERICS_VERSION = 1", "NUMERICS_VERSION = 7"))


def broken(lib):
    (lib / "training" / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")


def emptied(lib):
    shutil.rmtree(lib)
    lib.mkdir()
    (lib / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'lib'\")")


def start_worker(stack, joining, late):
    """Enter what starts a worker: now, or in a moment, when there is work for it."""
    if not late:
        stack.enter_context(joining)
        return
    timer = threading.Timer(2, stack.enter_context, (joining,))
    timer.start()
    stack.callback(timer.join)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (older, "lib 0.0.9 where this program has 0."),
        (other_numerics, "numerics 7 where this program has 1"),
        (broken, r"it cannot run this program \(OSError: libcudart"),
        (emptied, "it cannot run this program"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_worker_of_another_version_is_refused_with_both_named(store, tmp_path, change, found, late):
    """Also one that joins when the sweep is under way."""
    (tmp_path / "other").mkdir()
    path = another_lib(tmp_path / "other", change)
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        joining = worker(tmp_path / "w", address, waited_for=not late, PYTHONPATH=path)
        start_worker(stack, joining, late)
        with pytest.raises(UserError, match=found):
            sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert store.records() == []


def test_a_worker_with_several_threads_is_refused(store, tmp_path):
    with (
        scheduler(tmp_path / "s") as (_, address),
        worker(tmp_path / "w", address, "--nthreads", "3"),
        pytest.raises(UserError, match="would train 3 runs at a time in one process; start it with --nthreads 1"),
    ):
        sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)


def test_one_refused_worker_does_not_spoil_the_sweep_of_the_others(store, tmp_path, capsys):
    """It joins late, and is free again in a moment: every run that is waiting would go there."""
    runs = [tiny(model="ConvNet", epochs=2, seed=seed) for seed in range(6)]
    with scheduler(tmp_path / "s") as (_, address), worker(tmp_path / "w", address), ExitStack() as stack:
        late = []

        def join(experiment, epoch):
            if not late:
                late.append(stack.enter_context(worker(tmp_path / "late", address, "--nthreads", "3")))

        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=join)) == 6
    assert capsys.readouterr().err.count("gets no runs: it would train 3 runs at a time") == 1
