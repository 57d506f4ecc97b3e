"""``fastsio load`` as a process: every scenario against a real server, and servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake import OPEN, Behaviour, Peer, fake_server

import fastsio
from fastsio.loadtest.server import make_server

ROOT = Path(fastsio.__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
}
QUICK = ["--duration", "0.4", "--warmup", "0.1", "--connect-timeout", "3"]
#: Seconds after which a run hangs.
HANG = 30.0


@dataclass
class Result:
    """A finished run."""

    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """What ``--json -`` told."""
        told = json.loads(self.stdout)
        assert isinstance(told, dict)
        return told

    @property
    def kinds(self) -> dict[str, int]:
        """The errors by kind."""
        kinds = self.report["errors"]["kinds"]
        assert isinstance(kinds, dict)
        return kinds


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fastsio",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )


async def finish(process: asyncio.subprocess.Process) -> Result:
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        pytest.fail("fastsio load hangs")
    result = Result(process.returncode or 0, stdout.decode(), stderr.decode())
    assert "Traceback" not in result.stderr
    return result


async def fastsio_command(*arguments: str) -> Result:
    return await finish(await start(*arguments))


async def load(port: int, *arguments: str) -> Result:
    """A quick run with the report as JSON."""
    return await fastsio_command("load", f"http://127.0.0.1:{port}", *QUICK, "--json", "-", *arguments)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert isinstance(port, int)
        return port


@dataclass
class Running:
    """A server process."""

    port: int
    pid: int


@contextlib.asynccontextmanager
async def load_server() -> AsyncIterator[Running]:
    """``fastsio load-server``."""
    port = free_port()
    process = await start("load-server", str(port))
    try:
        end = time.monotonic() + HANG
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None, (await finish(process)).stderr
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            else:
                break
        writer.close()
        await writer.wait_closed()
        yield Running(port, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        result = await finish(process)
        assert result.stderr == ""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server for the module; a loop of its own keeps it."""
    loop = asyncio.new_event_loop()
    context = load_server()
    try:
        yield loop.run_until_complete(context.__aenter__())
        loop.run_until_complete(context.__aexit__(None, None, None))
    finally:
        loop.close()


# ---- scenarios


@pytest.mark.parametrize("scenario", ["echo", "ack", "broadcast", "rooms", "churn"])
async def test_scenarios_of_messages(server: Running, scenario: str) -> None:
    result = await load(server.port, "-s", scenario, "-c", "20", "--lifetime", "0.2")
    report = result.report
    assert result.status == 0
    assert result.kinds == {}
    assert report["clients"] == {
        "wanted": 20,
        "connected": 20,
        "connected_at_end": report["clients"]["connected_at_end"],
    }
    assert report["messages"]["received"] > 20
    assert report["messages"]["unasked"] == 0
    assert report["latency"]["count"] >= report["messages"]["received"]
    assert 0 < report["latency"]["p50"] <= report["latency"]["p99"] <= report["latency"]["max"]
    if scenario == "churn":
        assert report["connects"]["total"] > 20
        assert report["connects"]["disconnects"] > 0
    else:
        assert report["connects"]["total"] == 20


@pytest.mark.parametrize(
    "arguments",
    [
        ["-s", "echo", "--protocol", "3"],
        ["-s", "echo", "--transport", "polling"],
        ["-s", "ack", "--transport", "polling", "--protocol", "3", "--binary", "0.5", "--depth", "3"],
        ["-s", "echo", "--binary", "0.5", "--depth", "8"],
        ["-s", "ack", "--binary", "1"],
        ["-s", "echo", "--size", "100k", "-c", "3"],
        ["-s", "broadcast", "--binary", "0.5", "--depth", "4", "-p", "2"],
        ["-s", "broadcast", "--transport", "polling", "--protocol", "3", "--binary", "0.5"],
        ["-s", "rooms", "--rooms", "3", "-p", "2", "--protocol", "3"],
        ["-s", "rooms", "--transport", "polling"],
        ["-s", "echo", "-p", "2", "--ramp-up", "0.2"],
        ["-s", "churn", "--transport", "polling", "--lifetime", "0.1"],
        ["-s", "connect", "--transport", "polling"],
        ["-s", "connect", "--protocol", "3"],
        ["-s", "reconnect", "--reconnect-delay", "0.1", "--transport", "polling"],
    ],
    ids=" ".join,
)
async def test_variations(server: Running, arguments: list[str]) -> None:
    result = await load(server.port, "-c", "10", *arguments, "--max-errors", "0")
    assert result.kinds == {}
    assert result.status == 0
    assert result.report["messages"]["received"] > 0


