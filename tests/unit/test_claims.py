"""Every claim reaches each of its verdicts, depending on the records."""

import numpy as np
import pytest
import torch
from synthetic import CLAIMED as FIGURES
from synthetic import FEW_IMAGES, record, runs

from lib import data, losses
from lib.analysis import claims
from lib.analysis.claims import CLAIMS, Evidence, Setting
from lib.analysis.claims.closing_table import misfit
from lib.analysis.claims.closing_table import table as candidates_table
from lib.analysis.statistics import Difference

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


SMALL, LARGE, CONTROL = Setting(0.01, 32), Setting(0.01, 128), Setting(0.04, 128)


@pytest.mark.parametrize(
    ("small_batch", "large_batch", "expected"),
    [(0.80, 0.75, "supported"), (0.70, 0.75, "contradicted"), (0.75, 0.75, "undecided")],
)
def test_claim_1_smaller_batches(small_batch, large_batch, expected):
    found = verdict(1, convnet={SMALL: runs(small_batch), LARGE: runs(large_batch)})
    assert found.verdict == expected
    assert "4 seeds each" in found.because
    assert "four times the rate, was not run: the reason is untested" in found.because
    assert len(found.records) == 8
    two = {SMALL: runs(small_batch, seeds=2), LARGE: runs(large_batch)}
    assert verdict(1, convnet=two).verdict == "undecided"  # too few seeds


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (0.80, "a larger rate does as well without more updates"),
        (0.75, "a larger rate does not replace the updates."),
        (0.77, "a larger rate does not replace the updates fully"),
    ],
)
def test_claim_1_the_updates_may_not_be_the_reason(control, reason):
    found = verdict(1, convnet={SMALL: runs(0.801), LARGE: runs(0.75), CONTROL: runs(control)})
    assert found.verdict == "supported"
    assert reason in found.because
    wide = {s: record(s, accuracy) for s, accuracy in enumerate((0.70, 0.86, 0.72, 0.84))}
    assert "is undecided" in verdict(1, convnet={SMALL: runs(0.8), LARGE: runs(0.75), CONTROL: wide}).because
    better = {s: record(s, accuracy) for s, accuracy in enumerate((0.77, 0.81, 0.79, 0.80))}  # and may be as good
    assert "is undecided" in verdict(1, convnet={SMALL: runs(0.8), LARGE: runs(0.7), CONTROL: better}).because


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
        ({0.8: np.where(classes(truck=0) == FLAT, 0.6, 0.004)}, "contradicted"),  # one below the floor
        ({0.8: np.where(classes(truck=0) == FLAT, 0.6, 0.01)}, "undecided"),  # one at the floor
        ({0.8: 0.50, 0.9: 0.50}, "undecided"),  # as good as another
        ({0.8: 0.50, 0.9: 0.4995}, "undecided"),  # better by less than the seeds can tell
    ],
)
def test_claim_2_the_chosen_beta(by_beta, expected):
    found = verdict(2, balanced=swept(by_beta, rest=0.4, jitter=0.001))
    assert found.verdict == expected, found.because


def test_claim_2_the_best_of_those_that_were_run_is_not_the_best_of_all():
    found = verdict(2, balanced={0.0: {}, **swept({0.8: 0.5, 0.9: 0.4})})
    assert found.verdict == "undecided"
    assert "Not run yet: β = 0; 0.1" in found.because
    two = swept({0.8: 0.5}, rest=0.4, seeds=2)
    assert verdict(2, balanced=two).verdict == "undecided"  # too few seeds
    worse = verdict(2, balanced=swept({0.8: 0.4, 0.9: 0.5}))
    assert worse.verdict == "contradicted"  # one that is better is enough


def test_the_original_is_replicated_where_one_more_run_would_give_it():
    published = np.mean(FIGURES["class_balanced_focal"][0.8])
    near = {s: record(s, 0.01, best=published + d) for s, d in enumerate((-0.01, 0.0, 0.01))}
    far = {s: record(s, 0.01, best=published + 0.1 + d) for s, d in enumerate((-0.01, 0.0, 0.01))}
    assert "lies inside the 95 % prediction interval" in verdict(2, balanced={0.8: near}).because
    assert "lies outside the 95 % prediction interval" in verdict(2, balanced={0.8: far}).because


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
    return {beta: runs(FLAT, train, jitter=0.001, counts=counts) for beta, train in by_beta.items()}


