"""``fastsio load`` and ``fastsio load-server``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from fastsio.cli.console import print_report, progress_view
from fastsio.exceptions import OptionError
from fastsio.loadtest import SCENARIOS, LoadFailed, LoadOptions, Progress, parse_duration, run_load
from fastsio.loadtest.html import to_html
from fastsio.loadtest.report import check_writable
from fastsio.loadtest.server import make_server

__all__ = ["load", "load_server"]

#: Exit statuses beside 0: a limit was broken or nothing was measured, wrong usage, Ctrl-C.
FAILED = 1
USAGE = 2
INTERRUPTED = 130


def time(text: str) -> float:
    """Seconds, or a number with ``us``, ``ms``, ``s``, ``m`` or ``h``."""
    try:
        return parse_duration(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def size(text: str) -> int:
    """Bytes, or a number with ``k`` or ``m`` (1024 and 1024²)."""
    match = re.fullmatch(r"([0-9]{1,12})([km]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size such as 32, 4k or 1m")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2]]


def parse_headers(values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """``Name: value`` pairs."""
    pairs = []
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon:
            raise OptionError(f"--header {value!r} is not of the form 'Name: value'")
        pairs.append((name.strip(), rest.strip()))
    return tuple(pairs)


def parse_auth(text: str | None) -> dict[str, Any] | None:
    """The JSON object that CONNECT carries."""
    if text is None:
        return None
    try:
        auth = json.loads(text)
    except ValueError as error:
        raise OptionError(f"--auth is not JSON: {error}") from None
    if not isinstance(auth, dict):
        raise OptionError("--auth must be a JSON object")
    return auth


_SCENARIO_HELP = "One of " + ", ".join(SCENARIOS) + "; or a Python file with `async def client(socket)`."


@click.command(short_help="Put load on a Socket.IO server.")
@click.argument("url")
@click.option(
    "-s", "--scenario", default="echo", show_default=True, metavar="NAME|FILE.py", help=_SCENARIO_HELP
)
@click.option("-c", "--clients", default=100, show_default=True, help="How many clients.")
@click.option("-p", "--processes", default=1, show_default=True, help="Load processes to spread them over.")
@click.option("-d", "--duration", type=time, default="10", show_default=True, help="The measured time.")
@click.option("--warmup", type=time, default="1", show_default=True, help="Load before it.")
@click.option("--ramp-up", type=time, default="0", help="Time over which the clients connect.")
@click.option(
    "--rate", type=float, help="Messages per second of all clients (open loop). [default: closed loop]"
)
@click.option("--depth", default=1, show_default=True, help="Closed loop: messages in flight per client.")
@click.option("--size", type=size, default="32", show_default=True, help="Payload size.")
@click.option(
    "--binary", default=0.0, show_default=True, help="Share of messages with a binary payload, 0 to 1."
)
@click.option("--protocol", default=4, show_default=True, help="Engine.IO protocol: 4, or 3 for v2 servers.")
@click.option(
    "--transport",
    type=click.Choice(["websocket", "polling"]),
    default="websocket",
    show_default=True,
    help=" ",
)
@click.option("-n", "--namespace", default="/", show_default=True, help="The namespace to join.")
@click.option("--auth", metavar="JSON", help="What CONNECT carries.")
@click.option(
    "-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="A request header; may be repeated."
)
@click.option("--insecure", is_flag=True, help="Accept any TLS certificate.")
@click.option("--rooms", default=10, show_default=True, help="rooms: how many.")
@click.option("--lifetime", type=time, default="1", show_default=True, help="churn: a client's mean life.")
@click.option(
    "--reconnect-delay",
    type=time,
    default="1",
    show_default=True,
    help="reconnect: mean pause after the cut.",
)
@click.option("--iterations", default=0, help="FILE.py: runs of each client. [default: until the time is up]")
@click.option("--connect-timeout", type=time, default="10", show_default=True, help="For each connection.")
@click.option(
    "--connect-concurrency", default=100, show_default=True, help="Handshakes at a time, per process."
)
@click.option("--drain", type=time, default="2", show_default=True, help="Longest wait for the last replies.")
@click.option(
    "--server-pid", multiple=True, type=int, metavar="PID", help="Report this process's CPU and memory."
)
@click.option("--json", "json_path", metavar="FILE|-", help="Write the report as JSON.")
@click.option("--html", "html_path", metavar="FILE", help="Write the report as a page with charts.")
@click.option("--max-p99", type=time, help="Exit status 1 if the 99th percentile is longer.")
@click.option("--max-errors", type=int, help="Exit status 1 if there are more errors.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no tables.")
def load(
    url: str,
    header: tuple[str, ...],
    auth: str | None,
    server_pid: tuple[int, ...],
    json_path: str | None,
    html_path: str | None,
    quiet: bool,
    **values: Any,
) -> None:
    """Put load on the Socket.IO server at URL, check every reply, report throughput and latency.

    The server must have the handlers of the scenario: `fastsio load-server` has them all, and
    docs/howto/load-testing.md lists them. Times are seconds unless they have a unit (250ms, 2m).

    Exit status: 0; 1 when --max-p99 or --max-errors is broken or no client could connect; 2 for wrong
    usage; 130 after Ctrl-C, which prints what was measured so far.
    """
    # The JSON has standard output to itself.
    console = Console(stderr=json_path == "-", quiet=quiet)
    try:
        options = LoadOptions(
            url, headers=parse_headers(header), auth=parse_auth(auth), server_pids=server_pid, **values
        )
        for path in (json_path, html_path):
            if path is not None and path != "-":
                check_writable(path)
        live_console = Console(stderr=True, quiet=quiet)
        if live_console.is_terminal and not quiet:
            with Live(console=live_console, transient=True, auto_refresh=False) as live:
                report = run_load(options, lambda progress: _draw(live, progress, options.clients))
        else:
            report = run_load(options)
    except (OptionError, LoadFailed) as error:
        print(f"fastsio load: {error}", file=sys.stderr)
        sys.exit(USAGE)
    if report.output:
        print(report.output, end="", file=sys.stderr)
    print_report(console, report)
    if json_path is not None:
        text = json.dumps(report.to_json(), indent=2) + "\n"
        if json_path == "-":
            sys.stdout.write(text)
        else:
            _write(json_path, text)
    if html_path is not None:
        _write(html_path, to_html(report))
    sys.exit(FAILED if report.broken else INTERRUPTED if report.interrupted else 0)


def _draw(live: Live, progress: Progress, clients: int) -> None:
    live.update(progress_view(progress, clients), refresh=True)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"fastsio load: {path} could not be written: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)


@click.command(short_help="A server with the handlers that the scenarios of `load` want.")
@click.argument("port", type=int, default=3000)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
def load_server(port: int, host: str) -> None:
    """Serve on PORT (3000) with the handlers that the scenarios of `fastsio load` want."""
    try:
        make_server().run(port=port, host=host)
    except OSError as error:
        print(f"fastsio load-server: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)