async def test_connect(server: Running) -> None:
    report = (await load(server.port, "-s", "connect", "-c", "5")).report
    assert report["errors"]["total"] == 0
    assert report["messages"]["received"] > 5
    assert report["connects"]["per_second"] > 0
    assert report["connects"]["disconnects"] >= report["messages"]["received"] - 5


async def test_idle(server: Running) -> None:
    report = (await load(server.port, "-s", "idle", "-c", "30", "--server-pid", str(server.pid))).report
    assert report["errors"]["total"] == 0
    assert (report["connects"]["total"], report["clients"]["connected_at_end"]) == (30, 30)
    assert report["messages"]["sent"] == report["messages"]["received"] == 0
    assert report["latency"] is None
    assert report["server"]["cpu_share"] >= 0


async def test_reconnect(server: Running) -> None:
    result = await load(server.port, "-s", "reconnect", "-c", "30", "--reconnect-delay", "0.1", "-d", "20")
    report = result.report
    assert result.kinds == {}
    assert report["back"]["count"] == 30
    assert report["connects"]["total"] == 60
    # Over as soon as all are back.
    assert report["elapsed"] < 15
    assert report["clients"]["connected_at_end"] == 30


@pytest.mark.parametrize("scenario", ["echo", "rooms", "connect"])
async def test_open_loop(server: Running, scenario: str) -> None:
    report = (await load(server.port, "-s", scenario, "-c", "10", "--rate", "200", "-d", "1")).report
    assert report["errors"]["total"] == 0
    # No more than is due, whatever the machine is busy with.
    assert 0 < report["messages"]["sent"] <= 200 * report["elapsed"] + 60


async def test_an_open_loop_counts_latency_from_the_time_a_message_was_due() -> None:
    """A server that stops for a while is charged for all that was due meanwhile, not for one message."""

    async def stalls(peer: Peer) -> None:
        await peer.join()
        stalled = False
        began = time.monotonic()
        while True:
            text = await peer.receive()
            if not stalled and time.monotonic() - began > 0.5:
                stalled = True
                await asyncio.sleep(0.5)
            peer.text(text)

    async with fake_server(stalls) as port:
        report = (await load(port, "-c", "1", "--rate", "200", "-d", "1.5", "--warmup", "0")).report
    assert report["errors"]["total"] == 0
    # About a hundred were due in that half second, of three hundred: the slowest third waited.
    assert report["latency"]["p90"] > 0.1
    assert report["latency"]["count"] > 100


USER = """
async def client(socket):
    seen = []
    socket.on("echo", seen.append)
    for turn in range(3):
        assert await socket.emit_with_ack("ack", {"turn": turn, "data": b"bytes"}) == {
            "turn": turn, "data": b"bytes"
        }
    socket.emit("echo", "one")
    while not seen:
        await socket.sleep(0.01)
    assert seen == ["one"]
    socket.emit("broadcast", "all")
    assert await socket.wait_for("broadcast") == "all"
    socket.record(0.001)
    print("client", socket.index, "done")
"""


def scenario_file(folder: Path, text: str) -> str:
    file = folder / "scenario.py"
    file.write_text(text)
    return str(file)


