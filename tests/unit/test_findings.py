"""Sentences follow the figures: on other figures they say otherwise."""

import numpy as np
import pytest
from conftest import small

from lib.analysis import prose
from lib.data import CLASS_NAMES
from lib.training import Epoch, Evaluation, Record

BETAS = [0.0, 0.9, 0.99]
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def evaluation(confusion):
    return Evaluation(loss=1.0, confusion=np.asarray(confusion, int).tolist(), calibration_error=0.123)


def diagonal(right, images=1000):
    """So many of every 1,000 are right; the wrong ones are all taken for the next class."""
    matrix = np.diag(np.broadcast_to(right, 10)).astype(int)
    for k in range(10):
        matrix[k, (k + 1) % 10] += images - matrix[k, k]
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


def test_names_make_a_list_in_a_sentence():
    assert prose.names([1]) == CLASS_NAMES[1]
    assert prose.names([0, 1, 2]) == f"{CLASS_NAMES[0]}, {CLASS_NAMES[1]} and {CLASS_NAMES[2]}"


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (
            810,
            "81.0 % on the test set",
        ),
        (810, "0.3 points above the published 80.7 %, which is thus reached"),
        (800, "0.7 points below the published 80.7 %, which is thus not reached"),
        (807, "0.0 points above the published 80.7 %, which is thus reached"),
    ],
)
def test_the_published_accuracy_is_reached_or_not(right, said):
    assert said in prose.convnet_headline([record([diagonal(right)])], 0.807)


def test_the_headline_says_how_many_seeds_and_judges_their_mean():
    one, other = record([diagonal(800)]), record([diagonal(820)])
    assert "one seed" in prose.convnet_headline([one], 0.807)
    both = prose.convnet_headline([one, other], 0.807)
    assert "81.0 ± 12.7 %" in both  # t(0.975, 1) = 12.706 times 1 point
    assert "mean of 2 seeds" in both
    assert both.endswith("which is within what one more run would reach (59.0 to 103.0 %).")
    high = prose.convnet_headline([record([diagonal(n)]) for n in (850, 851, 852)], 0.807)
    assert high.endswith("which is thus reached.")


def test_both_protocols_are_told_apart():
    text = prose.convnet_details(record([diagonal(700), diagonal(810), diagonal(800)], train_accuracy=0.9))
    for part in (
        "scores 81.0 % (epoch 2 of 3, 95 % interval 80.2 to 81.8 % for 10,000 test images",
        "gives 80.0 %: choosing the epoch on the test set gains 1.0 points",
        "training images is 90.0 %, 10.0 points above that on the test images",
        "off by 12.3 points",
    ):
        assert part in text
    text = prose.convnet_details(record([diagonal(810)], train_accuracy=0.7))
    assert "gains 0.0 points" in text
    assert "11.0 points below that on the test images" in text


def test_memorised_or_not():
    assert "correctly after 3 epochs" in prose.memorised([0.1, 0.5, 1.0, 1.0], 50)
    text = prose.memorised([0.1, 0.6, 0.5], 50)
    assert "does not memorise 50 images:** it reaches 60.0 % in 3 epochs" in text
    assert "do not trust" in text


def test_confusions_name_the_most_frequent_mistakes_and_the_extremes():
    matrix = 100 * np.eye(10)
    matrix[3, 3], matrix[3, 5] = 60, 40
    matrix[9, 9], matrix[9, 1] = 80, 20
    text = prose.confusions(matrix, most=2)
    assert f"{CLASS_NAMES[3]} taken for {CLASS_NAMES[5]} (40 of 100)" in text
    assert f"{CLASS_NAMES[9]} taken for {CLASS_NAMES[1]} (20 of 100)" in text
    assert text.index("(40 of") < text.index("(20 of")
    assert f"the hardest {CLASS_NAMES[3]} (60.0 %)" in text