@pytest.mark.parametrize(
    ("ce", "without", "with_weights", "expected"),
    [
        (0.95, 0.95, 0.85, "supported"),
        (0.95, 0.85, 0.85, "contradicted"),  # the weights do nothing
        (0.85, 0.85, 0.95, "contradicted"),  # overfits more
        (0.85, 0.95, 0.85, "undecided"),  # less than without weights, as much as cross-entropy
        (0.95, 0.855, 0.85, "contradicted"),  # the weights do something, and less than a point
        (0.50, 0.60, 0.40, "contradicted"),  # the premise is wrong: nothing to regularise
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
    assert "β = 0.8 does not reweight, so β = 0.99 is tested" in found.because
    del balanced[0.99]
    assert "Not run yet" in verdict(4, cross_entropy=runs(FLAT, 0.95), balanced=balanced).because


def test_claim_4_undecided_when_the_seeds_differ_more_than_the_settings():
    wild = {s: record(s, 0.5 + 0.1 * (-1) ** s, counts=FEW_IMAGES) for s in range(4)}
    plain = runs(FLAT, counts=FEW_IMAGES)
    assert verdict(4, cross_entropy=plain, balanced={0.0: wild, 0.8: plain}).verdict == "undecided"
    two = {s: plain[s] for s in (0, 1)}
    assert verdict(4, cross_entropy=two, balanced={0.0: plain, 0.8: plain}).verdict == "undecided"


def test_claim_4_takes_the_training_accuracy_of_the_final_weights_where_it_is_kept():
    def old(runs, kept=0):
        return {s: r if s < kept else r.model_copy(update={"final_train_correct": None}) for s, r in runs.items()}

    counts = [400] * 8 + [40, 20]
    ce, plain = runs(FLAT, 0.95, counts=counts), runs(FLAT, 0.95, counts=counts)
    weighted = runs(FLAT, 0.85, counts=counts)
    found = verdict(4, cross_entropy=ce, balanced={0.0: plain, 0.8: weighted})
    assert "Training accuracy (with the final weights)" in found.because
    assert len(found.records) == 12
    few = verdict(
        4, cross_entropy=old(ce, kept=2), balanced={0.0: plain, 0.8: weighted}
    )  # too few: as during the epoch
    assert "Training accuracy (during the epoch, on augmented images)" in few.because
    assert (few.verdict, len(few.records)) == ("supported", 12)
    three = verdict(4, cross_entropy=old(ce, kept=3), balanced={0.0: plain, 0.8: weighted})
    assert ("final weights" in three.because, len(three.records)) == (True, 11)
    bare = {
        s: r.model_copy(update={"history": [r.last.model_copy(update={"train_hits": None})]})
        for s, r in old(ce).items()
    }
    assert "Not run yet" in verdict(4, cross_entropy=bare, balanced={0.0: plain, 0.8: weighted}).because


@pytest.mark.parametrize(
    ("by_beta", "expected"),
    [
        ({0.5: 0.7, 0.9: 0.3}, "supported"),  # rise and fall in all
        ({beta: classes(dog=0.5 + 0.02 * k) for k, beta in enumerate(ELEVEN)}, "contradicted"),  # dog rises throughout
        (
            {b: classes(dog=0.5 + 0.02 * k - 0.14 * (k == 9)) for k, b in enumerate(ELEVEN)},
            "undecided",
        ),  # but for a dip
        ({beta: classes(dog=0.5 - 0.02 * k) for k, beta in enumerate(ELEVEN)}, "contradicted"),  # dog falls throughout
        ({0.5: classes(dog=0.4), 0.99: classes(dog=0.7)}, "undecided"),  # dog falls and rises, others stay
        ({0.8: 0.501, 0.9: 0.499}, "undecided"),
    ],
)
def test_claim_5_monotone(by_beta, expected):
    found = verdict(5, balanced=swept(by_beta, rest=0.5, seeds=5))
    assert found.verdict == expected, found.because


def test_claim_5_looks_at_every_beta_of_the_sweep():
    """Beyond the published ones the trend is plain."""
    flat = swept({}, rest=0.5, jitter=0.01)
    assert verdict(5, balanced=flat).verdict == "undecided"
    beyond = {0.999: classes(dog=0.6), 0.9999: classes(dog=0.7), 0.99999: classes(dog=0.8)}
    more = {beta: runs(row, jitter=0.01, counts=FEW_IMAGES, seeds=9) for beta, row in beyond.items()}
    found = verdict(5, balanced=flat | more)
    assert found.verdict == "contradicted"
    assert "rising: dog" in found.because


def test_claim_5_asks_for_every_weighting_from_three_seeds():
    """One that breaks the order must not be left out because it has two."""
    rising = swept({beta: 0.3 + 0.05 * n for n, beta in enumerate(ELEVEN)})
    assert verdict(5, balanced=rising).verdict == "contradicted"
    assert verdict(5, balanced=rising | {0.999: dict(list(runs(0.2).items())[:2])}).verdict == "undecided"
    assert verdict(5, balanced=rising | {0.999: {}}).verdict == "undecided"


def test_claim_5_corrects_the_exclusion_of_steps_over_the_classes():
    """Ten classes with a true fall of five points inside a strong rise: uncorrected, 16 of 40 sweeps miss one."""
    betas, means, called = (0.8, 0.9, 0.99, 0.999, 0.9999), (0.30, 0.40, 0.35, 0.50, 0.60), 0
    for n in range(40):
        rng = np.random.default_rng(n)
        rows = {
            b: [record(s, np.clip(rng.normal(m, 0.03, 10), 0, 1)) for s in range(5)]
            for b, m in zip(betas, means, strict=True)
        }
        called += verdict(5, balanced={b: dict(enumerate(own)) for b, own in rows.items()}).verdict == "contradicted"
    assert called <= 6  # 5 % of 40, and three deviations of that more


def test_claim_5_needs_three_weightings_and_says_what_chance_gives():
    assert "three betas or more with different weights" in verdict(5, balanced=swept({0.0: 0.5, 0.8: 0.6})).because
    found = verdict(5, balanced=swept({beta: 0.3 + 0.05 * n for n, beta in enumerate(ELEVEN)}))
    assert "9 of them are one weighting" in found.because
    assert "monotone once in 181,440 times" in found.because  # 9! / 2
    dead = verdict(5, balanced=swept({0.5: classes(truck=0), 0.9: classes(truck=0)}, rest=classes(truck=0)))
    assert dead.verdict == "undecided"  # truck stays at zero


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
        ({"horse": 0.3, "ship": 0.1, "truck": 0.004}, "contradicted"),  # a few hits are below the floor
        ({"horse": 0.3, "ship": 0.1, "truck": 0.01}, "undecided"),  # at the floor
        ({"horse": 0.3, "ship": 0.3, "truck": 0.3}, "contradicted"),  # uniform accuracy is reached
    ],
)
def test_claim_7_rare_classes(rare, expected):
    found = verdict(7, balanced={0.8: runs(classes(**rare), jitter=0.0)})
    assert found.verdict == expected, found.because


