from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsio.loadtest.histogram import Histogram, bounds_of, bucket_of

durations = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(values)
    return histogram


@given(st.integers(0, 2**62))
def test_a_value_is_in_its_bucket_and_the_bucket_is_narrow(value: int) -> None:
    low, high = bounds_of(bucket_of(value))
    assert low <= value < high
    assert high - low <= max(1, low / 128)


@given(st.integers(0, 20_000))
def test_buckets_follow_one_another(bucket: int) -> None:
    assert bounds_of(bucket)[1] == bounds_of(bucket + 1)[0]


@given(durations, st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_near_the_exact_ones(values: list[int], percent: float) -> None:
    exact = sorted(values)[max(1, -int(-(percent / 100 * len(values) - 1e-9) // 1)) - 1]
    # Half a bucket, and the microsecond to which values are rounded first.
    assert histogram_of(values).percentile(percent) * 1e9 == pytest.approx(exact, rel=0.006, abs=1100)


@given(durations)
def test_the_ends_and_the_mean_are_exact(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert histogram.smallest == min(values) / 1e9
    assert histogram.largest == histogram.percentile(100) == max(values) / 1e9
    assert histogram.mean == pytest.approx(sum(values) / len(values) / 1e9)


@given(durations, durations)
def test_merging_is_recording_both(first: list[int], second: list[int]) -> None:
    merged = histogram_of(first)
    merged.merge(histogram_of(second))
    assert merged.to_json() == histogram_of(first + second).to_json()
    assert merged.count == len(first) + len(second)


@given(durations)
def test_json_round_trip(values: list[int]) -> None:
    histogram = histogram_of(values)
    copy = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert copy.to_json() == histogram.to_json()
    assert copy.count == len(values)
    assert copy.percentile(50) == histogram.percentile(50)


def test_known_percentiles() -> None:
    histogram = histogram_of([milliseconds * 1_000_000 for milliseconds in range(1, 1001)])
    for percent, milliseconds in ((50, 500), (90, 900), (99, 990), (99.9, 999)):
        assert histogram.percentile(percent) * 1e3 == pytest.approx(milliseconds, rel=0.005)


def test_an_empty_histogram() -> None:
    empty = Histogram()
    assert (empty.count, empty.mean, empty.percentile(99), empty.largest, empty.bins()) == (0, 0, 0, 0, [])
    empty.merge(Histogram())
    assert empty.count == 0
    other = histogram_of([5000])
    empty.merge(other)
    assert empty.smallest == empty.largest == 5e-6


def test_negative_durations_count_as_none() -> None:
    histogram = Histogram()
    histogram.record(-5)
    assert (histogram.count, histogram.smallest, histogram.largest) == (1, 0.0, 0.0)


@pytest.mark.parametrize("percent", [-0.1, 100.1])
def test_percentiles_out_of_range(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        Histogram().percentile(percent)


def test_what_is_no_histogram() -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.from_json({"buckets": [], "sum": 0, "smallest": 0, "largest": 0})
