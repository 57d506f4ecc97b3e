"""Workers as servers of one process: what is between them, and what goes wrong there."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.wire import http

import fastsio
from fastsio.adapters import bus, worker_bus
from fastsio.adapters.memory import MemoryAdapter
from fastsio.engine.workers import WorkerPlace

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers need Linux")


def make(folder: Path, number: int, count: int, **options: Any) -> fastsio.Server:
    io = fastsio.Server(**options)
    io.join_workers(WorkerPlace(str(folder), number, count))
    return io


@contextlib.asynccontextmanager
async def workers(folder: Path, count: int = 2) -> AsyncIterator[list[fastsio.Server]]:
    servers = [make(folder, number, count) for number in range(count)]
    await asyncio.gather(*(io.listen(0, "127.0.0.1", reuse_port=True) for io in servers))
    try:
        yield servers
    finally:
        await asyncio.gather(*(io.close(0.2) for io in servers))


async def eventually(check: Callable[[], Any], seconds: float = 10) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


async def open_session(port: int) -> str:
    sid = json.loads((await http(port, "/socket.io/?EIO=4&transport=polling")).body[1:])["sid"]
    assert isinstance(sid, str)
    return sid


async def test_a_session_is_served_wherever_its_requests_come(tmp_path: Path) -> None:
    async with workers(tmp_path) as (one, two):
        addresses: list[str] = []
        two.engine.on("headers", lambda headers, request: addresses.append(request.remote_address))
        sid = await open_session(two.port)
        assert sid.endswith(".1")
        target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        bodies = [b"40", b'42["a"]', b'42["b"]']
        for port, body in zip((one.port, two.port, one.port), bodies, strict=True):
            assert (await http(port, target, method="POST", body=body)).body == b"ok"
        assert (await http(one.port, target)).body.startswith(b'40{"sid"')
        assert (list(one.engine.clients), list(two.engine.clients)) == ([], [sid])
        # Also of connections that came through another: who is trusted hangs on it.
        assert addresses == ["127.0.0.1"] * 5


async def test_a_connection_stays_where_it_has_gone(tmp_path: Path) -> None:
    """And the next request on it goes back, if that is where its session is."""
    async with workers(tmp_path) as (one, two):
        sids = [await open_session(io.port) for io in (one, two)]
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        for turn in range(6):
            sid = sids[turn // 2 % 2]
            writer.write(
                f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: 3\r\n\r\n4{turn:02}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            assert (await reader.readexactly(size), b" 200 " in head) == (b"ok", True)
        writer.close()


async def test_requests_that_come_in_pieces(tmp_path: Path) -> None:
    async with workers(tmp_path) as (one, two):
        for port in (one.port, two.port):
            target = f"/socket.io/?EIO=4&transport=polling&sid={await open_session(two.port)}"
            request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n40".encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                for start in range(0, len(request), 7):
                    writer.write(request[start : start + 7])
                    await asyncio.sleep(0.002)
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head and await reader.readexactly(2) == b"ok"
                request = request.replace(b"\r\n\r\n40", b"\r\n\r\n41")
            writer.close()


@pytest.mark.parametrize("line", [b"GET ", b"GET /" + b"x" * 20_000])
async def test_a_first_line_without_an_end(tmp_path: Path, line: bytes) -> None:
    """Waits for the rest as long as anywhere, and no longer than a line may be."""
    folder = tmp_path
    io = make(folder, 0, 1, header_timeout=0.3, keep_alive_timeout=0.3)
    await io.listen(0, "127.0.0.1", reuse_port=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", io.port)
    writer.write(line)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 414 ")
    writer.close()
    await io.close(0.2)


async def test_namespaces_that_only_one_has(tmp_path: Path) -> None:
    async with workers(tmp_path) as (one, two):
        one.of("/own")
        await asyncio.sleep(0.05)
        assert await one.of("/own").fetch_sockets() == []
        assert await one.of("/own").adapter.server_count() == 1
        two.of("/own")
        await asyncio.sleep(0.05)
        assert await one.of("/own").adapter.server_count() == 2
        assert await one.sockets.adapter.server_count() == 2
        await two.of("/own").adapter.close()
        await asyncio.sleep(0.05)
        assert await one.of("/own").adapter.server_count() == 1


def test_an_adapter_of_ones_own_stays(tmp_path: Path) -> None:
    io = make(tmp_path, 0, 1, adapter=MemoryAdapter)
    assert type(io.sockets.adapter) is MemoryAdapter
    assert type(make(tmp_path, 0, 1).sockets.adapter) is worker_bus.WorkerAdapter


async def test_a_worker_alone_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_bus, "_PATIENCE", 0.05)
    io = make(tmp_path, 0, 2)
    await io.listen(0, "127.0.0.1", reuse_port=True)
    assert "worker 0 goes on without" in caplog.text
    response = await http(io.port, "/socket.io/?EIO=4&transport=polling&sid=somebody.1")
    assert (response.status, json.loads(response.body)["code"]) == (400, 1)
    io.emit("nobody hears")
    await io.close(0.2)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"\xc1", "ignored a message of worker -1"),
        (bus.pack(1), "ignored a message of worker -1"),
        (bus.pack({"worker": "x"}), "ignored a message of worker -1"),
        (bus.pack({"worker": 9}), "ignored a message of worker -1"),
        (bus.pack({"worker": 0}), "no worker's greeting"),
    ],
)
async def test_a_greeting_that_is_none(
    tmp_path: Path, message: bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with workers(tmp_path) as (one, _):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "bus-0"))
        writer.write(len(message).to_bytes(4, "big") + message)
        await eventually(lambda: sentence in caplog.text)
        writer.close()
        assert await one.sockets.adapter.server_count() == 2


@pytest.mark.parametrize(
    "value",
    [
        1,
        {},
        {"join": 1},
        {"join": "/", "uid": 1},
        {"leave": 1},
        {"uid": "u", "nsp": "/", "type": "x", "data": {}},
        {"uid": "u", "nsp": "/", "type": 3, "data": {}},
        {"uid": 1, "nsp": "/", "type": 3, "data": {}},
        {"uid": "u", "nsp": "/", "type": 3, "data": {"packet": {"type": 2, "data": []}, "opts": {}}},
    ],
)
async def test_messages_that_mean_nothing(
    tmp_path: Path, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They are logged and ignored; the next one counts."""
    async with workers(tmp_path, 3) as servers:
        await servers[2].close(0.1)
        seen: list[Any] = []
        servers[0].on("hello", seen.append)
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "bus-0"))
        good = {"uid": "u", "nsp": "/", "type": int(bus.MessageType.SERVER_SIDE_EMIT)}
        good["data"] = {"packet": ["hello", 1]}  # type: ignore[assignment]
        for message in ({"worker": 2}, value, {"uid": "u", "nsp": "/none", "type": 3, "data": {}}, good):
            payload = bus.pack(message)
            for part in (len(payload).to_bytes(4, "big"), payload[:1], payload[1:]):
                writer.write(part)
                await writer.drain()
        await eventually(lambda: seen == [1])
        assert "ignored a message of worker 2" in caplog.text
        writer.close()


