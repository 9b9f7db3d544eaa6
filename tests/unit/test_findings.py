"""Values that the notebooks state, on small examples worked out by hand."""

import numpy as np
import pytest
import synthetic
import torch
from conftest import small

from lib import data
from lib.analysis import balancing, original, statistics
from lib.analysis.claims import Evidence, Setting
from lib.analysis.statistics import welch
from lib.system.errors import UserError
from lib.training import Epoch, Evaluation, Record
from longtail_writeup import findings, sentences

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def evaluation(confusion):
    return Evaluation(loss=1.0, confusion=np.asarray(confusion, int).tolist(), calibration_error=0.123)


def diagonal(right, images=1000, classes=10):
    """So many of every 1,000 are right; the wrong ones are all taken for the next class."""
    matrix = np.diag(np.broadcast_to(right, classes)).astype(int)
    for k in range(classes):
        matrix[k, (k + 1) % classes] += images - matrix[k, k]
    return matrix


def record(confusions, counts=COUNTS, train_accuracy=0.9):
    """A finished run whose epochs have these confusion matrices."""
    history = [
        Epoch(
            epoch=number,
            learning_rate=0.1,
            train_loss=1.0,
            train_accuracy=train_accuracy,
            test=evaluation(confusion),
            seconds=1.0,
            images_per_second=1.0,
        )
        for number, confusion in enumerate(confusions, start=1)
    ]
    experiment = small(epochs=len(history))
    return Record(
        experiment=experiment,
        key=experiment.key,
        numerics=1,
        counts=counts,
        history=history,
        wall_time=1.0,
        finished="2001-01-01",
        machine={},
        lib="0",
        data_digest="",
    )


def test_the_most_frequent_mistakes_come_first():
    matrix = 100 * np.eye(4)
    matrix[3, 3], matrix[3, 2] = 60, 40
    matrix[1, 1], matrix[1, 0] = 80, 20
    assert statistics.confused(matrix, most=2) == [(3, 2, 40), (1, 0, 20)]


def test_the_prior_follows_the_confusion_matrix():
    drawn = np.zeros((10, 10))
    drawn[:5, :5] = 1000 * np.eye(5)
    drawn[5:, 0] = 1000  # every rare class is taken for the most frequent one
    found = findings.prior(drawn, COUNTS)
    assert (found.frequent, found.rare) == (5, 5)
    assert found.images == sum(COUNTS[:5]) / sum(COUNTS)
    assert found.predictions == pytest.approx(1)
    assert (found.rare_as_frequent, found.frequent_as_rare) == (1, 0)
    assert (found.favourite, found.favourite_share) == (0, pytest.approx(0.6))
    assert found.rank == pytest.approx(0.87, abs=0.005)

    mirrored = findings.prior(1000 * np.eye(10)[::-1], COUNTS)
    assert mirrored.frequent_as_rare == 1
    assert np.isnan(mirrored.rank)  # every class is equally bad
    assert np.isnan(findings.prior(drawn, [100] * 10).rank)


def test_frequent_classes_are_found_by_their_images_not_by_their_place():
    found = findings.prior(np.diag([10, 10, 10]), [1, 2, 97])
    assert (found.frequent, found.rare, found.images) == (1, 2, 0.97)


def test_weights_by_beta():
    assert balancing.weight_ratio(COUNTS, 0.5) == 1
    assert balancing.weight_ratio([200, 100], 0.999999) == pytest.approx(2, rel=1e-3)


def around(accuracy, first=0):
    return {first + s: synthetic.record(first + s, accuracy + d) for s, d in enumerate((-0.002, 0.002, 0.001, -0.001))}


def test_the_best_beta_is_compared_with_cross_entropy_and_with_the_others():
    treatments = {"0 to 0.8": around(0.40), "0.99": around(0.45), "0.999": around(0.451)}
    found = findings.gain_at_best(treatments, around(0.39), unweighted="0 to 0.8")
    assert (found.best, found.tied, found.treatments) == ("0.999", ["0.99"], 3)
    a, b = ([r.last.test.accuracy for r in own.values()] for own in (treatments["0.999"], around(0.39)))
    assert (found.gain.low, found.gain.high) == (welch(a, b, 3).low, welch(a, b, 3).high)
    assert found.classes.above.all()
    assert found.by_weights.mean == pytest.approx(0.051, abs=2e-4)
    assert found.by_weights.above
    first = {"0 to 0.8": around(0.45), "0.9": around(0.44)}
    assert findings.gain_at_best(first, around(0.39), unweighted="0 to 0.8").by_weights is None  # itself the best
    unrun = {"0 to 0.8": {}, "0.9": around(0.44), "0.99": around(0.5)}
    assert findings.gain_at_best(unrun, around(0.39), unweighted="0 to 0.8").by_weights is None
    assert findings.gain_at_best(treatments, around(0.39)).by_weights is None  # no β of the sweep is without weights
    worse = findings.gain_at_best({"0": around(0.3)}, around(0.39))
    assert worse.gain.below
    assert worse.classes.below.all()
    for lacking in (({"0": {}}, around(0.39)), (treatments, {})):
        with pytest.raises(UserError, match="no run of cross-entropy, or none"):
            findings.gain_at_best(*lacking)


