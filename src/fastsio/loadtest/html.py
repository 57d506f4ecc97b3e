"""The report as one HTML page: tables and charts, nothing to load from anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from fastsio.loadtest.errors import describe
from fastsio.loadtest.histogram import Histogram
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.report import PERCENTILES, Report, duration_text
from fastsio.loadtest.svg import Axis, Series, chart

__all__ = ["to_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --faint: #d9dde3; --paper: #fff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --faint: #3a4048; --paper: #16191d; --bad: #ff8a80; }
}
body { margin: 2rem auto; max-width: 820px; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0; }
.tiles b { display: block; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0;
  border-bottom: 1px solid var(--faint); }
td.number, th.number { text-align: right; }
.bad { color: var(--bad); } .small { opacity: .75; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--faint); } .axis { stroke: var(--ink); fill: none; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
code { font-size: .9em; overflow-wrap: anywhere; }
"""


def to_html(report: Report) -> str:
    """The page."""
    options = report.options
    title = f"{Path(options.scenario).name} on {options.url}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="small">{escape(_summary(report))}</p>',
        *[f'<p class="bad">{escape(sentence)}</p>' for sentence in (*report.broken, *report.warnings)],
        _tiles(report),
        _section("Latency", _latency_table(report), _distribution(report), _spectrum(report)),
        _section("Percentiles over time", _over_time(report)),
        _section(_per_second_title(report), _throughput(report)),
        _section("Clients back after the cut", _back(report)),
        _section("Errors", _errors(report)),
        _section("Server", _pairs(_server(report))),
        _section("Options", _pairs(_options(report))),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _summary(report: Report) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.began))
    options = report.options
    loop = f"{options.rate:g} per second" if options.rate is not None else f"{options.depth} in flight"
    ended = ", interrupted" if report.interrupted else ""
    return (
        f"{began}, {report.elapsed:.1f} s{ended}: {options.clients} clients, {loop}, {options.size} bytes, "
        f"{options.transport}, protocol {options.protocol}"
    )


def _tiles(report: Report) -> str:
    tiles = [(f"{report.throughput:,.0f}", f"{report.unit} per second")]
    latencies = report.measured.latencies
    if latencies.count:
        tiles.append((duration_text(latencies.percentile(50)), "median latency"))
        tiles.append((duration_text(latencies.percentile(99)), "99th percentile"))
    tiles.append((f"{report.connected_at_end:,}", "clients connected at the end"))
    tiles.append((f"{report.errors:,}", "errors"))
    server = report.server
    if server is not None and "cpu_us_per_message" in server:
        tiles.append((f"{server['cpu_us_per_message']:.1f} µs", "server CPU per message"))
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for value, name in tiles)
    return f'<div class="tiles">{cells}</div>'


def _section(title: str, *content: str) -> str:
    body = "\n".join(part for part in content if part)
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs)
    return f"<table>{rows}</table>" if rows else ""


def _options(report: Report) -> list[tuple[str, str]]:
    """Those that are not the default."""
    values = report.options.to_json()
    usual = LoadOptions(report.options.url).to_json()
    return [
        (name.replace("_", " "), _plain(value))
        for name, value in values.items()
        if name == "url" or value != usual[name]
    ]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(
            ": ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value
        )
    return "" if value is None else str(value)


def _latency_table(report: Report) -> str:
    rows = [
        (name, histogram)
        for name, histogram in (
            (report.unit, report.measured.latencies),
            ("connecting", report.overall.connect_latencies),
        )
        if histogram.count
    ]
    if not rows:
        return ""
    names = [name for name, _ in PERCENTILES]
    head = "".join(f'<th class="number">{name}</th>' for name in ("", "mean", *names, "max"))
    body = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f'<td class="number">{duration_text(value)}</td>' for value in _figures(histogram))
        + "</tr>"
        for name, histogram in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _figures(histogram: Histogram) -> list[float]:
    return [
        histogram.mean,
        *[histogram.percentile(percent) for _, percent in PERCENTILES],
        histogram.largest,
    ]


