"""Every claim reaches each of its verdicts, depending on the records."""

import numpy as np
import pytest
import torch
from synthetic import CLAIMED as FIGURES
from synthetic import FEW_IMAGES, record, runs

from lib import data, losses
from lib.analysis import claims
from lib.analysis.claims import CLAIMS, Evidence, Setting
from lib.analysis.claims.closing_table import noise
from lib.analysis.claims.closing_table import table as candidates_table
from lib.analysis.statistics import Difference, shared_seeds

FLAT = np.full(10, 0.5)
NAMES = data.classes("sample")
CLAIM = {claim.number: claim for claim in CLAIMS}


def verdict(number, **parts):
    return CLAIM[number].test(Evidence(original=FIGURES, **parts))


def classes(**changed):
    """Accuracies of one half, but for some classes."""
    values = FLAT.copy()
    for name, value in changed.items():
        values[NAMES.index(name)] = value
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


ELEVEN = list(FIGURES["class_balanced_focal"])


def swept(by_beta, rest=None, seeds=4, jitter=0.002, train=0.9):
    """A sweep on counts where every beta has weights of its own; `rest` for the betas that are not named."""
    betas = dict.fromkeys(ELEVEN, rest) | by_beta if rest is not None else by_beta
    return {b: runs(a, train, seeds, jitter, counts=FEW_IMAGES) for b, a in betas.items() if a is not None}


@pytest.mark.parametrize(
    ("by_beta", "expected"),
    [
        ({0.8: 0.50}, "supported"),
        ({0.8: 0.41, 0.99: 0.50}, "contradicted"),  # another is better
        ({0.8: np.where(classes(truck=0) == FLAT, 0.6, 0)}, "contradicted"),  # a class without a hit
        ({0.8: 0.50, 0.9: 0.50}, "undecided"),  # as good as another
        ({0.8: 0.50, 0.9: 0.498}, "undecided"),  # better by less than the seeds can tell
    ],
)
def test_claim_2_the_chosen_beta(by_beta, expected):
    found = verdict(2, balanced=swept(by_beta, rest=0.4, jitter=0.004))
    assert found.verdict == expected, found.because


def test_claim_2_the_best_of_those_that_were_run_is_not_the_best_of_all():
    found = verdict(2, balanced={0.0: {}, **swept({0.8: 0.5, 0.9: 0.4})})
    assert found.verdict == "undecided"
    assert "Not run yet from the same seeds: β = 0; 0.1" in found.because
    two = swept({0.8: 0.5}, rest=0.4, seeds=2)
    assert verdict(2, balanced=two).verdict == "undecided"  # too few seeds
    worse = verdict(2, balanced=swept({0.8: 0.4, 0.9: 0.5}))
    assert worse.verdict == "contradicted"  # one that is better is enough


def test_claim_2_a_beta_whose_weights_are_another_ones_cannot_be_better():
    """As on the write-up's counts: up to 0.8 they differ in the fifth digit."""
    found = verdict(2, balanced={0.0: runs(0.40), 0.8: runs(0.50), 0.9: runs(0.42), 0.99: runs(0.42)})
    assert found.verdict == "contradicted"
    assert "1.000014 times the smallest, as at β = 0, 0.1" in found.because
    more = {0.8: runs(0.5, counts=FEW_IMAGES), 0.9999: runs(0.6, counts=FEW_IMAGES)}
    assert "0.9999" not in verdict(2, balanced=more).because  # not one of the eleven


def test_betas_that_no_run_could_tell_apart_are_one_treatment():
    same = runs(0.4)
    evidence = Evidence(original=FIGURES, balanced={0.0: same, 0.7: same, 0.8: runs(0.5), 0.9: runs(0.42), 0.99: {}})
    treatments = evidence.treatments()
    assert [(group[0], group[-1], len(group)) for group in treatments] == [(0, 0.8, 9), (0.9, 0.9, 1), (0.99, 0.99, 1)]
    assert list(map(len, treatments.values())) == [4, 4, 0]
    assert next(iter(treatments.values())) is evidence.balanced[0.8]  # the write-up's choice stands for its group


