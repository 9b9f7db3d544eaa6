"""A published run that is trained again has to be the same run."""

import pytest
import torch
from conftest import run, small

from lib.runs import verify
from lib.runs.store import Store
from lib.system.errors import UserError


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
        store.put(record.model_copy(update=changes), {})


def test_on_the_same_machine_every_number_is_the_same(published):
    compared = verify.verify(published.folder, count=5, seed=0)
    assert sorted(c.kept.experiment.seed for c in compared) == [0, 1]
    assert all(c.same_machine and c.identical and c.holds for c in compared)
    assert "bit-identical" in compared[0].line()
    assert torch.get_num_threads() == 1


def test_another_number_on_the_same_machine_is_said(published):
    record = published.records()[0]
    other = record.history[0].model_copy(update={"train_loss": record.last.train_loss + 1e-9})
    edited(published, history=[other])
    (compared,) = verify.verify(published.folder, count=1, seed=0)
    assert not compared.holds
    assert "NOT the same" in compared.line()


def elsewhere(published, **changes):
    """The comparison of a run that was made on another machine, with something changed in its last epoch."""
    (compared,) = verify.verify(published.folder, count=1, seed=0)
    last = compared.kept.last.model_copy(update=changes)
    machine = compared.kept.machine | {"device": "an abacus"}
    record = compared.kept.model_copy(update={"history": [last], "machine": machine})
    return verify.Comparison(record, compared.again)


def accuracy_off(compared, points):
    """A test evaluation so many points better."""
    confusion = [list(row) for row in compared.kept.last.test.confusion]
    total, moved = sum(map(sum, confusion)), 0
    for k, row in enumerate(confusion):
        for other in range(10):
            take = min(row[other], round(points * total) - moved) if other != k else 0
            row[other], row[k], moved = row[other] - take, row[k] + take, moved + take
    return compared.kept.last.test.model_copy(update={"confusion": confusion})


@pytest.mark.parametrize(("off", "holds"), [(1.001, True), (0.94, True), (1.07, True), (0.9, False), (1.15, False)])
def test_on_another_machine_the_training_loss_has_bounds(published, off, holds):
    base = elsewhere(published)
    compared = elsewhere(published, train_loss=base.kept.last.train_loss * off)
    assert not compared.same_machine
    assert compared.holds == holds
    assert ("NOT within the bounds" in compared.line()) == (not holds)


@pytest.mark.parametrize(("points", "holds"), [(0.03, True), (0.07, False)])
def test_on_another_machine_the_accuracy_has_a_bound(published, points, holds):
    base = elsewhere(published)
    compared = elsewhere(published, test=accuracy_off(base, points), train_loss=base.kept.last.train_loss * 1.001)
    assert compared.difference == pytest.approx(-points, abs=0.002)
    assert compared.holds == holds


def test_the_same_numbers_hold_wherever_they_were_made(published):
    compared = elsewhere(published)
    assert compared.holds
    assert compared.line().endswith("bit-identical")


def test_a_record_that_does_not_tell_its_instructions_is_not_held_to_every_bit(published):
    (compared,) = verify.verify(published.folder, count=1, seed=0)
    old = {k: v for k, v in compared.kept.machine.items() if k != "instructions"}
    assert compared.same_machine
    assert not verify.Comparison(compared.kept.model_copy(update={"machine": old}), compared.again).same_machine


@pytest.mark.parametrize("changes", [{"data_digest": "another"}, {"counts": [1] * 10}])
def test_other_images_are_said(published, changes):
    base = elsewhere(published, train_loss=1.0)
    compared = verify.Comparison(base.kept.model_copy(update=changes), base.again)
    assert not compared.holds
    assert "NOT the same training images" in compared.line()


def test_which_runs_are_picked_follows_the_seed(published, monkeypatch):
    monkeypatch.setattr(verify, "_again", lambda record, on_epoch: record.experiment.seed)
    picks = [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert picks == [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert len({pick[0] for pick in picks}) == 2


def test_nothing_published_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="No run of numerics version 1 is kept"):
        verify.verify(tmp_path, count=1)
