"""Runs that share their first epochs are trained once up to there, and end as if each had been trained in one piece."""

import pytest
from conftest import run, small

from lib import losses
from lib.runs import sweep
from lib.runs.store import Store
from lib.runs.sweep.branches import in_waves, shared
from lib.training import train

BASE = {"imbalance": "exponential", "factor": 0.2, "epochs": 4, "steps": [2, 3], "decay": 0.1}
CE = small(**BASE)
BRANCHES = {
    "CE-DRW": small(**BASE, beta=0.99, deferred=2),
    "CE-DRW, divided by weights": small(**BASE, beta=0.99, deferred=2, normalisation="weights"),
    "CE-DRS": small(**BASE, sampling="classes", deferred=2),
    "balanced softmax": small(**BASE, tau=1.0, deferred=2),
    "new output": small(**BASE, retrain=True, deferred=2),
}
CRT = small(**BASE | {"epochs": 7}, sampling="classes", retrain=True, deferred=4)


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_ends_bit_identical_to_the_same_run_in_one_piece(few, one_thread, tmp_path, name):
    branch, file = BRANCHES[name], tmp_path / "state.safetensors"
    whole, weights = run(branch, few())
    train(CE, few(), states={2: file})
    trained = []
    record, same = train(branch, few(), states={2: file}, on_epoch=lambda epoch: trained.append(epoch.epoch))
    assert trained == [3, 4]
    assert [e.test for e in record.history] == [e.test for e in whole.history]
    timed = {"seconds", "images_per_second"}
    assert [e.model_dump(exclude=timed) for e in record.history] == [e.model_dump(exclude=timed) for e in whole.history]
    for part in ("best", "last", "output", "logits"):
        assert all(weights[part][key].equal(value) for key, value in same[part].items())


@pytest.mark.parametrize("schedule", ["steps", "one_cycle"])
def test_a_new_output_is_trained_from_the_end_of_another_run(few, one_thread, tmp_path, schedule):
    """cRT in one piece, from the finished model's state, and stopped on its way."""
    (ce, crt), file, own = (e.replace(schedule=schedule) for e in (CE, CRT)), tmp_path / "end", tmp_path / "own"
    _, weights = run(crt, few())
    train(ce, few(), states={4: file})

    def stop(epoch, *_):
        return epoch == 6

    with pytest.raises(KeyboardInterrupt, match="Stopped after 5 of 7 epochs"):
        train(crt, few(), states={4: file}, checkpoint=own, on_step=stop)
    trained = []
    _, same = train(crt, few(), checkpoint=own, on_epoch=lambda epoch: trained.append(epoch.epoch))
    assert trained == [6, 7]
    assert all(weights["last"][key].equal(value) for key, value in same["last"].items())


def test_runs_that_differ_before_share_nothing():
    for other in (CE.replace(seed=1), CE.replace(learning_rate=0.5), CE.replace(loss="ldam"), CE.replace(steps=[1, 3])):
        assert other.prefix(2) != CE.prefix(2)
    assert CE.replace(steps=[2, 4], epochs=5).prefix(2) == CE.prefix(2)  # both fall after it
    assert small(**BASE, beta=0.99).prefix(2) != CE.prefix(2)
    assert BRANCHES["CE-DRW"].prefix(3) != CE.prefix(3)
    one_cycle = CE.replace(schedule="one_cycle")
    assert one_cycle.prefix(2) != one_cycle.replace(epochs=5).prefix(2)


def test_a_loss_that_depends_on_the_number_of_epochs_shares_none_with_longer_runs(
    few, one_thread, tmp_path, monkeypatch
):
    """cRT's network still is the one of the shorter run: its epochs are not the loss's."""

    def fading(settings):
        def loss(logits, targets, epoch=1):
            return losses.cross_entropy(logits * (1 + epoch / settings.epochs), targets, settings.weights())

        return loss

    monkeypatch.setitem(losses.LOSSES, "fading", losses.LossKind(fading, "Fading", has_gamma=False))
    own, file = CE.replace(loss="fading"), tmp_path / "end"
    drw, crt = (e.replace(loss="fading") for e in (BRANCHES["CE-DRW"], CRT))
    assert own.replace(epochs=6).prefix(2) != own.prefix(2) == drw.prefix(2)
    assert crt.prefix(4) == own.prefix(4)
    _, weights = run(crt, few())
    train(own, few(), states={4: file})
    _, same = train(crt, few(), states={4: file})
    assert all(weights["last"][key].equal(value) for key, value in same["last"].items())


