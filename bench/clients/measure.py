"""Compares Socket.IO clients: CPU per message, idle cost, and the way back after a server's death.

    python -m bench.clients                                    # everything: about six minutes
    python -m bench.clients --parts messages --rounds 1 --clients fastsio,pysio

See bench/README.md for what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "macro"))

import install  # noqa: E402
import run as servers  # noqa: E402
from install import ROOT, Unavailable, say  # noqa: E402

DRIVERS = HERE / "drivers"
OWN_SCRIPT = ROOT / "src" / "fastsio" / "static" / "socket.io.js"
NODE_PACKAGES = ("socket.io-client@4.8.3",)
FLOOR = "floor"
#: Largest part of python-socketio's CPU per message that fastsio's may be.
GOAL = 1 / 5
PARTS = ("messages", "idle", "restart")
# Seconds by which a timer may be late on a busy machine, in the restart's account of delays.
LATE = 0.25

Cell = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One kind of message: what the drivers are told."""

    name: str
    title: str
    options: tuple[str, ...]
    #: Whether the floor, which has one message in flight over WebSocket, is measured too.
    floor: bool = False


ROWS = (
    Row("echo-x1", "echo 32 B, 10 clients × 1 in flight", ("--scenario", "echo", "--depth", "1"), floor=True),
    Row("echo-x16", "echo 32 B, 10 × 16", ("--scenario", "echo", "--depth", "16")),
    Row("echo-4k", "echo 4 KiB, 10 × 16", ("--scenario", "echo", "--depth", "16", "--size", "4096")),
    Row("ack-x16", "acknowledged 32 B, 10 × 16", ("--scenario", "ack", "--depth", "16")),
    Row(
        "binary-x16",
        "echo of 1 KiB binary, acknowledged, 10 × 16",
        ("--scenario", "ack", "--depth", "16", "--size", "1024", "--binary"),
    ),
    Row(
        "polling",
        "echo 32 B over long-polling, 10 × 1",
        ("--scenario", "echo", "--transport", "polling"),
    ),
)


@dataclass(frozen=True)
class Client:
    """A client that is measured. ``command`` installs it if need be."""

    name: str
    title: str
    command: Callable[[], list[str]]


def _fastsio() -> list[str]:
    return [sys.executable, str(DRIVERS / "fastsio_client.py")]


def _floor() -> list[str]:
    return [sys.executable, str(DRIVERS / "floor_client.py")]


def _pysio() -> list[str]:
    return [str(install.python()), str(DRIVERS / "pysio_client.py")]


def _modules() -> Path:
    return install.npm(install.CACHE / "node-client", NODE_PACKAGES)


def _node() -> list[str]:
    return ["node", str(DRIVERS / "node_client.js"), str(_modules() / "socket.io-client")]


def _script() -> list[str]:
    # Node 20 has no WebSocket of its own; the official client brings the package ws.
    return ["node", str(DRIVERS / "node_client.js"), str(OWN_SCRIPT), str(_modules() / "ws")]


CLIENTS = (
    Client("fastsio", "fastsio.Client", _fastsio),
    Client("pysio", "python-socketio AsyncClient", _pysio),
    Client("node", "socket.io-client, Node", _node),
    Client("script", "fastsio's socket.io.js, Node", _script),
    Client("floor", "floor: bare uvloop", _floor),
)


def environment() -> dict[str, str]:
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def start_server(port: int, args: argparse.Namespace) -> subprocess.Popen[bytes]:
    log = servers.LOGS / "clients-server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(port)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=servers.on_core(args.server_core),
        )
    servers.wait_listening(process, port, log)
    return process


