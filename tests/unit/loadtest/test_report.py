from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fastsio.exceptions import OptionError
from fastsio.loadtest import LoadOptions, Report
from fastsio.loadtest.html import to_html
from fastsio.loadtest.process import ServerSample, sample
from fastsio.loadtest.report import check_writable, duration_text
from fastsio.loadtest.stats import Stats
from fastsio.loadtest.svg import Axis, Series, chart


def slice_of(phase: str, at: float, connected: int = 2, **counts: Any) -> dict[str, Any]:
    stats = Stats()
    for name, value in counts.items():
        if name == "errors":
            for kind, times in value.items():
                stats.error(kind, f"first {kind}", times)
        else:
            setattr(stats, name, value)
    line = {"type": "slice", "phase": phase, "at": at, "connected": connected, "cpu": 0.01, **stats.flush()}
    # As it comes from another process.
    return dict(json.loads(json.dumps(line)))


def make(**options: Any) -> Report:
    report = Report(LoadOptions("http://a", **options))
    report.elapsed = 2.0
    report.connected = report.connected_at_end = 2
    report.ramp_time, report.ramp_connects = 0.5, 2
    report.add_slice(0, slice_of("connect", 0.3, connects=2, connect_latencies=[1_000_000, 3_000_000]))
    report.add_slice(0, slice_of("warmup", 0.5, sent=50, received=50, latencies=[9_000_000] * 50))
    for turn in range(8):
        at = 0.25 * (turn + 1)
        report.add_slice(0, slice_of("measure", at, sent=10, received=10, latencies=[1_000_000] * 10))
        report.add_slice(1, slice_of("measure", at, 0, sent=5, received=5, latencies=[2_000_000] * 5))
    report.add_slice(0, slice_of("drain", 0.1, received=1, latencies=[4_000_000], errors={"no_reply": 3}))
    return report


def test_what_counts_and_what_does_not() -> None:
    report = make()
    assert (report.messages, report.throughput, report.measured.sent) == (120, 60.0, 120)
    # The late reply to a measured message has its latency counted, the warm-up has not.
    assert report.measured.latencies.count == 121
    assert report.measured.latencies.largest == 0.004
    assert report.connects_per_second == 4
    assert report.errors == 3
    assert report.harness["cpu_seconds"] == pytest.approx(0.16)


def test_timeline() -> None:
    report = make()
    assert [(begin, end) for begin, end, _ in report.timeline] == [
        (0.25 * n, 0.25 * (n + 1)) for n in range(8)
    ]
    assert {point.received for _, _, point in report.timeline} == {15}
    assert {sum(point.connected.values()) for _, _, point in report.timeline} == {2}


def test_a_long_timeline_has_a_bounded_number_of_points() -> None:
    report = Report(LoadOptions("http://a"))
    for turn in range(5000):
        report.add_slice(0, slice_of("measure", 0.25 * (turn + 1), received=1, latencies=[1000]))
    report.elapsed = 1250.0
    timeline = report.timeline
    assert 100 < len(timeline) <= 241
    assert sum(point.received for _, _, point in timeline) == report.messages == 5000
    assert all(begin < end for begin, end, _ in timeline)
    assert timeline[-1][1] == pytest.approx(1250, abs=10)


@pytest.mark.parametrize(
    ("limits", "sentences"),
    [
        ({}, []),
        ({"max_p99": 0.5, "max_errors": 3}, []),
        ({"max_p99": 0.001}, ["--max-p99: 2.00 ms, the limit is 1.00 ms"]),
        ({"max_errors": 2}, ["--max-errors: 3, the limit is 2"]),
    ],
)
def test_limits(limits: dict[str, Any], sentences: list[str]) -> None:
    assert make(**limits).broken == sentences


@pytest.mark.parametrize(("scenario", "told"), [("echo", True), ("idle", False)])
def test_a_measured_time_without_messages_is_told(scenario: str, told: bool) -> None:
    report = Report(LoadOptions("http://a", scenario=scenario))
    report.elapsed = 1.0
    assert [sentence.split(":")[0] for sentence in report.warnings] == [
        f"no {report.unit} in the measured time"
    ] * told
    report.measured.received = 1
    assert report.warnings == []


def test_nothing_measured_is_a_failure() -> None:
    report = Report(LoadOptions("http://a", max_p99=1.0))
    assert report.broken == ["no client could connect", "--max-p99: nothing was measured"]
    report.interrupted = True
    assert report.broken == ["--max-p99: nothing was measured"]


