"""Durations in logarithmic buckets: small, mergeable, each percentile within half a percent."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["Histogram"]

# 128 buckets to each power of two: a bucket is at most 1/128 of its value wide.
_SUB_BITS = 7
_EXACT = 2 << _SUB_BITS


def bucket_of(value: int) -> int:
    """The number of the bucket that holds ``value`` (not negative)."""
    if value < _EXACT:
        return value
    shift = value.bit_length() - _SUB_BITS - 1
    return (shift << _SUB_BITS) + (value >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """The smallest value of a bucket, and the smallest of the one after it."""
    if bucket < _EXACT:
        return bucket, bucket + 1
    shift = (bucket >> _SUB_BITS) - 1
    low = (bucket - (shift << _SUB_BITS)) << shift
    return low, low + (1 << shift)


class Histogram:
    """Counts of durations, in nanoseconds going in and seconds coming out.

    Smallest, largest and mean value are exact; a percentile is off by at most half the width of its bucket.
    """

    __slots__ = ("_buckets", "_largest", "_smallest", "_sum", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self._sum = 0
        self._smallest = 0
        self._largest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one duration; a negative one counts as none."""
        self.record_many((nanoseconds,))

    def record_many(self, nanoseconds: Iterable[int]) -> None:
        """Count many durations. Sorted first, they cost a search per bucket instead of a look-up each."""
        values = sorted(nanoseconds)
        if not values:
            return
        if values[0] < 0:
            negative = bisect_left(values, 0)
            values[:negative] = [0] * negative
        if not self.count or values[0] < self._smallest:
            self._smallest = values[0]
        self._largest = max(self._largest, values[-1])
        self.count += len(values)
        self._sum += sum(values)
        start = 0
        while start < len(values):
            bucket = bucket_of(values[start])
            end = bisect_left(values, bounds_of(bucket)[1], start)
            self._buckets[bucket] += end - start
            start = end

    def merge(self, other: Histogram) -> None:
        """Add all that ``other`` counted."""
        if not other.count:
            return
        if not self.count or other._smallest < self._smallest:
            self._smallest = other._smallest
        self._largest = max(self._largest, other._largest)
        self.count += other.count
        self._sum += other._sum
        self._buckets.update(other._buckets)

    @property
    def smallest(self) -> float:
        """The least duration in seconds, 0 if there is none."""
        return self._smallest / 1e9

    @property
    def largest(self) -> float:
        """The greatest duration in seconds, 0 if there is none."""
        return self._largest / 1e9

    @property
    def mean(self) -> float:
        """The mean duration in seconds, 0 if there is none."""
        return self._sum / self.count / 1e9 if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The seconds that ``percent`` (0 to 100) of the values do not exceed; 0 if there are none.

        :raises ValueError: for a ``percent`` out of range.
        """
        if not 0 <= percent <= 100:
            raise ValueError("a percentile is between 0 and 100")
        if not self.count:
            return 0.0
        # The rank, with a tolerance for products such as 99.9 / 100 * 1000.
        rank = max(1, -int(-(percent / 100 * self.count - 1e-9) // 1))
        if rank >= self.count:
            return self.largest
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                low, high = bounds_of(bucket)
                middle = (low + high) // 2
                return min(max(middle, self._smallest), self._largest) / 1e9
        return self.largest

    def bins(self) -> list[tuple[float, float, int]]:
        """The filled buckets in ascending order: from, to (seconds) and how many."""
        return [
            (low / 1e9, high / 1e9, self._buckets[bucket])
            for bucket in sorted(self._buckets)
            for low, high in (bounds_of(bucket),)
        ]

    def to_json(self) -> dict[str, object]:
        """Everything as plain values, for another process."""
        return {
            "buckets": {str(bucket): times for bucket, times in self._buckets.items()},
            "sum": self._sum,
            "smallest": self._smallest,
            "largest": self._largest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Histogram:
        """The histogram that :meth:`to_json` told about."""
        histogram = cls()
        buckets = data["buckets"]
        total, smallest, largest = data["sum"], data["smallest"], data["largest"]
        if not (
            isinstance(buckets, dict)
            and isinstance(total, int)
            and isinstance(smallest, int)
            and isinstance(largest, int)
        ):
            raise ValueError("not a histogram")
        for bucket, times in buckets.items():
            histogram._buckets[int(bucket)] += times
        histogram.count = sum(histogram._buckets.values())
        histogram._sum, histogram._smallest, histogram._largest = total, smallest, largest
        return histogram