def test_claim_7_says_how_many_seeds_would_decide():
    rows = {s: record(s, classes(horse=0.3, ship=0.1, truck=each)) for s, each in enumerate((0.0, 0.01, 0.02, 0.018))}
    found = verdict(7, balanced={0.8: rows})
    needed = float(f"{(2.8 * np.std([0.0, 0.01, 0.02, 0.018], ddof=1) / 0.002) ** 2:.2g}")
    assert found.answer.short.endswith(f"; to tell truck from 1 % takes about {needed:,.0f} seeds")
    assert "takes about" not in verdict(7, balanced={0.8: runs(classes(horse=0.3, ship=0.1, truck=0.3))}).answer.short
    assert "takes about" not in verdict(7, balanced={0.8: {0: rows[0]}}).answer.short
    equal = {s: record(s, classes(horse=0.3, ship=0.1, truck=0.01)) for s in range(4)}  # at the floor, all alike
    assert "takes about 7,800,000 seeds" in verdict(7, balanced={0.8: equal}).answer.short


def test_claim_7_is_undecided_where_the_seeds_differ_more_than_the_classes():
    shift = (-0.05, 0.05, 0.04, -0.04)
    wild = {s: record(s, classes(horse=0.3 + shift[s], ship=0.31 - shift[s], truck=0.3 + shift[-s])) for s in range(4)}
    assert verdict(7, balanced={0.8: wild}).verdict == "undecided"


