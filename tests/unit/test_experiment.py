"""A run is a value: what is the same has one key, what differs has another, what is wrong is said."""

import math
import pickle

import pytest
from pydantic import ValidationError

from lib.experiment import Experiment
from lib.system import device
from lib.system.errors import UserError

BASE = {
    "model": "ConvNet",
    "imbalance": "exponential",
    "factor": 0.01,
    "loss": "focal",
    "beta": 0.9,
    "gamma": 1.0,
    "epochs": 10,
}


def key(**fields):
    return Experiment.make(**{**BASE, **fields}).key


def test_keys_are_pinned():
    """Another key for the same run puts every stored record out of use: raise NUMERICS_VERSION instead."""
    assert key() == "8406fbcf186c9ded"
    assert Experiment.make(model="ResNet-32", epochs=3, steps=[2], seed=5).key == "befcf3acc7888cc7"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"learning_rate": "1e-3"}, {"learning_rate": 0.001}),  # what PyYAML makes of 1e-3
        ({"epochs": "1e1"}, {"epochs": 10}),
        ({"beta": 0}, {"beta": 0.0}),
        ({"steps": [2, 4]}, {"steps": (2, 4)}),
        ({"loss": "cross_entropy", "gamma": 2}, {"loss": "cross_entropy", "gamma": 0}),
        ({"factor": 1}, {"imbalance": "none", "factor": 0.5, "subset_seed": 3}),
        ({"beta": None, "normalisation": "weights"}, {"beta": None}),
        ({"schedule": "one_cycle", "steps": [1]}, {"schedule": "one_cycle", "warmup": 3}),
        ({"steps": [], "decay": 0.5}, {"steps": []}),
        ({"tau": 1.0}, {}),  # of a focal loss
        ({"beta": None, "deferred": 5}, {"beta": None}),
    ],
)
def test_two_spellings_of_one_run_are_one_experiment(one, other):
    one, other = (Experiment.make(**{**BASE, **fields}) for fields in (one, other))
    assert one == other
    assert one.key == other.key


OTHER_VALUES = {
    "data": "sample",
    "imbalance": "step",
    "factor": 0.1,
    "subset_seed": 1,
    "validation": 0.1,
    "augmentation": False,
    "model": "VanillaCNN",
    "loss": "sigmoid_focal",
    "beta": 0.99,
    "gamma": 2.0,
    "normalisation": "weights",
    "epochs": 11,
    "batch_size": 64,
    "learning_rate": 0.02,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 0.0,
    "schedule": "one_cycle",
    "steps": [6],
    "warmup": 1,
    "seed": 1,
    "precision": "bfloat16",
    "sampling": "classes",
    "mixup": 1.0,
    "tau": 1.0,
    "deferred": 8,
    "decay": 0.01,
    "evaluate_every": 5,
    "retrain": True,
}


@pytest.mark.parametrize("field", [name for name in Experiment.model_fields if name != "code"])  # see test_source.py
def test_every_field_changes_the_key_where_it_matters(field):
    needed = {"tau": {"loss": "cross_entropy"}, "retrain": {"deferred": 8}}.get(field, {})
    assert key(**{field: OTHER_VALUES[field]}, **needed) != key(**needed)


def test_the_subset_seed_matters_for_a_validation_split_alone():
    """It draws the split also where no long-tailed subset is drawn."""
    settings = {"imbalance": "none", "factor": 1.0, "validation": 0.1}
    assert key(**settings, subset_seed=0) != key(**settings, subset_seed=1)


def test_spelling_out_the_defaults_changes_no_key():
    assert Experiment.make(**Experiment.make(**BASE).model_dump()).key == key()


def test_the_key_follows_the_numerics_version(monkeypatch):
    before = key()
    monkeypatch.setattr("lib.experiment.NUMERICS_VERSION", 10**6)
    assert key() != before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"modle": "ConvNet"}, ["'modle'", "known settings: augmentation, ", "weight_decay"]),
        ({"model": "AlexNet"}, ["model", "'AlexNet'", "'ConvNet'", "'ResNet-32'"]),
        ({"imbalance": "exponentail", "factor": 1}, ["imbalance", "'exponentail'", "'step'"]),
        ({"factor": 0}, ["factor", "greater than 0", "0"]),
        ({"imbalance": "none", "factor": 1.5}, ["factor", "less than or equal to 1", "1.5"]),
        ({"beta": "high"}, ["beta", "valid number", "'high'"]),
        ({"loss": "cross_entropy", "gamma": "x"}, ["gamma", "valid number", "'x'"]),
        ({"gamma": math.nan}, ["gamma", "nan"]),
        ({"epochs": 1.5}, ["epochs", "integer", "1.5"]),
        ({"epochs": 0}, ["epochs", "greater than or equal to 1", "0"]),
        ({"steps": [8, 6]}, ["steps have to grow", "[8, 6]"]),
        ({"steps": [-1]}, ["steps.0", "greater than or equal to 1", "-1"]),
        ({"seed": 2**64}, ["seed", "less than 4294967296", str(2**64)]),
        ({"nesterov": True, "momentum": 0}, ["nesterov needs a momentum"]),
        ({"precision": "float16"}, ["precision", "'float16'", "'bfloat16'"]),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_what_is_allowed(fields, said):
    with pytest.raises(UserError) as error:
        Experiment.make(**{**BASE, **fields})
    for part in said:
        assert part in str(error.value)


def test_a_missing_setting_is_named():
    with pytest.raises(UserError, match="'model' is missing"):
        Experiment.make(epochs=1)


@pytest.mark.parametrize(("has", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_precision_auto_becomes_what_the_machine_does(monkeypatch, has, precision):
    monkeypatch.setattr(device, "has_bfloat16", lambda _: has)
    experiment = Experiment.make(**BASE, precision="auto")
    assert experiment.precision == precision
    assert experiment == Experiment.make(**BASE, precision=precision)


def test_an_experiment_cannot_be_changed_only_replaced():
    experiment = Experiment.make(**BASE)
    with pytest.raises(ValidationError, match="frozen"):
        experiment.seed = 1
    assert experiment.replace(seed=1).seed == 1
    assert experiment.seed == 0
    with pytest.raises(UserError, match="gamma"):
        experiment.replace(gamma=-1)
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert hash(experiment) == hash(Experiment.make(**BASE))