def test_one_lucky_run_is_not_the_best_of_several():
    lucky = {0: synthetic.record(0, 0.9)}
    found = findings.gain_at_best({"0": around(0.4), "0.9": lucky, "0.99": around(0.45)}, around(0.39))
    assert (found.best, found.treatments) == ("0.99", 2)
    alone = findings.gain_at_best({"0": {0: synthetic.record(0, 0.4)}, "0.9": lucky}, {0: synthetic.record(0, 0.39)})
    assert alone.best == "0.9"  # where every beta has one run
    assert not alone.gain.above


def test_a_treatment_has_the_runs_of_the_beta_with_the_most_seeds():
    by_beta = {0.0: around(0.4), 0.8: around(0.4) | around(0.4, first=5), 0.99: around(0.4)}
    found = balancing.treatments(by_beta, COUNTS)
    assert {group: len(runs) for group, runs in found.items()} == {(0.0, 0.8): 8, (0.99,): 4}
    equal = {0.0: around(0.4), 0.8: around(0.5)}
    assert balancing.treatments(equal, COUNTS)[0.0, 0.8] is equal[0.0]
    assert balancing.treatments(equal, COUNTS, prefer=0.8)[0.0, 0.8] is equal[0.8]


def test_fresh_seeds_do_not_take_part_in_the_choice_that_they_confirm():
    chosen, other = around(0.45) | around(0.30, first=5), around(0.44) | around(0.60, first=5)
    found = findings.gain_at_best({"0.99": chosen, "0.999": other}, around(0.4) | around(0.4, first=5), range(5, 10))
    assert found.best == "0.99"
    assert found.again.mean == pytest.approx(-0.1)
    assert found.gain.mean == pytest.approx(-0.025)


def test_betas_of_exactly_equal_weights_share_a_name():
    groups = balancing.weightings(COUNTS, [0.0, 0.3, 0.7, 0.8, 0.9])
    assert groups == {"0 … 0.7": [0.0, 0.3, 0.7], "0.8": [0.8], "0.9": [0.9]}
    assert balancing.weightings([9] * 9 + [2], [0.5, 0.9]) == {"0.5": [0.5], "0.9": [0.9]}


def test_the_originals_rows_are_unknown_for_other_classes():
    stated, other = original.figures(), original.figures(("across", "down", "both"))
    assert original.figures(data.classes("cifar10")) == stated
    assert other["class_balanced_focal"].keys() == stated["class_balanced_focal"].keys()
    for row in (other["cross_entropy"], *other["class_balanced_focal"].values()):
        assert len(row) == 3
        assert np.isnan(row).all()
    assert other["convnet"] == stated["convnet"]


def formed(count, weights, rate, base=0.41):
    names = ("by count", "by weights", "by count, rescaled rate")
    own = {f"β = 0.999, {name}": around(a) for name, a in zip(names, (count, weights, rate), strict=True)}
    rescaled = own["β = 0.999, by count, rescaled rate"]
    own["β = 0.999, by count, rescaled rate"] = {
        seed: r.model_copy(update={"experiment": r.experiment.replace(learning_rate=4 * r.experiment.learning_rate)})
        for seed, r in rescaled.items()
    }
    worse = {f"β = 0.99, {name}": around(0.2) for name in names}
    return {"β = 0.8": around(base)} | worse | own


def test_the_forms_of_the_best_beta_are_compared_with_the_base_and_with_each_other():
    found = findings.by_form(formed(0.46, 0.43, 0.42), [0.99, 0.999])
    assert (found.base, found.beta, found.betas) == ("β = 0.8", 0.999, 2)
    assert [d.mean for d in found.gains] == pytest.approx([0.05, 0.02, 0.01])
    assert [d.mean for d in found.lost] == pytest.approx([0.03, 0.04])
    a, b = ([r.last.test.accuracy for r in around(x).values()] for x in (0.46, 0.43))
    assert found.lost[0].low == welch(a, b, 4).low  # two differences at the best of two betas
    assert found.gains[1].low == welch(b, [r.last.test.accuracy for r in around(0.41).values()], 2).low
    said = sentences.weights_or_rate(found)
    assert said.startswith(
        "**β = 0.999 gains less where its smaller loss is made up for.** Its weights average 0.25 over"
    )
    assert said.endswith("(last epoch; 4 seeds each; corrected for the choice among 2 β).")
    assert "On the" not in sentences.weights_or_rate(found)  # all have the same seeds
    more = formed(0.46, 0.43, 0.42) | {"β = 0.8": around(0.41) | around(0.5, first=5)}
    unequal = findings.by_form(more, [0.99, 0.999])
    assert unequal.on_shared == pytest.approx([0.05, 0.02, 0.01])  # the five higher runs of one setting move none of it
    assert f"On the {len(found.shared)} seeds in common: +5.0, +2.0, +1.0." in (sentences.weights_or_rate(unequal))
    apart = sentences.forms_apart(found)
    assert "exceeds that of the others by +3.0 points [" in apart
    assert " and +4.0 points [" in apart
    alike = sentences.weights_or_rate(findings.by_form(formed(0.46, 0.46, 0.46), [0.99, 0.999]))
    assert alike.startswith(
        "**Whether β = 0.999 gains by its weights or by a smaller effective learning rate is undecided"
    )
    none = sentences.weights_or_rate(findings.by_form(formed(0.40, 0.35, 0.34), [0.99, 0.999]))
    assert none.startswith("**No gain of β = 0.999 is shown in these runs.**")
    assert findings.by_form(formed(0.46, 0.43, 0.42) | {"β = 0.8": {}}, [0.99, 0.999]) is None
    assert findings.by_form(formed(0.46, 0.43, 0.42), [0.9, 0.99, 0.999]).betas == 2  # one without a third form
    assert findings.by_form({"β = 0.8": around(0.4)}, [0.9]) is None


