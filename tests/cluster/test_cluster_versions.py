"""Workers whose versions differ, that lack `lib` or cannot load it, or would train several runs at a time."""

import shutil
import sys
import threading
from contextlib import ExitStack

import pytest
from conftest import tiny
from dask_processes import scheduler, worker
from distributed import Client

from lib.runs import sweep
from lib.runs.sweep import versions
from lib.system import paths
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


@pytest.mark.parametrize(
    ("name", "version"), [("torch", "2.0.0"), ("lib", "0.0.9"), ("numerics", "7"), ("lib", "none")]
)
def test_every_version_that_decides_the_numbers_counts(name, version):
    ours = versions.versions()
    assert versions.different(ours, ours) == ""
    said = versions.different(ours | {name: version}, ours)
    assert said == f"it has {name} {version} where this program has {ours[name]}; install the same there"


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


def test_a_scheduler_that_has_lib_does_not_load_it(store, tmp_path):
    """Loading torch can take longer than a scheduler may be silent."""
    with scheduler(tmp_path / "s", fork=False) as (_, address), worker(tmp_path / "w", address):
        assert len(sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)) == 1
        with Client(scheduler_file=address, set_as_default=False) as other:
            # No function of this module, which would load `lib` itself.
            assert other.run_on_scheduler(lambda: {"lib", "torch"} & set(sys.modules)) == set()


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

        assert len(sweep.run(runs, store=store, scheduler=address, on_epoch=join)) == 6
    assert capsys.readouterr().err.count("is refused: it would train 3 runs at a time") == 1


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
        start_worker(stack, worker(tmp_path / "w", address, *preload, waited_for=not late), late)
        with pytest.raises(UserError, match=r"is refused: it has lib none where this program has \d"):
            sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)
        stack.enter_context(worker(tmp_path / "w2", address))
        assert len(sweep.run([tiny()], store=store, scheduler=address, on_epoch=lambda *_: None)) == 1