def test_server() -> None:
    report = make(server_pids=(7,))
    report.samples = {
        "start": ServerSample(1.0, 1_000_000),
        "connected": ServerSample(1.5, 1_020_000),
        "begin": ServerSample(2.0, 1_020_000),
        "end": ServerSample(2.12, 1_030_000),
    }
    server = report.server
    assert server is not None
    assert server["cpu_us_per_message"] == pytest.approx(1000)
    assert server["cpu_share"] == pytest.approx(0.06)
    assert server["memory_per_connection"] == 10_000
    del report.samples["end"]
    assert "the server process ended during the run" in report.warnings


def test_a_busy_harness_is_named() -> None:
    report = make()
    assert report.warnings == []
    report.add_slice(0, {**slice_of("measure", 2.0), "cpu": 1.6})
    assert "busy" in report.warnings[0]


def test_json_is_json() -> None:
    told = json.loads(json.dumps(make(server_pids=(7,), headers=(("A", "b"),)).to_json()))
    assert told["latency"]["p50"] == pytest.approx(0.001, rel=0.01)
    assert told["errors"] == {
        "total": 3,
        "kinds": {"no_reply": 3},
        "details": {"no_reply": {"meaning": "no reply until the end of the run", "first": "first no_reply"}},
    }
    assert LoadOptions.from_json(told["options"]).headers == (("A", "b"),)


class Tags(HTMLParser):
    """Refuses pages whose elements are not closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("scenario", ["echo", "reconnect", "idle"])
def test_html(scenario: str) -> None:
    report = make(scenario=scenario)
    report.overall.errors["<script>"] = 1
    report.overall.details["<script>"] = "</table>&"
    report.add_slice(0, slice_of("measure", 2.0, back=[5_000_000], errors={"lost": 2}))
    page = to_html(report)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen.count("svg") == (5 if scenario == "reconnect" else 4)
    assert "script" not in tags.seen
    assert tags.addresses == []
    assert "no reply until the end of the run" in page


def test_html_without_any_figure() -> None:
    tags = Tags()
    tags.feed(to_html(Report(LoadOptions("http://a"))))
    assert tags.open == []
    assert "svg" not in tags.seen


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 5.0)],
        [(0.0, 0.0), (1.0, 0.0)],
        [(1.0, 1e-6), (2.0, 1e3)],
        [(1.0, 3.0), (1.0, 3.0)],
        [(float(n), float(n * n)) for n in range(300)],
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_charts_are_xml_within_their_box(points: list[tuple[float, float]], log: bool) -> None:
    text = chart("a & b", Axis("x<"), Axis("y", log=log), [Series("<s>", points), Series("t", points)])
    root = ElementTree.fromstring(text)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    places = [
        (float(x), float(y))
        for element in root.iter("{http://www.w3.org/2000/svg}path")
        if element.get("class") == "line"
        for x, y in (pair.split() for pair in element.attrib["d"][1:].split("L"))
    ]
    assert len(places) == 2 * len(points)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_bars() -> None:
    text = chart("bars", Axis("x", log=True), Axis("y"), [Series("s", [(1.0, 2.0), (2.0, 4.0)], [1.0, 2.0])])
    bars = [
        element
        for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}rect")
        if element.get("height")
    ]
    assert [float(bar.attrib["height"]) for bar in bars] == pytest.approx([115, 230])


def test_a_chart_of_nothing() -> None:
    assert chart("none", Axis("x"), Axis("y"), [Series("s", [])]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 µs"), (85e-6, "85 µs"), (0.00124, "1.24 ms"), (0.0451, "45.1 ms"), (3.456, "3.46 s")],
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_check_writable(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new.json"))
    for path in (tmp_path, tmp_path / "missing" / "new.json"):
        with pytest.raises(OptionError, match="cannot be written"):
            check_writable(str(path))


def fake_process(proc: Path, pid: int, threads: list[int], ticks: tuple[int, int], pages: int) -> None:
    folder = proc / str(pid)
    for number, nanoseconds in enumerate(threads):
        (folder / "task" / str(number)).mkdir(parents=True)
        (folder / "task" / str(number) / "schedstat").write_text(f"{nanoseconds} 5 6\n")
    (folder / "stat").write_text(f"{pid} (a ) b) S {'0 ' * 10}{ticks[0]} {ticks[1]} 0\n")
    (folder / "statm").write_text(f"1000 {pages} 3 4 0 5 0\n")


def test_samples_of_processes(tmp_path: Path) -> None:
    fake_process(tmp_path, 5, [1_500_000_000, 250_000_000], (100, 70), 10)
    fake_process(tmp_path, 6, [1_000_000], (200, 100), 20)
    # The second one's threads have ended, so that only its clock ticks tell of them.
    taken = sample((5, 6), tmp_path)
    assert taken.cpu == pytest.approx(1.75 + 3.0)
    assert taken.memory == 30 * os.sysconf("SC_PAGE_SIZE")
    with pytest.raises(FileNotFoundError):
        sample((5, 9), tmp_path)
