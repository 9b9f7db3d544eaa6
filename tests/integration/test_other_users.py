"""Users without a home, users of one group with one store, and outputs that are not a user's to write to.

Only root can start programs of other users; they have to be able to read this checkout and the interpreter.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from test_data_cifar10 import MINIATURE, binary_folder

from lib.system import paths

pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be another user")

ALICE, BOB, LAB = 54321, 54322, 54300  # numbers suffice: no user has to have an entry


def run(user, code, folder, umask=0o022, **environment):
    """Run code, or the command line with these arguments, as a user of the group LAB who has no entry and no home."""
    command = ["-c", code] if isinstance(code, str) else ["-m", "lib", *code]
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(paths.ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        user=user,
        group=user,
        extra_groups=[LAB],
        umask=umask,
        timeout=200,
    )


@cache
def can_run():
    try:
        return run(ALICE, "import torch, lib.system.paths", "/").returncode == 0
    except OSError:
        return False


@pytest.fixture
def place():
    """A folder that every user can reach, which pytest's own are not."""
    if not can_run():
        pytest.skip("other users cannot run this interpreter or read this checkout")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_without_a_home_jupyter_can_be_imported(place):
    done = run(ALICE, "import longtail_writeup.report.runner", place)
    assert done.returncode == 0, done.stderr
    assert not list(place.iterdir())


def owned(folder, mode, user=0, group=LAB):
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user, group)
    folder.chmod(mode)
    return folder


#: Fetches the miniature from the disk.
FETCH = f"""
import sys
from lib.data import cifar10, fetch, sources
from lib.system.errors import run_command_line
vars(cifar10).update({MINIATURE})
run_command_line(lambda: print(fetch("disk")))
"""


