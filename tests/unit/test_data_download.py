"""The lower limit on the speed of a download."""

import pytest

from lib.data.download import MinimumRate, SourceFailed


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def feed(watch, clock, seconds, rate, done=0):
    for _ in range(seconds):
        clock.now += 1
        done += rate
        watch(done)
    return done


def test_a_fast_source_is_never_given_up(clock):
    feed(MinimumRate(200_000, 15, clock=clock), clock, 1000, 200_001)


def test_a_slow_source_is_given_up_after_the_window_and_not_before(clock):
    watch = MinimumRate(200_000, 15, clock=clock)
    done = feed(watch, clock, 14, 100_000)
    with pytest.raises(SourceFailed, match="100 kB/s over 15 s"):
        feed(watch, clock, 1, 100_000, done)


def test_a_source_that_becomes_slow_is_given_up_too(clock):
    watch = MinimumRate(200_000, 15, clock=clock)
    done = feed(watch, clock, 60, 1_000_000)
    done = feed(watch, clock, 12, 0, done)  # the window still holds 3 MB
    with pytest.raises(SourceFailed):
        feed(watch, clock, 1, 0, done)


def test_a_pause_shorter_than_the_window_is_forgiven(clock):
    watch = MinimumRate(200_000, 15, clock=clock)
    done = 0
    for _ in range(10):
        done = feed(watch, clock, 10, 0, feed(watch, clock, 10, 1_000_000, done))


def test_a_silent_start_is_waited_for(clock):
    watch = MinimumRate(200_000, 15, grace=30, clock=clock)
    feed(watch, clock, 29, 0)
    with pytest.raises(SourceFailed):
        feed(watch, clock, 1, 0)
