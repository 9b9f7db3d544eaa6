"""Every claim comes out each of three ways, as its records say."""

import numpy as np
import pytest
import torch
from synthetic import CLAIMED as FIGURES
from synthetic import record, runs

from lib import claims
from lib.claims import Evidence, Setting
from lib.claims.rules import CLAIMS
from lib.claims.table import distances
from lib.data import CLASS_NAMES
from lib.losses import LOSSES

FLAT = np.full(10, 0.5)
CLAIM = {claim.number: claim for claim in CLAIMS}


def verdict(number, **parts):
    return CLAIM[number].test(Evidence(published=FIGURES, **parts))


def classes(**changed):
    """Accuracies of one half, but for some classes."""
    values = FLAT.copy()
    for name, value in changed.items():
        values[CLASS_NAMES.index(name)] = value
    return values


@pytest.mark.parametrize(
    ("small_batch", "large_batch", "expected"),
    [(0.80, 0.75, "supported"), (0.70, 0.75, "contradicted"), (0.75, 0.75, "undecided")],
)
def test_claim_1_smaller_batches(small_batch, large_batch, expected):
    found = verdict(1, convnet={32: runs(small_batch, jitter=0.01), 128: runs(large_batch)})
    assert found.verdict == expected
    assert "4 seeds" in found.because
    assert len(found.records) == 8


@pytest.mark.parametrize(
    ("by_beta", "expected"),
    [
        ({0: 0.40, 0.8: 0.50, 0.9: 0.42, 0.99: 0.43}, "supported"),
        ({0: 0.40, 0.8: 0.41, 0.9: 0.42, 0.99: 0.50}, "contradicted"),  # another is better
        ({0: 0.40, 0.8: np.where(classes(truck=0) == FLAT, 0.6, 0), 0.9: 0.42}, "contradicted"),
        ({0: 0.40, 0.8: 0.50, 0.9: 0.50, 0.99: 0.43}, "undecided"),  # as good as another
    ],
)
def test_claim_2_the_chosen_beta(by_beta, expected):
    found = verdict(2, balanced={beta: runs(a, jitter=0.004) for beta, a in by_beta.items()})
    assert found.verdict == expected, found.because


def test_claim_2_betas_of_equal_weights_are_one():
    same = runs(0.4)
    balanced = {0.0: same, 0.1: same, 0.7: same, 0.8: runs(0.5), 0.9: runs(0.42)}
    assert "β = 0 (to 0.7, one computation)" in verdict(2, balanced=balanced).because
    assert Evidence(published=FIGURES, balanced=balanced).distinct_betas() == [0.0, 0.8, 0.9]
    more = balanced | {0.9999: runs(0.6)}  # not one of the eleven
    assert verdict(2, balanced=more).verdict == "supported"


@pytest.mark.parametrize(
    ("balanced", "expected"),
    [
        (np.where(np.arange(10) == 2, 0.45, 0.55), "supported"),
        (classes(bird=0.45, airplane=0.4) + 0.0, "contradicted"),  # airplane falls
        (np.full(10, 0.55), "contradicted"),  # bird rises as well
        (classes(bird=0.45), "undecided"),  # the others stay
    ],
)
def test_claim_3_every_class_but_one(balanced, expected):
    found = verdict(3, balanced={0.8: runs(balanced)}, cross_entropy=runs(FLAT))
    assert found.verdict == expected, found.because


@pytest.mark.parametrize(
    ("ce", "without", "with_weights", "expected"),
    [
        (0.95, 0.95, 0.85, "supported"),
        (0.95, 0.85, 0.85, "contradicted"),  # the weights do nothing
        (0.85, 0.85, 0.95, "contradicted"),  # overfits more
    ],
)
def test_claim_4_regularisation(ce, without, with_weights, expected):
    found = verdict(
        4,
        cross_entropy=runs(FLAT, ce),
        balanced={0.0: runs(FLAT, without), 0.8: runs(FLAT, with_weights)},
    )
    assert found.verdict == expected, found.because


def test_claim_4_undecided_when_the_seeds_differ_more_than_the_settings():
    wild = {s: record(s, 0.5 + 0.1 * (-1) ** s) for s in range(4)}
    found = verdict(4, cross_entropy=runs(FLAT), balanced={0.0: wild, 0.8: runs(FLAT)})
    assert found.verdict == "undecided"


def test_claim_4_needs_the_training_accuracy_by_class():
    old = {
        s: r.model_copy(update={"history": [r.last.model_copy(update={"train_hits": None})]})
        for s, r in runs(0.5).items()
    }
    found = verdict(4, cross_entropy=runs(0.5), balanced={0.0: old, 0.8: runs(0.5)})
    assert found.verdict == "undecided"
    assert "Not run yet" in found.because


