"""Learning rates: the write-up's rule by hand, one-cycle against torch."""

import pytest
import torch
from conftest import small

from lib.training.optimizer import learning_rate


def by_epoch(experiment, steps=3):
    """The rate of each epoch, the same in all its steps."""
    rates = []
    for epoch in range(experiment.epochs):
        (rate,) = {learning_rate(experiment, epoch * steps + step, steps) for step in range(steps)}
        rates.append(rate)
    return rates


def test_the_writeups_rule_divides_by_ten_after_epochs_6_and_8():
    experiment = small(epochs=10, learning_rate=0.01, steps=[6, 8])
    assert by_epoch(experiment) == pytest.approx([0.01] * 6 + [0.001] * 2 + [0.0001] * 2, rel=1e-12)


def test_warm_up_rises_linearly_and_ends_at_the_full_rate():
    experiment = small(epochs=6, learning_rate=0.1, warmup=4, steps=[5])
    assert by_epoch(experiment) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.01], rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
@pytest.mark.parametrize("steps", [1, 2, 7, 10])
def test_one_cycle_equals_torch_at_every_step(epochs, steps):
    """Down to runs of a single step, where the rise has no length."""
    experiment = small(epochs=epochs, schedule="one_cycle", learning_rate=0.05)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.05, total_steps=epochs * steps, cycle_momentum=False
    )
    for step in range(epochs * steps):
        assert learning_rate(experiment, step, steps) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < epochs * steps - 1:
            scheduler.step()
