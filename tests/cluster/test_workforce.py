"""Which workers may be given runs, and when a run is sent again."""

from types import SimpleNamespace

import pytest
from conftest import tiny

from lib.runs.sweep import spread as spreading
from lib.runs.sweep import workforce
from lib.runs.sweep.parts import Sweep
from lib.system.errors import UserError


class Quiet:
    """A client whose event loop only remembers what it was asked."""

    def __init__(self):
        self.loop, self.asked = self, []

    def add_callback(self, function, *arguments):
        self.asked.append((function.__name__, *arguments))


@pytest.fixture
def force():
    """A workforce that nobody answers, and what it says."""
    said = []
    found = workforce.Workforce(Quiet(), check=True, tell=lambda *_: None, say=said.append)
    found.said = said
    return found


def there(*addresses, **more):
    return {address: {"nthreads": 1, "status": "running", **more} for address in addresses}


def test_runs_wait_until_the_workers_that_are_there_have_told_their_versions(force):
    """Else those that answer first would get them all."""
    force.seen(there("a", "b"))
    assert force.to_go_to() == frozenset()  # nobody, which is not the same as anybody
    force.judge({"a": ""})
    assert force.undecided
    assert force.workers == {"a"} == force.to_go_to()
    force.judge({"b": ""})
    assert not force.undecided
    assert force.workers == {"a", "b"}
    assert force.to_go_to() is None  # any, also those that join later


def test_a_worker_that_comes_back_is_asked_again(force):
    """Another process at the same address, as after an update."""
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": "it is old"})
    assert force.fit == {"a"}
    force.seen(there("a", "b"))
    assert force._client.asked.count(("_ask", "b")) == 1
    force.gone("b")
    force.seen(there("a", "b"))
    assert force._client.asked.count(("_ask", "b")) == 2
    force.judge({"b": ""})
    assert force.fit == {"a", "b"}


def test_a_worker_is_asked_again_where_the_connection_failed(force):
    force.seen(there("a"))
    force.judge({"a": OSError("timed out")})
    force.seen(there("a"))
    assert force._client.asked.count(("_ask", "a")) == 2
    assert not force.said


def test_one_that_is_refused_before_the_others_are_seen_does_not_end_the_sweep(force):
    force.refuse("quick", "it is old")
    assert force.there == set()
    force.seen(there("quick", "slow"))
    force.judge({"slow": ""})
    assert force.fit == {"slow"}
    with pytest.raises(UserError, match="The worker at quick is refused: it is old"):
        force.seen(there("quick"))


def test_a_paused_worker_gets_no_new_runs_and_is_said(force):
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": ""})
    force.seen(there("a") | there("b", status="paused"))
    assert force.workers == {"a"} == force.to_go_to()
    assert force.fit == {"a", "b"}
    assert "Dask has paused the worker at b, which is short of memory" in force.said[0]


@pytest.fixture
def sent(force, store):
    """A sweep of two runs, of which the first has started, with `force`; and a function: the seeds sent since."""
    under_way = spreading._Spread(Sweep([], store, ""), SimpleNamespace(client=force._client, local=False))
    under_way.force, again = force, []
    for seed in (0, 1):
        future = SimpleNamespace(status="pending", key=f"key {seed}")
        run = spreading._Running(tiny(seed=seed), lock=None, future=future, started=seed == 0)
        under_way.running[run.experiment.key] = run
    under_way._send = lambda run: again.append(run.experiment.seed)

    def since(workers):
        again.clear()
        under_way._workers(workers)
        return list(again)

    return under_way, since


def test_a_run_that_waits_may_go_to_a_worker_that_became_fit_later(force, sent):
    """Else all would stay with those that were quicker; one that has started stays where it is."""
    under_way, since = sent
    force.seen(there("a", "b"))
    force.judge({"a": ""})
    for run in under_way.running.values():
        run.only = frozenset({"a"})
    assert since(there("a", "b")) == []  # nobody has said yet whether b is fit
    force.judge({"b": ""})
    assert since(there("a", "b")) == [1]


def test_a_run_that_waits_leaves_a_worker_that_is_paused(force, sent):
    _, since = sent
    force.seen(there("a", "b"))
    force.judge({"a": "", "b": ""})
    assert since(there("a", "b")) == []
    paused = there("a") | there("b", status="paused")
    assert since(paused) == [1]
    assert since(paused) == []  # once


def test_a_result_that_the_connection_lost_is_fetched_again_and_not_trained_again(force, sent):
    under_way, since = sent
    force.seen(there("a"))
    force.judge({"a": ""})
    (key, run), _ = under_way.running.items()
    run.future.status = "finished"
    under_way._came((key, run.future, OSError("connection reset")))
    assert since(there("a")) == []
    assert force._client.asked.count(("_fetch", key, run.future)) == 1
    since(there("a"))
    assert force._client.asked.count(("_fetch", key, run.future)) == 1