async def test_a_scenario_of_ones_own(server: Running, tmp_path: Path) -> None:
    file = scenario_file(tmp_path, USER)
    result = await load(server.port, "-s", file, "-c", "2", "--iterations", "2", "-d", "20")
    report = result.report
    assert result.kinds == {}
    assert result.status == 0
    assert report["elapsed"] < 15
    assert report["connects"]["total"] == 4
    printed = [line for line in result.stderr.splitlines() if line.endswith("done")]
    assert sorted(printed) == ["client 0 done"] * 2 + ["client 1 done"] * 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise KeyError('oops')", "scenario"),
        ("await socket.emit_with_ack('nobody', timeout=0.05)", "ack_timeout"),
        ("await socket.wait_for('never', timeout=0.05)", "event_timeout"),
        ("socket.error('mine', 'detail')", "mine"),
        ("socket.emit('echo', object())", "scenario"),
        ("socket.on('echo', client)", "scenario"),
        ("socket.on('echo', lambda x: 1 / 0); socket.emit('echo', 1); await socket.sleep(0.1)", "scenario"),
    ],
)
async def test_errors_of_a_scenario(server: Running, tmp_path: Path, body: str, kind: str) -> None:
    file = scenario_file(tmp_path, f"async def client(socket):\n    {body}\n")
    result = await load(server.port, "-s", file, "-c", "2", "--max-errors", "0", "--iterations", "1")
    assert result.status == 1
    assert set(result.kinds) == {kind}
    if kind == "scenario":
        assert "scenario.py, line 2" in result.report["errors"]["details"][kind]["first"]


async def test_a_scenario_whose_connection_breaks(tmp_path: Path) -> None:
    async def closes(peer: Peer) -> None:
        await peer.join()

    file = scenario_file(tmp_path, "async def client(socket):\n    await socket.wait_for('never')\n")
    async with fake_server(closes) as port:
        result = await load(port, "-s", file, "-c", "2")
    assert set(result.kinds) == {"connection_lost"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "has no `async def client(socket)`"),
        ("def client(socket): pass\n", "has no `async def client(socket)`"),
        ("1 / 0\n", "cannot be run: ZeroDivisionError"),
        ("def\n", "cannot be run: SyntaxError"),
    ],
)
async def test_files_that_are_no_scenario(server: Running, tmp_path: Path, text: str, sentence: str) -> None:
    result = await load(server.port, "-s", scenario_file(tmp_path, text))
    assert result.status == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


# ---- what a server may ask for, and how it may answer


