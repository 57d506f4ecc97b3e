"""Client connections of a load test, up to the joined namespace: what both transports share.

No task, Future or timer per message: a read is parsed and handed to the client's ``receive`` at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import orjson

from fastsio._codec import Decoder, EncodedPacket, Packet, PacketType
from fastsio._payload import EnginePacketType
from fastsio.exceptions import PacketError
from fastsio.loadtest import errors
from fastsio.loadtest.clock import clock
from fastsio.loadtest.target import Target
from fastsio.loadtest.wire import Message, Ring

__all__ = ["CLOSE", "EXCERPT", "MAX_BODY", "Heart", "Link", "Matcher", "Owner"]

Matcher = Callable[[bytes, int], bool]

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = map(int, EnginePacketType)

#: The longest body of a response, and WebSocket message, that is taken.
MAX_BODY = 128 << 20
#: How much of an unexpected answer is shown.
EXCERPT = 120
#: Seconds for the server's side of a close.
_CLOSE_TIMEOUT = 1.0


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
                raise ValueError(f"expected the open packet, got {data!r:.{EXCERPT}}")
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
            self.fail(errors.NAMESPACE_REFUSED, f"{packet.data!r:.{EXCERPT}}")
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