def test_claim_7_is_undecided_where_a_class_is_found_in_some_seeds_only():
    some = runs(classes(horse=0.3, ship=0.1, truck=0.0))
    some[0] = record(0, classes(horse=0.3, ship=0.1, truck=0.03))
    assert verdict(7, balanced={0.8: some}).verdict == "undecided"
    two = {s: some[s] for s in (1, 2)}
    assert verdict(7, balanced={0.8: two}).verdict == "undecided"  # two seeds say nothing of the kind


@pytest.mark.parametrize(
    ("by_gamma", "expected"),
    [
        ({0.5: 0.40, 1: 0.45, 2: 0.50}, "supported"),
        ({0.5: 0.40, 1: 0.50, 2: 0.45}, "contradicted"),
        ({0.5: 0.40, 1: 0.45, 2: 0.449}, "contradicted"),  # one is worse, the other within a point
        ({0.5: 0.40, 1: 0.45, 2: 0.459}, "undecided"),  # within a point, and not shown to be
        ({0.5: None, 1: 0.45, 2: 0.50}, "supported"),  # one that is better is enough
    ],
)
def test_claim_8_gamma(by_gamma, expected):
    gammas = {gamma: {} if a is None else runs(a, jitter=0.003) for gamma, a in by_gamma.items()}
    found = verdict(8, gammas={0.9: gammas, 0.999: gammas})
    assert found.verdict == expected, found.because
    assert "β = 0.9, γ = 2: " in found.because


def test_claim_8_looks_at_every_beta():
    same, better = {1.0: runs(0.45), 2.0: runs(0.4501)}, {1.0: runs(0.45), 2.0: runs(0.5)}
    assert verdict(8, gammas={0.9: same}).verdict == "undecided"  # one β says little
    assert verdict(8, gammas={0.9: same, 0.999: same}).verdict == "contradicted"
    assert verdict(8, gammas={0.9: same, 0.999: same | {5.0: {}}}).verdict == "undecided"  # one was not run
    found = verdict(8, gammas={0.9: same, 0.999: better})
    assert found.verdict == "supported"
    assert found.answer.short == "better than γ = 1: γ = 2 at β = 0.999"
    alone = {1.0: {}, 2.0: runs(0.9)}  # nothing to compare with
    assert verdict(8, gammas={0.9: same, 0.999: alone}).verdict == "undecided"


CE_ROW, CB_ROW = np.array(FIGURES["cross_entropy"]), np.array(FIGURES["class_balanced_focal"][0.8])


NEAR, FAR = Setting(0.01, 32), Setting(0.0001, 32)
ALIKE = Evidence(original=FIGURES).replicates()


def around(row, seeds=4, jitter=0.004):
    return runs(row, at="best", jitter=jitter, seeds=seeds)


def published(seeds=9):
    """Runs at their best epoch as the original's rows of one treatment are."""
    return {s: record(s, 0.01, best=row) for s, row in enumerate(ALIKE[:seeds])}


def table(ce_near, cb_near=None, ce_far=CE_ROW, cb_far=CE_ROW, seeds=4):
    cb_near = published(max(seeds, 2) if seeds < 4 else 9) if cb_near is None else around(cb_near, seeds)
    return {NEAR: (around(ce_near, seeds), cb_near), FAR: (around(ce_far, seeds), around(cb_far, seeds))}


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
    assert "Nearest are rate 0.01, batch 32 to the CB-Focal row" in found.because
    assert "rate 0.01, batch 32 for the original's CB-Focal row" in found.because


