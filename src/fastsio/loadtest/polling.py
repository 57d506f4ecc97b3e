"""A load test's connections over HTTP long-polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

from fastsio._codec import EncodedPacket
from fastsio._payload import decode_payload, encode_payload
from fastsio.client.http import Response
from fastsio.exceptions import PacketError
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.http import HttpProtocol
from fastsio.loadtest.link import CLOSE, EXCERPT, Heart, Link, Owner
from fastsio.loadtest.target import Target
from fastsio.loadtest.wire import EnginePacket, Ring

__all__ = ["PollingLink"]

#: An idle keep-alive connection is not trusted with a POST after this: Node closes at five seconds.
_STALE = 4.0


class PollingLink(Link):
    """A session that stays on long-polling: one connection for GET, one for POST."""

    __slots__ = ("_get", "_outbox", "_post", "_posting")

    def __init__(self, target: Target, owner: Owner, heart: Heart) -> None:
        super().__init__(target, owner, heart)
        self._get = _Channel(self, self._polled)
        self._post = _Channel(self, self._posted)
        self._outbox: list[EnginePacket] = []
        self._posting = False

    async def _open(self) -> None:
        await self.target.open(self._get)
        self._get.request(self._head("GET"))

    def _head(self, method: str, more: str = "") -> bytes:
        sid = f"&sid={self.sid}" if self.sid else ""
        head = f"{method} {self.target.resource}{sid} HTTP/1.1\r\n{self.target.common_headers}"
        return f"{head}Accept: */*\r\n{more}\r\n".encode()

    def _polled(self, response: Response) -> None:
        if response.status != 200:
            self._refused(response)
            return
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        binary = kind == "application/octet-stream"
        try:
            packets = decode_payload(response.body, self.target.protocol, binary)
        except PacketError as error:
            kind_of_error = errors.BAD_PACKET if self._opened else errors.BAD_HANDSHAKE
            self.fail(kind_of_error, str(error))
            return
        self.receive(packets, clock())
        if not self._over and not self.closing:
            self._get.request(self._head("GET"))

    def _posted(self, response: Response) -> None:
        self._posting = False
        if response.status != 200:
            self._refused(response)
        elif self._outbox:
            self._flush()
        elif self.closing:
            self._finish(None, "")

    def _refused(self, response: Response) -> None:
        self.fail(f"http_{response.status}", response.body[:EXCERPT].decode("latin-1"))

    def _queue(self, packets: list[EnginePacket]) -> None:
        self._outbox += packets
        if not self._posting and not self._over:
            self._flush()

    def _flush(self) -> None:
        self._posting = True
        packets, self._outbox = self._outbox, []
        binary = self.target.protocol == 3 and any(isinstance(data, bytes) for _, data in packets)
        body = encode_payload(packets, self.target.protocol, binary)
        kind = "application/octet-stream" if binary else "text/plain;charset=UTF-8"
        head = self._head("POST", f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n")
        self._post.request(head + body)

    def send(self, packet: EncodedPacket) -> None:
        self._queue(packet.messages())  # type: ignore[arg-type]

    def send_ring(self, ring: Ring, first: int, count: int) -> None:
        self._queue(ring.packets(first, count))

    def send_engine(self, type: int, data: str = "") -> None:
        self._queue([(type, data or None)])

    def _leave(self) -> None:
        self._queue([*self.target.disconnect_packet.messages(), (CLOSE, None)])

    def _drop(self) -> None:
        self._get.drop()
        self._post.drop()


class _Channel(HttpProtocol):
    """A keep-alive connection that carries one request at a time, and is opened anew when it has to be."""

    __slots__ = (
        "_answered",
        "_busy",
        "_dropped",
        "_link",
        "_opening",
        "_request",
        "_retry",
        "_transport",
        "_used",
    )

    def __init__(self, link: PollingLink, answered: Callable[[Response], None]) -> None:
        super().__init__()
        self._link = link
        self._answered = answered
        self._transport: Any = None
        self._request = b""
        self._busy = False
        self._retry = False
        self._dropped = False
        self._used = 0
        self._opening: asyncio.Task[None] | None = None

    def request(self, request: bytes) -> None:
        """Send a request; its response goes to ``answered``."""
        self._request = request
        self._busy = True
        transport = self._transport
        if transport is not None and not transport.is_closing() and clock() - self._used < _STALE * 1e9:
            # Closed in the same moment as idle, by the server's right: then once more.
            self._retry = True
            transport.write(request)
        else:
            self._reopen()

    def _reopen(self) -> None:
        transport, self._transport = self._transport, None
        self._retry = False
        if transport is not None:
            transport.abort()
        self._http = httptools.HttpResponseParser(self)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        request = self._request
        try:
            await self._link.target.open(self)
        except OSError as error:
            self._link.fail(errors.kind_of_exception(error), str(error))
            return
        if self._transport is not None:
            self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._dropped:
            transport.abort()  # type: ignore[attr-defined]
            return
        self._transport = transport
        self._used = clock()

    def data_received(self, data: bytes) -> None:
        self._retry = False
        try:
            self.feed(data)
        except httptools.HttpParserUpgrade:
            self._link.fail(errors.BAD_HTTP, "an upgrade that was not asked for")
        except (httptools.HttpParserError, ValueError) as error:
            self._link.fail(errors.BAD_HTTP, f"{error}: {data[:EXCERPT]!r}")

    def on_message_complete(self) -> None:
        if not self._busy:
            self._link.fail(errors.BAD_HTTP, "a response without a request")
            return
        self._busy = False
        self._used = clock()
        if not self._http.should_keep_alive():
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
        # Not from inside the parser: the next request may be answered in the same read.
        self._response.status = self._http.get_status_code()
        asyncio.get_running_loop().call_soon(self._answer, self._response)

    def _answer(self, response: Response) -> None:
        if not self._dropped:
            self._answered(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._dropped:
            return
        if self._busy and self._transport is not None:
            if self._retry:
                self._reopen()
            else:
                self._link.lost(exc)
        self._transport = None

    def drop(self) -> None:
        """Close, whatever goes on."""
        self._dropped = True
        opening, self._opening = self._opening, None
        if opening is not None and opening is not asyncio.current_task():
            opening.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
