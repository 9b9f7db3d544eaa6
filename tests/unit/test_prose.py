"""Words follow the values: on other values they say otherwise."""

import numpy as np
import pytest
from conftest import small
from test_findings import diagonal, record

from lib.analysis import prose

CLASSES = ("ant", "bee", "cat")


def test_names_make_a_list_in_a_sentence():
    assert prose.names([1], CLASSES) == "bee"
    assert prose.names(np.array([0, 1, 2]), CLASSES) == "ant, bee and cat"
    assert prose.names([], CLASSES) == "no class"


def test_one_seed_is_no_mean():
    assert (prose.mean_of(1), prose.mean_of(3)) == ("one seed", "mean of 3 seeds")


@pytest.mark.parametrize(
    ("accuracies", "difference", "verdict"),
    [
        ([0.81], "0.3 points above", "is thus reached"),
        ([0.80], "0.7 points below", "is thus not reached"),
        ([0.807], "0.0 points above", "is thus reached"),
        ([0.80, 0.82], "0.3 points above", "within what one more run would reach (59.0 to 103.0 %)"),
        ([0.850, 0.851, 0.852], "4.4 points above", "is thus reached"),
    ],
)
def test_the_original_is_reached_or_not(accuracies, difference, verdict):
    said = prose.against_original(accuracies, 0.807)
    assert said.startswith(difference)
    assert "80.7 %" in said
    assert said.endswith(verdict)


def test_the_caption_of_the_learning_curves_counts_runs_and_names_settings():
    one = record([diagonal(800)])
    assert "one run" in prose.training_caption([one])
    assert one.experiment.setting in prose.training_caption([one])
    assert "2 runs" in prose.training_caption([one, one])


def test_memorised_or_not():
    assert "after 3 epochs" in prose.memorised([0.1, 0.5, 1.0, 1.0], 50)
    text = prose.memorised([0.1, 0.6, 0.5], 50)
    for part in ("does not memorise 50 images", "60.0 % in 3 epochs", "do not trust"):
        assert part in text


def test_betas_of_equal_weights_are_named_where_there_are_several():
    assert "β = 0, 0.1 give exactly the same" in prose.same_weights([0.0, 0.1])
    assert prose.same_weights([0.0]) == ""


@pytest.mark.parametrize(("mean", "normalisation", "said"), [(0.5, "count", 1), (0.5, "weights", 0), (1.0, "count", 0)])
def test_a_hidden_change_of_the_step_is_reported_where_there_is_one(mean, normalisation, said):
    text = prose.hidden_step(mean, 0.9999, normalisation)
    assert ("β = 0.9999 is 0.500" in text) == bool(text) == bool(said)


def test_a_rank_correlation_is_reported_where_there_is_one():
    assert "0.87 (Spearman)" in prose.rank_correlation(0.871)
    assert prose.rank_correlation(np.nan) == ""


def test_one_seed_cannot_be_told_from_chance_and_more_are_compared():
    assert "cannot be told from chance" in prose.beyond_chance(np.nan, np.nan, 1)
    text = prose.beyond_chance(0.2, 0.01, 2)
    assert "cannot be told" not in text
    for part in ("20.00 points over β", "2 seeds alone", "1.00"):
        assert part in text


def test_details_tell_runs_of_one_title_apart():
    plain = small(batch_size=32)
    assert prose.details(plain) == "batch 32, rate 0.01"
    varied = {
        "batch 128": {"batch_size": 128},
        "rate 0.001": {"learning_rate": 0.001},
        "one-cycle": {"schedule": "one_cycle"},
        "steps 48, 64": {"steps": (48, 64)},
        "steps none": {"steps": ()},
        "γ 2": {"loss": "focal", "gamma": 2},
        "divided by weights": {"beta": 0.9, "normalisation": "weights"},
        "draw 1": {"imbalance": "exponential", "factor": 0.1, "subset_seed": 1},
        "10 % held out": {"validation": 0.1},
        "no augmentation": {"augmentation": False},
        "bfloat16": {"precision": "bfloat16"},
    }
    for said, fields in varied.items():
        assert said in prose.details(plain.replace(**fields))
        assert said not in prose.details(plain)
