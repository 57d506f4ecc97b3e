"""What one load process counted since it last told, and the sums over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastsio.loadtest.histogram import Histogram

__all__ = ["Stats"]

# One detail per kind of error is enough to look into it.
_DETAIL = 200


class Stats:
    """Counts, and lists of durations in nanoseconds, all of which :meth:`flush` empties."""

    __slots__ = (
        "back",
        "connect_latencies",
        "connects",
        "details",
        "disconnects",
        "errors",
        "late",
        "latencies",
        "other",
        "received",
        "sent",
    )

    def __init__(self) -> None:
        #: Messages sent, and replies or deliveries that were right.
        self.sent = 0
        self.received = 0
        #: Events that no scenario asked for.
        self.other = 0
        self.connects = 0
        self.disconnects = 0
        self.latencies: list[int] = []
        self.connect_latencies: list[int] = []
        #: How long clients that were cut took to be back.
        self.back: list[int] = []
        #: How late an open-loop message was sent, for want of time on this side.
        self.late: list[int] = []
        self.errors: Counter[str] = Counter()
        self.details: dict[str, str] = {}

    def error(self, kind: str, detail: str = "", times: int = 1) -> None:
        """Count an error; the first detail of each kind is kept."""
        self.errors[kind] += times
        if detail and kind not in self.details:
            self.details[kind] = detail[:_DETAIL]

    def flush(self) -> dict[str, Any]:
        """All of it as plain values; counting begins anew."""
        told: dict[str, Any] = {
            "sent": self.sent,
            "received": self.received,
            "other": self.other,
            "connects": self.connects,
            "disconnects": self.disconnects,
            "errors": dict(self.errors),
            "details": self.details,
        }
        for name in ("latencies", "connect_latencies", "back", "late"):
            values = getattr(self, name)
            if values:
                histogram = Histogram()
                histogram.record_many(values)
                values.clear()
                told[name] = histogram.to_json()
        self.sent = self.received = self.other = self.connects = self.disconnects = 0
        self.errors = Counter()
        self.details = {}
        return told


class Sum:
    """Many flushed :class:`Stats` added up."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.other = 0
        self.connects = 0
        self.disconnects = 0
        self.errors: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self.latencies = Histogram()
        self.connect_latencies = Histogram()
        self.back = Histogram()
        self.late = Histogram()

    def add(self, told: Mapping[str, Any]) -> None:
        """Add what :meth:`Stats.flush` told."""
        for name in ("sent", "received", "other", "connects", "disconnects"):
            setattr(self, name, getattr(self, name) + told[name])
        self.errors.update(told["errors"])
        for kind, detail in told["details"].items():
            self.details.setdefault(kind, detail)
        for name in ("latencies", "connect_latencies", "back", "late"):
            if name in told:
                getattr(self, name).merge(Histogram.from_json(told[name]))

    def merge(self, other: Sum) -> None:
        """Add another sum."""
        for name in ("sent", "received", "other", "connects", "disconnects"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        for kind, detail in other.details.items():
            self.details.setdefault(kind, detail)
        for name in ("latencies", "connect_latencies", "back", "late"):
            getattr(self, name).merge(getattr(other, name))
