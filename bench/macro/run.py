"""Compares Socket.IO servers: CPU per message, latency and memory, in one interleaved run.

    python bench/macro/run.py                                  # everything: about an hour
    python bench/macro/run.py --rows echo,ack --servers fastsio,node-ws --rounds 1 --seconds 2

See bench/README.md for what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import install
from install import CACHE, HERE, ROOT, Unavailable, say

SERVERS_DIR = HERE / "servers"
LOGS = CACHE / "logs"
NOFILE = 65536
# What a process opens besides its connections.
SPARE_FILES = 100
# A generator busier than this measures itself.
OWN_LIMIT = 0.75

Cell = dict[str, Any]
Start = tuple[list[str], dict[str, str]]


# ---- what is measured ----


@dataclass(frozen=True)
class Row:
    """One line of the matrix: what the load generator is told, and what fastsio's figure is held against.

    `goals` are (server or group, largest ratio of fastsio's figure to its), `flat` is (another row, largest
    ratio to fastsio's own figure there); `limit` is an absolute one.
    """

    name: str
    title: str
    scenario: str
    conns: int
    depth: int = 1
    size: int = 32
    goals: tuple[tuple[str, float], ...] = ()
    limit: float | None = None
    flat: tuple[tuple[str, float], ...] = ()
    extra: bool = False
    seconds: float | None = None
    unit: str = "µs"

    def value(self, cell: Cell) -> float:
        if self.unit == "KiB":
            return float(cell["rss_per_conn"]) / 1024
        if self.unit == "% of a core":
            return float(cell["cpu_share"]) * 100
        return float(cell["cpu_us_per_message"])


ROWS = (
    Row(
        "echo-100x1",
        "echo 32 B, 100 connections × 1 in flight",
        "echo",
        100,
        goals=(("node-ws", 0.25), ("node-uws", 0.55), ("uvloop-tcp", 1.25), ("pysio", 1 / 12)),
    ),
    Row(
        "echo-100x16",
        "echo 32 B, 100 × 16",
        "echo",
        100,
        depth=16,
        goals=(("node-ws", 0.15), ("node-uws", 0.35), ("pysio", 1 / 12)),
    ),
    Row(
        "echo-1000x1",
        "echo 32 B, 1000 × 1",
        "echo",
        1000,
        goals=(("node-ws", 0.35), ("node-uws", 0.55), ("pysio", 1 / 12)),
    ),
    Row(
        "echo-4k",
        "echo 4 KiB, 100 × 1",
        "echo",
        100,
        size=4096,
        goals=(("node-ws", 0.3), ("node-uws", 0.45), ("pysio", 1 / 12)),
    ),
    Row("echo-64k", "echo 64 KiB, 50 × 1", "echo", 50, size=65_536),
    Row(
        "ack",
        "ack 32 B, 100 × 1",
        "ack",
        100,
        goals=(("node-ws", 0.25), ("node-eiows", 0.75), ("pysio", 1 / 12)),
    ),
    Row(
        "binary",
        "binary 1 KiB, 100 × 1",
        "binary",
        100,
        size=1024,
        goals=(("node-ws", 0.25), ("node-uws", 0.4), ("pysio", 1 / 12)),
    ),
    Row("binary-64k", "binary 64 KiB, 50 × 1", "binary", 50, size=65_536),
    Row(
        "broadcast-1000x1",
        "broadcast 64 B to 1000, one at a time, per delivery",
        "broadcast",
        1000,
        size=64,
        goals=(("node-ws", 0.6), ("c-floor", 1.2), ("node-uws", 1.0), ("pysio", 1 / 12)),
    ),
    Row(
        "broadcast-1000x16",
        "broadcast 64 B to 1000, 16 in flight, per delivery",
        "broadcast",
        1000,
        depth=16,
        size=64,
        goals=(("node-ws", 0.08), ("node-uws", 0.85), ("pysio", 1 / 12)),
    ),
    Row(
        "connect",
        "connect + upgrade + CONNECT + close, 50 in parallel",
        "connect",
        50,
        goals=(("node-ws", 0.3), ("node-uws", 1.0), ("pysio", 1 / 6)),
    ),
    Row(
        "polling",
        "long-polling round trip (POST + GET), 100 clients",
        "polling",
        100,
        goals=(("node-ws", 0.45), ("pysio", 1 / 6)),
    ),
    Row(
        "idle-5000",
        "memory per idle WebSocket, 5,000",
        "idle",
        5000,
        goals=(("node-ws", 0.35),),
        limit=6,
        seconds=1,
        unit="KiB",
    ),
    # How the cost grows with the connections.
    Row("echo-10x1", "echo 32 B, 10 × 1", "echo", 10, extra=True),
    Row(
        "echo-10000x1",
        "echo 32 B, 10,000 × 1",
        "echo",
        10_000,
        flat=(("echo-100x1", 1.5),),
        extra=True,
    ),
    Row("broadcast-10x1", "broadcast 64 B to 10, per delivery", "broadcast", 10, size=64, extra=True),
    Row("broadcast-100x1", "broadcast 64 B to 100, per delivery", "broadcast", 100, size=64, extra=True),
    Row(
        "broadcast-10000x1",
        "broadcast 64 B to 10,000, per delivery",
        "broadcast",
        10_000,
        size=64,
        flat=(("broadcast-10x1", 1.5), ("broadcast-100x1", 1.5), ("broadcast-1000x1", 1.5)),
        extra=True,
    ),
    # As many as a limit of 20,000 open files leaves.
    Row(
        "idle-20000",
        "memory per idle WebSocket, 19,800",
        "idle",
        19_800,
        limit=6,
        extra=True,
        seconds=1,
        unit="KiB",
    ),
    # Two of Node's default ping intervals, so that each connection has its heartbeats.
    Row(
        "idle-cpu",
        "CPU of 10,000 idle WebSockets with default heartbeats",
        "idle",
        10_000,
        limit=2,
        extra=True,
        seconds=50,
        unit="% of a core",
    ),
)

#: Rows that are named together.
GROUPS = {
    "scale": (
        "echo-10x1", "echo-100x1", "echo-1000x1", "echo-10000x1", "broadcast-10x1", "broadcast-100x1",
        "broadcast-1000x1", "broadcast-10000x1", "idle-5000", "idle-20000", "idle-cpu",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One thing to measure. `start` installs it if need be and returns its command and environment.

    The command is completed by the port and `arguments`.
    """

    name: str
    title: str
    start: Callable[[], Start]
    proto: str = "sio"
    eio: int = 4
    group: str = ""
    scenarios: frozenset[str] = frozenset(
        ("echo", "ack", "binary", "broadcast", "connect", "polling", "idle")
    )
    extra: bool = False
    arguments: tuple[str, ...] = ()


def _fastsio(modules: str = "fastsio", file: str = "fastsio_server.py") -> Start:
    environment = {"PYTHONPATH": str(ROOT / "src")}
    code = f"import {modules}; fastsio.Server"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Unavailable(f"{modules} cannot be imported by {sys.executable}: {lines[-1] if lines else ''}")
    return [sys.executable, str(SERVERS_DIR / file)], environment


def _fastsio_under_uvicorn() -> Start:
    return _fastsio("fastsio, uvicorn")


def _fastsio_compat() -> Start:
    return _fastsio("fastsio, fastsio.compat.socketio", _PYSIO)


def _node(engine: str) -> Callable[[], Start]:
    def start() -> Start:
        paths, environment = [install.node()], {}
        if engine == "eiows":
            paths.append(install.eiows())
        elif engine == "uws":
            modules, environment = install.uws()
            paths.append(modules)
        command = ["node", str(SERVERS_DIR / "node_server.js")]
        return command, {**environment, "NODE_PATH": os.pathsep.join(map(str, paths))}

    return start


def _node2() -> Start:
    return ["node", str(SERVERS_DIR / "node_server.js")], {"NODE_PATH": str(install.node2())}


def _python(file: str) -> Callable[[], Start]:
    return lambda: ([str(install.python()), str(SERVERS_DIR / file)], {})


def _floor() -> Start:
    return [str(install.compiled(SERVERS_DIR / "floor.c"))], {}


_PYSIO = "python_socketio_server.py"
_TCP = frozenset(("echo", "binary", "connect", "idle"))

SERVERS = (
    Server("fastsio", "fastsio", _fastsio),
    Server("fastsio-asgi", "fastsio, ASGI", _fastsio_under_uvicorn, extra=True, arguments=("asgi",)),
    Server(
        "fastsio-uvicorn",
        "fastsio, uvicorn protocol",
        _fastsio_under_uvicorn,
        extra=True,
        arguments=("uvicorn-protocol",),
    ),
    Server("fastsio-compat", "fastsio.compat.socketio", _fastsio_compat, extra=True, arguments=("fastsio",)),
    Server("node-ws", "Node, ws", _node("ws"), arguments=("ws",)),
    Server("node-eiows", "Node, eiows", _node("eiows"), arguments=("eiows",)),
    Server("node-uws", "Node, µWebSockets.js", _node("uws"), arguments=("uws",)),
    Server("node2", "Node, socket.io 2", _node2, eio=3),
    Server(
        "pysio-aiohttp", "python-socketio, aiohttp", _python(_PYSIO), group="pysio", arguments=("aiohttp",)
    ),
    Server(
        "pysio-uvicorn",
        "python-socketio, uvicorn",
        _python(_PYSIO),
        group="pysio",
        arguments=("websockets-sansio",),
    ),
    Server(
        "pysio-websockets",
        "python-socketio, uvicorn + websockets",
        _python(_PYSIO),
        group="pysio",
        extra=True,
        arguments=("websockets",),
    ),
    Server(
        "pysio-wsproto",
        "python-socketio, uvicorn + wsproto",
        _python(_PYSIO),
        group="pysio",
        extra=True,
        arguments=("wsproto",),
    ),
    Server("picows", "floor: picows echo", _python("picows_echo.py"), proto="ws", scenarios=_TCP),
    Server("uvloop-tcp", "floor: uvloop TCP echo", _python("uvloop_echo.py"), proto="raw", scenarios=_TCP),
    Server(
        "c-floor", "floor: C epoll", _floor, proto="raw", scenarios=frozenset(("echo", "binary", "broadcast"))
    ),
)


# ---- one measurement ----


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def on_core(core: int) -> Callable[[], None] | None:
    if core < 0:
        return None
    return lambda: os.sched_setaffinity(0, {core})


def wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as s:
            s.settimeout(1)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.2)  # the start-up work that follows listen()
                return
        time.sleep(0.05)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise Unavailable(f"did not start; see {log}: {lines[-1] if lines else 'no output'}")


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def times(row: Row, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of warm-up and of the window. Many connections need time until all have had their turn."""
    least = row.conns / 2500
    return max(args.warmup, least), row.seconds or max(args.seconds, least)


def measure(row: Row, server: Server, eio: int, args: argparse.Namespace) -> Cell:
    """One cell: a fresh server, the load generator against it, its JSON."""
    command, environment = server.start()
    port = free_port()
    log = LOGS / f"{server.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, str(port), *server.arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=on_core(args.server_core),
        )
    try:
        wait_listening(process, port, log)
        warmup, seconds = times(row, args)
        options = {
            "port": port,
            "pid": process.pid,
            "scenario": row.scenario,
            "proto": server.proto,
            "eio": eio,
            "conns": row.conns,
            "depth": row.depth,
            "size": row.size,
            "warmup": warmup,
            "seconds": seconds,
        }
        words = [str(install.compiled(HERE / "loadgen.c"))]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=warmup + seconds + 180,
            preexec_fn=on_core(args.load_core),
        )
    except subprocess.TimeoutExpired:
        return {"failed": "the load generator did not end"}
    except Unavailable as e:
        return {"failed": str(e)}
    finally:
        stop(process)
    if not done.stdout.strip():
        return {"failed": done.stderr.strip() or f"the load generator ended with {done.returncode}"}
    cell: Cell = json.loads(done.stdout)
    return cell


# ---- the run ----


def choose(names: str | None, known: dict[str, bool], what: str) -> list[str]:
    """Names, or their first parts (`echo` for all of echo-…), or `all`, or of GROUPS. Extras only by name or
    with `all`."""
    if not names:
        return [name for name, extra in known.items() if not extra]
    chosen: list[str] = []
    for word in names.split(","):
        if word == "all":
            found = list(known)
        elif word in known:
            found = [word]
        elif word in GROUPS:
            found = [n for n in GROUPS[word] if n in known]
        else:
            found = [n for n, extra in known.items() if n.startswith(word + "-") and not extra]
        if not found:
            raise SystemExit(f"no {what} {word!r}; there are: {', '.join(known)}")
        chosen += [n for n in found if n not in chosen]
    return chosen


def parse_args() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--rows",
        help="rows, comma-separated; a first part such as `echo` takes all of them; `scale`: how it grows",
    )
    p.add_argument(
        "--servers", help="servers, comma-separated; name@3 drives one that speaks both with protocol 3"
    )
    p.add_argument("--rounds", type=int, default=3, help="repetitions; medians are reported (3)")
    p.add_argument("--seconds", type=float, default=5, help="measured window (5)")
    p.add_argument("--warmup", type=float, default=2, help="before the window (2)")
    p.add_argument("--server-core", type=int, default=0, help="core of the server (0); -1: do not pin")
    p.add_argument("--load-core", type=int, default=1, help="core of the load generator (1); -1: do not pin")
    p.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder of the results")
    p.add_argument("--label", default="macro", help="first part of the result files' names (macro)")
    p.add_argument("--list", action="store_true", help="list rows and servers, and end")
    p.add_argument("--install", action="store_true", help="install everything, and end")
    args = p.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.warmup < 0:
        p.error("--rounds, --seconds and --warmup must be positive")
    return args


def pick_servers(names: str | None) -> list[tuple[str, Server, int]]:
    """(label, server, Engine.IO protocol) of each server asked for."""
    by_name = {s.name: s for s in SERVERS}
    picked: list[tuple[str, Server, int]] = []
    plain: list[str] = []
    for word in (names or "").split(","):
        name, at, eio = word.partition("@")
        if not at:
            plain.append(word)
            continue
        if name not in by_name or eio not in ("3", "4") or by_name[name].proto != "sio":
            raise SystemExit(f"no server {word!r}")
        picked.append((word, by_name[name], int(eio)))
    if any(plain) or not picked:
        known = {s.name: s.extra for s in SERVERS}
        chosen = choose(",".join(w for w in plain if w) or None, known, "server")
        picked += [(n, by_name[n], by_name[n].eio) for n in chosen]
    return picked


def raise_file_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(hard, NOFILE), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def machine() -> dict[str, str]:
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "cpu": f"{os.cpu_count()} × {model}",
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": "-".join(platform.libc_ver()),
        "python": platform.python_version(),
    }


def git_commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def fastsio_versions() -> dict[str, str]:
    """What fastsio ran with: it is measured in this interpreter, not in the rivals' environment."""
    import importlib.metadata as metadata

    found = {}
    for name in ("fastsio", "uvloop", "httptools", "orjson", "wsproto"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "source tree" if name == "fastsio" else "not installed"
    return found


def summarise(row: Row, cells: list[Cell]) -> Cell:
    """The medians of one row and server."""
    good = [c for c in cells if "failed" not in c]
    if not good or (row.unit == "µs" and not any(c["messages"] for c in good)):
        reasons = [c.get("failed") or c.get("first_error", "no messages") for c in cells]
        return {"failed": reasons[-1], "rounds": cells}
    values = [row.value(c) for c in good]

    def median(get: Callable[[Cell], float]) -> float:
        return statistics.median(get(c) for c in good)

    return {
        "value": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
        "per_second": median(lambda c: c["per_second"]),
        "p50_us": median(lambda c: c["latency_us"]["p50"]),
        "p99_us": median(lambda c: c["latency_us"]["p99"]),
        "cpu_share": median(lambda c: c["cpu_share"]),
        "own_cpu_share": max(c["own_cpu_share"] for c in good),
        "rss_mib": median(lambda c: c["rss_end"] / 2**20),
        "errors": sum(c["errors"] for c in good) + sum("failed" in c for c in cells),
        "rounds": cells,
    }


# ---- the report ----


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mark(cell: Cell) -> str:
    if cell["errors"]:
        return " ⚠"
    return " †" if cell["own_cpu_share"] > OWN_LIMIT else ""


def against(row_cells: dict[str, Cell], other: str) -> tuple[str, float] | None:
    """The figure a goal is held against: a server's, or the best one's of a group."""
    groups = {s.name: s.group for s in SERVERS}
    found = [
        (name, cell["value"])
        for name, cell in row_cells.items()
        if "value" in cell and (name == other or groups.get(name) == other)
    ]
    return min(found, key=lambda item: item[1]) if found else None


def goal_line(row: Row, base: str, value: float, base_value: float, most: float) -> str:
    """A line of the table of goals: a figure, as a ratio to another."""
    ratio = value / base_value if base_value else float("inf")
    met = "yes" if ratio <= most else "**no**"
    return f"| {row.name} | {base} | {ratio:.2f} | ≤ {most:.2f} | {met} |"


def markdown(result: dict[str, Any]) -> str:
    rows = [r for r in ROWS if r.name in result["rows"]]
    labels: list[str] = result["servers"]
    titles = {s.name: s.title for s in SERVERS}

    def title(label: str) -> str:
        name, at, eio = label.partition("@")
        return titles[name] + (f" (protocol {eio})" if at else "")

    lines = ["# Server benchmark", ""]
    lines += [
        f"{result['date']}, {result['machine']['cpu']}, {result['machine']['kernel']}, "
        f"commit {result['commit']}."
    ]
    lines += [
        f"{result['rounds']} round(s) of {result['seconds']:g} s after {result['warmup']:g} s of warm-up, "
        "medians. "
        "CPU µs of the server process per message, unless the row names another unit; lower is better. "
        "Gaps under 25 % are noise (ack: 50 %).",
        "",
        "| row | " + " | ".join(title(s) for s in labels) + " |",
        "|---|" + "---:|" * len(labels),
    ]
    for row in rows:
        cells = result["rows"][row.name]
        texts = []
        for label in labels:
            cell = cells.get(label)
            if cell is None:
                texts.append("")
            elif "value" in cell:
                texts.append(number(cell["value"]) + mark(cell))
            else:
                texts.append("failed")
        unit = "" if row.unit == "µs" else f" ({row.unit})"
        lines.append(f"| {row.title}{unit} | " + " | ".join(texts) + " |")
    lines += ["", f"⚠ errors in replies, see the JSON. † the load generator was over {OWN_LIMIT:.0%} busy."]

    lines += [
        "",
        "## Latency and rate",
        "",
        "Closed loop, so latency follows from CPU and queueing: compare only within a row.",
        "",
    ]
    lines += [
        "| row | server | messages/s | p50 µs | p99 µs | server busy | generator busy | RSS MiB "
        "| lowest–highest |"
    ]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        for label, cell in result["rows"][row.name].items():
            if "value" not in cell:
                continue
            lines.append(
                f"| {row.name} | {label} | {cell['per_second']:,.0f} "
                f"| {cell['p50_us']:,.0f} | {cell['p99_us']:,.0f} "
                f"| {cell['cpu_share']:.2f} | {cell['own_cpu_share']:.2f} | {cell['rss_mib']:.0f} "
                f"| {number(cell['lowest'])}–{number(cell['highest'])} |"
            )

    goals = []
    for row in rows:
        ours = result["rows"][row.name].get("fastsio", {})
        if "value" not in ours:
            continue
        for other, ratio in row.goals:
            base = against(result["rows"][row.name], other)
            if base:
                goals.append(goal_line(row, base[0], ours["value"], base[1], ratio))
        if row.limit is not None:
            met = "yes" if ours["value"] <= row.limit else "**no**"
            is_now, unit = number(ours["value"]), row.unit
            goals.append(f"| {row.name} | – | {is_now} {unit} | ≤ {row.limit:g} {unit} | {met} |")
        for other_row, ratio in row.flat:
            base_cell = result["rows"].get(other_row, {}).get("fastsio", {})
            if "value" in base_cell:
                against_what = f"fastsio, {other_row}"
                goals.append(goal_line(row, against_what, ours["value"], base_cell["value"], ratio))
    if goals:
        lines += [
            "",
            "## fastsio against its goals",
            "",
            "| row | against | ratio | goal | met |",
            "|---|---|---:|---:|---|",
            *goals,
        ]

    lines += ["", "## Versions", ""]
    for heading in ("versions", "fastsio_versions", "machine"):
        lines.append("* " + ", ".join(f"{k} {v}" for k, v in result[heading].items()))
    if result["skipped"]:
        lines += ["", "## Left out", ""]
        lines += [f"* {name}: {reason}" for name, reason in result["skipped"].items()]
    failures = [
        (row.name, label, cell["failed"])
        for row in rows
        for label, cell in result["rows"][row.name].items()
        if "failed" in cell
    ]
    if failures:
        lines += ["", "## Failed", ""]
        lines += [f"* {row} on {label}: {reason}" for row, label, reason in failures]
    return "\n".join(lines) + "\n"


def write(result: dict[str, Any], args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    data = args.out / f"{args.label}.json"
    data.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (args.out / f"{args.label}.md").write_text(markdown(result))
    written = [data.name, f"{args.label}.md"]
    try:
        svg = args.out / f"{args.label}.svg"
        install.run(install.plotter(), HERE / "chart.py", data, svg)
        written.append(svg.name)
    except Unavailable as e:
        say(f"no chart: {e}")
    say(f"wrote {', '.join(written)} to {args.out}")


def main() -> int:
    args = parse_args()
    if args.list:
        for row in ROWS:
            print(f"{row.name:18} {row.title}{' [extra]' if row.extra else ''}")
        print()
        for server in SERVERS:
            print(f"{server.name:18} {server.title}{' [extra]' if server.extra else ''}")
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    row_names = choose(args.rows, {r.name: r.extra for r in ROWS}, "row")
    rows = [r for r in ROWS if r.name in row_names]
    skipped: dict[str, str] = {}
    servers: list[tuple[str, Server, int]] = []
    install.compiled(HERE / "loadgen.c")
    for label, server, eio in pick_servers(args.servers):
        try:
            server.start()
        except Unavailable as e:
            say(f"leaving out {label}: {e}")
            skipped[label] = str(e)
        else:
            servers.append((label, server, eio))
    if args.install:
        return 0
    if not servers:
        say("nothing to measure")
        return 1
    limit = raise_file_limit()
    cores = os.sched_getaffinity(0)
    if not {args.server_core, args.load_core} <= cores | {-1}:
        say(f"this process may use cores {sorted(cores)} only; choose with --server-core and --load-core")
        return 2
    for row in [r for r in rows if r.conns + SPARE_FILES > limit]:
        skipped[row.name] = f"needs {row.conns + SPARE_FILES} open files, the limit is {limit}"
        say(f"leaving out {row.name}: {skipped[row.name]}")
        rows.remove(row)

    plan = {r.name: [s for s in servers if r.scenario in s[1].scenarios] for r in rows}
    cost = sum(len(plan[r.name]) * (sum(times(r, args)) + 2) for r in rows) * args.rounds
    say(f"{sum(map(len, plan.values())) * args.rounds} measurements, about {cost / 60:.0f} minutes")
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git_commit(),
        "machine": machine(),
        "versions": install.versions(),
        "fastsio_versions": fastsio_versions(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "warmup": args.warmup,
        "servers": [label for label, _, _ in servers],
        "skipped": skipped,
        "rows": {},
    }
    bad = 0
    try:
        for row in rows:
            cells: dict[str, list[Cell]] = {label: [] for label, _, _ in plan[row.name]}
            for turn in range(args.rounds):
                # There and back, so that a drift of the machine does not always hit the same server.
                for label, server, eio in plan[row.name] if turn % 2 == 0 else reversed(plan[row.name]):
                    cell = measure(row, server, eio, args)
                    cells[label].append(cell)
                    if "failed" in cell:
                        note = f"failed: {cell['failed']}"
                    else:
                        note = f"{number(row.value(cell))} {row.unit}"
                        if row.scenario != "idle":
                            note += f", p99 {cell['latency_us']['p99']:.0f} µs"
                            note += f", generator {cell['own_cpu_share']:.0%} busy"
                        if cell["errors"]:
                            note += f", {cell['errors']} ERRORS: {cell['first_error']}"
                    bad += "failed" in cell or bool(cell["errors"])
                    say(f"{row.name} {turn + 1}/{args.rounds} {label}: {note}")
                result["rows"][row.name] = {label: summarise(row, c) for label, c in cells.items() if c}
    except KeyboardInterrupt:
        say("interrupted; writing what there is")
    write(result, args)
    print(markdown(result))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
