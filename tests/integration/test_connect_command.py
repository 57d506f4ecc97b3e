"""``fastsio connect`` as a process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fastsio import ConnectionRefused, Server, Socket

pytest.importorskip("click")

Make = Callable[..., Any]


def behave(io: Server) -> None:
    def connection(socket: Socket) -> None:
        socket.emit("welcome", {"to": socket.nsp.name}, b"\x01")
        socket.on("sum", lambda a, b: a + b)
        socket.on("back", lambda *args: socket.emit("back", *args))
        socket.on("kick", lambda: socket.disconnect())

    def guard(socket: Socket) -> None:
        raise ConnectionRefused("nope")

    io.on("connection", connection)
    io.of("/chat").on("connection", connection)
    io.of("/guarded").use(guard)


async def run(*args: str, typed: str = "", status: int = 0) -> tuple[str, str]:
    """Run the command; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "fastsio", "connect", *args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(typed.encode()), 20)
    assert process.returncode == status, (out, err)
    return out.decode(), err.decode()


async def test_json(make_server: Make) -> None:
    io = await make_server(behave)
    typed = [
        '["back", 1, {"$bytes": "AQI="}]',
        '{"event": "sum", "args": [20, 22], "ack": true}',
        '{"namespace": "/chat", "event": "back", "args": ["ü"]}',
        "/guarded",
        '["connect"]',
    ]
    out, err = await run(
        f"http://127.0.0.1:{io.port}", "--json", "-n", "/chat", "--wait", "0.3", typed="\n".join(typed) + "\n"
    )
    assert err == ""
    records = [json.loads(line) for line in out.splitlines()]

    def of(kind: str) -> list[Any]:
        return [record for record in records if record["type"] == kind]

    assert sorted(record["namespace"] for record in of("connect")) == ["/", "/chat"]
    assert {"type": "ack", "namespace": "/", "event": "sum", "args": [42]} in records
    events = [(record["namespace"], record["event"], record["args"]) for record in of("event")]
    assert ("/", "welcome", [{"to": "/"}, {"$bytes": "AQ=="}]) in events
    assert ("/", "back", [1, {"$bytes": "AQI="}]) in events
    assert ("/chat", "back", ["ü"]) in events
    complaints = [record["message"] for record in of("error")]
    assert complaints == ["no command /guarded; /help lists them", "'connect' is a reserved event name"]


async def test_text(make_server: Make) -> None:
    io = await make_server(behave)
    typed = '/help\nback {"a": [1]} "x"\n? sum 1 2\n/join /guarded\n/join /chat\nkick\nback {oops\n'
    out, err = await run(f"127.0.0.1:{io.port}", "--wait", "0.3", "--transport", "websocket", typed=typed)
    assert err == ""
    for words in (
        "/join NAMESPACE",
        "/ connected as ",
        '/ welcome {"to": "/"} {"$bytes": "AQ=="}',
        '/ back {"a": [1]} "x"',
        "/ ack of sum 3",
        "/guarded: nope",
        "/chat connected as",
        "/chat disconnected: io server disconnect",
        "not JSON: {oops",
    ):
        assert words in out, (words, out)


async def test_failures(make_server: Make) -> None:
    io = await make_server(behave)
    url = f"http://127.0.0.1:{io.port}"
    out, _ = await run(f"{url}/guarded", status=1)
    assert "/guarded: nope" in out
    out, _ = await run("http://127.0.0.1:1", status=1)
    assert "cannot connect" in out
    for arguments in (["ftp://x"], [url, "--auth", "{"], [url, "--auth", "1"], [url, "-H", "no colon"]):
        _, err = await run(*arguments, status=2)
        assert "Error: " in err and "Traceback" not in err
