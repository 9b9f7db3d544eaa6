"""What a larger sweep costs follows from stored runs by arithmetic that anyone can check."""

import pytest
from synthetic import record

from lib import costs
from lib.errors import UserError

LONG_TAIL = {"data": "cifar10", "model": "ConvNet", "imbalance": "exponential", "factor": 0.01}


def timed(seconds, device="cpu: abacus", **fields):
    run = record(0, 0.5, **{**LONG_TAIL, **fields})
    return run.model_copy(update={"wall_time": seconds, "machine": {"device": device, "threads": 1}})


def test_the_cost_is_the_median_time_by_runs_and_workers():
    found = costs.of([timed(s) for s in (300, 360, 7200)], runs=1001, workers=10, model="ConvNet", device="cpu")
    assert found.seconds == 360
    assert found.worker_hours == pytest.approx(100.1)
    assert found.hours == pytest.approx(10.1)  # the last one is waited for
    assert "1,001 runs of 360.0 s each (median of 3 stored runs of 2 epochs on cpu: abacus, 1 thread)" in str(found)
    assert "10 workers are done after 10.1 hours" in str(found)
    assert "4.2 days" in str(costs.of([timed(360)], runs=1001, workers=1, model="ConvNet", device="cpu"))


def test_a_given_rate_counts_training_and_test_images():
    run = timed(1.0)
    found = costs.of([run], runs=1, workers=1, model="ConvNet", device="cuda", rate=1000)
    assert found.seconds == pytest.approx(2 * (12_406 + 10_000) / 1000)
    assert "44,812 images at 1,000 a second, which was given" in str(found)


def test_a_few_runs_of_another_kind_are_not_gone_by():
    usual, odd = [timed(360) for _ in range(3)], [timed(1.0, data="sample"), timed(5.0, factor=0.1)]
    asked = costs.of([*odd, *usual], runs=1, workers=1, model="ConvNet", device="cpu")
    assert asked.seconds == 360
    rated = costs.of([*usual, *odd], runs=1, workers=1, model="ConvNet", device="cpu", rate=1000)
    assert rated.seconds == pytest.approx(2 * (12_406 + 10_000) / 1000)


def test_the_protocol_is_that_of_most_runs_on_the_device():
    runs = [*(timed(360) for _ in range(3)), timed(9.0, device="cuda: H200", factor=0.1)]
    assert costs.of(runs, runs=1, workers=1, model="ConvNet", device="cuda").seconds == 9


def test_other_models_sets_and_devices_are_not_gone_by():
    other = [timed(1.0, model="TwoLayerNet"), timed(1.0, imbalance="none"), timed(1.0, device="cuda: H200")]
    with pytest.raises(UserError, match="No run of ConvNet on cpu is stored; give its images per second with --rate"):
        costs.of(other, runs=1, workers=1, model="ConvNet", device="cpu")
    with pytest.raises(UserError, match="No run of VanillaCNN on CIFAR-10's long tail"):
        costs.of(other, runs=1, workers=1, model="VanillaCNN", device="cpu")


def test_the_readme_shows_what_follows_from_the_stored_runs_and_nothing_else():
    said = costs.summary([timed(360)], runs=1000, model="ConvNet")
    assert "256 CPU cores: 1,000 runs of 360.0 s each" in said
    assert "GPUs: no run of ConvNet on one is stored" in said
    assert costs.summary([timed(360, data="sample")], model="ConvNet") == ""
