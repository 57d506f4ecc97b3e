"""The Engine.IO client: one session, its heartbeat, and the move from polling to WebSocket."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Protocol

import orjson

from fastsio._codec import EncodedPacket
from fastsio._payload import EnginePacketType, decode_engine_packet
from fastsio.client.address import Address
from fastsio.client.base import Message, Owner, transport_error
from fastsio.client.cookies import CookieJar
from fastsio.client.http import Response
from fastsio.client.polling import Polling
from fastsio.client.websocket import WebSocket
from fastsio.exceptions import PacketError, TransportError
from fastsio.types import DisconnectReason

__all__ = ["Engine", "EngineOwner"]

logger = logging.getLogger("fastsio.client")

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = map(int, EnginePacketType)
_TEXT_MESSAGE = ord("4")

# Seconds a close waits for what is still to be sent, and for an upgrade that is under way.
_DRAIN_TIMEOUT = 5.0


class EngineOwner(Protocol):
    """What an engine tells the manager."""

    def engine_open(self) -> None:
        """The session has begun."""

    def engine_text(self, payload: bytes) -> None:
        """A text message from a WebSocket, behind its type digit."""

    def engine_message(self, data: str | bytes | None) -> None:
        """A message."""

    def engine_beat(self, type: int) -> None:
        """A ping or a pong was received (or, in protocol 3, a ping was sent)."""

    def engine_upgraded(self) -> None:
        """The session has moved to WebSocket."""

    def engine_closed(self, reason: DisconnectReason, error: Exception | None) -> None:
        """The session is over, or did not come about; told once."""


class Engine:
    """One Engine.IO session.

    :param transports: those to use; the first is opened.
    """

    def __init__(
        self, owner: EngineOwner, address: Address, jar: CookieJar, transports: Sequence[str]
    ) -> None:
        self._owner = owner
        self._address = address
        self._jar = jar
        self._loop = asyncio.get_running_loop()
        self._protocol = address.options.protocol
        self._transports = list(transports)
        #: "opening", "open", "closing" or "closed".
        self.state = "opening"
        #: The session id the server gave.
        self.id: str | None = None
        self._buffer: list[Message] = []
        self._max_payload = math.inf
        self._flush_planned = False
        self._interval = 0.0
        self._patience = 0.0
        self._beat_due = math.inf
        self._ping_pending = False
        # What the server's latest ping is to be answered with, once there is room for it.
        self._pong: Message | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._probe: _Probe | None = None
        self._holding = False
        self._used: list[Polling | WebSocket] = []
        self._transport: Polling | WebSocket = self._make(self._transports[0])
        # Set once the transport is a WebSocket that may be written to directly.
        self._direct: WebSocket | None = None

    @property
    def transport(self) -> str:
        """The name of the transport in use."""
        return self._transport.name

    @property
    def writable(self) -> bool:
        """Whether a packet would leave at once."""
        return self.state == "open" and not self._holding and self._transport.writable

    @property
    def expired(self) -> bool:
        """Whether the server's next heartbeat is overdue, noticed or not."""
        return self._loop.time() > self._beat_due

    # -- opening ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect."""
        self._transport.open()

    def _make(self, name: str) -> Polling | WebSocket:
        made: Polling | WebSocket
        address = self._address.of_transport(name)
        if name == "websocket":
            made = WebSocket(self, address, None, self._jar.header())
        else:
            made = Polling(self, address, self._jar.header, self._on_response)
        self._used.append(made)
        return made

    def _on_response(self, response: Response) -> None:
        if self._address.options.with_credentials:
            for cookie in response.cookies:
                self._jar.add(cookie)

    def transport_open(self) -> None:
        """Of the transport: the WebSocket is there; the session begins with the server's first packet."""

    def _on_handshake(self, data: str | bytes | None) -> None:
        try:
            values = orjson.loads(data or b"")
            sid = values["sid"]
            interval, timeout = values["pingInterval"] / 1000, values["pingTimeout"] / 1000
            upgrades = values.get("upgrades") or []
            max_payload = values.get("maxPayload") or math.inf
            if not (isinstance(sid, str) and sid and interval > 0 and timeout > 0 and max_payload > 0):
                raise ValueError("a value is out of range")
            offered = "websocket" in upgrades
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._fail(f"the handshake cannot be read: {error!r}", error)
            return
        self.id = sid
        self._interval, self._patience = interval, timeout
        self._max_payload = max_payload
        self.state = "open"
        transport = self._transport
        if isinstance(transport, Polling):
            transport.set_sid(sid)
        else:
            self._direct = transport
        self._start_heartbeat()
        self._owner.engine_open()
        wanted = self._address.options.upgrade and "websocket" in self._transports
        if self.state == "open" and isinstance(transport, Polling) and wanted and offered:
            self._probe = _Probe(self, self._address.of_transport("websocket"), self._jar.header())

    # -- receiving --------------------------------------------------------------------------------------

    def transport_text(self, payload: bytes) -> None:
        """Of the transport: a text message over WebSocket."""
        if payload and payload[0] == _TEXT_MESSAGE and self.state == "open":
            if self._protocol == 3:
                self._alive()
            self._owner.engine_text(payload)
            return
        try:
            type, data = decode_engine_packet(payload.decode(), self._protocol)
        except PacketError as error:
            self._fail(f"cannot decode a packet: {error}", error)
            return
        self.transport_packet(type, data)

    def transport_binary(self, payload: bytes) -> None:
        """Of the transport: a binary message over WebSocket."""
        try:
            type, data = decode_engine_packet(payload, self._protocol)
        except PacketError as error:
            self._fail(f"cannot decode a packet: {error}", error)
            return
        if type == MESSAGE and data is None:
            data = b""
        self.transport_packet(type, data)

    def transport_packet(self, type: int | None, data: str | bytes | None) -> None:
        """Of the transport: one packet."""
        if self.state == "opening":
            if type == OPEN:
                self._on_handshake(data)
            else:
                self._fail(f"the server began with packet {type} instead of the handshake", None)
            return
        if self.state != "open":
            return
        if self._protocol == 3:
            self._alive()
        if type == MESSAGE:
            self._owner.engine_message(data)
        elif type == PING and self._protocol == 4:
            self._beat_due = self._loop.time() + self._interval + self._patience
            self._pong = (PONG, data)
            self._send_pong()
            self._owner.engine_beat(PING)
        elif type == PONG and self._protocol == 3:
            self._owner.engine_beat(PONG)

    # -- sending ----------------------------------------------------------------------------------------

    def send_packet(self, packet: EncodedPacket, compress: bool = True) -> None:
        """Send a Socket.IO packet; nothing happens once the session is over."""
        if self._direct is not None:
            self._direct.send_packet(packet, compress)
        elif self.state == "open":
            self._buffer += packet.messages()
            self._plan_flush()

    def _send_pong(self) -> None:
        # A server that pings without reading must not fill memory: only the latest ping needs an answer.
        if self._pong is not None and self.writable:
            (type, data), self._pong = self._pong, None
            self._send_now(type, data)

    def _send_now(self, type: int, data: str | bytes | None) -> None:
        if self._direct is not None:
            self._direct.send([(type, data)])
        else:
            self._buffer.append((type, data))
            self._plan_flush()

    def _plan_flush(self) -> None:
        # At the end of the loop turn, so that what is sent in one turn goes in one request.
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        transport = self._transport
        if not self._buffer or self._holding or not transport.writable or self.state == "closed":
            return
        if isinstance(transport, WebSocket):
            batch, self._buffer = self._buffer, []
        else:
            count = self._batch_length()
            batch, self._buffer = self._buffer[:count], self._buffer[count:]
        transport.send(batch)

    def _batch_length(self) -> int:
        """How many waiting packets one request may hold: at least one, else up to the server's limit."""
        if self._max_payload is math.inf:
            return len(self._buffer)
        size = 1
        for count, (_, data) in enumerate(self._buffer):
            if isinstance(data, str):
                size += len(data.encode("utf-8", "surrogatepass"))
            elif data is not None:
                size += math.ceil(len(data) * 1.33)
            if count and size > self._max_payload:
                return count
            size += 2
        return len(self._buffer)

    def transport_drained(self) -> None:
        """Of the transport: there is room for more."""
        self._send_pong()
        self._flush()
        if self.state == "closing":
            self._close_when_drained()

    # -- heartbeat --------------------------------------------------------------------------------------

    def _start_heartbeat(self) -> None:
        now = self._loop.time()
        if self._protocol == 4:
            self._beat_due = now + self._interval + self._patience
            self._beat_timer = self._loop.call_at(self._beat_due, self._check_beat)
        else:
            self._beat_due = now + self._interval + self._patience
            self._beat_timer = self._loop.call_later(self._interval, self._beat)

    def _check_beat(self) -> None:
        # A ping only moves the deadline; the timer follows when it fires, so a beat costs no timer.
        if self._loop.time() < self._beat_due:
            self._beat_timer = self._loop.call_at(self._beat_due, self._check_beat)
        else:
            self._fail(
                f"no ping from the server for {self._interval + self._patience:g} s",
                None,
                DisconnectReason.PING_TIMEOUT,
            )

    def _beat(self) -> None:
        """Protocol 3: time for a ping, or for its answer to have come."""
        if self._ping_pending:
            self._fail(
                f"the server did not answer a ping within {self._patience:g} s",
                None,
                DisconnectReason.PING_TIMEOUT,
            )
            return
        self._ping_pending = True
        self._beat_due = self._loop.time() + self._patience
        self._beat_timer = self._loop.call_later(self._patience, self._beat)
        self._send_now(PING, None)
        self._owner.engine_beat(PING)

    def _alive(self) -> None:
        """Protocol 3: something came, so the server is there."""
        self._beat_due = self._loop.time() + self._interval + self._patience
        if self._ping_pending:
            self._ping_pending = False
            if self._beat_timer is not None:
                self._beat_timer.cancel()
            self._beat_timer = self._loop.call_later(self._interval, self._beat)

    # -- upgrade ----------------------------------------------------------------------------------------

    def probe_answered(self) -> None:
        """Of the probe: the server answered it; polling comes to rest, then the session moves."""
        self._holding = True
        assert isinstance(self._transport, Polling)
        self._transport.pause(self._switch)

    def _switch(self) -> None:
        probe, self._probe = self._probe, None
        if probe is None or self.state == "closed":
            return
        old = self._transport
        websocket = probe.release(self)
        websocket.send([(UPGRADE, None)])
        self._used.append(websocket)
        self._transport = websocket
        self._holding = False
        if self._buffer:
            batch, self._buffer = self._buffer, []
            websocket.send(batch)
        if self.state == "open":
            self._direct = websocket
        self._send_pong()
        old.abort()
        self._owner.engine_upgraded()
        if self.state == "closing":
            self._close_when_drained()

    def probe_failed(self, error: Exception) -> None:
        """Of the probe: the session stays on polling."""
        logger.debug("%s: stays on polling: %s", self._address.url, error)
        self._probe = None
        if self._holding:
            self._holding = False
            assert isinstance(self._transport, Polling)
            self._transport.resume()
            self._send_pong()
            self._plan_flush()
        if self.state == "closing":
            self._close_when_drained()

    # -- closing ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the session; what was sent before, and an upgrade under way, is waited for, for a while.

        The owner is told at once.
        """
        if self.state == "opening":
            self._over()
        elif self.state == "open":
            self.state = "closing"
            self._direct = None
            self._stop_timers()
            self._drain_timer = self._loop.call_later(_DRAIN_TIMEOUT, self._over)
            self._close_when_drained()

    def _close_when_drained(self) -> None:
        if self._holding:
            return
        if self._probe is not None:
            self._probe.abort()
            self._probe = None
        if self._buffer:
            self._flush()
            if self._buffer or isinstance(self._transport, Polling):
                return
        if isinstance(self._transport, Polling) and not self._transport.writable:
            return
        self.state = "closed"
        self._stop_timers()
        self._transport.close()

    def abort(self) -> None:
        """Drop the connections at once."""
        self._over()

    def _over(self) -> None:
        self.state = "closed"
        self._direct = None
        self._buffer.clear()
        self._stop_timers()
        if self._probe is not None:
            self._probe.abort()
            self._probe = None
        self._transport.abort()

    def _stop_timers(self) -> None:
        self._beat_due = math.inf
        for timer in (self._beat_timer, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._beat_timer = self._drain_timer = None

    def transport_closed(self, error: Exception | None) -> None:
        """Of the transport: it is over."""
        if self.state == "opening" and self._address.options.try_all_transports and len(self._transports) > 1:
            logger.debug("%s: %s; trying the next transport", self._address.url, error)
            del self._transports[0]
            self._transport = self._make(self._transports[0])
            self._transport.open()
            return
        if error is None:
            message = "closed by the server"
            error = TransportError(message, self._transport.name, self._address.url)
            self._end(DisconnectReason.TRANSPORT_CLOSE, error)
        else:
            self._end(DisconnectReason.TRANSPORT_ERROR, error)

    def _fail(
        self,
        message: str,
        cause: BaseException | None,
        reason: DisconnectReason = DisconnectReason.TRANSPORT_ERROR,
    ) -> None:
        self._end(reason, transport_error(message, cause, self._transport.name, self._address.url))

    def _end(self, reason: DisconnectReason, error: Exception | None) -> None:
        if self.state == "closed":
            return
        closing = self.state == "closing"
        self._over()
        if not closing:
            self._owner.engine_closed(reason, error)

    async def wait_closed(self) -> None:
        """Return once the connections are gone; the session has been closed."""
        while self.state == "closing":
            await asyncio.wait([self._transport.lost], timeout=0.05)
        await asyncio.wait([transport.lost for transport in self._used], timeout=_DRAIN_TIMEOUT)


class _Probe:
    """A second connection that asks whether WebSocket works, until the session moves to it."""

    def __init__(self, engine: Engine, address: Address, headers: str) -> None:
        self._engine: Engine | None = engine
        self._next: Owner | None = None
        self._address = address
        self._answered = False
        self._websocket = WebSocket(self, address, engine.id, headers)
        self._timer: asyncio.TimerHandle | None = None
        if address.options.timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(address.options.timeout, self._expire)
        self._websocket.open()

    def release(self, owner: Owner) -> WebSocket:
        """Hand over the WebSocket; what it receives goes to ``owner`` from now on."""
        self._stop()
        self._engine = None
        self._next = owner
        return self._websocket

    def abort(self) -> None:
        """Give up; the engine is not told."""
        self._stop()
        self._engine = None
        self._websocket.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._fail("no answer to the probe")

    def _fail(self, message: str) -> None:
        self._give_up(transport_error(message, None, "websocket", self._address.url))

    def _give_up(self, error: Exception) -> None:
        engine = self._engine
        self.abort()
        if engine is not None:
            engine.probe_failed(error)

    def transport_open(self) -> None:
        """Of the WebSocket: it is there."""
        self._websocket.send([(PING, "probe")])

    def transport_text(self, payload: bytes) -> None:
        """Of the WebSocket: a text message."""
        if self._next is not None:
            self._next.transport_text(payload)
        elif self._engine is not None and not self._answered:
            if payload == b"3probe":
                self._answered = True
                self._engine.probe_answered()
            else:
                self._fail(f"the probe was answered with {payload[:40]!r}")

    def transport_binary(self, payload: bytes) -> None:
        """Of the WebSocket: a binary message."""
        if self._next is not None:
            self._next.transport_binary(payload)
        else:
            self._fail("the probe was answered with a binary message")

    def transport_packet(self, type: int | None, data: str | bytes | None) -> None:
        """A WebSocket has no such packets."""
        raise AssertionError("a WebSocket reports messages")

    def transport_drained(self) -> None:
        """Of the WebSocket: there is room for more."""
        if self._next is not None:
            self._next.transport_drained()

    def transport_closed(self, error: Exception | None) -> None:
        """Of the WebSocket: it is over."""
        if self._next is not None:
            self._next.transport_closed(error)
        else:
            self._give_up(error or TransportError("closed by the server", "websocket", self._address.url))
