"""Client connections of a load test: Engine.IO 3 and 4 over WebSocket or polling, up to the joined namespace.

No task, Future or timer per message: a read is parsed and handed to the client's ``receive`` at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import httptools
import orjson

from fastsio._codec import Decoder, EncodedPacket, Packet, PacketType, encode_packet
from fastsio._frames import OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, FrameParser, build_frame
from fastsio._payload import decode_payload, encode_payload
from fastsio.exceptions import PacketError
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.wire import EnginePacket, Message, Ring, Wire
from fastsio.net.listener import open_poller

__all__ = ["Link", "Matcher", "Target", "make_link"]

Matcher = Callable[[bytes, int], bool]

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = range(7)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: The longest body of a response, and WebSocket message, that is taken.
MAX_BODY = 128 << 20
#: How much of an unexpected answer is shown.
_EXCERPT = 120
#: Seconds for the server's side of a close.
_CLOSE_TIMEOUT = 1.0
#: An idle keep-alive connection is not trusted with a POST after this: Node closes at five seconds.
_STALE = 4.0


class Owner(Protocol):
    """What a connection tells the client that it belongs to."""

    def opened(self, now: int) -> None:
        """The namespace is joined."""

    def matcher(self) -> Matcher | None:
        """Called with each read over WebSocket that begins with a frame, and the time: whether it is dealt
        with. None: none is."""

    def receive(self, messages: Sequence[Message], now: int) -> None:
        """Messages arrived, ``now`` in nanoseconds."""

    def packet(self, packet: Packet, now: int) -> None:
        """An event or acknowledgement that :meth:`Link.take` decoded."""

    def closed(self, kind: str | None, detail: str) -> None:
        """The connection is over, told once; ``kind`` is None when the client wanted it."""


class Heart(Protocol):
    """Keeps the heartbeats of many connections."""

    def beat(self, link: Link, delay: float) -> None:
        """Call ``link.beat`` in ``delay`` seconds."""


class Target:
    """Where and how to connect: one per process."""

    def __init__(self, options: LoadOptions, addresses: list[str]) -> None:
        self.options = options
        #: The numeric addresses of the host; connections take the first.
        self.address = addresses[0]
        self.wire = Wire(options.transport, options.protocol)
        self.protocol = options.protocol
        self.namespace, _, _ = options.namespace.partition("?")
        joins = options.namespace != "/" or options.protocol == 4
        self.connect_packet = (
            encode_packet(
                Packet(
                    PacketType.CONNECT,
                    options.namespace,
                    None if options.auth is None else dict(options.auth),
                ),
                options.socketio_protocol,
            )
            if joins
            else None
        )
        self.disconnect_packet = encode_packet(Packet(PacketType.DISCONNECT, self.namespace), 5)
        # As WebSocket frames, made once: they are the same for every connection.
        self.connect_frames = b"" if self.connect_packet is None else self.wire.frames(self.connect_packet)
        self.goodbye_frames = self.wire.frames(self.disconnect_packet) + build_frame(
            OP_CLOSE, b"\x03\xe8", mask=os.urandom(4)
        )
        # Reads and writes the sockets without TLS, as it does those of a server.
        self._poller = None if options.secure else open_poller(asyncio.get_running_loop())
        self.ssl: ssl.SSLContext | None = None
        if options.secure:
            self.ssl = ssl.create_default_context()
            if options.insecure:
                self.ssl.check_hostname = False
                self.ssl.verify_mode = ssl.CERT_NONE
        query = f"EIO={options.protocol}&transport={options.transport}"
        if options.query:
            query = f"{options.query}&{query}"
        self.resource = f"{options.path}?{query}"
        self.common_headers = "".join(
            [f"Host: {options.authority}\r\n", *[f"{name}: {value}\r\n" for name, value in options.headers]]
        )
        self.upgrade_head = (
            f"GET {self.resource} HTTP/1.1\r\n{self.common_headers}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        ).encode()

    async def open(self, protocol: asyncio.Protocol) -> None:
        """Open one TCP (and TLS) connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._poller is None:
            await loop.create_connection(
                lambda: protocol,
                self.address,
                self.options.port,
                ssl=self.ssl,
                server_hostname=self.options.host if self.ssl else None,
            )
            return
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        # Closed here unless it was taken over.
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (self.address, self.options.port))
            self._poller.adopt(sock, protocol)

    def close(self) -> None:
        """The connections are closed: stop watching them."""
        if self._poller is not None:
            self._poller.close()