def test_shared_seeds_are_those_that_keep_the_most_runs():
    some = {"CE": dict.fromkeys(range(5)), 0.8: dict.fromkeys(range(5)), 0.99: dict.fromkeys((3, 4))}
    assert shared_seeds(some, "CE") == ([0, 1, 2, 3, 4], ["CE", 0.8])
    assert shared_seeds(some, 0.99) == ([3, 4], ["CE", 0.8, 0.99])
    assert shared_seeds({"CE": {}, 0.8: {0: None}}, "CE") == ([], [])


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


def reweighted(without, chosen, largest=None, counts=FEW_IMAGES):
    """Runs of equal test accuracy and these training accuracies, by beta."""
    by_beta = {0.0: without, 0.8: chosen} | ({} if largest is None else {0.99: largest})
    return {beta: runs(FLAT, train, counts=counts) for beta, train in by_beta.items()}


@pytest.mark.parametrize(
    ("ce", "without", "with_weights", "expected"),
    [
        (0.95, 0.95, 0.85, "supported"),
        (0.95, 0.85, 0.85, "contradicted"),  # the weights do nothing
        (0.85, 0.85, 0.95, "contradicted"),  # overfits more
        (0.85, 0.95, 0.85, "undecided"),  # less than without weights, as much as cross-entropy
        (0.95, 0.8575, 0.85, "contradicted"),  # the weights do something, and less than a point
        (0.50, 0.50, 0.50, "undecided"),  # nothing to regularise
    ],
)
def test_claim_4_regularisation(ce, without, with_weights, expected):
    counts = [400] * 8 + [40, 20]  # 0.025 is one image of the most frequent class
    many = reweighted(without, with_weights, counts=counts)
    found = verdict(4, cross_entropy=runs(FLAT, ce, counts=counts), balanced=many)
    assert found.verdict == expected, found.because


def test_claim_4_looks_at_a_beta_that_reweights():
    """On the write-up's counts 0.8 does not."""
    counts = FIGURES["counts"]
    balanced = reweighted(0.95, 0.95, 0.80, counts)
    found = verdict(4, cross_entropy=runs(FLAT, 0.95), balanced=balanced)
    assert found.verdict == "supported"
    assert found.because.startswith("β = 0.8 does not reweight")
    assert "Tested instead: β = 0.99." in found.because
    del balanced[0.99]
    assert "Not run yet" in verdict(4, cross_entropy=runs(FLAT, 0.95), balanced=balanced).because


def test_claim_4_undecided_when_the_seeds_differ_more_than_the_settings():
    wild = {s: record(s, 0.5 + 0.1 * (-1) ** s, counts=FEW_IMAGES) for s in range(4)}
    plain = runs(FLAT, counts=FEW_IMAGES)
    found = verdict(4, cross_entropy=plain, balanced={0.0: wild, 0.8: plain})
    assert found.verdict == "undecided"


def test_claim_4_needs_the_training_accuracy_by_class():
    old = {
        s: r.model_copy(update={"history": [r.last.model_copy(update={"train_hits": None})]})
        for s, r in runs(0.5, counts=FEW_IMAGES).items()
    }
    plain = runs(0.5, counts=FEW_IMAGES)
    found = verdict(4, cross_entropy=plain, balanced={0.0: old, 0.8: plain})
    assert found.verdict == "undecided"
    assert "Not run yet" in found.because


@pytest.mark.parametrize(
    ("by_beta", "expected"),
    [
        ({0.5: 0.7, 0.9: 0.3}, "supported"),  # rise and fall in all
        ({0.9: classes(dog=0.6), 0.99: classes(dog=0.7)}, "contradicted"),  # dog rises throughout
        ({0.5: classes(dog=0.4), 0.99: classes(dog=0.7)}, "undecided"),  # dog falls and rises, others stay
        ({0.8: 0.501, 0.9: 0.499}, "undecided"),
    ],
)
def test_claim_5_monotone(by_beta, expected):
    found = verdict(5, balanced=swept(by_beta, rest=0.5, seeds=5))
    assert found.verdict == expected, found.because


def test_claim_5_a_dip_that_the_seeds_cannot_exclude_leaves_it_open():
    """A large rise at the end, and before it noise: that the means happen to be in order is no proof."""
    noisy = swept({0.99: 0.8}, rest=0.5, jitter=0.05)
    assert verdict(5, balanced=noisy).verdict == "undecided"
    quiet = swept({0.99: 0.8}, rest=0.5, jitter=0.0)
    assert verdict(5, balanced=quiet).verdict == "contradicted"  # nothing before it that could be a fall