@pytest.mark.parametrize(
    ("by_beta", "expected"),
    [
        ({0: 0.5, 0.8: 0.6, 0.9: 0.5, 0.99: 0.4}, "supported"),  # rise and fall in all
        ({0: 0.5, 0.8: classes(dog=0.55), 0.9: classes(dog=0.6), 0.99: classes(dog=0.7)}, "contradicted"),
        ({0: 0.5, 0.8: 0.501, 0.9: 0.499, 0.99: 0.5}, "undecided"),
    ],
)
def test_claim_5_monotone(by_beta, expected):
    found = verdict(5, balanced={beta: runs(a, seeds=5) for beta, a in by_beta.items()})
    assert found.verdict == expected, found.because


def test_claim_6_is_about_the_losses_themselves():
    found = verdict(6)
    assert found.verdict == "contradicted"
    assert "cross-entropy stays the same and the focal loss stays the same" in found.because

    def all_classes(logits, targets, weights, **settings):
        return logits.softmax(1).square().sum()

    assert verdict(6, losses=LOSSES | {"cross_entropy": all_classes}).verdict == "supported"
    assert verdict(6, losses=LOSSES | {"cross_entropy": all_classes, "focal": all_classes}).verdict == "undecided"
    both = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))  # the formula that the calculation stands for
    value = LOSSES["focal"](both, torch.zeros(1, dtype=torch.long), torch.ones(4), gamma=1.0).item()
    assert value == pytest.approx(-0.6 * np.log(0.4), rel=1e-5)


@pytest.mark.parametrize(
    ("rare", "expected"),
    [
        ({"horse": 0.3, "ship": 0.1, "truck": 0.02}, "supported"),
        ({"horse": 0.3, "ship": 0.1, "truck": 0.0}, "contradicted"),
        ({"horse": 0.3, "ship": 0.3, "truck": 0.3}, "contradicted"),  # uniform accuracy is reached
    ],
)
def test_claim_7_rare_classes(rare, expected):
    found = verdict(7, balanced={0.8: runs(classes(**rare))})
    assert found.verdict == expected, found.because


def test_claim_7_is_undecided_where_a_class_is_found_in_some_seeds_only():
    some = runs(classes(horse=0.3, ship=0.1, truck=0.0))
    some[0] = record(0, classes(horse=0.3, ship=0.1, truck=0.004))
    assert verdict(7, balanced={0.8: some}).verdict == "undecided"
    assert verdict(7, balanced={0.8: {0: some[1]}}).verdict == "undecided"  # one seed says nothing of the kind


@pytest.mark.parametrize(
    ("by_gamma", "expected"),
    [
        ({0.5: 0.40, 1: 0.45, 2: 0.50}, "supported"),
        ({0.5: 0.40, 1: 0.50, 2: 0.45}, "contradicted"),
        ({0.5: 0.40, 1: 0.45, 2: 0.45}, "undecided"),
    ],
)
def test_claim_8_gamma(by_gamma, expected):
    found = verdict(8, gammas={gamma: runs(a, jitter=0.005) for gamma, a in by_gamma.items()})
    assert found.verdict == expected, found.because


CE_ROW, CB_ROW = np.array(FIGURES["cross_entropy"]), np.array(FIGURES["class_balanced_focal"][0.8])


@pytest.mark.parametrize(
    ("ce_alike", "ce_slow", "expected"),
    [
        (CE_ROW, CB_ROW, "supported"),
        (CB_ROW, CE_ROW, "contradicted"),
        (CB_ROW, CB_ROW + 0.1, "undecided"),  # neither could have given the published row
    ],
)
def test_claim_9_like_with_like(ce_alike, ce_slow, expected):
    candidates = {
        Setting(0.01, 32): (runs(ce_alike), runs(CB_ROW)),
        Setting(0.0001, 32): (runs(ce_slow), runs(CE_ROW)),
    }
    found = verdict(9, candidates=candidates)
    assert found.verdict == expected, found.because
    assert "fitted best by rate 0.01, batch 32" in found.because
    one = {setting: tuple({0: r[0]} for r in pair) for setting, pair in candidates.items()}
    assert verdict(9, candidates=one).verdict == "undecided"


def test_the_table_of_candidates_shows_distances_and_gaps():
    table = distances(Evidence(published=FIGURES, candidates={Setting(0.01, 32): (runs(CE_ROW + 0.1), {})}))
    row = table.loc["rate 0.01, batch 32"]
    assert float(row["CE: distance"]) == pytest.approx(10, abs=1.5)
    assert row["CB-Focal (%)"] == "not run yet"


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 9])
def test_what_was_not_run_is_said_and_not_decided(number):
    found = verdict(number)
    assert found.verdict == "undecided"
    assert found.because.startswith("Not run yet: ")


def test_one_seed_decides_nothing_about_differences():
    one = {0: record(0, 0.5)}
    better = {0: record(0, 0.6)}
    assert verdict(1, convnet={32: better, 128: one}).verdict == "undecided"
    assert verdict(3, balanced={0.8: better}, cross_entropy=one).verdict == "undecided"
    assert verdict(8, gammas={1.0: one, 2.0: better}).verdict == "undecided"


def test_the_ledger_has_every_claim_once():
    found = claims.ledger(Evidence(published=FIGURES))
    assert [claim.number for claim, _ in found] == list(range(1, 10))
    assert all(claim.rule and claim.statement for claim, _ in found)
