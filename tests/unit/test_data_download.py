"""The lower limit on the speed of a download."""

from types import SimpleNamespace

import pytest

from lib.data import download as module
from lib.data.download import Patience, SourceFailed, download

LIMIT = Patience(rate=2_000, window=15)


class Served:
    """A response that takes a second per block; `rates` are the bytes in each."""

    status = 200

    def __init__(self, rates, clock):
        self.rates, self.clock = iter(rates), clock
        self.headers = {"Content-Length": sum(rates)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read1(self, most):
        rate = next(self.rates, None)
        if rate is None:
            return b""
        self.clock.now += 1
        return bytes(rate)


@pytest.fixture
def seconds(monkeypatch, tmp_path):
    """A function that downloads at the given rates, one per second, and returns how many seconds it took."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)

    def run(*rates):
        monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: Served(rates, clock))
        started = clock.now
        try:
            download("http://a.test/file", tmp_path / "file", sum(rates), LIMIT)
        finally:
            run.took = clock.now - started
        return run.took

    return run


def test_a_fast_source_is_never_given_up(seconds):
    assert seconds(*[2_001] * 1000) == 1000


def test_a_slow_source_is_given_up_after_the_window_and_not_before(seconds):
    assert seconds(*[1_000] * 14) == 14
    with pytest.raises(SourceFailed, match="1 kB/s over 15 s"):
        seconds(*[1_000] * 100)
    assert seconds.took == 15


@pytest.mark.parametrize("fast", [60, 70])
def test_a_source_that_becomes_slow_is_given_up_within_two_windows(seconds, fast):
    with pytest.raises(SourceFailed, match="too slow"):
        seconds(*[10_000] * fast, *[1] * 100)
    assert seconds.took <= fast + 30


def test_a_pause_shorter_than_the_window_is_forgiven(seconds):
    assert seconds(*([10_000] * 10 + [1] * 10) * 10) == 200
