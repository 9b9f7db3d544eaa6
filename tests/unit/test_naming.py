"""Runs of one title are told apart by their details."""

from conftest import small

from lib.analysis.naming import details


def test_details_tell_runs_of_one_title_apart():
    plain = small(batch_size=32)
    assert details(plain) == "batch 32, rate 0.01"
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
        assert said in details(plain.replace(**fields))
        assert said not in details(plain)
