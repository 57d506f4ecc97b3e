"""A Socket.IO server that misbehaves as it is told: protocol 4 over WebSocket, one connection at a time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from fastsio._frames import OP_CLOSE, OP_TEXT, FrameParser, build_frame

__all__ = ["Peer", "fake_server", "listening"]

OPEN = json.dumps({"sid": "abc", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000})


class Peer:
    """One client, as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.request = b""
        self._parser = FrameParser()
        self._texts: list[str] = []

    async def read_request(self) -> None:
        self.request = await self.reader.readuntil(b"\r\n\r\n")

    async def upgrade(self) -> None:
        """The HTTP part, as it should be."""
        await self.read_request()
        key = next(
            line.split(b": ", 1)[1]
            for line in self.request.split(b"\r\n")
            if line.startswith(b"Sec-WebSocket-Key")
        )
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    async def join(self, opening: str = OPEN) -> None:
        """Everything up to the joined namespace, as it should be."""
        await self.upgrade()
        self.text("0" + opening)
        assert (await self.receive()).startswith("40")
        self.text('40{"sid":"def"}')

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def text(self, text: str) -> None:
        self.raw(build_frame(OP_TEXT, text.encode()))

    async def receive(self) -> str:
        """The next text message. Raises ConnectionError at the end."""
        while not self._texts:
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionError
            for opcode, payload in self._parser.feed(data):
                if opcode == OP_CLOSE:
                    raise ConnectionError
                if opcode == OP_TEXT:
                    self._texts.append(payload.decode())
        return self._texts.pop(0)


Behaviour = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve on a free port; its number."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def fake_server(behaviour: Behaviour) -> AsyncIterator[int]:
    """A server that does ``behaviour`` with each connection, and then closes it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await behaviour(Peer(reader, writer))
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async with listening(handle) as port:
        yield port
