"""What a load test found, and how it is told: plain values for JSON, judgements for the exit status."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastsio.exceptions import OptionError
from fastsio.loadtest.errors import describe
from fastsio.loadtest.histogram import Histogram
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.process import ServerSample
from fastsio.loadtest.stats import Sum

__all__ = ["PERCENTILES", "Point", "Report", "duration_text"]

PERCENTILES: tuple[tuple[str, float], ...] = (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9))

# The timeline starts with points this far apart (seconds), and halves their number when there are more.
_WIDTH = 0.25
_POINTS = 240
#: A load process busier than this share of its time measures itself.
BUSY = 0.75


@dataclass
class Point:
    """A stretch of the measured time."""

    received: int = 0
    connects: int = 0
    errors: int = 0
    connected: dict[int, int] = field(default_factory=dict)
    latencies: Histogram = field(default_factory=Histogram)

    def merge(self, other: Point) -> None:
        """Add the stretch that follows."""
        self.received += other.received
        self.connects += other.connects
        self.errors += other.errors
        self.connected.update(other.connected)
        self.latencies.merge(other.latencies)


def duration_text(seconds: float) -> str:
    """A duration as people read it: ``85 µs``, ``1.24 ms``, ``3.5 s``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        milliseconds = seconds * 1e3
        return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.1f} ms"
    return f"{seconds:.2f} s"