def test_claim_5_needs_every_published_beta_and_sets_empty_classes_apart():
    some = swept({0.0: 0.5, 0.8: 0.6, 0.9: 0.7})
    assert "missing: 0.1; 0.2" in verdict(5, balanced=some).because
    dead = verdict(5, balanced=swept({0.5: classes(truck=0), 0.9: classes(truck=0)}, rest=classes(truck=0)))
    assert "no correct prediction at any β: truck" in dead.because


def test_claim_6_is_about_the_losses_themselves(monkeypatch):
    found = verdict(6)
    assert found.verdict == "contradicted"
    assert "cross-entropy stays the same and the focal loss stays the same" in found.because

    def all_classes(logits, targets, weights, **settings):
        return logits.softmax(1).square().sum()

    with monkeypatch.context() as patched:
        patched.setattr(losses, "cross_entropy", all_classes)
        assert verdict(6).verdict == "supported"
        patched.setattr(losses, "focal", all_classes)
        assert verdict(6).verdict == "undecided"
    both = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))  # the formula that the calculation stands for
    value = losses.focal(both, torch.zeros(1, dtype=torch.long), torch.ones(4), gamma=1.0).item()
    assert value == pytest.approx(-0.6 * np.log(0.4), rel=1e-5)


@pytest.mark.parametrize(
    ("rare", "expected"),
    [
        ({"horse": 0.3, "ship": 0.1, "truck": 0.02}, "supported"),
        ({"horse": 0.3, "ship": 0.1, "truck": 0.0}, "contradicted"),
        ({"horse": 0.3, "ship": 0.3, "truck": 0.3}, "contradicted"),  # uniform accuracy is reached
        ({"horse": 0.004, "ship": 0.004, "truck": 0.004}, "undecided"),  # equally dead is not uniform
    ],
)
def test_claim_7_rare_classes(rare, expected):
    found = verdict(7, balanced={0.8: runs(classes(**rare), jitter=0.0)})
    assert found.verdict == expected, found.because


def test_claim_7_is_undecided_where_the_seeds_differ_more_than_the_classes():
    wild = {s: record(s, classes(horse=0.3 + 0.05 * (-1) ** s, ship=0.31, truck=0.3)) for s in range(4)}
    assert verdict(7, balanced={0.8: wild}).verdict == "undecided"


def test_claim_7_is_undecided_where_a_class_is_found_in_some_seeds_only():
    some = runs(classes(horse=0.3, ship=0.1, truck=0.0))
    some[0] = record(0, classes(horse=0.3, ship=0.1, truck=0.004))
    assert verdict(7, balanced={0.8: some}).verdict == "undecided"
    two = {s: some[s] for s in (1, 2)}
    assert verdict(7, balanced={0.8: two}).verdict == "undecided"  # two seeds say nothing of the kind


@pytest.mark.parametrize(
    ("by_gamma", "expected"),
    [
        ({0.5: 0.40, 1: 0.45, 2: 0.50}, "supported"),
        ({0.5: 0.40, 1: 0.50, 2: 0.45}, "contradicted"),
        ({0.5: 0.40, 1: 0.45, 2: 0.45}, "undecided"),
        ({0.5: 0.40, 1: 0.50, 2: None}, "undecided"),  # not all were run
        ({0.5: None, 1: 0.45, 2: 0.50}, "supported"),  # one that is better is enough
    ],
)
def test_claim_8_gamma(by_gamma, expected):
    gammas = {gamma: {} if a is None else runs(a, jitter=0.005) for gamma, a in by_gamma.items()}
    found = verdict(8, gammas=gammas, gamma_beta=0.9)
    assert found.verdict == expected, found.because
    assert found.because.startswith("At β = 0.9, 4 seeds")
    assert ("Not run yet" in found.because) == (None in by_gamma.values())


CE_ROW, CB_ROW = np.array(FIGURES["cross_entropy"]), np.array(FIGURES["class_balanced_focal"][0.8])


NEAR, FAR = Setting(0.01, 32), Setting(0.0001, 32)


def table(ce_near, cb_near=CB_ROW, ce_far=CE_ROW, cb_far=CE_ROW, seeds=4):
    rows = {NEAR: (ce_near, cb_near), FAR: (ce_far, cb_far)}
    return {s: tuple(runs(row, at="best", jitter=0.01, seeds=seeds) for row in pair) for s, pair in rows.items()}