def test_logit_adjustment_is_compared_in_pairs():
    """Three classes of 4, 2 and 1 training images: the third image is right once the log frequencies are taken away."""
    counts, labels = [4, 2, 1], torch.tensor([0, 1, 2, 2])
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.5], [5.0, 0.0, 0.0]])
    moved = findings.adjustment({0: logits, 1: logits}, labels, counts)
    assert (moved.change.mean, moved.change.seeds) == (pytest.approx(0.25), (2, 2))
    assert moved.before.tolist() == [1, 1, 0]
    assert moved.after.tolist() == [1, 1, 0.5]
    half = 12.706 * 0.25 / np.sqrt(2)  # the runs agree: the spread is that of one image of four
    assert moved.change.high - moved.change.mean == pytest.approx(half, rel=1e-3)
    assert sentences.adjusted(moved, "0.9").startswith("**Logit adjustment is not shown to help cross-entropy.**")
    assert "0.9" not in sentences.adjusted(moved, "0.9")  # no run of it is given
    certain, best = {seed: logits.repeat(500, 1) for seed in range(3)}, around(0.6)
    moved = findings.adjustment(certain, labels.repeat(500), counts, best)
    shown = sentences.adjusted(moved, "0.9")
    assert shown.startswith("**Logit adjustment raises cross-entropy's accuracy without training again.** Subtracting")
    assert "from 66.7 to 83.3 %: +25.0 points" in shown
    assert "(last epoch; the same 3 seeds before and after)" in shown
    reached = np.mean([best[seed].last.test.accuracy for seed in range(3)])
    assert shown.endswith(f" β = 0.9 reaches {100 * reached:.1f} % on these seeds.")
    assert np.isnan(findings.adjustment({9: logits}, labels, counts, best).best)  # a seed that it does not have


def test_training_accuracy_is_that_of_the_final_weights_where_three_runs_keep_it():
    counts = np.array(synthetic.CLAIMED["counts"])
    every = [synthetic.record(s, 0.3, train=0.5) for s in range(4)]
    during = [r.model_copy(update={"final_train_correct": None}) for r in every]
    kept = [r.model_copy(update={"final_train_correct": (counts // 5).tolist()}) for r in during[:3]]
    found = findings.learned([*kept, during[3]])
    assert (found.final, found.seeds) == (True, 3)
    assert found.images == pytest.approx((counts // 5).sum() / counts.sum())
    assert found.by_class == pytest.approx((counts // 5) / counts)
    assert found.tested == pytest.approx(0.3)
    fewer = findings.learned([*kept[:2], *during[2:]])
    assert (fewer.final, fewer.seeds) == (False, 4)
    assert fewer.by_class == pytest.approx(np.round(0.5 * counts) / counts, abs=0.01)
    last = during[0].last.model_copy(update={"train_hits": None})
    assert findings.learned([during[0].model_copy(update={"history": [last]})]) is None  # it keeps neither


def test_a_rate_is_likely_where_the_row_fits_with_the_batch_size_that_the_original_states():
    ce, cb = np.array(synthetic.CLAIMED["cross_entropy"]), np.array(synthetic.CLAIMED["class_balanced_focal"][0.8])
    near = {s: synthetic.record(s, 0.01, best=np.clip(ce + d, 0, 1)) for s, d in enumerate((-0.005, 0.0, 0.005))}
    like = {s: synthetic.record(s, 0.01, best=np.clip(cb + d, 0, 1)) for s, d in enumerate((-0.005, 0.0, 0.005))}
    candidates = {Setting(0.0001, 32): (near, near), Setting(0.001, 128): (near, like), Setting(0.01, 32): (like, like)}
    found = findings.fitting(Evidence(original=synthetic.CLAIMED, candidates=candidates))
    assert found == [[Setting(0.0001, 32)], [Setting(0.001, 128), Setting(0.01, 32)]]
    assert [*map(sentences.runs_with, found)] == [
        "our runs with rate 0.0001, batch 32",
        "our runs with rate 0.001, batch 128 or rate 0.01, batch 32",
    ]
    assert sentences.runs_with([]) == "none of our runs"
    assert "was raised from 0.0001" in sentences.raised(found[0][0], synthetic.CLAIMED["convnet"])
    assert sentences.raised(found[1][0], synthetic.CLAIMED["convnet"]) == ""