class Report:
    """A load test's figures. Times in seconds, sizes in bytes."""

    def __init__(self, options: LoadOptions) -> None:
        self.options = options
        #: Of the measured time, and of all. Replies that came in after it are in its latencies only.
        self.measured = Sum()
        self.overall = Sum()
        #: Clients connected when the load began, and at its end.
        self.connected = 0
        self.connected_at_end = 0
        self.ramp_time = 0.0
        self.ramp_connects = 0
        #: When the measured time began (seconds since 1970), and its length.
        self.began = time.time()
        self.elapsed = 0.0
        self.interrupted = False
        #: The server process at ``start``, ``connected``, ``begin`` and ``end``.
        self.samples: dict[str, ServerSample] = {}
        #: CPU seconds of each load process in the measured time.
        self.cpu: dict[int, float] = {}
        #: What the load processes printed.
        self.output = ""
        self._points: dict[int, Point] = {}
        self._width = _WIDTH

    def add_slice(self, process: int, line: dict[str, Any]) -> None:
        """Add what a load process told."""
        self.overall.add(line)
        if line["phase"] == "drain":
            for name in ("latencies", "back"):
                if name in line:
                    getattr(self.measured, name).merge(Histogram.from_json(line[name]))
        if line["phase"] != "measure":
            return
        self.measured.add(line)
        self.cpu[process] = self.cpu.get(process, 0.0) + line["cpu"]
        point = Point(
            line["received"], line["connects"], sum(line["errors"].values()), {process: line["connected"]}
        )
        if "latencies" in line:
            point.latencies = Histogram.from_json(line["latencies"])
        # A slice is told at its end.
        index = int(max(line["at"] - 0.05, 0.0) / self._width)
        self._points.setdefault(index, Point()).merge(point)
        if index >= _POINTS:
            self._halve()

    def _halve(self) -> None:
        self._width *= 2
        points: dict[int, Point] = {}
        for index in sorted(self._points):
            points.setdefault(index // 2, Point()).merge(self._points[index])
        self._points = points

    # ---- figures

    @property
    def messages(self) -> int:
        """Replies, deliveries or, in the connect scenario, connections of the measured time."""
        return self.measured.received

    @property
    def throughput(self) -> float:
        """Messages per second."""
        return self.messages / self.elapsed if self.elapsed else 0.0

    @property
    def connects_per_second(self) -> float:
        """Of the measured time where the scenario connects in it, else of the ramp-up."""
        if self.options.scenario in ("connect", "churn", "reconnect"):
            return self.measured.connects / self.elapsed if self.elapsed else 0.0
        return self.ramp_connects / self.ramp_time if self.ramp_time else 0.0

    @property
    def errors(self) -> int:
        """Errors of all kinds and phases."""
        return sum(self.overall.errors.values())

    @property
    def unit(self) -> str:
        """What a message is in this scenario."""
        return {
            "echo": "round trips",
            "ack": "acks",
            "broadcast": "deliveries",
            "rooms": "deliveries",
            "connect": "connections",
            "churn": "round trips",
            "reconnect": "clients back",
        }.get(self.options.scenario, "messages")

    @property
    def server(self) -> dict[str, Any] | None:
        """CPU and memory of the server process, None without ``--server-pid``."""
        if not self.options.server_pids:
            return None
        samples = self.samples
        figures: dict[str, Any] = {"pids": list(self.options.server_pids)}
        if "begin" in samples and "end" in samples and self.elapsed:
            cpu = samples["end"].cpu - samples["begin"].cpu
            figures["cpu_seconds"] = round(cpu, 6)
            figures["cpu_share"] = round(cpu / self.elapsed, 4)
            if self.messages:
                figures["cpu_us_per_message"] = round(cpu / self.messages * 1e6, 3)
        if "start" in samples:
            figures["memory_at_start"] = samples["start"].memory
        if "connected" in samples and "start" in samples and self.connected:
            figures["memory_connected"] = samples["connected"].memory
            grown = samples["connected"].memory - samples["start"].memory
            figures["memory_per_connection"] = round(grown / self.connected)
        if "end" in samples:
            figures["memory_at_end"] = samples["end"].memory
        return figures

    @property
    def harness(self) -> dict[str, Any]:
        """What this side cost."""
        cpu = sum(self.cpu.values())
        busiest = max(self.cpu.values(), default=0.0) / self.elapsed if self.elapsed else 0.0
        figures: dict[str, Any] = {
            "processes": self.options.processes,
            "cpu_seconds": round(cpu, 6),
            "busiest_process": round(busiest, 4),
        }
        if self.messages:
            figures["cpu_us_per_message"] = round(cpu / self.messages * 1e6, 3)
        return figures

    @property
    def timeline(self) -> list[tuple[float, float, Point]]:
        """The measured time in stretches: begin, end, and what happened."""
        return [
            (
                index * self._width,
                max(min((index + 1) * self._width, self.elapsed), (index + 0.2) * self._width),
                self._points[index],
            )
            for index in sorted(self._points)
        ]

    # ---- judgements

    @property
    def warnings(self) -> list[str]:
        """What makes the figures doubtful, a sentence each."""
        said = []
        if self.harness["busiest_process"] > BUSY:
            said.append(
                f"a load process was busy {self.harness['busiest_process']:.0%} of the time: "
                "the figures may be its own; use more --processes, or a lower --rate"
            )
        late = self.measured.late
        if late.count and late.percentile(99) > 0.005:
            said.append(
                f"1 % of the messages were sent more than {duration_text(late.percentile(99))} late: "
                "more --processes"
            )
        if self.options.rate is not None and self.elapsed and self.throughput < self.options.rate * 0.9:
            if not self.fans_out:
                said.append(f"the rate of {self.options.rate:g} per second was not reached")
        counts = not self.options.scenario.endswith(".py") and self.options.scenario != "idle"
        if counts and self.elapsed and not self.messages:
            said.append(f"no {self.unit} in the measured time: there is nothing to tell; a longer --duration")
        if self.options.server_pids and "end" not in self.samples:
            said.append("the server process ended during the run")
        return said

    @property
    def fans_out(self) -> bool:
        """Whether one message sent becomes many deliveries."""
        return self.options.scenario in ("broadcast", "rooms")

    @property
    def nothing_measured(self) -> bool:
        """Whether no client ever got through."""
        return self.overall.connects == 0

    @property
    def broken(self) -> list[str]:
        """The limits that were not kept, a sentence each; any makes the exit status 1."""
        said = []
        if self.nothing_measured and not self.interrupted:
            said.append("no client could connect")
        limit = self.options.max_p99
        if limit is not None:
            if not self.measured.latencies.count:
                said.append("--max-p99: nothing was measured")
            elif self.measured.latencies.percentile(99) > limit:
                said.append(
                    f"--max-p99: {duration_text(self.measured.latencies.percentile(99))}, "
                    f"the limit is {duration_text(limit)}"
                )
        if self.options.max_errors is not None and self.errors > self.options.max_errors:
            said.append(f"--max-errors: {self.errors}, the limit is {self.options.max_errors}")
        return said

    # ---- telling

    def to_json(self) -> dict[str, Any]:
        """The report as plain values; docs/howto/load-testing.md describes each."""
        from fastsio import __version__

        options = self.options.to_json()
        options["headers"] = [list(pair) for pair in self.options.headers]
        options["server_pids"] = list(self.options.server_pids)
        options["auth"] = None if self.options.auth is None else dict(self.options.auth)
        return {
            "version": 1,
            "fastsio": __version__,
            "python": platform.python_version(),
            "machine": platform.platform(),
            "began": round(self.began, 3),
            "elapsed": round(self.elapsed, 6),
            "interrupted": self.interrupted,
            "options": options,
            "clients": {
                "wanted": self.options.clients,
                "connected": self.connected,
                "connected_at_end": self.connected_at_end,
            },
            "connects": {
                "total": self.overall.connects,
                "disconnects": self.overall.disconnects,
                "per_second": round(self.connects_per_second, 3),
                "ramp_seconds": round(self.ramp_time, 6),
                "latency": latency_json(self.overall.connect_latencies),
            },
            "messages": {
                "unit": self.unit,
                "sent": self.measured.sent,
                "received": self.messages,
                "per_second": round(self.throughput, 3),
                "unasked": self.overall.other,
            },
            "latency": latency_json(self.measured.latencies),
            "back": latency_json(self.measured.back) if self.options.scenario == "reconnect" else None,
            "errors": {
                "total": self.errors,
                "kinds": dict(sorted(self.overall.errors.items())),
                "details": {
                    kind: {"meaning": describe(kind), "first": self.overall.details.get(kind, "")}
                    for kind in sorted(self.overall.errors)
                },
            },
            "server": self.server,
            "harness": self.harness,
            "warnings": self.warnings,
            "broken": self.broken,
            "timeline": [
                {
                    "from": round(begin, 3),
                    "to": round(end, 3),
                    "per_second": round(point.received / (end - begin), 3),
                    "connects": point.connects,
                    "connected": sum(point.connected.values()),
                    "errors": point.errors,
                    "latency": latency_json(point.latencies),
                }
                for begin, end, point in self.timeline
            ],
        }


def latency_json(histogram: Histogram) -> dict[str, Any] | None:
    """Count and percentiles in seconds, None if there is nothing."""
    if not histogram.count:
        return None
    figures: dict[str, Any] = {"count": histogram.count, "min": round(histogram.smallest, 9)}
    figures["mean"] = round(histogram.mean, 9)
    for name, percent in PERCENTILES:
        figures[name] = round(histogram.percentile(percent), 9)
    figures["max"] = round(histogram.largest, 9)
    return figures


def check_writable(path: str) -> None:
    """Refuse a file that could not be written, before the load test instead of after.

    :raises OptionError: if its folder does not exist or it is a folder itself.
    """
    target = Path(path)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise OptionError(f"{path} cannot be written: no such folder, or a folder itself")