def test_claim_9_asks_for_one_candidate_that_fits_both_rows():
    """Each row fits a candidate, and no candidate fits both."""
    found = verdict(9, candidates=table(CB_ROW))
    assert found.verdict == "contradicted"
    assert "rate 0.0001, batch 32 for its cross-entropy row" in found.because
    assert found.answer.short == (
        "candidates that fit the cross-entropy row: rate 0.0001, batch 32; the CB-Focal row: rate 0.01, batch 32"
    )


def test_claim_9_says_where_the_nearest_candidate_does_not_fit():
    row = CB_ROW.copy()
    row[NAMES.index("deer")] += 0.15
    found = verdict(9, candidates=table(CB_ROW, cb_near=row))
    assert found.verdict == "contradicted"
    assert "Candidates that fit, of 2: none for the original's CB-Focal row" in found.because
    assert "classes that differ: deer" in found.because


def test_claim_9_sharpens_with_data():
    """With three wide runs the published row may be one more; with many it may not."""
    rows = CE_ROW + 0.05
    wide = {s: record(s, 0.01, best=np.clip(rows + d, 0, 1)) for s, d in enumerate(np.linspace(-0.01, 0.01, 20))}
    few = {s: wide[s] for s in (0, 10, 19)}
    assert len(misfit(few, CE_ROW[None])) == 0
    assert len(misfit(wide, CE_ROW[None])) == 11  # every class, and the mean
    assert misfit({s: wide[s] for s in (0, 1)}, CE_ROW[None]) is None


def test_claim_9_is_undecided_while_a_candidate_that_may_fit_has_too_few_seeds():
    found = verdict(9, candidates=table(CE_ROW, seeds=2))
    assert found.verdict == "undecided"
    assert "Neither excluded nor shown to fit, for lack of runs: rate 0.01, batch 32" in found.because
    one = table(CB_ROW) | {Setting(0.005, 32): ({}, {})}
    assert verdict(9, candidates=one).verdict == "undecided"  # one that was asked for and not run may fit


def test_claim_9_needs_a_row_that_is_near_to_fit():
    """Three runs that differ widely exclude little: not excluded is not a fit."""
    ce, cb = (
        {s: record(s, 0.01, best=np.clip(row + d, 0, 1)) for s, d in enumerate((0.0, 0.1, 0.3))}
        for row in (CE_ROW, CB_ROW)
    )
    found = verdict(9, candidates={Setting(0.01, 32): (ce, cb)})
    assert found.verdict == "undecided"
    assert "Neither excluded nor shown to fit, for lack of runs: rate 0.01, batch 32" in found.because


def test_claim_9_another_batch_size_than_the_stated_one_does_not_fit_cross_entropy():
    pair = (around(CE_ROW), published())
    assert verdict(9, candidates={Setting(0.01, 32): pair}).verdict == "supported"
    other = verdict(9, candidates={Setting(0.01, 128): pair, FAR: (around(CE_ROW), around(CE_ROW))})
    assert other.verdict == "contradicted"
    assert other.answer.short == (
        "candidates that fit the cross-entropy row: rate 0.0001, batch 32; the CB-Focal row: rate 0.01, batch 128"
    )


def test_the_table_of_candidates_shows_distances_and_gaps():
    candidates = {Setting(0.01, 32): (runs(CE_ROW + 0.1, at="best"), {}), Setting(0.01, 32, 1): ({}, {})}
    table = candidates_table(Evidence(original=FIGURES, candidates=candidates))
    row = table.loc["rate 0.01, batch 32"]
    assert "rate 0.01, batch 32, draw 1" in table.index
    assert float(row["CE: distance"]) == pytest.approx(10, abs=1.5)
    assert row["CB-Focal (%)"] == "not run yet"


