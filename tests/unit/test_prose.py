"""Words follow the values: on other values they say otherwise."""

import pytest
from conftest import small
from test_findings import diagonal, record

from lib.analysis import prose


def test_names_make_a_list_in_a_sentence():
    assert prose.named(["bee"]) == "bee"
    assert prose.named(["ant", "bee", "cat"]) == "ant, bee and cat"
    assert prose.named([]) == "none"


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


def test_betas_of_equal_weights_are_named_where_there_are_several():
    assert "β = 0, 0.1 give exactly the same" in prose.same_weights([0.0, 0.1])
    assert prose.same_weights([0.0]) == ""


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