def test_counts_say_size_and_slope():
    text = prose.counts(COUNTS)
    for part in ("12,406 training images", "from 5,000", "to 50 in the rarest", "a ratio of 100."):
        assert part in text


def test_unlearned_classes_are_named_or_none_is():
    values = np.full((2, 10), 0.5)
    assert "below 5.0 %: no class." in prose.long_tail_headline(values, COUNTS)
    values[:, 8:] = 0.04
    text = prose.long_tail_headline(values, COUNTS)
    assert f"below 5.0 %: {CLASS_NAMES[8]} and {CLASS_NAMES[9]}." in text
    assert "40.8 ± 0.0 % on the balanced test set" in text


def test_what_goes_wrong_follows_the_confusion_matrix():
    drawn = np.zeros((10, 10))
    drawn[:5, :5] = 1000 * np.eye(5)
    drawn[5:, 0] = 1000  # every rare class is taken for the most frequent one
    text = prose.what_goes_wrong([record([drawn])], [1.0] * 5 + [0.0] * 5)
    assert "accuracy is 0.87 (Spearman)" in text
    assert "Of the test images of the 5 rare classes 100.0 % are taken for a frequent one" in text
    assert "the reverse happens to 0.0 %" in text
    assert f"The favourite answer is {CLASS_NAMES[0]} (60.0 % of all predictions)" in text
    assert "distance to the published row is 0.0 points" in text

    text = prose.what_goes_wrong([record([1000 * np.eye(10)[::-1]])], [0.5] * 10)
    assert "the reverse happens to 100.0 %" in text
    assert "distance to the published row is 50.0 points" in text
    assert "Spearman" not in text  # every class is equally bad


def sweep(*rows):
    """Accuracies [betas, 1 seed, C] from one row, or one number, per beta."""
    return np.array([np.broadcast_to(row, 10) for row in rows], float)[:, None]


def test_the_sweeps_headline_names_the_best_beta_and_where_it_stands():
    ce = np.full((1, 10), 0.45)
    text = prose.sweep_headline(BETAS, sweep(0.4, 0.5, 0.42), ce, COUNTS)
    assert (
        "50.0 %, is at β = 0.9, 5.0 points above cross-entropy (45.0 %; best epoch on the test set, one seed)" in text
    )
    assert "within 10.0 points" in text
    text = prose.sweep_headline(BETAS, sweep(0.4, 0.3, 0.42), ce, COUNTS)
    assert "42.0 %, is at β = 0.99, 3.0 points below cross-entropy" in text


def test_the_sweeps_headline_gives_intervals_where_there_are_seeds():
    values = np.concatenate([sweep(0.4, 0.5, 0.42) + d for d in (-0.01, 0.01)], axis=1)
    text = prose.sweep_headline(BETAS, values, np.array([[0.44] * 10, [0.46] * 10]), COUNTS)
    assert "50.0 ± 12.7 %, is at β = 0.9" in text
    assert "(45.0 ± 12.7 %; best epoch on the test set, mean of 2 seeds)" in text


PUBLISHED = {"counts": COUNTS, "class_balanced_focal": {b: [b / 10] * 9 + [b] for b in (0.0, 0.1, 0.2, 0.999)}}


def test_betas_without_effect_are_named_only_where_there_are_some():
    betas = [0.0, 0.1, 0.2, 0.99]
    text = prose.weights(COUNTS, betas, PUBLISHED, "count")
    assert "β = 0, 0.1, 0.2 are no different at all on these counts" in text
    assert "are no different at all on these counts" not in prose.weights([9] * 9 + [2], betas, PUBLISHED, "count")
    ce, values = np.zeros((1, 10)), sweep(0.1, 0.2, 0.3, 0.4)
    assert "β = 0, 0.1, 0.2 give exactly the same" in prose.sweep_headline(betas, values, ce, COUNTS)
    assert "exactly the same" not in prose.sweep_headline(betas, values, ce, [9] * 9 + [2])


