"""How a load test looks on a terminal: the progress while it runs, then the report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastsio.loadtest import Histogram, Progress, Report
from fastsio.loadtest.errors import describe
from fastsio.loadtest.options import TALKING
from fastsio.loadtest.report import PERCENTILES, duration_text

__all__ = ["print_report", "progress_view"]

_PHASES = {
    "starting": "starting",
    "connect": "connecting",
    "warmup": "warming up",
    "measure": "measuring",
    "drain": "waiting for the last replies",
}


def progress_view(progress: Progress, clients: int) -> Table:
    """The lines that are redrawn while a load test runs."""
    line = Text.assemble(
        (f"{_PHASES.get(progress.phase, progress.phase)} ", "bold"),
        f"{progress.elapsed:.1f}",
        f" of {progress.total:g} s" if progress.total else " s",
        f"   {progress.connected:,} of {clients:,} clients",
    )
    now = Text.assemble((f"{progress.rate:,.0f}", "bold"), " per second")
    latest = progress.latest.latencies
    if latest.count:
        now.append(
            f"   p50 {duration_text(latest.percentile(50))}   p99 {duration_text(latest.percentile(99))}"
        )
    errors = sum(progress.overall.errors.values())
    now.append(f"   {errors:,} errors", style="red" if errors else "dim")
    if progress.total:
        bar = ProgressBar(total=progress.total, completed=min(progress.elapsed, progress.total), width=60)
    else:
        bar = ProgressBar(total=max(clients, 1), completed=progress.connected, width=60)
    view = Table.grid()
    for row in (line, bar, now):
        view.add_row(row)
    return view


def print_report(console: Console, report: Report) -> None:
    """Print a report."""
    options = report.options
    console.print()
    ended = ", interrupted" if report.interrupted else ""
    traffic = ""
    if options.rate is not None:
        traffic = f"{options.rate:g}/s, "
    elif options.scenario in TALKING:
        traffic = f"{options.depth} in flight, "
    if options.scenario in TALKING:
        traffic += f"{options.size} B, "
    heading = Text(Path(options.scenario).name, style="bold")
    heading.append(
        f" on {options.url}: {options.clients:,} clients, {traffic}{options.transport}, "
        f"protocol {options.protocol}; {report.elapsed:.1f} s measured{ended}",
        style="not bold",
    )
    console.print(heading, soft_wrap=True)
    console.print(_figures(report))
    latencies = _latencies(report)
    if latencies is not None:
        console.print(latencies)
    if report.errors:
        console.print(_errors(report))
    for sentence in report.warnings:
        console.print(Text(f"note: {sentence}", style="yellow"), soft_wrap=True)
    for sentence in report.broken:
        console.print(Text(f"failed: {sentence}", style="bold red"), soft_wrap=True)


def _figures(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    unasked = f", {report.overall.other:,} events unasked for" if report.overall.other else ""
    if report.options.scenario != "idle":
        table.add_row(
            "throughput", f"{report.throughput:,.0f}/s", f"{report.messages:,} {report.unit}{unasked}"
        )
    during = "" if report.ramp_connects and report.options.scenario != "churn" else "while measuring, "
    table.add_row(
        "connects",
        f"{report.connects_per_second:,.0f}/s",
        f"{during}{report.overall.connects:,} in all; {report.connected_at_end:,} connected at the end",
    )
    table.add_row("errors", f"{report.errors:,}", "")
    server = report.server
    if server is not None:
        if "cpu_us_per_message" in server:
            table.add_row(
                "server CPU",
                f"{server['cpu_us_per_message']:.2f} µs",
                f"per message, {server['cpu_share']:.0%} of a core",
            )
        elif "cpu_share" in server:
            table.add_row("server CPU", f"{server['cpu_share']:.2%}", "of a core")
        if "memory_per_connection" in server:
            table.add_row(
                "server memory",
                f"{server['memory_per_connection'] / 1024:.1f} KiB",
                f"per connection, {server['memory_connected'] / 1048576:.1f} MiB in all",
            )
    harness = report.harness
    if "cpu_us_per_message" in harness:
        table.add_row(
            "load CPU",
            f"{harness['cpu_us_per_message']:.2f} µs",
            f"per message, the busiest process {harness['busiest_process']:.0%} busy",
        )
    return table


def _latencies(report: Report) -> Table | None:
    rows: list[tuple[str, Histogram]] = [
        (report.unit, report.measured.latencies),
        ("connecting", report.overall.connect_latencies),
    ]
    rows = [(name, histogram) for name, histogram in rows if histogram.count]
    if not rows:
        return None
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("latency", style="dim", no_wrap=True)
    for name in ("mean", *[name for name, _ in PERCENTILES], "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, histogram in rows:
        values = [histogram.mean, *[histogram.percentile(percent) for _, percent in PERCENTILES]]
        table.add_row(name, *[duration_text(value) for value in (*values, histogram.largest)])
    return table


def _errors(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("errors", justify="right", style="red")
    table.add_column("kind")
    table.add_column("meaning, and the first one's detail")
    for kind, times in report.overall.errors.most_common():
        meaning = Text(describe(kind))
        detail = report.overall.details.get(kind, "")
        if detail:
            meaning.append(f" ({detail})", style="dim")
        table.add_row(f"{times:,}", kind, meaning)
    return table