async def test_what_a_client_sends_when_it_connects() -> None:
    seen: list[str] = []

    async def looks(peer: Peer) -> None:
        await peer.upgrade()
        seen.append(peer.request.decode())
        peer.text("0" + OPEN)
        seen.append(await peer.receive())
        peer.text('40/chat,{"sid":"def"}')
        while True:
            peer.text(await peer.receive())

    async with fake_server(looks) as port:
        result = await fastsio_command(
            *("load", f"http://127.0.0.1:{port}/io/?token=1", *QUICK, "-c", "1", "--json", "-"),
            *("-n", "/chat", "--auth", '{"a":[1]}', "-H", "Cookie: x=y"),
        )
    assert result.kinds == {}
    assert result.report["messages"]["received"] > 0
    assert seen[0].startswith("GET /io/?token=1&EIO=4&transport=websocket HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{port}\r\n" in seen[0]
    assert "\r\nCookie: x=y\r\n" in seen[0]
    assert seen[1] == '40/chat,{"a":[1]}'


async def test_a_namespace_that_the_server_does_not_have(server: Running) -> None:
    result = await load(server.port, "-c", "3", "-n", "/none")
    assert result.status == 1
    assert result.kinds == {"namespace_refused": 3}


async def test_replies_in_other_words() -> None:
    """Spaces in the JSON, an offset behind it, and events nobody asked for: right all the same."""

    async def rewrites(peer: Peer) -> None:
        await peer.join()
        while True:
            event, value = json.loads((await peer.receive())[2:])
            peer.text('42["news",1]')
            peer.text("42" + json.dumps([event, value, "offset"], indent=1))

    async with fake_server(rewrites) as port:
        report = (await load(port, "-c", "2", "--depth", "3")).report
    assert report["errors"]["kinds"] == {}
    assert report["messages"]["received"] > 10
    assert report["messages"]["unasked"] > 10


async def test_localhost_of_several_addresses(server: Running) -> None:
    result = await fastsio_command("load", f"localhost:{server.port}", *QUICK, "--json", "-")
    assert result.kinds == {}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -keyout key.pem -out cert.pem && cat key.pem cert.pem > both.pem",
        shell=True,
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return folder / "both.pem"


# CPython 3.10 and asyncio: what is left of a handshake that the client broke off.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_tls(certificate: Path, transport: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = make_server()
    port = free_port()
    await server.listen(port, "127.0.0.1", ssl=context)
    arguments = ("load", f"https://127.0.0.1:{port}", *QUICK, "-c", "3", "--transport", transport)
    try:
        refused = await fastsio_command(*arguments, "--json", "-")
        accepted = await fastsio_command(*arguments, "--json", "-", "--insecure")
    finally:
        await server.close(grace=0.2)
        gc.collect()
    assert refused.kinds == {"tls": 3}
    assert accepted.kinds == {}
    assert accepted.report["messages"]["received"] > 3


# ---- reports and exit statuses


async def test_json_schema(server: Running, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    page = tmp_path / "report.html"
    result = await fastsio_command(
        *("load", f"http://127.0.0.1:{server.port}", *QUICK, "-d", "1", "--server-pid", str(server.pid)),
        *("--json", str(file), "--html", str(page)),
    )
    assert result.status == 0
    report = json.loads(file.read_text())
    assert report["messages"]["received"] > 0
    assert {name: type(value).__name__ for name, value in report.items()} == {
        "version": "int",
        "fastsio": "str",
        "python": "str",
        "machine": "str",
        "began": "float",
        "elapsed": "float",
        "interrupted": "bool",
        "options": "dict",
        "clients": "dict",
        "connects": "dict",
        "messages": "dict",
        "latency": "dict",
        "back": "NoneType",
        "errors": "dict",
        "server": "dict",
        "harness": "dict",
        "warnings": "list",
        "broken": "list",
        "timeline": "list",
    }
    latency = {"count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"}
    assert set(report["latency"]) == set(report["connects"]["latency"]) == latency
    assert set(report["messages"]) == {"unit", "sent", "received", "per_second", "unasked"}
    assert report["messages"]["per_second"] == pytest.approx(
        report["messages"]["received"] / report["elapsed"], rel=0.001
    )
    assert report["server"]["cpu_us_per_message"] > 0
    assert report["server"]["memory_at_start"] > 1_000_000
    assert "memory_per_connection" in report["server"]
    assert report["harness"]["cpu_us_per_message"] > 0
    assert sum(point["latency"]["count"] for point in report["timeline"]) == report["messages"]["received"]
    # The same figures for people, on both.
    assert "throughput" in result.stdout and "p99.9" in result.stdout
    text = page.read_text()
    assert text.count("<svg") == 4
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")


async def test_json_has_standard_output_to_itself(server: Running) -> None:
    result = await load(server.port)
    assert result.report["errors"]["total"] == 0
    assert "throughput" in result.stderr


async def test_quiet(server: Running) -> None:
    result = await fastsio_command("load", f"127.0.0.1:{server.port}", *QUICK, "--quiet")
    assert (result.status, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (["--max-p99", "1us"], 1),
        (["--max-p99", "1h", "--max-errors", "0"], 0),
    ],
)
async def test_limits(server: Running, limits: list[str], status: int) -> None:
    result = await load(server.port, *limits)
    assert result.status == status
    assert bool(result.report["broken"]) == bool(status)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["http://127.0.0.1:1", "-s", "ecko"], "no scenario 'ecko'"),
        (["ftp://127.0.0.1"], "is not a URL"),
        (["http://127.0.0.1:1", "--clients", "0"], "clients must be between"),
        (["http://127.0.0.1:1", "--duration", "soon"], "is not a duration"),
        (["http://127.0.0.1:1", "--size", "big"], "is not a size"),
        (["http://127.0.0.1:1", "--header", "nocolon"], "Name: value"),
        (["http://127.0.0.1:1", "--auth", "[1]"], "must be a JSON object"),
        (["http://127.0.0.1:1", "--auth", "{"], "is not JSON"),
        (["http://127.0.0.1:1", "--json", "/no/such/folder/x"], "cannot be written"),
        (["http://127.0.0.1:1", "--server-pid", "2147483647"], "--server-pid"),
        (["http://no-such-host.invalid:1"], "no-such-host.invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_wrong_usage(arguments: list[str], sentence: str) -> None:
    result = await fastsio_command("load", *arguments)
    assert result.status == 2
    assert result.stdout == ""
    assert sentence in result.stderr


async def test_without_the_extra() -> None:
    code = "import sys; sys.modules['click'] = None; from fastsio.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    result = await finish(process)
    assert result.status == 2
    assert len(result.stderr.splitlines()) == 1
    assert "pip install click rich" in result.stderr


# ---- servers that misbehave


async def test_a_server_that_refuses() -> None:
    result = await load(free_port(), "-c", "20", "-p", "2")
    assert result.status == 1
    assert result.kinds == {"refused": 20}
    assert result.report["broken"] == ["no client could connect"]


async def http_500(peer: Peer) -> None:
    await peer.read_request()
    peer.raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")
    await peer.reader.read()


async def http_503_without_a_length(peer: Peer) -> None:
    await peer.read_request()
    peer.raw(b"HTTP/1.0 503 Oops\r\nServer: x\r\n\r\n")


async def no_http(peer: Peer) -> None:
    await peer.read_request()
    peer.raw(b"SSH-2.0-OpenSSH_9.9\r\n")
    await peer.reader.read()


async def wrong_accept(peer: Peer) -> None:
    await peer.read_request()
    peer.raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n"
    )
    await peer.reader.read()


