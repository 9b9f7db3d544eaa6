"""Two tiny runs with their losses pinned: the guard of every stored record."""

import pytest
from conftest import run, small

ADVICE = (
    "The numbers of a training run have changed. If that was not meant, it is a bug. If it was, raise "
    "NUMERICS_VERSION in lib/experiment.py, so that records of the old numbers go out of use, and pin these."
)
RUNS = {
    "ConvNet": (
        {"model": "ConvNet", "learning_rate": 0.3, "batch_size": 4},
        [2.4372373, 2.4984112],
    ),
    "ResNet-32": (
        {
            "model": "ResNet-32",
            "loss": "focal",
            "gamma": 1,
            "beta": 0.99,
            "imbalance": "exponential",
            "factor": 0.5,
            "learning_rate": 0.0002,
            "steps": [1],
        },
        [5.9745176, 5.6439757],
    ),
    # What the other two leave out: the sigmoid loss, one-cycle with look-ahead momentum, no augmentation.
    "VanillaCNN": (
        {
            "model": "VanillaCNN",
            "loss": "sigmoid_focal",
            "gamma": 0.5,
            "beta": 0.9,
            "normalisation": "weights",
            "schedule": "one_cycle",
            "nesterov": True,
            "augmentation": False,
        },
        [2.7434385, 2.0780473],
    ),
}
TEST_LOSS = {"ConvNet": 2.4164803, "ResNet-32": 12.661738, "VanillaCNN": 2.3607342}


@pytest.mark.parametrize("name", RUNS)
def test_the_numerics_are_those_of_the_stored_records(few, one_thread, name):
    settings, losses = RUNS[name]
    record, _ = run(small(**settings), few())
    assert [epoch.train_loss for epoch in record.history] == pytest.approx(losses, rel=1e-4), ADVICE
    assert record.last.test.loss == pytest.approx(TEST_LOSS[name], rel=1e-4), ADVICE
