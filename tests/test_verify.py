"""A published run that is trained again has to be the same run."""

import pytest
import torch
from conftest import run, small

from lib import verify
from lib.errors import UserError
from lib.records import Store


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
    assert sorted(c.published.experiment.seed for c in compared) == [0, 1]
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


def test_on_another_machine_a_bound_holds(published):
    edited(published, machine={"device": "an abacus", "threads": 1})
    (compared,) = verify.verify(published.folder, count=1, seed=0)
    assert not compared.same_machine
    assert compared.holds
    assert "+0.0 points, within 3" in compared.line()
    perfect = [[16 * (row == column) for column in range(10)] for row in range(10)]
    test = compared.published.last.test.model_copy(update={"confusion": perfect})
    last = compared.published.last.model_copy(update={"test": test})
    far = verify.Comparison(compared.published.model_copy(update={"history": [last]}), compared.again)
    assert not far.holds
    assert "NOT within 3" in far.line()


def test_which_runs_are_picked_follows_the_seed(published, monkeypatch):
    monkeypatch.setattr(verify, "_again", lambda record, on_epoch: record.experiment.seed)
    picks = [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert picks == [verify.verify(published.folder, count=1, seed=seed) for seed in range(12)]
    assert len({pick[0] for pick in picks}) == 2


def test_nothing_published_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="No run of numerics version 1 is published"):
        verify.verify(tmp_path, count=1)