def without_end(begin: bytes, more: bytes) -> Behaviour:
    async def behaviour(peer: Peer) -> None:
        await peer.read_request()
        peer.raw(begin)
        while True:
            peer.raw(more)
            await peer.writer.drain()

    return behaviour


endless_headers = without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000)
a_header_without_end = without_end(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 10_000)


async def closes_at_once(peer: Peer) -> None:
    """Does not even read."""


async def closes_after_upgrade(peer: Peer) -> None:
    await peer.upgrade()


async def garbage_after_upgrade(peer: Peer) -> None:
    await peer.upgrade()
    peer.raw(b"\xff" * 100)
    await peer.reader.read()


async def no_open_packet(peer: Peer) -> None:
    await peer.upgrade()
    peer.text("hello")
    await peer.reader.read()


async def odd_open_packet(peer: Peer) -> None:
    await peer.upgrade()
    peer.text('0{"sid":5,"pingInterval":"x"}')
    await peer.reader.read()


async def open_packet_is_a_list(peer: Peer) -> None:
    await peer.upgrade()
    peer.text("0[]")
    await peer.reader.read()


async def empty_message(peer: Peer) -> None:
    await peer.upgrade()
    peer.text("")
    await peer.reader.read()


async def namespace_refused(peer: Peer) -> None:
    await peer.upgrade()
    peer.text("0" + OPEN)
    await peer.receive()
    peer.text('44{"message":"no"}')
    await peer.reader.read()


async def silent(peer: Peer) -> None:
    await peer.reader.read()