@contextmanager
def driver(command: list[str], options: list[str], args: argparse.Namespace):
    """A client's driver, with its input and output as lines."""
    process = subprocess.Popen(
        [*command, *options],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=servers.on_core(args.client_core),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answer(process: subprocess.Popen[str]) -> Cell:
    """The next line of a driver."""
    line = process.stdout.readline()
    if not line:
        words = process.stderr.read().strip().splitlines()
        raise Unavailable(words[-1] if words else "the driver ended without a word")
    return json.loads(line)


def measured(client: Client, options: list[str], args: argparse.Namespace) -> Cell:
    """One run of a driver against a fresh server."""
    port = servers.free_port()
    server = start_server(port, args)
    try:
        with driver(client.command(), ["--url", f"http://127.0.0.1:{port}", *options], args) as process:
            return answer(process)
    except Unavailable as error:
        return {"failed": str(error)}
    finally:
        servers.stop(server)


# ---- the parts ----


def messages(clients: list[Client], args: argparse.Namespace) -> dict[str, Any]:
    """CPU of the client process per message, by row and client."""
    result: dict[str, Any] = {}
    for row in ROWS:
        taking_part = [client for client in clients if row.floor or client.name != FLOOR]
        cells: dict[str, list[Cell]] = {client.name: [] for client in taking_part}
        for turn in range(args.rounds):
            for client in taking_part if turn % 2 == 0 else reversed(taking_part):
                options = [*row.options, "--clients", "10"]
                options += ["--warmup", str(args.warmup), "--seconds", str(args.seconds)]
                cell = measured(client, options, args)
                if not cell.get("messages") and "failed" not in cell:
                    cell = {"failed": cell["first_error"] or "no message came back"}
                if "failed" not in cell:
                    cell["us"] = cell["cpu_seconds"] / cell["messages"] * 1e6
                cells[client.name].append(cell)
                note = cell.get("failed") or f"{cell['us']:.1f} µs"
                if cell.get("errors"):
                    note += f", {cell['errors']} ERRORS: {cell['first_error']}"
                say(f"{row.name} {turn + 1}/{args.rounds} {client.name}: {note}")
        result[row.name] = {name: summary(rounds) for name, rounds in cells.items()}
    return result


def summary(rounds: list[Cell]) -> Cell:
    good = [cell["us"] for cell in rounds if "failed" not in cell]
    if not good:
        return {"failed": rounds[-1]["failed"], "rounds": rounds}
    return {
        "us": statistics.median(good),
        "lowest": min(good),
        "highest": max(good),
        "errors": sum(cell.get("errors", 0) for cell in rounds) + sum("failed" in cell for cell in rounds),
        "rounds": rounds,
    }


def idle(clients: list[Client], args: argparse.Namespace) -> dict[str, Any]:
    """What many clients in one process cost while nothing happens but heartbeats."""
    result = {}
    for client in clients:
        if client.name == FLOOR:
            continue
        options = ["--scenario", "idle", "--clients", str(args.many)]
        options += ["--warmup", "2", "--seconds", str(args.idle_seconds)]
        cell = measured(client, options, args)
        result[client.name] = cell
        say(f"idle {client.name}: {cell.get('failed') or format(cell['cpu_share'], '.3%') + ' of a core'}")
    return result


def restart(args: argparse.Namespace) -> Cell:
    """Kill the server of many clients, start it again, and see when they are back, and with what."""
    port = servers.free_port()
    server = start_server(port, args)
    options = ["--url", f"http://127.0.0.1:{port}", "--scenario", "restart", "--clients", str(args.many)]
    try:
        with driver(_fastsio(), [*options, "--seconds", "60"], args) as process:
            answer(process)
            killed = time.monotonic()
            server.kill()
            server.wait()
            print("killed", killed, file=process.stdin, flush=True)
            answer(process)
            time.sleep(max(0, killed + args.away - time.monotonic()))
            server = start_server(port, args)
            cell = answer(process)
    except Unavailable as error:
        return {"failed": str(error)}
    finally:
        servers.stop(server)
    waits = cell.pop("waits")
    cell["attempts"] = len(waits)
    cell["outside"] = sum(not allowed(cell, number, wait) for number, wait in waits)
    cell["most_in_100_ms"] = most_within(cell["back_after"], 0.1)
    say(f"restart: {cell['back']} of {cell['clients']} back, {cell['lost']} lost, {cell['doubled']} doubled")
    return cell


def allowed(cell: Cell, attempt: int, wait: float) -> bool:
    """Whether the wait before an attempt is one that the back-off gives."""
    middle = cell["delay"] * 2 ** (attempt - 1)
    least = min(middle * (1 - cell["factor"]), cell["delay_max"])
    most = min(middle * (1 + cell["factor"]), cell["delay_max"])
    # Clocks of the loop have milliseconds, and the loop is late when all others are served first.
    return least - 0.005 <= wait <= most + LATE


def most_within(moments: list[float], seconds: float) -> int:
    """The largest number of the moments, which are sorted, that lie within so many seconds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


# ---- the report ----


def markdown(result: Cell) -> str:
    titles = {client.name: client.title for client in CLIENTS}
    names = result["clients"]
    lines = [
        "# Client benchmark",
        "",
        f"{result['date']}, {result['machine']['cpu']}, {result['machine']['kernel']}, "
        f"commit {result['commit']}. {result['rounds']} round(s) of {result['seconds']:g} s, medians.",
    ]
    if "messages" in result:
        lines += [
            "",
            "CPU µs of the client's process per message sent and got back; lower is better.",
            "",
            "| row | " + " | ".join(titles[name] for name in names) + " | against python-socketio | goal |",
            "|---|" + "---:|" * (len(names) + 2),
        ]
        for row in ROWS:
            cells = result["messages"][row.name]
            texts = [figure(cells[name]) if name in cells else "" for name in names]
            ratio, goal = "", ""
            if "us" in cells.get("fastsio", {}) and "us" in cells.get("pysio", {}):
                share = cells["fastsio"]["us"] / cells["pysio"]["us"]
                ratio = f"{share:.3f}"
                goal = f"≤ {GOAL:.2f}: {'yes' if share <= GOAL else '**no**'}"
            lines.append(f"| {row.title} | " + " | ".join(texts) + f" | {ratio} | {goal} |")
    if "idle" in result:
        lines += [
            "",
            f"{result['many']:,} clients in one process, idle but for heartbeats "
            "(goal: under 1 % of a core):",
            "",
            "| client | % of a core | KiB of RSS each |",
            "|---|---:|---:|",
        ]
        for name, cell in result["idle"].items():
            share = cell.get("failed") or f"{cell['cpu_share']:.2%}"
            memory = "" if "failed" in cell else f"{cell['rss_per_client'] / 1024:.1f}"
            lines.append(f"| {titles[name]} | {share} | {memory} |")
    if "restart" in result:
        lines += ["", *restart_text(result["restart"], result["many"], result["away"])]
    lines += ["", "## Versions", ""]
    for heading in ("versions", "fastsio_versions", "machine"):
        lines.append("* " + ", ".join(f"{name} {value}" for name, value in result[heading].items()))
    if result["skipped"]:
        lines += ["", "## Left out", ""]
        lines += [f"* {name}: {reason}" for name, reason in result["skipped"].items()]
    return "\n".join(lines) + "\n"


def figure(cell: Cell) -> str:
    if "failed" in cell:
        return "failed"
    return servers.number(cell["us"]) + (" ⚠" if cell["errors"] else "")


def restart_text(cell: Cell, many: int, away: float) -> list[str]:
    if "failed" in cell:
        return [f"The restart failed: {cell['failed']}"]
    moments = cell["back_after"]
    quartiles = statistics.quantiles(moments, n=4) if len(moments) > 1 else moments * 3
    return [
        f"{many:,} clients, each with {cell['kept'] // many} events emitted while the server was dead "
        f"(kill -9; another was started after {away:g} s), default back-off:",
        "",
        "| | |",
        "|---|---:|",
        f"| clients back | {cell['back']:,} |",
        f"| seconds after its death: first, quartiles, last | {moments[0]:.2f}, "
        + ", ".join(f"{moment:.2f}" for moment in quartiles)
        + f", {moments[-1]:.2f} |",
        f"| most back within 100 ms | {cell['most_in_100_ms']:,} |",
        f"| attempts, of them outside the back-off's bounds | {cell['attempts']:,}, {cell['outside']} |",
        f"| events kept, of them lost, doubled | {cell['kept']:,}, {cell['lost']}, {cell['doubled']} |",
    ]


# ---- the run ----


def parse_args() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--parts", default=",".join(PARTS), help="of messages, idle, restart (all)")
    p.add_argument("--clients", help=f"of {', '.join(c.name for c in CLIENTS)} (all)")
    p.add_argument("--rounds", type=int, default=3, help="repetitions of messages; medians are reported (3)")
    p.add_argument("--seconds", type=float, default=2, help="measured window of messages (2)")
    p.add_argument("--warmup", type=float, default=0.5, help="before the window (0.5)")
    p.add_argument("--many", type=int, default=1000, help="clients of idle and restart (1000)")
    p.add_argument("--idle-seconds", type=float, default=30, help="window of idle (30)")
    p.add_argument("--away", type=float, default=2, help="seconds for which the server is dead (2)")
    p.add_argument("--server-core", type=int, default=0, help="core of the server (0); -1: do not pin")
    p.add_argument("--client-core", type=int, default=1, help="core of the clients (1); -1: do not pin")
    p.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder of the results")
    p.add_argument("--label", default="clients", help="first part of the result files' names (clients)")
    args = p.parse_args()
    args.parts = args.parts.split(",")
    if not set(args.parts) <= set(PARTS):
        p.error(f"--parts takes {', '.join(PARTS)}")
    return args


def main() -> int:
    args = parse_args()
    servers.LOGS.mkdir(parents=True, exist_ok=True)
    servers.raise_file_limit()
    chosen = servers.choose(args.clients, {client.name: False for client in CLIENTS}, "client")
    clients: list[Client] = []
    skipped: dict[str, str] = {}
    for client in CLIENTS:
        if client.name not in chosen:
            continue
        try:
            client.command()
        except Unavailable as error:
            say(f"leaving out {client.name}: {error}")
            skipped[client.title] = str(error)
        else:
            clients.append(client)
    result: Cell = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": servers.git_commit(),
        "machine": servers.machine(),
        "versions": install.versions(),
        "fastsio_versions": servers.fastsio_versions(),
        "clients": [client.name for client in clients],
        "skipped": skipped,
        **{name: getattr(args, name) for name in ("rounds", "seconds", "warmup", "many", "away")},
    }
    # What was measured before stays, so that the parts can be run one at a time.
    data = args.out / f"{args.label}.json"
    if data.exists() and set(args.parts) != set(PARTS):
        known = json.loads(data.read_text())
        result |= {part: known[part] for part in PARTS if part in known}
        if "messages" not in args.parts:
            result |= {name: known[name] for name in ("clients", "rounds", "seconds", "warmup")}
    if "messages" in args.parts:
        result["messages"] = messages(clients, args)
    if "idle" in args.parts:
        result["idle"] = idle(clients, args)
    if "restart" in args.parts:
        result["restart"] = restart(args)
    args.out.mkdir(parents=True, exist_ok=True)
    data.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    text = markdown(result)
    (args.out / f"{args.label}.md").write_text(text)
    print(text)
    return 1 if faults(result, args.parts) else 0


def faults(result: Cell, parts: list[str]) -> bool:
    """Whether anything measured just now went wrong."""
    cells: list[Cell] = []
    if "messages" in parts:
        cells += [cell for row in result["messages"].values() for cell in row.values()]
    if "idle" in parts:
        cells += result["idle"].values()
    if "restart" in parts:
        cell = result["restart"]
        if cell.get("lost") or cell.get("doubled") or cell.get("back") != cell.get("clients"):
            return True
        cells.append(cell)
    return any("failed" in cell or cell.get("errors") for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