@pytest.mark.parametrize(
    ("ce", "expected"),
    [
        (CE_ROW, "supported"),
        (CB_ROW, "contradicted"),
        (np.full(10, CE_ROW.mean()), "contradicted"),  # the published mean, and quite another row
    ],
)
def test_claim_9_like_with_like(ce, expected):
    found = verdict(9, candidates=table(ce))
    assert found.verdict == expected, found.because
    assert "CB-Focal row is nearest to rate 0.01, batch 32" in found.because


def test_claim_9_is_undecided_between_once_and_twice_the_noise():
    lift = np.full(10, 0.3)  # where no accuracy is cut off at zero
    figures = FIGURES | {"cross_entropy": lift}
    for away, expected in ((0.02, "supported"), (0.04, "undecided"), (0.06, "contradicted")):
        wide = {s: record(s, 0.01, best=lift + away + d) for s, d in enumerate((-0.02, -0.01, 0.01, 0.02))}
        assert noise(wide) == pytest.approx(0.0267, abs=0.001)
        candidates = table(CE_ROW) | {NEAR: (wide, table(CE_ROW)[NEAR][1])}
        assert CLAIM[9].test(Evidence(original=figures, candidates=candidates)).verdict == expected


def test_claim_9_is_undecided_without_noise_or_with_candidates_missing():
    assert verdict(9, candidates=table(CE_ROW + 0.02, seeds=2)).verdict == "undecided"
    one = {NEAR: table(CE_ROW)[NEAR], FAR: ({}, {})}
    found = verdict(9, candidates=one)
    assert found.verdict == "undecided"
    assert "missing: rate 0.0001, batch 32" in found.because


def test_claim_9_asks_every_setting_that_may_have_made_the_balanced_row():
    """Under one of two that fit it alike, cross-entropy gives the published row."""
    found = verdict(9, candidates=table(CB_ROW, cb_far=CB_ROW + 0.005))
    assert found.verdict == "supported"
    assert "within the noise also: rate 0.0001" in found.because


def test_the_noise_of_a_row_is_how_far_a_run_lies_from_its_own_kind():
    rows = [0.2, 0.3, 0.4]
    some = {s: record(s, 0.01, best=value) for s, value in enumerate(rows)}
    assert noise(some) == pytest.approx(0.15)
    assert np.isnan(noise({0: some[0], 1: some[1]}))


def test_the_table_of_candidates_shows_distances_and_gaps():
    table = candidates_table(
        Evidence(original=FIGURES, candidates={Setting(0.01, 32): (runs(CE_ROW + 0.1, at="best"), {})})
    )
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
    twins = {s: record(s, classes(truck=0.501)) for s in (0, 1)}  # two runs that agree are no certainty
    assert verdict(3, balanced={0.8: twins}, cross_entropy={s: record(s, FLAT) for s in (0, 1)}).verdict == "undecided"
    assert verdict(8, gammas={1.0: one, 2.0: better}).verdict == "undecided"


def test_the_ledger_has_every_claim_once():
    found = claims.ledger(Evidence(original=FIGURES))
    assert [claim.number for claim, _ in found] == list(range(1, len(claims.CLAIMS) + 1))
    assert all(claim.rule and claim.statement for claim, _ in found)


def test_claims_take_their_class_names_from_the_data_set(monkeypatch):
    monkeypatch.setattr(data, "classes", lambda name: tuple("abcdefghij"))
    balanced = swept({0.5: classes(truck=0)}, rest=classes(truck=0))
    assert "no correct prediction at any β: j" in verdict(5, balanced=balanced).because
    for number in (3, 4, 7):  # about named classes, which these data do not have
        found = verdict(number, balanced=balanced, cross_entropy=runs(FLAT))
        assert found.verdict == "undecided"
        assert "a data set with the class" in found.because


def test_a_claim_is_measured_judged_and_explained_apart():
    claim = CLAIM[1]
    found = claim.measure(Evidence(original=FIGURES, convnet={32: runs(0.8), 128: runs(0.7)}))
    assert len(found.records) == 8
    assert claim.judge(found) == "supported"
    found.gain = Difference(-0.1, -0.2, -0.05, pairs=4)
    assert claim.judge(found) == "contradicted"
    assert "-10.0" in claim.explain(found)[0]