async def test_a_worker_that_takes_no_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_bus, "_MAX_WAITING", 1_000_000)
    async with workers(tmp_path) as (one, two):
        links = one.sockets.adapter._bus._links  # type: ignore[attr-defined]
        before = links[1]
        peer = next(iter(two.sockets.adapter._bus._incoming))  # type: ignore[attr-defined]
        peer._transport.pause_reading()
        for _ in range(100):
            one.emit("much", "x" * 50_000)
        assert "a worker takes no messages" in caplog.text
        await eventually(lambda: links.get(1) not in (None, before))
        assert await one.sockets.adapter.server_count() == 2


async def test_more_connections_than_can_wait_for_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from fastsio.net import handover

    monkeypatch.setattr(worker_bus, "_PATIENCE", 0.01)
    monkeypatch.setattr(handover, "_MAX_WAITING", 2)
    # A worker that accepts and never reads.
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "handover-1"))
        silent.listen()
        io = make(tmp_path, 0, 2)
        await io.listen(0, "127.0.0.1", reuse_port=True)
        writers = []
        body = b"4" * 200_000
        refused = b""
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", io.port)
            writers.append(writer)
            writer.write(
                b"POST /socket.io/?EIO=4&transport=polling&sid=somebody.1 HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 200000\r\n\r\n" + body
            )
            with contextlib.suppress(asyncio.TimeoutError):
                refused = await asyncio.wait_for(reader.readuntil(b"\r\n"), 0.2)
                break
        assert b" 400 " in refused
        assert "2 connections wait for another worker" in caplog.text
        for writer in writers:
            writer.close()
        await io.close(0.2)


@pytest.mark.parametrize("how", ["no descriptor", "half", "not a socket"])
async def test_a_handover_that_is_none(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    async with workers(tmp_path) as (one, two):
        with socket.socket(socket.AF_UNIX) as sock, open(os.devnull) as file:
            sock.connect(str(tmp_path / "handover-0"))
            data = b"GET / HTTP/1.1\r\n\r\n"
            message = len(data).to_bytes(4, "big") + data
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
            if how == "half":
                sock.sendmsg([message[:10]], rights)
            else:
                sock.sendmsg([message], rights if how == "not a socket" else [])
                await eventually(lambda: "a connection of another worker was dropped" in caplog.text)
        # The way is open for others.
        target = f"/socket.io/?EIO=4&transport=polling&sid={await open_session(one.port)}"
        assert (await http(two.port, target, method="POST", body=b"40")).body == b"ok"