def test_published_differences_that_no_beta_can_cause_are_given():
    text = prose.weights(COUNTS, [0.0, 0.99], PUBLISHED, "count")
    assert "On the write-up's own counts this holds for β = 0, 0.1, 0.2." in text
    assert f"by up to 20.0 points in a class ({CLASS_NAMES[9]}) and 3.8 points on average" in text


@pytest.mark.parametrize(
    ("betas", "normalisation", "said"),
    [([0.0, 0.9999], "count", True), ([0.0, 0.9999], "weights", False), ([0.0, 0.5], "count", False)],
)
def test_a_hidden_change_of_the_step_is_said_where_there_is_one(betas, normalisation, said):
    text = prose.weights(COUNTS, betas, PUBLISHED, normalisation)
    assert ("cannot be told apart by this sweep" in text) == said


def observe(values, ce=0.4, published=None, betas=BETAS, counts=COUNTS):
    return prose.sweep_observations(betas, values, np.broadcast_to(ce, (1, 10)), counts, published or {})


def test_classes_that_gain_and_lose_are_named():
    best = np.full(10, 0.5)
    best[0], best[1] = 0.3, 0.4  # below and equal to cross-entropy
    text = observe(sweep(0.1, best, 0.2))
    assert "at its best β = 0.9 is higher for " + prose.names(range(2, 10)) in text
    assert f"and lower for {CLASS_NAMES[0]}." in text
    text = observe(sweep(0.1, 0.3, 0.2))
    assert "higher for no class and lower for " + prose.names(range(10)) in text


def test_monotone_classes_are_named_or_none_is():
    zigzag = [np.full(10, v) for v in (0.1, 0.5, 0.2)]
    assert "monotone for no class" in observe(sweep(*zigzag))
    for row, rising, falling in zip(zigzag, (0.1, 0.2, 0.3), (0.5, 0.4, 0.4), strict=True):
        row[2], row[7] = rising, falling
    expected = f"monotone for {CLASS_NAMES[2]} and {CLASS_NAMES[7]}, and for no other class"
    assert expected in observe(sweep(*zigzag))


def test_betas_of_equal_weights_count_once_towards_monotony():
    betas, values = [0.0, 0.1, 0.9, 0.99], sweep(0.2, 0.1, 0.3, 0.4)  # 0.1 is a repetition of 0
    text = observe(values, betas=betas)
    assert "Over the 3 betas that differ in their weights, accuracy is monotone for" in text
    assert "monotone for no class" not in text
    assert "monotone for no class" in observe(values, betas=betas, counts=[9] * 9 + [2])  # here it differs


def test_classes_without_a_right_answer_are_named():
    assert "every class keeps some accuracy; the lowest has 50.0 %" in observe(sweep(0.1, 0.5, 0.2))
    best = np.full(10, 0.5)
    best[[4, 9]] = 0
    said = f"no test image is classified correctly of {CLASS_NAMES[4]} and {CLASS_NAMES[9]}"
    assert said in observe(sweep(0.1, best, 0.2))


def test_one_seed_is_called_one_seed_and_more_are_compared():
    values = sweep(0.1, 0.5, 0.3)
    assert "cannot be told from chance" in observe(values)
    two = np.concatenate([values - 0.01, values + 0.01], axis=1)
    text = observe(two)
    assert "cannot be told" not in text
    assert "varies by 20.00 points over β" in text
    assert "spread over its 2 seeds alone one would expect 1.00." in text  # 1.41 points by sqrt(2)


def test_the_distance_to_the_published_table_takes_shared_betas_alone():
    text = observe(sweep(0.1, 0.5, 0.3), published={0.9: [0.4] * 10, 0.5: [0.0] * 10})
    assert "distance to the published table is 10.0 points" in text
    assert "published table" not in observe(sweep(0.1, 0.5, 0.3))
