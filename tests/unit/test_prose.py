"""Words follow the values: on other values they say otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import small
from test_findings import diagonal, record

from lib.analysis import prose
from lib.analysis.claims import Setting
from lib.analysis.statistics import Difference
from longtail_writeup import sentences


def test_names_make_a_list_in_a_sentence():
    assert prose.named(["bee"]) == "bee"
    assert prose.named(["ant", "bee", "cat"]) == "ant, bee and cat"
    assert prose.named([]) == "none"


def difference(mean, low, high, seeds=(5, 5)):
    return Difference(mean, low, high, seeds, deviation=0.012, detectable=0.02)


def test_a_gain_is_not_claimed_for_beta_where_the_unweighted_loss_has_it_too():
    shown, open_ = difference(0.06, 0.03, 0.09), difference(0.01, -0.02, 0.04)
    best = sentences.best_gain(SimpleNamespace(gain=shown, by_weights=difference(0.05, 0.02, 0.08)))
    assert best == "The best β gains 5.0 points over the loss without weights."
    for by_weights in (open_, None):
        alone = sentences.best_gain(SimpleNamespace(gain=shown, by_weights=by_weights))
        assert alone.startswith("The balanced loss gains over cross-entropy, but no β is shown to gain over")
    assert sentences.best_gain(SimpleNamespace(gain=open_, by_weights=None)) == "No β is shown to gain."
    again = SimpleNamespace(again=shown, by_weights=open_, unweighted="0 to 0.8")
    assert "give +6.0 points [+3.0, +9.0] over β = 0 to 0.8 (5 seeds each)." in sentences.confirmed(again)
    over_ce = SimpleNamespace(again=shown, by_weights=None, unweighted="0 to 0.8")  # itself the best
    assert "over cross-entropy" in sentences.confirmed(over_ce)
    unrun = SimpleNamespace(again=difference(0.06, np.nan, np.nan, seeds=(5, 0)), by_weights=None)
    assert "were not run" in sentences.confirmed(unrun)


def test_the_tail_is_called_hardly_predicted_where_it_is():
    assert "overfitting" in sentences.tail(0.2, 0.0)
    assert "hardly predicted even on the training images" in sentences.tail(0.0, 0.0)
    assert sentences.tail(0.0, 0.5) == "The difference over all images comes from the class frequencies."


def test_what_a_comparison_could_have_shown():
    assert prose.power(difference(0.0, -0.02, 0.02)) == (
        " Minimum detectable difference at 80 % power: 2.0 points; to detect one point takes about 24 seeds each."
    )
    assert (
        prose.needed(difference(0, 0, 0), comparisons=10) == "to detect one point takes about 41 seeds each"
    )  # 2 (2.81 + 0.84)^2 1.2^2 = 38.4, and a little
    assert prose.needed(Difference(0, np.nan, np.nan, (1, 1), np.nan, np.nan)) == ""
    assert prose.power(Difference(0, np.nan, np.nan, (1, 1), np.nan, np.nan)) == ""


def test_seeds_are_counted_for_both_settings():
    assert prose.of_seeds(difference(0, 0, 0)) == "5 seeds each"
    assert prose.of_seeds(difference(0, 0, 0, (3, 5))) == "3 and 5 seeds"
    assert prose.of_seeds(difference(0, 0, 0, (3, 5)), difference(0, 0, 0)) == "3 to 5 seeds each"


@pytest.mark.parametrize(
    ("accuracies", "difference", "verdict"),
    [
        ([0.81], "0.3 points above", "(from one run)"),
        ([0.80], "0.7 points below", "(from one run)"),
        ([0.80, 0.82], "0.3 points above", "(within what one more run would reach: 59.0 to 103.0 %)"),
        ([0.850, 0.851, 0.852], "4.4 points above", "(reached)"),
        ([0.750, 0.751, 0.752], "5.6 points below", "(not reached)"),
    ],
)
def test_the_original_is_reached_or_not(accuracies, difference, verdict):
    said = sentences.against_original(accuracies, 0.807)
    assert said.startswith(difference)
    assert "80.7 %" in said
    assert said.endswith(verdict)


def test_the_caption_of_the_learning_curves_counts_runs_and_names_settings():
    one = record([diagonal(800)])
    assert "one run" in prose.training_caption([one], 1)
    assert one.experiment.setting in prose.training_caption([one], 1)
    assert "2 runs (" in prose.training_caption([one, one], 2)
    assert "one run, the first of each setting (40 in all; " in prose.training_caption([one], 40)


def test_betas_of_equal_weights_are_named_where_there_are_several():
    assert "β = 0, 0.1 give exactly the same" in sentences.same_weights([0.0, 0.1])
    assert sentences.same_weights([0.0]) == ""


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


@pytest.mark.parametrize(
    ("ce", "balanced", "said"),
    [
        ([0.0001], [0.005, 0.01], "cross-entropy was trained at a 50- to 100-fold smaller learning rate."),
        ([0.01], [0.001], "CB-Focal was trained at a 10-fold smaller learning rate."),
        ([0.01], [0.005, 0.01], "Both losses with equal settings."),  # one fits both
        ([0.001, 0.01], [0.005], "Both losses with equal settings."),  # neither is smaller
        ([0.0075], [0.01], "cross-entropy was trained at a 1.3-fold smaller learning rate."),
        ([], [0.01], "A row of the closing table fits no candidate."),
    ],
)
def test_the_learning_rates_that_fit_open_the_sentence(ce, balanced, said):
    ce, balanced = ([Setting(rate, 32) for rate in rates] for rates in (ce, balanced))
    assert sentences.settings_lead(ce, balanced, "").endswith(said)
    assert sentences.settings_lead(ce, balanced, "departs") == "Both losses with equal settings."
