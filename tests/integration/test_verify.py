"""A published run that is trained again has to be the same run."""

import re
import shutil

import pytest
import torch
from conftest import run, small

from lib import models
from lib.runs.store import Store
from lib.system.errors import UserError
from longtail_writeup import verify


@pytest.fixture
def published(tmp_path, sample, one_thread):
    store = Store(tmp_path / "runs")
    for seed in (0, 1):
        record, weights = run(small(seed=seed, epochs=1), sample)
        store.put(record, weights)
    return store


def edited(store, **changes):
    """The records with something changed in each."""
    for record in store.records():
        shutil.rmtree(store.path(record.experiment))
        store.put(record.model_copy(update=changes), {})


@pytest.fixture
def kept(published):
    return published.records()[0]


def test_on_the_same_machine_every_number_is_the_same(published):
    compared = verify.verify(published.folder, count=5, seed=0)
    assert sorted(c.line.partition(": ")[2] for c in compared) == ["bit-identical"] * 2
    assert all(c.holds for c in compared)
    assert torch.get_num_threads() == 1


def test_another_number_on_the_same_machine_is_reported(published, kept):
    other = kept.history[0].model_copy(update={"train_loss": kept.last.train_loss + 1e-9})
    edited(published, history=[other])
    (compared,) = verify.verify(published.folder, count=1, seed=0)
    assert not compared.holds
    assert compared.line.endswith("NOT the same, on the same machine")


def elsewhere(record, **changes):
    """The record as if it came from another machine, with something changed in its last epoch."""
    last = record.last.model_copy(update=changes)
    return record.model_copy(update={"history": [last], "machine": record.machine | {"device": "an abacus"}})


def accuracy_off(record, points):
    """The last epoch's test evaluation so many points better."""
    confusion = [list(row) for row in record.last.test.confusion]
    total, moved = sum(map(sum, confusion)), 0
    for k, row in enumerate(confusion):
        for other in range(10):
            take = min(row[other], round(points * total) - moved) if other != k else 0
            row[other], row[k], moved = row[other] - take, row[k] + take, moved + take
    return record.last.test.model_copy(update={"confusion": confusion})


@pytest.mark.parametrize(("off", "holds"), [(1.001, True), (0.94, True), (1.07, True), (0.9, False), (1.15, False)])
def test_on_another_machine_the_training_loss_has_bounds(kept, off, holds):
    compared = verify.compare(elsewhere(kept, train_loss=kept.last.train_loss * off), kept)
    assert compared.holds == holds
    assert "the bounds of another machine" in compared.line
    assert ("NOT within" in compared.line) == (not holds)


@pytest.mark.parametrize(("points", "holds"), [(0.03, True), (0.07, False)])
def test_on_another_machine_the_accuracy_has_a_bound(kept, points, holds):
    changes = {"test": accuracy_off(kept, points), "train_loss": kept.last.train_loss * 1.001}
    compared = verify.compare(elsewhere(kept, **changes), kept)
    stated = float(re.search(r"accuracy (\S+) points", compared.line)[1])
    assert stated == pytest.approx(-100 * points, abs=0.2)
    assert compared.holds == holds


def test_the_same_numbers_hold_wherever_they_were_made(kept):
    compared = verify.compare(elsewhere(kept), kept)
    assert compared.holds
    assert compared.line.endswith("bit-identical")


@pytest.mark.parametrize("machine", [{"instructions": None}, {"replicas": 4}])
def test_a_record_of_an_unknown_machine_is_not_held_to_every_bit(kept, machine):
    stated = {k: v for k, v in (kept.machine | machine).items() if v is not None}
    last = kept.last.model_copy(update={"train_loss": kept.last.train_loss * 1.001})
    old = kept.model_copy(update={"machine": stated, "history": [last]})
    assert verify.compare(old, kept).holds
    assert not verify.compare(old.model_copy(update={"machine": kept.machine}), kept).holds


def test_a_run_of_several_parts_is_not_held_to_every_bit(kept):
    last = kept.last.model_copy(update={"train_loss": kept.last.train_loss * 1.001})
    mixed = kept.model_copy(
        update={"history": [last], "parts": [(1, kept.machine | {"threads": 2}), (2, kept.machine)]}
    )
    assert verify.compare(mixed, kept).holds
    assert not verify.compare(mixed.model_copy(update={"parts": []}), kept).holds


def test_runs_of_other_code_are_not_trained_again(published, monkeypatch):
    monkeypatch.setitem(models.MODELS, "TwoLayerNet", lambda classes: None)
    with pytest.raises(UserError, match="of today's code is kept"):
        verify.verify(published.folder, count=1)


@pytest.mark.parametrize("changes", [{"data_digest": "another"}, {"counts": [1] * 10}])
def test_other_images_are_reported(kept, changes):
    compared = verify.compare(elsewhere(kept, train_loss=1.0).model_copy(update=changes), kept)
    assert not compared.holds
    assert compared.line.endswith("NOT the same training images")


def test_which_runs_are_picked_follows_the_seed(published, monkeypatch):
    monkeypatch.setattr(verify, "train", lambda experiment, on_epoch: (published.get(experiment), {}))
    picks = [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert picks == [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert len({pick[0].line for pick in picks}) == 2


def test_nothing_published_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="No run of numerics version 1 and of today's code is kept"):
        verify.verify(tmp_path, count=1)
