"""Parsers other than the default: msgpack with the npm package, JSON of another library with any client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

import pytest

from fastsio import Client, ConnectionRefused, Server, msgpack
from fastsio.codec import JSONParser
from tests.interop.harness import MODES, node_package
from tests.interop.recorder import Recorder, make_client

pytestmark = pytest.mark.interop

PACKAGE = "socket.io-msgpack-parser"
each_mode = pytest.mark.parametrize("mode", MODES)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
MILLISECONDS = 1767323045678


class Scene:
    """A server, and a client that writes down what it sees."""

    def __init__(self, io: Server, client: Recorder) -> None:
        self.io = io
        self.client = client
        self.sockets: list[Any] = []
        self.received: list[tuple[Any, ...]] = []
        self.errors: list[Any] = []
        io.on("connection", self._on_connection)

    def _on_connection(self, socket: Any) -> None:
        self.sockets.append(socket)
        socket.on("error", self.errors.append)
        socket.on("echo", lambda *args: args[-1](*args[:-1]))
        socket.on("take", lambda *args: self.received.append(args))

    async def take(self, *args: Any) -> tuple[Any, ...]:
        """What the server gets of an event with these arguments."""
        self.received.clear()
        self.client.emit("take", *args)
        await self.client.until(lambda _: self.received)
        return self.received[0]


@pytest.fixture
async def scene() -> AsyncIterator[Callable[..., Any]]:
    """``async with scene(name, mode, server's options, client's options)``."""

    @asynccontextmanager
    async def make(
        name: str, mode: str, server: dict[str, Any], client: dict[str, Any], path: str = ""
    ) -> AsyncIterator[Scene]:
        io = Server(**server)

        @io.of("/guarded").use
        def refuse(socket: Any) -> None:
            raise ConnectionRefused("no", {"code": b"\x07"})

        await io.listen(0, "127.0.0.1")
        recorder = make_client(name, mode, f"http://127.0.0.1:{io.port}{path}", **client)
        try:
            yield Scene(io, recorder)
        finally:
            await recorder.close()
            await io.close(grace=0.2)

    yield make


@pytest.mark.parametrize("parser", ["msgpack", msgpack], ids=["name", "module"])
@each_mode
async def test_msgpack_of_npm(scene: Any, mode: str, parser: Any) -> None:
    node_package(PACKAGE)
    options = {"parser": PACKAGE, "auth": {"token": "ü"}}
    async with scene("sio-client-4", mode, {"parser": parser}, options) as s:
        line = await s.client.see(connect=...)
        assert line["connect"] == s.sockets[0].id and s.sockets[0].handshake.auth == {"token": "ü"}
        if mode != "polling":
            await s.client.see(upgrade="websocket")
        socket = s.sockets[0]

        # To the server.
        assert await s.take() == ()
        values = [
            1,
            -1,
            1.5,
            2**40,
            -(2**40),
            1.5e-300,
            None,
            True,
            "é😀",
            "x" * 70_000,
            [],
            {},
            [[1], {"a": [None]}],
        ]
        assert await s.take(*values) == tuple(values)
        assert await s.take({"$bytes": "0102"}, {"a": [{"$bytes": ""}]}) == (b"\x01\x02", {"a": [b""]})
        assert await s.take({"$buffer": "010203"}, {"$buffer": "01"}) == (b"\x01\x02\x03", b"\x01")
        assert await s.take({"$date": MILLISECONDS}) == (MOMENT,)
        assert await s.take({"$undefined": True}, {"a": {"$undefined": True}, "b": 1}) == (None, {"b": 1})
        s.client.emit("echo", {"$bytes": "ff"}, {"n": [1]}, {"$ack": 5})
        assert (await s.client.see(ack=5))["args"] == [{"$bytes": "ff"}, {"n": [1]}]

        # From the server.
        socket.emit("plain", *values, b"\x01", bytearray(b"\x02"), {"deep": [memoryview(b"\x03")]}, MOMENT)
        line = await s.client.see(event="plain")
        assert line["args"] == [
            *values,
            {"$bytes": "01"},
            {"$bytes": "02"},
            {"deep": [{"$bytes": "03"}]},
            {"$date": MILLISECONDS},
        ]
        s.io.emit("all", b"\x01" * 70_000)
        assert (await s.client.see(event="all"))["args"] == [{"$bytes": "01" * 70_000}]
        assert await socket.timeout(5).emit_with_ack("question", b"\x09", 2) == (b"\x09", 2)
        assert await s.io.timeout(5).emit_with_ack("question", b"\x08") == [b"\x08"]

        socket.disconnect()
        await s.client.see(disconnect="io server disconnect")


@each_mode
async def test_msgpack_refusal(scene: Any, mode: str) -> None:
    node_package(PACKAGE)
    async with scene("sio-client-4", mode, {"parser": "msgpack"}, {"parser": PACKAGE}, "/guarded") as s:
        line = await s.client.see(refused=...)
        assert line == {"refused": "no", "data": {"code": {"$bytes": "07"}}}


@each_mode
async def test_a_client_with_another_parser(scene: Any, mode: str) -> None:
    """JSON is not msgpack: the connection ends before a namespace is joined."""
    async with scene("sio-client-4", mode, {"parser": "msgpack"}, {"reconnection": False}) as s:
        closed: list[Any] = []
        s.io.engine.on(
            "connection", lambda session: session.on("close", lambda reason: closed.append(reason))
        )
        await s.client.until(lambda _: closed)
        assert s.sockets == []


@each_mode
async def test_recovery_with_msgpack(scene: Any, mode: str) -> None:
    node_package(PACKAGE)
    server = {"parser": "msgpack", "connection_state_recovery": True}
    async with scene("sio-client-4", mode, server, {"parser": PACKAGE}) as s:
        first = await s.client.see(connect=...)
        s.sockets[0].conn.close()
        s.io.emit("missed", b"\x01")
        line = await s.client.see(event="missed")
        assert line["args"][0] == {"$bytes": "01"}
        assert await s.client.see(connect=...) == {"connect": first["connect"], "recovered": True}


@pytest.mark.parametrize("name", ["msgpack", "JSON", "lines"])
@each_mode
async def test_the_same_object_for_server_and_client(name: str, mode: str) -> None:
    parser: Any = {"msgpack": msgpack, "JSON": JSONParser(json.dumps, json.loads), "lines": Halves}[name]
    io = Server(parser=parser)

    @io.on("connection")
    def connection(socket: Any) -> None:
        socket.on("echo", lambda *args: args[-1](*args[:-1]))
        socket.emit("welcome", 1)

    await io.listen(0, "127.0.0.1")
    transports = {"upgrade": ["polling", "websocket"]}.get(mode, [mode])
    client = Client(
        f"http://127.0.0.1:{io.port}",
        parser=parser,
        transports=transports,
        auto_connect=False,
        force_new=True,
    )
    welcomed: list[Any] = []
    client.on("welcome", welcomed.append)
    try:
        await client.connect()
        for args in (("text",), ({"a": [1, None, "é"]},), (b"\x01", [b""]), (1, "two", {"three": b"3"})):
            answer = await client.timeout(5).emit_with_ack("echo", *args)
            assert answer == (args if len(args) > 1 else args[0])
        assert welcomed == [1]
    finally:
        await client.close()
        await io.close(grace=0.2)


@pytest.mark.parametrize("client", ["sio-client-2", "sio-client-3", "sio-client-4", "own"])
@each_mode
async def test_another_json(scene: Any, client: str, mode: str) -> None:
    async with scene(client, mode, {"parser": JSONParser(json.dumps, json.loads)}, {}) as s:
        await s.client.see(connect=...)
        assert await s.take("é", {"a": [{"$bytes": "01"}]}) == ("é", {"a": [b"\x01"]})
        s.client.emit("echo", {"$bytes": "ff"}, 1, {"$ack": 5})
        assert (await s.client.see(ack=5))["args"] == [{"$bytes": "ff"}, 1]
        assert await s.sockets[0].timeout(5).emit_with_ack("question", b"\x09", "é") == (b"\x09", "é")


class Halves:
    """msgpack in an order that the default does not have: binary first, then a text that confirms it."""

    class Encoder:
        def encode(self, packet: Any) -> list[str | bytes]:
            data = msgpack.encode(packet)
            return [data, str(len(data))]

    class Decoder:
        def __init__(self) -> None:
            self.data = b""

        def add(self, message: str | bytes) -> Any:
            if isinstance(message, bytes):
                self.data = message
                return None
            assert len(self.data) == int(message)
            return msgpack.decode(self.data)