def test_runs_of_another_model_test_no_claim():
    found = verdict(9, candidates=table(CE_ROW), departure="not tested by this profile (model A in place of B)")
    assert (found.verdict, found.answer.short) == ("not tested", "this profile has other settings")
    assert "Not tested by this profile (model A in place of B)." in found.because
    assert verdict(6, departure="not tested by this profile (model A)").verdict == "contradicted"  # a calculation


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 9])
def test_what_was_not_run_is_said_and_not_decided(number):
    found = verdict(number)
    assert found.verdict == "undecided"
    assert found.because.startswith("- *Letter:* Not run yet: ")
    departs = verdict(number, departure="not tested by this profile (model A in place of B)")
    assert departs.verdict == "not tested"
    assert departs.because == "- *Letter:* Not tested by this profile (model A in place of B)."


def test_one_seed_decides_nothing_about_differences():
    one = {0: record(0, 0.5)}
    better = {0: record(0, 0.6)}
    assert verdict(1, convnet={SMALL: better, LARGE: one}).verdict == "undecided"
    assert verdict(3, balanced={0.8: better}, cross_entropy=one).verdict == "undecided"
    twins = {s: record(s, classes(truck=0.501)) for s in (0, 1)}  # two runs that agree are no certainty
    assert verdict(3, balanced={0.8: twins}, cross_entropy={s: record(s, FLAT) for s in (0, 1)}).verdict == "undecided"
    assert verdict(8, gammas={0.9: {1.0: one, 2.0: better}}).verdict == "undecided"


def test_one_seed_of_every_setting_decides_only_what_is_calculated():
    sweep = swept(dict.fromkeys(ELEVEN, 0.4), seeds=1)
    evidence = Evidence(original=FIGURES, cross_entropy=runs(0.4, seeds=1), balanced=sweep)
    rows = claims.ledger(evidence, fresh=range(1))
    assert {row.found.verdict for row in rows if row.claim.number != 6} == {"undecided"}


def test_the_ledger_has_every_claim_once():
    found = claims.ledger(Evidence(original=FIGURES))
    assert [row.claim.number for row in found] == list(range(1, len(claims.CLAIMS) + 1))
    assert all(row.claim.rule and row.claim.statement for row in found)


def test_the_sweeps_claims_are_repeated_on_fresh_seeds_alone():
    def of(accuracies, first):
        return {first + s: record(first + s, a) for s, a in enumerate(accuracies)}

    ce, lower = of([0.5, 0.501, 0.499], 0), of([0.6, 0.601, 0.599], 5)
    evidence = Evidence(
        original=FIGURES,
        cross_entropy=ce | lower,
        balanced={0.8: of([0.4, 0.401, 0.399], 0) | of([0.7, 0.701, 0.699], 5)},
        convnet={SMALL: runs(0.8), LARGE: runs(0.7)},
    )
    rows = {row.claim.number: row for row in claims.ledger(evidence, fresh=range(5, 10))}
    assert {record.experiment.seed for record in rows[3].fresh.records} == {5, 6, 7}
    assert rows[3].fresh.verdict == "contradicted"  # bird rises too
    assert rows[1].found.verdict == "supported"
    assert rows[1].fresh is None  # not about the sweep
    assert all(row.fresh is None for row in claims.ledger(evidence))


def test_claims_take_their_class_names_from_the_data_set(monkeypatch):
    monkeypatch.setattr(data, "classes", lambda name: tuple("abcdefghij"))
    balanced = swept({0.5: classes(truck=0)}, rest=classes(truck=0))
    assert (
        "Shown to be monotone to within five points: none; shown to rise and fall: none"
        in verdict(5, balanced=balanced).because
    )
    for number in (3, 4, 7):  # about named classes, which these data do not have
        found = verdict(number, balanced=balanced, cross_entropy=runs(FLAT))
        assert found.verdict == "undecided"
        assert "a data set with the class" in found.because


def test_a_claim_is_measured_judged_and_explained_apart():
    claim = CLAIM[1]
    found = claim.measure(Evidence(original=FIGURES, convnet={SMALL: runs(0.8), LARGE: runs(0.7)}))
    assert len(found.records) == 8
    assert claim.judge(found) == "supported"
    found.gain = Difference(-0.1, -0.2, -0.05, seeds=(4, 4), deviation=0.01, detectable=0.02)
    assert claim.judge(found) == "contradicted"
    assert "-10.0" in claim.explain(found).short