class Link:
    """One Engine.IO session and the namespace on it; the transports are subclasses."""

    __slots__ = (
        "_decoder",
        "_interval",
        "_last_ping",
        "_opened",
        "_opening",
        "_over",
        "_patience",
        "closing",
        "heart",
        "match",
        "owner",
        "receive",
        "sid",
        "target",
        "wire",
    )

    def __init__(self, target: Target, owner: Owner, heart: Heart) -> None:
        self.target = target
        self.wire = target.wire
        self.owner = owner
        self.heart = heart
        #: Takes the messages of a read: the handshake, then the owner.
        self.receive = self._handshake
        #: What is asked before, while the connection is in use.
        self.match: Matcher | None = None
        self.sid = ""
        self.closing = False
        self._decoder = Decoder(target.options.socketio_protocol, 1000, MAX_BODY)
        self._interval = 25.0
        self._patience = 20.0
        self._last_ping = 0
        self._opened = False
        self._opening: asyncio.Task[None] | None = None
        self._over = False

    # What a transport does.

    async def _open(self) -> None:
        raise NotImplementedError

    def send(self, packet: EncodedPacket) -> None:
        """Send a packet."""
        raise NotImplementedError

    def send_ring(self, ring: Ring, first: int, count: int) -> None:
        """Send ``count`` requests of a ring."""
        raise NotImplementedError

    def send_engine(self, type: int, data: str = "") -> None:
        """Send an Engine.IO packet."""
        raise NotImplementedError

    def _leave(self) -> None:
        raise NotImplementedError

    def _drop(self) -> None:
        raise NotImplementedError

    # Life.

    def start(self) -> None:
        """Connect; the owner is told how it went."""
        self._opening = asyncio.get_running_loop().create_task(self._try_open())

    async def _try_open(self) -> None:
        try:
            await self._open()
        except OSError as error:
            self.fail(errors.kind_of_exception(error), str(error))

    def fail(self, kind: str, detail: str = "") -> None:
        """End the connection because of a fault."""
        self._finish(None if self.closing else kind, detail)

    def close(self) -> None:
        """Leave in good order: the server is told, and given a second to close."""
        if self._over or self.closing:
            return
        if not self._opened:
            self._finish(None, "")
            return
        self.closing = True
        self.receive = self._ignore
        self.match = None
        self._leave()
        asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT, self._finish, None, "")

    def abort(self) -> None:
        """Cut the connection."""
        self._finish(None, "")

    def _finish(self, kind: str | None, detail: str) -> None:
        if self._over:
            return
        self._over = True
        self.receive = self._ignore
        self.match = None
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        self._opening = None
        self._drop()
        self.owner.closed(kind, detail)

    def lost(self, error: BaseException | None) -> None:
        """The TCP connection is gone."""
        kind = errors.CONNECTION_LOST if self._opened else errors.CLOSED_EARLY
        self.fail(kind, str(error or "end of stream"))

    def beat(self, now: float) -> float | None:
        """A heartbeat is due: the delay until the next, in seconds, or None when there is none."""
        if self._over or self.closing:
            return None
        silent = (clock() - self._last_ping) / 1e9
        if silent >= self._interval + self._patience:
            self.fail(errors.PING_TIMEOUT, f"nothing for {silent:.1f} s")
            return None
        if self.target.protocol == 3:
            self.send_engine(PING)
            return self._interval
        return max(self._interval + self._patience - silent, 0.05)

    # What comes in.

    def _ignore(self, messages: Sequence[Message], now: int) -> None:
        """Wait for nothing but the end."""

    def _handshake(self, messages: Sequence[Message], now: int) -> None:
        for position, message in enumerate(messages):
            try:
                done = self._handshake_step(message, now)
            except (ValueError, TypeError, KeyError) as error:
                # PacketError and JSON errors are ValueErrors.
                self.fail(errors.BAD_HANDSHAKE, str(error))
                return
            if self._over:
                return
            if done:
                self._opened = True
                self._opening = None
                self.receive = self.owner.receive
                self.match = self.owner.matcher()
                self.owner.opened(now)
                rest = messages[position + 1 :]
                if rest:
                    self.receive(rest, now)
                return

    def _handshake_step(self, message: Message, now: int) -> bool:
        """Whether the namespace is joined. Raises ValueError for nonsense."""
        type, data = self.wire.unpack(message)
        if type is None or type == NOOP:
            return False
        if not self.sid:
            if type != OPEN or not isinstance(data, str):
                raise ValueError(f"expected the open packet, got {data!r:.{_EXCERPT}}")
            self._read_open(data, now)
            if self.target.protocol == 4:
                self._join()
            return False
        if type == MESSAGE and data is not None:
            packet = self._decoder.add(data)
            return packet is not None and self._joined(packet)
        self._engine(type, now)
        return False

    def _read_open(self, data: str, now: int) -> None:
        opening = orjson.loads(data)
        sid = opening["sid"]
        if not isinstance(sid, str) or not sid or not sid.isascii() or not sid.isprintable():
            raise ValueError("the open packet has no usable sid")
        self._interval = opening["pingInterval"] / 1000
        self._patience = opening["pingTimeout"] / 1000
        if not (0 < self._interval < math.inf and 0 < self._patience < math.inf):
            raise ValueError("the open packet has no usable ping interval and timeout")
        self.sid = sid
        self._last_ping = now
        self.heart.beat(self, self._interval + (self._patience if self.target.protocol == 4 else 0))

    def _join(self) -> None:
        if self.target.connect_packet is not None:
            self.send(self.target.connect_packet)

    def _joined(self, packet: Packet) -> bool:
        """Whether this is the answer to CONNECT. Raises ValueError for a wrong one."""
        if packet.type == PacketType.CONNECT_ERROR:
            self.fail(errors.NAMESPACE_REFUSED, f"{packet.data!r:.{_EXCERPT}}")
            return False
        if packet.type != PacketType.CONNECT:
            return False
        if self.target.protocol == 3:
            if packet.namespace == "/" and self.target.namespace != "/":
                # The root namespace is joined without asking, and before all others.
                self._join()
                return False
            return packet.namespace.partition("?")[0] == self.target.namespace
        if not isinstance(packet.data, dict) or not isinstance(packet.data.get("sid"), str):
            raise ValueError("no sid in the answer to CONNECT: a server of protocol 3?")
        return packet.namespace == self.target.namespace

    def take(self, message: Message, now: int) -> None:
        """Do what a message asks for that was not just what the client expected."""
        type, data = self.wire.unpack(message)
        if type == MESSAGE and data is not None:
            try:
                packet = self._decoder.add(data)
            except PacketError as error:
                self.fail(errors.BAD_PACKET, str(error))
                return
            if packet is None:
                return
            if packet.type in (PacketType.DISCONNECT, PacketType.CONNECT_ERROR):
                if packet.namespace == self.target.namespace:
                    self.fail(errors.CLOSED_BY_SERVER, packet.type.name)
            elif packet.namespace == self.target.namespace and packet.type != PacketType.CONNECT:
                self.owner.packet(packet, now)
        else:
            self._engine(type, now)

    def _engine(self, type: int | None, now: int) -> None:
        if type == PING and self.target.protocol == 4:
            self._last_ping = now
            self.send_engine(PONG)
        elif type == PONG and self.target.protocol == 3:
            self._last_ping = now
        elif type == CLOSE:
            self.fail(errors.CLOSED_BY_SERVER, "close packet")
        elif type not in (None, NOOP, OPEN, UPGRADE, PING, PONG):
            self.fail(errors.BAD_PACKET, f"Engine.IO packet type {type}")


