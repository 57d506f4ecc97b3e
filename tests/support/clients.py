"""What the tests of the clients share: a server to talk to, and servers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastsio import Client, ConnectionRefused, Server, Socket

TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}


QUICK = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.05, "auto_connect": False}


async def until(condition: Callable[[], Any], timeout: float = 4.0) -> None:
    """Wait for something another task does."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.005)


def behave(io: Server) -> None:
    """What the tests ask of a server."""

    def connection(socket: Socket) -> None:
        socket.emit("welcome", socket.nsp.name, b"\x00\xff")

        @socket.on("echo")
        def echo(value: Any) -> Any:
            return value

        @socket.on("back")
        def back(value: Any) -> None:
            socket.emit("back", value)

        @socket.on("ask")
        async def ask(value: Any) -> None:
            socket.emit("answered", await socket.emit_with_ack("question", value))

        @socket.on("silent")
        def silent(ack: Callable[..., None]) -> None:
            pass

        @socket.on("whoami")
        def whoami() -> Any:
            handshake = socket.handshake
            return [handshake.auth, handshake.query.get("q"), handshake.headers.get("x-test")]

        @socket.on("kick")
        def kick(close: bool) -> None:
            socket.disconnect(close)

    def guard(socket: Socket) -> None:
        if socket.handshake.auth.get("token") != "good":
            raise ConnectionRefused("nope", {"code": 7})

    for namespace in ("/", "/chat"):
        io.of(namespace).on("connection", connection)
    io.of("/guarded").use(guard)


def address(io: Server, path: str = "") -> str:
    return f"http://127.0.0.1:{io.port}{path}"


async def moved(client: Client, mode: str) -> None:
    """Wait for the transport that ``mode`` ends with."""
    name = "polling" if mode == "polling" else "websocket"
    await until(lambda: client.manager.engine is not None and client.manager.engine.transport == name)


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    client = Client(url, **{**QUICK, **options})
    try:
        await client.connect()
        yield client
    finally:
        await client.close()


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes both ways until both sides are through."""

    async def one_way(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
        except ConnectionError:
            pass
        target.close()

    await asyncio.gather(one_way(reader, other_writer), one_way(other_reader, writer))


class Relay:
    """A TCP relay on the way to a server, which sees and harms what passes.

    :ivar up: bytes the client sent; ``down``: bytes the server sent.
    :ivar drop: whether what comes is thrown away, as on a network that has died without a word.
    :ivar piece: bytes that are passed on at a time; 0: all there are.
    """

    def __init__(self, port: int | None, piece: int = 0) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.up = self.down = 0
        self.drop = False
        self.piece = piece

    async def open(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Relay:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def reset(self) -> None:
        """Count from here."""
        self.up = self.down = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._writers += [writer, far_writer]
        await asyncio.gather(self._pass(reader, far_writer, True), self._pass(far_reader, writer, False))

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, from_client: bool
    ) -> None:
        try:
            while data := await source.read(65_536):
                if self.drop:
                    continue
                if from_client:
                    self.up += len(data)
                else:
                    self.down += len(data)
                step = self.piece or len(data)
                for at in range(0, len(data), step):
                    target.write(data[at : at + step])
                    if self.piece:
                        await asyncio.sleep(0)
        except ConnectionError:
            pass
        if not self.drop:
            target.close()


HANDSHAKE = json.dumps(
    {"sid": "abc", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1000}
)


def http_response(body: str | bytes, status: str = "200 OK", headers: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{headers}\r\n".encode() + data


def accept_websocket(head: bytes) -> bytes:
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
    assert key is not None
    digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def frame(text: str | bytes, opcode: int = 1) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return (
        bytes([0x80 | opcode, len(data)]) + data
        if len(data) < 126
        else (bytes([0x80 | opcode, 126]) + len(data).to_bytes(2, "big") + data)
    )


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def hostile(answer: Answer) -> AsyncIterator[str]:
    """A server that answers each request head as ``answer`` does; its URL."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                if length is not None:
                    await reader.readexactly(int(length[1]))
                await answer(head, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


WEBSOCKET = {"transports": ["websocket"]}


POLLING = {"transports": ["polling"]}


def always(data: bytes, close: bool = False) -> Answer:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return answer


def websocket(*frames: bytes, close: bool = False) -> Answer:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(accept_websocket(head) + b"".join(frames))
        if close:
            writer.close()

    return answer


OPEN = frame("0" + HANDSHAKE)