def _distribution(report: Report) -> str:
    bins = report.measured.latencies.bins()
    if not bins:
        return ""
    # Coarser than the histogram: a tenth of an octave and more, drawn as a share of all per bar.
    bars: dict[int, int] = {}
    edges: dict[int, tuple[float, float]] = {}
    for low, _, times in bins:
        exponent = _octave(low, 8)
        bars[exponent] = bars.get(exponent, 0) + times
        edges[exponent] = (2 ** (exponent / 8) / 1e9, 2 ** ((exponent + 1) / 8) / 1e9)
    total = sum(bars.values())
    points = [(edges[place][0], bars[place] / total * 100) for place in sorted(bars)]
    widths = [edges[place][1] - edges[place][0] for place in sorted(bars)]
    return chart(
        "Latency distribution",
        Axis("latency", _tick, log=True),
        Axis("share of messages, %"),
        [Series("share", points, widths)],
    )


def _octave(seconds: float, parts: int) -> int:
    return math.floor(math.log2(max(seconds * 1e9, 1.0)) * parts)


def _spectrum(report: Report) -> str:
    histogram = report.measured.latencies
    if not histogram.count:
        return ""
    # The x axis shows how rare: 1 in 2, 10, 100 ... messages is slower.
    points = []
    one_in = 1.0
    while one_in <= histogram.count:
        points.append((one_in, histogram.percentile(100 - 100 / one_in)))
        one_in *= 1.25
    points.append((float(histogram.count) if histogram.count > 1 else 1.0, histogram.largest))
    return chart(
        "Latency by percentile",
        Axis("percentile", _percentile_text, log=True, ticks=[2, 10, 100, 1000, 10_000, 100_000, 1e6, 1e7]),
        Axis("latency", _tick, log=True),
        [Series("latency", points)],
    )


def _tick(seconds: float) -> str:
    """A round duration, short."""
    if seconds >= 0.9995:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} µs"


def _percentile_text(one_in: float) -> str:
    return f"{100 - 100 / one_in:.7g} %"


def _over_time(report: Report) -> str:
    points = [(begin, end, point.latencies) for begin, end, point in report.timeline if point.latencies.count]
    series = [
        Series(name, [((begin + end) / 2, histogram.percentile(percent)) for begin, end, histogram in points])
        for name, percent in (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("max", 100.0))
    ]
    return chart(
        "Latency percentiles over time",
        Axis("seconds"),
        Axis("latency", _tick, log=True),
        series,
    )


def _per_second_title(report: Report) -> str:
    unit = report.unit
    return f"{unit[0].upper()}{unit[1:]} per second over time"


def _throughput(report: Report) -> str:
    points = [((begin + end) / 2, point.received / (end - begin)) for begin, end, point in report.timeline]
    if not any(value for _, value in points):
        return ""
    failures = [((begin + end) / 2, point.errors / (end - begin)) for begin, end, point in report.timeline]
    series = [Series(report.unit, points)]
    if any(value for _, value in failures):
        series.append(Series("errors", failures))
    return chart("Throughput over time", Axis("seconds"), Axis("per second", lambda n: f"{n:,.0f}"), series)


def _back(report: Report) -> str:
    if report.options.scenario != "reconnect" or not report.measured.back.count:
        return ""
    points = [(0.0, 0.0)]
    so_far = 0
    for _, high, times in report.measured.back.bins():
        so_far += times
        points.append((high, so_far))
    return chart(
        "Clients back", Axis("seconds after the cut"), Axis("clients"), [Series("clients back", points)]
    )


def _errors(report: Report) -> str:
    if not report.errors:
        return "<p>None.</p>"
    rows = "".join(
        f'<tr><td class="number">{times:,}</td><td>{escape(kind)}</td><td>{escape(describe(kind))}'
        f"<br><code>{escape(report.overall.details.get(kind, ''))}</code></td></tr>"
        for kind, times in report.overall.errors.most_common()
    )
    return f"<table>{rows}</table>"


def _server(report: Report) -> list[tuple[str, str]]:
    server = report.server
    if server is None:
        return []
    rows = [("process", ", ".join(map(str, server["pids"])))]
    if "cpu_share" in server:
        rows.append(("CPU", f"{server['cpu_share']:.1%} of a core"))
    if "cpu_us_per_message" in server:
        rows.append(("CPU per message", f"{server['cpu_us_per_message']:.2f} µs"))
    if "memory_per_connection" in server:
        rows.append(("memory per connection", f"{server['memory_per_connection'] / 1024:.1f} KiB"))
    rows += [
        (name.replace("_", " "), f"{server[name] / 1048576:.1f} MiB")
        for name in ("memory_at_start", "memory_connected", "memory_at_end")
        if name in server
    ]
    return rows