@pytest.mark.parametrize("home", ["another's", "/", "/nonexistent", "", None])
def test_a_home_that_cannot_be_used_ends_no_search(place, home):
    """Everything that is searched before the copy is another user's, and so is the usual place of the cache."""
    theirs = owned(place / "theirs", 0o700)
    binary_folder(theirs / "data" / "cifar-10-batches-bin")
    work = owned(place / "work", 0o755)
    binary_folder(work / "data" / "cifar-10-batches-bin")
    binary_folder(place / "keras" / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py")
    (work / "data").chmod(0)
    places = {"CIFAR10_ROOT": str(theirs / "data"), "KERAS_HOME": str(place / "keras")}
    places |= {} if home is None else {"HOME": str(theirs) if home == "another's" else home}
    done = run(ALICE, FETCH, work, WRITEUP_OUTPUTS=str(place / "outputs"), **places)
    assert done.stdout.strip() == str(place / "outputs" / ".cache" / "cifar10.bin"), done.stderr
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert f"{theirs / 'data'} failed ([Errno 13] Permission denied" in said[0]
    assert "cifar-10-batches-py-target" in said[1]
    assert sorted(path.name for path in place.iterdir()) == ["keras", "outputs", "theirs", "work"]


@pytest.mark.parametrize(("folder", "file"), [(0o700, 0o644), (0o711, 0o600), (0o755, 0o600)])
def test_a_cache_that_cannot_be_read_is_the_sentence_of_one_that_cannot_be_written(place, folder, file):
    cache = owned(place / "cache", folder)
    (cache / "cifar10.bin").write_bytes(b"0" * sum([MINIATURE["BATCH_BYTES"]] * 6))
    (cache / "cifar10.bin").chmod(file)
    done = run(ALICE, FETCH, place, WRITEUP_CACHE=str(cache))
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"{cache} cannot be read or written to ([Errno 13] Permission denied" in said
    assert "set WRITEUP_CACHE" in said


TINY = """
import os
from lib.experiment import Experiment
from lib.runs import sweep
from lib.runs.store import Store
from lib.system.errors import run_command_line
from lib.training import train
store = Store()
def tiny(**fields):
    few = {"data": "sample", "imbalance": "exponential", "factor": 0.02, "batch_size": 64, "epochs": 1}
    return Experiment.make(**{"model": "TwoLayerNet", **few, **fields})
def ended(experiment, epoch):
    if epoch.epoch == 2:
        os.kill(os.getpid(), 9)
seen = []
def noted(experiment, epoch):
    seen.append(epoch.epoch)
"""
#: Leaves a finished run, one that was killed while it was stored, and one that was killed in its third epoch.
LEFT = f"""{TINY}
sweep.run([tiny()], on_epoch=noted)
outcome, Store._move = train(tiny(seed=1)), lambda *_: sweep.run([tiny(epochs=4)], on_epoch=ended)
store.put(*outcome)
"""
#: Reads the weights, stores them again, goes on with both of the others, and sets a damaged run aside.
FOUND = f"""{TINY}
weights = {{name: store.tensors(tiny(), name) for name in ("best", "last", "logits")}}
store.put(store.get(tiny()), weights)
sweep.run([tiny(epochs=4)], on_epoch=noted)
assert seen == [3, 4], seen
store.tidy()
assert {{(e.experiment.seed, e.experiment.epochs) for e in store.records()}} == {{(0, 1), (1, 1), (0, 4)}}
assert len(store.frame()) == 3
(store.path(tiny()) / "record.json").write_text("{{}}")
sweep.run([tiny()], on_epoch=noted)
assert seen == [3, 4, 1], seen
"""


def test_the_users_of_a_group_share_a_store(place):
    outputs = owned(place / "outputs", 0o2775)
    first = run(ALICE, LEFT, place, umask=0o002, WRITEUP_OUTPUTS=str(outputs))
    assert first.returncode == -9, first.stderr
    assert len([*outputs.glob("runs/unfinished/*.lock")]) == 1
    then = run(BOB, FOUND, place, umask=0o002, WRITEUP_OUTPUTS=str(outputs))
    assert then.returncode == 0, then.stderr
    files = [path for path in outputs.rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode) for path in files} == {"0o100664"}
    assert {path.stat().st_gid for path in files} == {LAB}
    assert {path.stat().st_uid for path in files} == {ALICE, BOB}
    assert [path.name for path in outputs.glob("runs/*") if "-" in path.name] == ["unreadable-89ff05c3e047d81c-1"]
    assert not [*outputs.glob("runs/unfinished/*")]


def test_a_store_that_another_user_keeps_to_himself_is_read_and_what_is_missing_is_a_sentence(place):
    outputs = owned(place / "outputs", 0o2775)
    run(ALICE, LEFT, place, WRITEUP_OUTPUTS=str(outputs))
    reads = TINY + "store.tensors(tiny()), store.frame()\nsweep.run([tiny()])\nprint('read')\n"
    done = run(BOB, reads, place, WRITEUP_OUTPUTS=str(outputs))
    assert (done.stdout, done.stderr) == ("read\n", "")
    goes_on = TINY + "run_command_line(lambda: sweep.run([tiny(epochs=4)], on_epoch=noted))"
    done = run(BOB, goes_on, place, WRITEUP_OUTPUTS=str(outputs))
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"cannot be written to {outputs}/runs: Permission denied" in said
    assert "set WRITEUP_OUTPUTS" in said


@pytest.mark.parametrize("command", ["report", "publish"])
@pytest.mark.parametrize("outputs", ["another's", "a file", "another's runs"])
def test_outputs_that_cannot_be_written_are_a_sentence_before_any_work(place, command, outputs):
    folder = place / "outputs"
    if outputs == "a file":
        folder.touch()
    else:
        owned(folder, 0o755 if outputs == "another's" else 0o777)
        owned(folder / ("runs" if command == "report" else "published"), 0o755)
    environment = {"WRITEUP_OUTPUTS": str(folder), "WRITEUP_PUBLISHED": str(folder / "published")}
    done = run(ALICE, [command, "--profile", "smoke"], place, **environment)
    assert done.returncode == 1
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("Outputs cannot be written to ")
    assert "set WRITEUP_OUTPUTS" in said