# ------------------------------------------------------------------------------------ WebSocket


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


class _HttpProtocol(asyncio.Protocol):
    """One response at a time, read by httptools."""

    __slots__ = ("_body", "_body_size", "_headers", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0

    # Called by httptools.

    def on_message_begin(self) -> None:
        self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > MAX_BODY:
            raise ValueError("the body is too large")
        self._body.append(body)


class _Upgrade(_HttpProtocol):
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
        self._accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        assert self._transport is not None
        self._transport.write(self._link.target.upgrade_head + key + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except (httptools.HttpParserError, ValueError) as error:
            self._fail(errors.BAD_HTTP, f"{error}: {data[:_EXCERPT]!r}")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 101 and not self._done:
            body = b"".join(self._body)[:_EXCERPT].decode("latin-1")
            self._fail(f"http_{status}" if status != 200 else errors.BAD_HTTP, body)

    def _switch(self, rest: bytes) -> None:
        if self._done:
            return
        if self._headers.get(b"sec-websocket-accept") != self._accept:
            self._fail(errors.BAD_HTTP, "wrong Sec-WebSocket-Accept")
        elif b"sec-websocket-extensions" in self._headers:
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
            status = self._parser.get_status_code() if self._headers else 0
            if status >= 300:
                self._fail(f"http_{status}", "")
            else:
                self._link.lost(exc)


# ------------------------------------------------------------------------------------ polling


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

    def _polled(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        if status != 200:
            self.fail(f"http_{status}", body[:_EXCERPT].decode("latin-1"))
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        try:
            packets = decode_payload(body, self.target.protocol, kind == b"application/octet-stream")
        except PacketError as error:
            kind_of_error = errors.BAD_PACKET if self._opened else errors.BAD_HANDSHAKE
            self.fail(kind_of_error, str(error))
            return
        self.receive(packets, clock())
        if not self._over and not self.closing:
            self._get.request(self._head("GET"))

    def _posted(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self._posting = False
        if status != 200:
            self.fail(f"http_{status}", body[:_EXCERPT].decode("latin-1"))
        elif self._outbox:
            self._flush()
        elif self.closing:
            self._finish(None, "")

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


class _Channel(_HttpProtocol):
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

    def __init__(self, link: PollingLink, answered: Any) -> None:
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
        self._parser = httptools.HttpResponseParser(self)
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
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._link.fail(errors.BAD_HTTP, "an upgrade that was not asked for")
        except (httptools.HttpParserError, ValueError) as error:
            self._link.fail(errors.BAD_HTTP, f"{error}: {data[:_EXCERPT]!r}")

    def on_message_complete(self) -> None:
        if not self._busy:
            self._link.fail(errors.BAD_HTTP, "a response without a request")
            return
        self._busy = False
        self._used = clock()
        if not self._parser.should_keep_alive():
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
        # Not from inside the parser: the next request may be answered in the same read.
        asyncio.get_running_loop().call_soon(
            self._answer, self._parser.get_status_code(), self._headers, b"".join(self._body)
        )

    def _answer(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        if not self._dropped:
            self._answered(status, headers, body)

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


def make_link(target: Target, owner: Owner, heart: Heart) -> Link:
    """A connection over the transport that the options name; ``start()`` begins it."""
    kind = PollingLink if target.wire.polling else WebSocketLink
    return kind(target, owner, heart)