def test_a_new_output_shares_its_last_epochs_with_none_of_another_number():
    """Its rate falls to 0 at the end."""
    assert CRT.prefix(6) != CRT.replace(epochs=8).prefix(6)
    assert CRT.prefix(4) == CRT.replace(epochs=8).prefix(4)


def test_a_step_schedule_is_prolonged_from_its_end(few, one_thread, tmp_path):
    longer, file = CE.replace(epochs=6), tmp_path / "state.safetensors"
    _, weights = run(longer, few())
    train(CE, few(), states={4: file})
    trained = []
    _, same = train(longer, few(), states={4: file}, on_epoch=lambda epoch: trained.append(epoch.epoch))
    assert trained == [5, 6]
    assert all(weights["last"][key].equal(value) for key, value in same["last"].items())


def test_a_damaged_state_costs_its_epochs_alone(few, one_thread, tmp_path, capsys):
    file = tmp_path / "state.safetensors"
    train(CE, few(), states={2: file})
    file.write_bytes(file.read_bytes()[:-100])
    branch = BRANCHES["CE-DRW"]
    _, weights = run(branch, few())
    _, same = train(branch, few(), states={2: file})
    assert "cannot be used" in capsys.readouterr().err
    assert all(weights["last"][key].equal(value) for key, value in same["last"].items())


def test_a_state_of_other_epochs_is_not_taken_for_this_one(few, tmp_path, capsys):
    file = tmp_path / "state.safetensors"
    train(CE.replace(seed=1), few(), states={2: file})
    trained = []
    train(BRANCHES["CE-DRW"], few(), states={2: file}, on_epoch=lambda epoch: trained.append(epoch.epoch))
    assert trained == [1, 2, 3, 4]
    assert "it is of run" in capsys.readouterr().err


def test_states_are_kept_where_two_runs_share_them(store):
    wanted = [*BRANCHES.values(), CE, CE.replace(seed=1)]
    states = shared(wanted, store)
    assert {key: sorted(files) for key, files in states.items() if files} == {e.key: [2] for e in wanted if e.seed == 0}
    assert len({file for files in states.values() for file in files.values()}) == 1
    first, second = in_waves(wanted, states)
    assert set(first) == {CE, CE.replace(seed=1)}
    assert set(second) == set(BRANCHES.values())
    assert in_waves([*BRANCHES.values()][:2], shared([*BRANCHES.values()][:2], store)) == [
        [BRANCHES["CE-DRW"]],
        [BRANCHES["CE-DRW, divided by weights"]],
    ]
    assert shared([CE, CE.replace(seed=1)], store) == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_trains_the_shared_epochs_once(sample, tmp_path, workers):
    store, epochs = Store(tmp_path / "runs"), []
    wanted = [*BRANCHES.values(), CE]
    records = sweep.run(wanted, store=store, workers=workers, on_epoch=lambda e, epoch: epochs.append((e, epoch.epoch)))
    assert [r.experiment for r in records] == wanted
    assert sorted(epoch for e, epoch in epochs if e == CE) == [1, 2, 3, 4]
    assert all(sorted(n for own, n in epochs if own == e) == [3, 4] for e in BRANCHES.values())
    (state,) = store.folder.glob("states/*")
    assert state.name.endswith("-2.safetensors")
    later = CE.replace(beta=0.9, deferred=2)  # finds the state of the earlier sweep
    epochs.clear()
    sweep.run([later], store=store, workers=1, on_epoch=lambda e, epoch: epochs.append((e, epoch.epoch)))
    assert [epoch for _, epoch in epochs] == [3, 4]


def test_a_longer_run_goes_on_from_the_state_of_an_earlier_sweep(sample, tmp_path):
    store, epochs, longer = Store(tmp_path / "runs"), [], CE.replace(epochs=6)
    sweep.run([CE, longer], store=store, workers=1, on_epoch=lambda e, epoch: epochs.append((e.epochs, epoch.epoch)))
    assert sorted(epochs) == [(4, 1), (4, 2), (4, 3), (4, 4), (6, 5), (6, 6)]
    epochs.clear()
    longest = CE.replace(epochs=7)
    sweep.run([longest], store=store, workers=1, on_epoch=lambda e, epoch: epochs.append((e.epochs, epoch.epoch)))
    assert epochs == [(7, 5), (7, 6), (7, 7)]
