"""Programs on one store, killed at random moments: every run is stored once, bit for bit, and nothing is left."""

import os
import random
import signal
import time
import traceback

import pytest
from conftest import FEW, numbers, small
from isolation import isolated, processes  # noqa: F401  (a fixture)

from lib.runs import sweep
from lib.runs.store import Store

TOGETHER, WAIT = 3, 0.8  # programs at a time; the most seconds between two kills
NAMES = ("best", "last", "output", "logits")


def wanted(turn):
    """Three experiments that all programs of a turn want."""
    return [small(**FEW, epochs=4, seed=3 * turn + n) for n in range(3)]


def program(folder, experiments):
    """Train what is missing; return everything that must be the same in every store."""
    store = Store(folder)
    records = sweep.run(experiments, store=store, workers=1, on_epoch=lambda *_: None)
    return [
        (numbers(r), {n: _bits(store.tensors(e, n)) for n in NAMES}) for e, r in zip(experiments, records, strict=True)
    ]


def _bits(tensors):
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def storm(folder, kills):
    """Start programs and kill them; a turn ends when one has finished by itself. Return turns, and bad endings."""
    rng, turn, bad, running = random.Random(0), 0, [], []
    while kills:
        while len(running) < TOGETHER:
            running.append(_start(folder, wanted(turn)))
        time.sleep(rng.uniform(0, WAIT))  # a random moment is what this is about
        pid = running.pop(rng.randrange(len(running)))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            turn += 1
            bad += [status] if status else []
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kills -= 1
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return turn + 1, bad


def _start(folder, experiments):
    if pid := os.fork():
        return pid
    try:
        program(folder, experiments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kills", [4, pytest.param(75, marks=pytest.mark.faults)])
def test_kills_lose_nothing_change_nothing_and_leave_nothing(processes, tmp_path, kills):
    stormy = processes.submit(isolated, storm, tmp_path / "runs", kills, seconds=300).result()
    assert stormy.kind == "returned", stormy
    turns, bad = stormy.value
    experiments = [experiment for turn in range(turns) for experiment in wanted(turn)]
    stored = len(list((tmp_path / "runs").glob("*/record.json")))
    folders = (tmp_path / "runs", tmp_path / "undisturbed")
    outcomes = [processes.submit(isolated, program, folder, experiments, seconds=300) for folder in folders]
    after, undisturbed = (outcome.result() for outcome in outcomes)
    print(
        f"{kills} kills of programs on one store: {stored} of {len(experiments)} runs were stored before the last one"
    )
    assert not bad, stormy.said
    assert after.kind == undisturbed.kind == "returned", after
    assert after.value == undisturbed.value
    names = {"record.json", *(f"{name}.safetensors" for name in NAMES)} | {experiment.key for experiment in experiments}
    assert {path.name for path in (tmp_path / "runs").rglob("*")} - names == {"unfinished"}
