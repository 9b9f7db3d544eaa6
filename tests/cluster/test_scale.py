"""A thousand runs of a few steps, ten thousand records (`make test-scale`): about time, so apart from other tests."""

import time

import psutil
import pytest
from conftest import small
from synthetic import record

from lib.runs import sweep
from lib.runs.store import Store

pytestmark = pytest.mark.slow
RUNS = 1000


def test_ten_thousand_records_are_listed_in_less_than_two_seconds(tmp_path):
    store = Store(tmp_path / "runs")
    for seed in range(10_000):
        store.put(record(seed, 0.5), {})
    start = time.monotonic()
    frame = Store(store.folder).frame()
    seconds = time.monotonic() - start
    print(f"\n{len(frame):,} records are listed in {seconds:.2f} s")
    assert len(frame) == 10_000
    assert frame.seed.nunique() == 10_000
    assert seconds < 2


def test_a_thousand_tiny_runs_cost_little_and_leave_nothing_behind(tmp_path):
    few = {"imbalance": "exponential", "factor": 0.02, "batch_size": 128, "epochs": 1}
    runs = [small(seed=seed, **few) for seed in range(RUNS)]
    store, memory = Store(tmp_path / "runs"), []
    start = time.monotonic()

    def on_epoch(experiment, epoch):
        memory.append(psutil.Process().memory_info().rss)

    records = sweep.run(runs, store=store, workers=2, on_epoch=on_epoch)
    seconds = time.monotonic() - start
    overhead = seconds / RUNS - sum(r.wall_time for r in records) / 2 / RUNS
    grown = max(memory[RUNS // 5 :]) - memory[RUNS // 5]
    print(f"\n{RUNS} runs in {seconds:.0f} s; {1000 * overhead:.0f} ms more per run than its training; ", end="")
    print(f"the client grew by {grown / 1e6:.0f} MB from run {RUNS // 5} to {RUNS}")
    assert overhead < 0.05
    assert grown < 50e6
    assert len(store.frame()) == RUNS
    assert all(store.get(run) for run in runs)
    assert not list(store.checkpoint(runs[0]).parent.iterdir())
