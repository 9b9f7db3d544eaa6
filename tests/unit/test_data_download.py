"""The lower limit on the speed of a download."""

import pytest

from lib.data import download
from lib.data.download import Patience, SourceFailed, transfer


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(download, "monotonic", clock)
    return clock


@pytest.fixture
def arrived(clock, request):
    """The function that is called with the bytes so far; the first window may be longer."""
    with transfer("a server", 10**9, Patience(rate=200_000, window=15), getattr(request, "param", 1)) as arrived:
        yield arrived


def feed(arrived, clock, seconds, rate, done=0):
    for _ in range(seconds):
        clock.now += 1
        done += rate
        arrived(done)
    return done


def test_a_fast_source_is_never_given_up(arrived, clock):
    feed(arrived, clock, 1000, 200_001)


def test_a_slow_source_is_given_up_after_the_window_and_not_before(arrived, clock):
    done = feed(arrived, clock, 14, 100_000)
    with pytest.raises(SourceFailed, match="100 kB/s over 15 s"):
        feed(arrived, clock, 1, 100_000, done)


@pytest.mark.parametrize("fast", [60, 70])
def test_a_source_that_becomes_slow_is_given_up_within_two_windows(arrived, clock, fast):
    done = feed(arrived, clock, fast, 1_000_000)
    with pytest.raises(SourceFailed):
        feed(arrived, clock, 30, 0, done)


def test_a_pause_shorter_than_the_window_is_forgiven(arrived, clock):
    done = 0
    for _ in range(10):
        done = feed(arrived, clock, 10, 0, feed(arrived, clock, 10, 1_000_000, done))


@pytest.mark.parametrize("arrived", [2], indirect=True)
def test_a_silent_start_is_waited_for(arrived, clock):
    feed(arrived, clock, 29, 0)
    with pytest.raises(SourceFailed):
        feed(arrived, clock, 1, 0)
