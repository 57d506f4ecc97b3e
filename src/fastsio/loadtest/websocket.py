"""A load test's connections over WebSocket."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Sequence
from typing import Any

import httptools
from wsproto.utilities import generate_accept_token

from fastsio._codec import EncodedPacket
from fastsio._frames import OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, FrameParser, build_frame
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.http import HttpProtocol
from fastsio.loadtest.link import EXCERPT, MAX_BODY, Heart, Link, Owner
from fastsio.loadtest.target import Target
from fastsio.loadtest.wire import Message, Ring

__all__ = ["WebSocketLink"]


class WebSocketLink(Link, asyncio.Protocol):
    """A session that begins on WebSocket. The HTTP part is :class:`_Upgrade`'s."""

    __slots__ = ("_between", "_feed", "_parser", "_transport", "_write")

    def __init__(self, target: Target, owner: Owner, heart: Heart) -> None:
        super().__init__(target, owner, heart)
        self._parser = FrameParser(client=True, max_message_size=MAX_BODY)
        self._feed = self._parser.feed
        # Whether the next read begins with a message.
        self._between = True
        self._transport: asyncio.Transport | None = None
        self._write: Any = None

    async def _open(self) -> None:
        await self.target.open(_Upgrade(self))

    def upgraded(self, transport: asyncio.Transport, rest: bytes) -> None:
        """The server answered 101, and then ``rest``."""
        self._transport = transport
        self._write = transport.write
        transport.set_protocol(self)
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Parse a read, and hand on what it held."""
        now = clock()
        if self._between and self.match is not None and self.match(data, now):
            return
        messages = self._feed(data)
        self._between = self._parser.between
        if messages:
            self.receive(messages, now)
        if self._parser.close_code:
            self.fail(errors.BAD_FRAME, self._parser.close_reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.lost(exc)

    def _handshake_step(self, message: Message, now: int) -> bool:
        if message[0] in (OP_TEXT, OP_BINARY):
            return super()._handshake_step(message, now)
        self.take(message, now)
        return False

    def take(self, message: Message, now: int) -> None:
        opcode, data = message
        if opcode == OP_TEXT or opcode == OP_BINARY:
            super().take(message, now)
        elif opcode == OP_PING and isinstance(data, bytes):
            self._write(build_frame(OP_PONG, data, mask=os.urandom(4)))
        elif opcode == OP_CLOSE and isinstance(data, bytes):
            code = int.from_bytes(data[:2], "big") if data else 1005
            kind = errors.CLOSED_BY_SERVER if self._opened else errors.CLOSED_EARLY
            self.fail(kind, f"WebSocket close code {code}")

    def _join(self) -> None:
        if self.target.connect_frames:
            self._write(self.target.connect_frames)

    def send(self, packet: EncodedPacket) -> None:
        self._write(self.wire.frames(packet))

    def send_ring(self, ring: Ring, first: int, count: int) -> None:
        self._write(ring.frames(first, count))

    def send_engine(self, type: int, data: str = "") -> None:
        self._write(build_frame(OP_TEXT, f"{type}{data}".encode(), mask=os.urandom(4)))

    def _ignore(self, messages: Sequence[Message], now: int) -> None:
        if any(message[0] == OP_CLOSE for message in messages):
            self._finish(None, "")

    def _leave(self) -> None:
        self._write(self.target.goodbye_frames)

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


class _Upgrade(HttpProtocol):
    """The HTTP request that becomes a WebSocket."""

    __slots__ = ("_accept", "_done", "_link", "_transport")

    def __init__(self, link: WebSocketLink) -> None:
        super().__init__()
        self._link = link
        self._done = False
        self._accept = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio.Transport.
        self._transport = transport  # type: ignore[assignment]
        # From now on the link drops it, whatever happens.
        self._link._transport = self._transport
        key = base64.b64encode(os.urandom(16))
        self._accept = generate_accept_token(key)
        assert self._transport is not None
        self._transport.write(self._link.target.upgrade_head + key + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        try:
            self.feed(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except (httptools.HttpParserError, ValueError) as error:
            self._fail(errors.BAD_HTTP, f"{error}: {data[:EXCERPT]!r}")

    def on_message_complete(self) -> None:
        status = self._http.get_status_code()
        if status != 101 and not self._done:
            body = self._response.body[:EXCERPT].decode("latin-1")
            self._fail(f"http_{status}" if status != 200 else errors.BAD_HTTP, body)

    def _switch(self, rest: bytes) -> None:
        if self._done:
            return
        headers = self._response.headers
        if headers.get("sec-websocket-accept") != self._accept.decode():
            self._fail(errors.BAD_HTTP, "wrong Sec-WebSocket-Accept")
        elif "sec-websocket-extensions" in headers:
            self._fail(errors.BAD_HTTP, "a WebSocket extension that was not asked for")
        else:
            self._done = True
            assert self._transport is not None
            self._link.upgraded(self._transport, rest)

    def _fail(self, kind: str, detail: str) -> None:
        self._done = True
        self._link.fail(kind, detail)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done:
            # A response without a length ends with the connection.
            status = self._http.get_status_code() if self._response.lines else 0
            if status >= 300:
                self._fail(f"http_{status}", "")
            else:
                self._link.lost(exc)