async def silent_after_upgrade(peer: Peer) -> None:
    await peer.upgrade()
    await peer.reader.read()


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (http_500, "http_500"),
        (http_503_without_a_length, "http_503"),
        (no_http, "bad_http"),
        (wrong_accept, "bad_http"),
        (endless_headers, "bad_http"),
        (a_header_without_end, "bad_http"),
        (closes_at_once, "closed_early"),
        (closes_after_upgrade, "closed_early"),
        (garbage_after_upgrade, "bad_frame"),
        (no_open_packet, "bad_handshake"),
        (odd_open_packet, "bad_handshake"),
        (open_packet_is_a_list, "bad_handshake"),
        (empty_message, "bad_handshake"),
        (namespace_refused, "namespace_refused"),
        (silent, "connect_timeout"),
        (silent_after_upgrade, "connect_timeout"),
    ],
)
async def test_servers_that_never_let_a_client_in(behaviour: Behaviour, kind: str) -> None:
    async with fake_server(behaviour) as port:
        result = await load(port, "-c", "5", "--connect-timeout", "0.3" if "timeout" in kind else "5")
    assert result.status == 1
    assert result.kinds == {kind: 5}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "http_500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "bad_handshake"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad_http"),
        (b"nonsense\r\n\r\n", "bad_http"),
        (b"", "closed_early"),
    ],
    ids=repr,
)
async def test_polling_servers_that_never_let_a_client_in(body: bytes, kind: str) -> None:
    async def answers(peer: Peer) -> None:
        await peer.read_request()
        peer.raw(body)
        if body:
            await peer.reader.read()

    async with fake_server(answers) as port:
        result = await load(port, "-c", "5", "--transport", "polling")
    assert result.status == 1
    assert result.kinds == {kind: 5}


@pytest.mark.parametrize("behaviour", [endless_headers, a_header_without_end])
async def test_polling_servers_whose_headers_have_no_end(behaviour: Behaviour) -> None:
    async with fake_server(behaviour) as port:
        result = await load(port, "-c", "5", "--transport", "polling")
    assert result.status == 1
    assert result.kinds == {"bad_http": 5}


async def never_answers(peer: Peer) -> None:
    await peer.join()
    while True:
        await peer.receive()


async def closes_in_mid_run(peer: Peer) -> None:
    await peer.join()
    for _ in range(3):
        peer.text(await peer.receive())
    await peer.receive()


async def close_frame_in_mid_run(peer: Peer) -> None:
    await peer.join()
    await peer.receive()
    peer.raw(b"\x88\x02\x03\xe9")
    await peer.reader.read()


async def disconnect_packet(peer: Peer) -> None:
    await peer.join()
    await peer.receive()
    peer.text("41")
    await peer.reader.read()


async def garbage_in_mid_run(peer: Peer) -> None:
    await peer.join()
    peer.text(await peer.receive())
    peer.raw(b"\x83\x01x")
    await peer.reader.read()


async def bad_packet(peer: Peer) -> None:
    await peer.join()
    await peer.receive()
    peer.text("42[")
    await peer.reader.read()


async def bad_engine_packet(peer: Peer) -> None:
    await peer.join()
    await peer.receive()
    peer.text("x")
    await peer.reader.read()


async def wrong_payload(peer: Peer) -> None:
    await peer.join()
    while True:
        text = await peer.receive()
        peer.text(text[:-3] + "?" + text[-2:])


async def twice(peer: Peer) -> None:
    await peer.join()
    while True:
        text = await peer.receive()
        peer.text(text)
        peer.text(text)


async def skips(peer: Peer) -> None:
    await peer.join()
    while True:
        await peer.receive()
        peer.text(await peer.receive())


async def no_pings(peer: Peer) -> None:
    await peer.join(OPEN.replace("25000", "200").replace("20000", "100"))
    while True:
        peer.text(await peer.receive())


@pytest.mark.parametrize(
    ("behaviour", "kinds"),
    [
        (never_answers, {"no_reply"}),
        (closes_in_mid_run, {"connection_lost", "lost"}),
        (close_frame_in_mid_run, {"closed_by_server", "lost"}),
        (disconnect_packet, {"closed_by_server", "lost"}),
        (garbage_in_mid_run, {"bad_frame", "lost"}),
        (bad_packet, {"bad_packet", "lost"}),
        (bad_engine_packet, {"bad_packet", "lost"}),
        (wrong_payload, {"wrong_reply"}),
        (twice, {"duplicate"}),
        (no_pings, {"ping_timeout", "lost"}),
    ],
)
async def test_servers_that_go_wrong_in_mid_run(behaviour: Behaviour, kinds: set[str]) -> None:
    async with fake_server(behaviour) as port:
        result = await load(port, "-c", "3", "--max-errors", "0", "--drain", "0.2", "-d", "0.8")
    assert result.status == 1
    assert set(result.kinds) == kinds
    assert result.report["clients"]["connected"] == 3
    assert all(result.report["errors"]["details"][kind]["meaning"] for kind in kinds)


