"""A run that is killed goes on from its last finished epoch and ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from conftest import run, small, without_times
from safetensors import safe_open
from safetensors.torch import save_file

from lib.models import MODELS, TwoLayerNet
from lib.system.errors import UserError
from lib.training import Record
from lib.training import checkpoint as checkpoints

pytestmark = pytest.mark.usefixtures("one_thread")  # small steps are fastest on one thread, and repeatable

EPOCHS = 5
SETTINGS = {"model": "ResNet-32", "epochs": EPOCHS, "learning_rate": 0.05, "loss": "focal", "gamma": 1.0}

#: Trains in a process of its own: checkpoint, epoch after which it kills itself (0: never). Says each epoch.
SCRIPT = """
import os, signal, sys
import torch
from conftest import run, small
from lib import data
from dataclasses import replace
from lib.data import ImageSet
torch.set_num_threads(1)
sample = data.load("sample")
parts = [ImageSet(p.images[::len(p) // n], p.labels[::len(p) // n]) for p, n in ((sample.train, 40), (sample.test, 20))]
path, last = sys.argv[1], int(sys.argv[2])
def on_epoch(epoch):
    print(epoch.epoch, flush=True)
    if epoch.epoch == last:
        os.kill(os.getpid(), signal.SIGKILL)
from pathlib import Path
run(small(**SETTINGS), replace(sample, train=parts[0], test=parts[1]), on_epoch=on_epoch, checkpoint=Path(path))
"""


def start(path, last):
    script = f"SETTINGS = {SETTINGS!r}\n{SCRIPT}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    command = [sys.executable, "-c", script, str(path), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def assert_same(one, other):
    (record, weights), (record_2, weights_2) = one, other
    assert without_times(record.history) == without_times(record_2.history)
    for which in ("best", "last"):
        assert weights[which].keys() == weights_2[which].keys()
        for name, value in weights[which].items():
            assert torch.equal(value, weights_2[which][name]), (which, name)


@pytest.fixture(scope="module")
def undisturbed(few):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run(small(**SETTINGS), few(40, 20))
    torch.set_num_threads(threads)


def finish(path, few):
    seen = []
    result = run(small(**SETTINGS), few(40, 20), checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    return result, seen


def test_a_process_killed_after_an_epoch_goes_on_bit_for_bit(tmp_path, few, undisturbed):
    path = tmp_path / "deep" / "state.safetensors"
    process = start(path, last=3)
    assert process.communicate(timeout=120)[0].split() == ["1", "2", "3"]
    assert process.returncode == -signal.SIGKILL
    result, seen = finish(path, few)
    assert seen == [4, 5]
    assert_same(result, undisturbed)


def test_a_process_killed_at_any_moment_goes_on_bit_for_bit(tmp_path, few, undisturbed):
    path = tmp_path / "state.safetensors"
    process = start(path, last=0)
    process.stdout.readline()
    time.sleep(random.random() * 0.6)
    process.kill()
    process.communicate(timeout=60)
    result, seen = finish(path, few)
    assert seen == list(range(EPOCHS - len(seen) + 1, EPOCHS + 1))
    assert len(seen) < EPOCHS
    assert_same(result, undisturbed)


@pytest.fixture
def interrupted(tmp_path, few):
    """A run stopped after two of four epochs: experiment, checkpoint, and the undisturbed run."""

    def stop(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    experiment, path = small(epochs=4, learning_rate=0.05), tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt, match="run it again to continue"):
        run(experiment, few(), on_epoch=stop, checkpoint=path)
    return experiment, path, run(experiment, few())


def test_the_best_weights_survive_when_the_best_epoch_came_before_the_stop(tmp_path, few):
    """The rate falls so far after the first epoch that no later one is better."""
    experiment = small(epochs=4, learning_rate=0.05, steps=[1, 1, 1, 1, 1, 1, 1, 1])
    path = tmp_path / "state.safetensors"
    undisturbed = run(experiment, few())
    assert undisturbed[0].best.epoch == 1

    def stop(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, few(), on_epoch=stop, checkpoint=path)
    assert_same(run(experiment, few(), checkpoint=path), undisturbed)


def cut(content):
    return content[: len(content) // 2]


def flip_a_weight(content):
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def spoil_the_history(content):
    return content.replace(b"train_loss", b"train_lass")


@pytest.mark.parametrize("damage", [cut, flip_a_weight, spoil_the_history, lambda _: b"", lambda _: b"no tensors" * 9])
def test_a_damaged_checkpoint_costs_its_epochs_not_the_run(interrupted, few, damage, capsys):
    experiment, path, undisturbed = interrupted
    path.write_bytes(damage(path.read_bytes()))
    seen = []
    result = run(experiment, few(), checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [1, 2, 3, 4]
    assert_same(result, undisturbed)
    assert "The checkpoint state.safetensors cannot be used" in capsys.readouterr().err
    assert path.with_suffix(".unusable").exists()


def test_an_intact_checkpoint_is_used(interrupted, few):
    """The counterpart of the damaged ones: else those would pass by never resuming."""
    experiment, path, undisturbed = interrupted
    seen = []
    result = run(experiment, few(), checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [3, 4]
    assert_same(result, undisturbed)


def test_the_checkpoint_of_another_model_is_set_aside_and_spoils_nothing(interrupted, few, monkeypatch):
    """An edit that no digest has seen: the key is the same, and some of the weights fit."""
    experiment, path, _ = interrupted
    monkeypatch.setattr("lib.experiment._code", lambda *_: "")
    monkeypatch.setitem(MODELS, experiment.model, partial(TwoLayerNet, hidden=17))
    seen = []
    result = run(experiment, few(), checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [1, 2, 3, 4]
    assert_same(result, run(experiment, few()))
    assert path.with_suffix(".unusable").exists()


def test_a_run_says_its_parts_where_it_was_resumed_on_another_machine_or_with_other_threads(interrupted, few):
    experiment, path, _ = interrupted
    torch.set_num_threads(2)
    record, _ = run(experiment, few(), checkpoint=path)
    assert [(end, machine["threads"]) for end, machine in record.parts] == [(2, 1), (4, 2)]
    assert record.machine == record.parts[-1][1]
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_a_run_that_was_resumed_as_it_began_has_no_parts(interrupted, few):
    experiment, path, _ = interrupted
    assert run(experiment, few(), checkpoint=path)[0].parts == []


def test_the_machine_of_an_older_checkpoint_is_not_known(interrupted, few):
    experiment, path, _ = interrupted
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["parts"]
    metadata["digest"] = checkpoints._digest(tensors, metadata["history"])
    save_file(tensors, path, metadata)
    record, _ = run(experiment, few(), checkpoint=path)
    assert record.parts == [(2, {}), (4, record.machine)]


def test_the_checkpoint_of_another_experiment_is_ignored(interrupted, few):
    experiment, path, _ = interrupted
    other = experiment.replace(seed=1)
    seen = []
    record, _ = run(other, few(), checkpoint=path, on_epoch=lambda e: seen.append(e.epoch))
    assert seen == [1, 2, 3, 4]
    assert without_times(record.history) == without_times(run(other, few())[0].history)


def test_a_full_disk_is_said_and_leaves_the_old_checkpoint(interrupted, few, monkeypatch):
    experiment, path, _ = interrupted
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.files.os, "fsync", full)
    with pytest.raises(UserError, match=r"could not be kept in .*Make room"):
        run(experiment, few(), checkpoint=path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
