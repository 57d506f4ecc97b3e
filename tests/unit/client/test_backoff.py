"""The back-off is the reference's, to the millisecond."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsio.client.backoff import Backoff

DRAWS = st.floats(0, 1, exclude_max=True)


def reference(delay: int, most: int, factor: float, attempts: int, drawn: float) -> int:
    """As the reference has it, in milliseconds."""
    ms: float = delay * 2**attempts
    deviation = math.floor(drawn * factor * ms)
    ms = ms - deviation if math.floor(drawn * 10) % 2 == 0 else ms + deviation
    return math.trunc(min(ms, most))


@given(st.lists(DRAWS, min_size=1, max_size=12), st.floats(0.01, 1), st.integers(1, 60_000))
def test_every_delay_is_the_formulas(draws: list[float], factor: float, delay: int) -> None:
    rest = iter(draws)
    backoff = Backoff(delay / 1000, 90.0, factor, lambda: next(rest))
    for attempts, drawn in enumerate(draws):
        assert backoff.attempts == attempts
        expected = reference(delay, 90_000, factor, attempts, drawn)
        assert backoff.duration() * 1000 == pytest.approx(expected, abs=1.001)


@pytest.mark.parametrize(
    ("drawn", "delays"),
    [
        (0.0, [1.0, 2.0, 4.0, 5.0, 5.0]),
        (0.5, [1.25, 2.5, 5.0, 5.0, 5.0]),
        (0.9999, [1.499, 2.999, 5.0, 5.0, 5.0]),
        (0.85, [0.575, 1.15, 2.3, 4.6, 5.0]),
    ],
)
def test_the_defaults(drawn: float, delays: list[float]) -> None:
    backoff = Backoff(1.0, 5.0, 0.5, lambda: drawn)
    assert [backoff.duration() for _ in delays] == delays
    backoff.reset()
    assert backoff.duration() == delays[0]


def test_without_jitter_nothing_is_drawn() -> None:
    def draw() -> float:
        raise AssertionError("drawn")

    backoff = Backoff(0.1, 1.0, 0, draw)
    assert [backoff.duration() for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.0]


def test_many_attempts_stay_at_the_maximum() -> None:
    backoff = Backoff(1.0, 5.0, 0.5)
    backoff.attempts = 5000
    assert backoff.duration() == 5.0


def test_jitter_spreads() -> None:
    delays = {Backoff(1.0, 5.0, 0.5).duration() for _ in range(1000)}
    assert len(delays) > 300
    assert 0.5 <= min(delays) < 0.65 and 1.35 < max(delays) <= 1.5