async def test_a_server_that_skips_messages() -> None:
    async with fake_server(skips) as port:
        result = await load(port, "-c", "2", "--depth", "4", "--drain", "0.2")
    assert result.kinds["lost"] > 10
    assert set(result.kinds) <= {"lost", "no_reply"}
    # One of two is lost.
    assert result.kinds["lost"] == pytest.approx(result.report["messages"]["received"], rel=0.5)


async def test_a_connection_that_breaks_is_made_anew() -> None:
    async with fake_server(closes_in_mid_run) as port:
        report = (await load(port, "-c", "2", "-d", "2")).report
    assert report["connects"]["total"] > 2
    assert report["messages"]["received"] > 3


async def test_a_server_that_ends_in_mid_run() -> None:
    async with load_server() as doomed:
        run = await start(
            *("load", f"http://127.0.0.1:{doomed.port}", "-d", "1.5", "--warmup", "0", "--json", "-"),
            *("--server-pid", str(doomed.pid)),
        )
        await asyncio.sleep(1.2)
        os.kill(doomed.pid, signal.SIGTERM)
        result = await finish(run)
    assert result.kinds.keys() & {"closed_by_server", "connection_lost", "refused", "closed_early"}
    assert result.status == 0


# ---- interruptions


async def children(pid: int, count: int) -> list[int]:
    """The processes that a process started, once there are so many."""
    end = time.monotonic() + HANG
    while True:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(found) == count:
            return [int(child) for child in found]
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def gone(pids: list[int]) -> bool:
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        await asyncio.sleep(0.02)
    return False


linux_only = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_tells_what_it_measured(server: Running, number: signal.Signals) -> None:
    run = await start(
        *("load", f"http://127.0.0.1:{server.port}", "-p", "2", "-d", "60", "--warmup", "0", "--json", "-")
    )
    workers = await children(run.pid, 2)
    await asyncio.sleep(2)
    run.send_signal(number)
    began = time.monotonic()
    result = await finish(run)
    assert time.monotonic() - began < 10
    report = result.report
    assert result.status == 130
    assert report["interrupted"] is True
    assert report["messages"]["received"] > 0
    assert report["messages"]["received"] == report["latency"]["count"]
    assert report["errors"]["total"] == 0
    assert await gone(workers)


@linux_only
async def test_interrupted_while_connecting() -> None:
    async with fake_server(silent) as port:
        run = await start("load", f"http://127.0.0.1:{port}", "-c", "3", "-p", "2", "--json", "-")
        workers = await children(run.pid, 2)
        await asyncio.sleep(1)
        run.send_signal(signal.SIGINT)
        result = await finish(run)
    assert result.status == 130
    assert result.report["interrupted"] is True
    assert await gone(workers)


@linux_only
async def test_a_load_process_that_dies_is_an_error(server: Running) -> None:
    run = await start("load", f"http://127.0.0.1:{server.port}", "-p", "2", "-d", "2", "--json", "-")
    workers = await children(run.pid, 2)
    await asyncio.sleep(1.5)
    os.kill(workers[0], signal.SIGKILL)
    result = await finish(run)
    assert result.kinds == {"worker_died": 1}
    assert result.report["messages"]["received"] > 0


@linux_only
async def test_load_processes_do_not_outlive_the_command(server: Running) -> None:
    run = await start("load", f"http://127.0.0.1:{server.port}", "-p", "2", "-d", "60")
    workers = await children(run.pid, 2)
    await asyncio.sleep(1)
    run.kill()
    await run.communicate()
    assert await gone(workers)
