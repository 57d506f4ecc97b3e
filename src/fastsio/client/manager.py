"""The connection under a client's sockets: opened, lost, and opened again."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastsio._codec import Decoder, EncodedPacket, Packet, PacketType
from fastsio._emitter import EventEmitter
from fastsio.client.address import Address
from fastsio.client.backoff import Backoff
from fastsio.client.cookies import CookieJar
from fastsio.client.engine import PING, Engine
from fastsio.client.options import ClientOptions
from fastsio.client.socket import Socket
from fastsio.engine.timers import TimerWheel
from fastsio.exceptions import ConnectError, PacketError, TransportError
from fastsio.parsers import CustomDecoder, make_wire
from fastsio.types import DisconnectReason

__all__ = ["Manager"]

logger = logging.getLogger("fastsio.client")

# Seconds an acknowledgement's timeout may be late.
_GRANULARITY = 0.01


class Manager(EventEmitter):
    """One Engine.IO connection, the sockets that share it, and reconnection.

    Events: ``open``; ``packet(packet)``; ``close(reason, error)``; ``error(exception)`` when an attempt to
    connect fails; ``ping``; ``upgrade``; ``reconnect_attempt(n)``; ``reconnect(n)``;
    ``reconnect_error(exception)``; ``reconnect_failed``.

    With ``protocol=3`` there are ``connect_error(exception)``, ``connect_timeout(milliseconds)``,
    ``reconnecting(n)`` and ``pong(milliseconds)`` as well, and ``error`` when a connection breaks; the
    sockets get all of them and the ``reconnect…`` events too.

    :ivar backoff: delays between attempts; its fields may be changed at any time, and are here under the
        names of their options as well.
    :ivar reconnection: whether a lost connection is made again.
    :ivar reconnection_attempts: attempts before giving up; infinity for no limit.
    :ivar timeout: seconds an attempt may take; None: any time.
    """

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self.options = options
        self.address = address
        self.protocol = options.protocol
        self.backoff = Backoff(
            options.reconnection_delay, options.reconnection_delay_max, options.randomization_factor
        )
        self.reconnection = options.reconnection
        self.reconnection_attempts = options.reconnection_attempts or math.inf
        self.timeout = options.timeout
        #: The sockets by namespace.
        self.nsps: dict[str, Socket] = {}
        #: The current session; None before the first.
        self.engine: Engine | None = None
        #: "closed", "opening" or "open".
        self.state = "closed"
        self._wire = make_wire(options.parser)
        self._event = self._wire.event
        self._decoder = self._create_decoder()
        custom = isinstance(self._decoder, CustomDecoder)
        self._receive: Callable[[Any], None] = self._on_packets if custom else self._on_packet
        self._jar = CookieJar()
        self._reached_websocket = False
        self._skip_reconnect = False
        self._retry_wanted = True
        self._reconnecting = False
        self._reconnect_timer: asyncio.TimerHandle | None = None
        self._attempt_timer: asyncio.TimerHandle | None = None
        self._auto: set[asyncio.Handle] = set()
        self._closing: set[Engine] = set()
        self._timers: TimerWheel | None = None
        self._pinged = 0.0

    def __repr__(self) -> str:
        return f"<Manager {self.address.url} {self.state}>"

    @property
    def uri(self) -> str:
        """The server's address."""
        return self.address.url

    @property
    def reconnecting(self) -> bool:
        """Whether the connection was lost and is being made again."""
        return self._reconnecting

    @property
    def timers(self) -> TimerWheel:
        """The deadlines of acknowledgements, all behind one timer of the loop."""
        if self._timers is None:
            self._timers = TimerWheel(asyncio.get_running_loop(), _GRANULARITY)
        return self._timers

    @property
    def reconnection_delay(self) -> float:
        """Seconds before the first attempt, before jitter."""
        return self.backoff.delay

    @reconnection_delay.setter
    def reconnection_delay(self, seconds: float) -> None:
        self.backoff.delay = seconds

    @property
    def reconnection_delay_max(self) -> float:
        """Seconds between two attempts at most."""
        return self.backoff.delay_max

    @reconnection_delay_max.setter
    def reconnection_delay_max(self, seconds: float) -> None:
        self.backoff.delay_max = seconds

    @property
    def randomization_factor(self) -> float:
        """Share of a delay that is random, 0 to 1."""
        return self.backoff.factor

    @randomization_factor.setter
    def randomization_factor(self, factor: float) -> None:
        self.backoff.factor = factor

    def socket(self, namespace: str, auth: Any = None, options: ClientOptions | None = None) -> Socket:
        """The socket of a namespace on this connection, the same one each time; it is not connected.

        :param namespace: its name; with ``protocol=3`` a query may follow: ``/chat?token=x``.
        :param auth: what its CONNECT carries; None: the option ``auth``.
        :param options: those of a client that shares the connection; None: those it was made with.
        """
        parts = urlsplit(namespace if namespace.startswith("/") else f"/{namespace}")
        known = self.nsps.get(parts.path)
        if known is None:
            options = options or self.options
            known = Socket(self, parts.path, options.auth if auth is None else auth, parts.query, options)
            self.nsps[parts.path] = known
        return known

    # -- opening ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, unless connected or connecting; a failure begins the attempts to reconnect."""
        self._retry_wanted = True
        self._open()

    def auto_open(self, begin: Callable[[], None]) -> asyncio.Handle:
        """Call ``begin`` on the next loop turn, unless the manager or the handle is told otherwise first."""

        def run() -> None:
            self._auto.discard(handle)
            begin()

        handle = asyncio.get_running_loop().call_soon(run)
        self._auto.add(handle)
        return handle

    async def join(self, sockets: Sequence[Socket], retry: bool) -> None:
        """Connect ``sockets``; return once each has joined its namespace.

        :raises ConnectError: with what kept which of them out; those are inactive then.
        """
        waiters = {socket: socket.wait_joined(retry) for socket in sockets if not socket.connected}
        if not waiters:
            return
        for socket in waiters:
            socket.activate()
        if not self._reconnecting:
            self._retry_wanted = retry
            self._open()
        if self.state == "open":
            for socket in waiters:
                socket.on_manager_open()
        try:
            await asyncio.wait(waiters.values())
        finally:
            refused = {}
            for socket, waiter in waiters.items():
                if not waiter.done():
                    waiter.cancel()
                    socket.disconnect()
                elif not waiter.cancelled() and waiter.exception() is not None:
                    reason = waiter.exception()
                    assert reason is not None
                    refused[socket.nsp] = reason
                    socket.disconnect()
        if refused:
            raise ConnectError(self.address.url, refused) from next(iter(refused.values()))

    def _open(self) -> None:
        if self.state != "closed":
            return
        transports = list(self.options.transports)
        if self.options.remember_upgrade and self._reached_websocket and "websocket" in transports:
            transports = ["websocket"]
        self._reached_websocket = False
        self.state = "opening"
        self._skip_reconnect = False
        self.engine = Engine(self, self.address, self._jar, transports)
        if self.timeout is not None:
            loop = asyncio.get_running_loop()
            self._attempt_timer = loop.call_later(self.timeout, self._attempt_expired, self.timeout)
        self.engine.open()

    def _attempt_expired(self, seconds: float) -> None:
        engine = self.engine
        assert engine is not None
        transport = engine.transport
        engine.abort()
        message = f"timeout: the server has not answered within {seconds:g} s (option timeout)"
        self._attempt_failed(TransportError(message, transport, self.address.url))
        if self.protocol == 3:
            self._tell("connect_timeout", round(seconds * 1000))

    def engine_open(self) -> None:
        """Of the engine: the session has begun."""
        assert self.engine is not None
        self._stop_attempt_timer()
        self.state = "open"
        self._reached_websocket = self.engine.transport == "websocket"
        self._decoder = self._create_decoder()
        self._fire("open", (), None, True, False)
        for socket in list(self.nsps.values()):
            socket.on_manager_open()
        if self._reconnecting:
            attempts = self.backoff.attempts
            self._reconnecting = False
            self.backoff.reset()
            self._tell("reconnect", attempts)

    def engine_upgraded(self) -> None:
        """Of the engine: it has moved to WebSocket."""
        self._reached_websocket = True
        self._fire("upgrade", ("websocket",), None, True, False)

    def engine_beat(self, type: int) -> None:
        """Of the engine: a heartbeat."""
        if type == PING:
            self._pinged = asyncio.get_running_loop().time()
            self._tell("ping")
        else:
            self._tell("pong", round((asyncio.get_running_loop().time() - self._pinged) * 1000))

    @property
    def _packet_protocol(self) -> int:
        """The Socket.IO protocol."""
        return 5 if self.protocol == 4 else 4

    def _create_decoder(self) -> Decoder | CustomDecoder:
        options = self.options
        return self._wire.decoder(self._packet_protocol, options.max_attachments, options.max_message_size)

    # -- receiving --------------------------------------------------------------------------------------

    def engine_text(self, payload: bytes) -> None:
        """Of the engine: a text message, behind its type digit."""
        try:
            packet = self._decoder.add_text(payload, 1)
        except PacketError as error:
            self._parse_failed(error)
            return
        if packet is not None:
            self._receive(packet)

    def engine_message(self, data: str | bytes | None) -> None:
        """Of the engine: a message."""
        try:
            packet = self._decoder.add("" if data is None else data)
        except PacketError as error:
            self._parse_failed(error)
            return
        if packet is not None:
            self._receive(packet)

    def _on_packets(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._on_packet(packet)

    def _on_packet(self, packet: Packet) -> None:
        if self.has_listeners("packet"):
            self._fire("packet", (packet,), None, True, False)
        socket = self.nsps.get(packet.namespace)
        if socket is not None and socket.active:
            socket.on_packet(packet)
        if self.protocol == 3 and packet.namespace == "/" and packet.type == PacketType.CONNECT_ERROR:
            # A refusal by the root namespace concerns every socket of a v2 client.
            for other in list(self.nsps.values()):
                if other is not socket and other.active:
                    other.on_packet(packet)

    def _parse_failed(self, error: Exception) -> None:
        engine = self.engine
        assert engine is not None
        failure = TransportError(f"cannot decode a packet: {error}", engine.transport, self.address.url)
        failure.__cause__ = error
        engine.abort()
        self.engine_closed(DisconnectReason.PARSE_ERROR, failure)

    # -- sending ----------------------------------------------------------------------------------------

    def send_packet(self, packet: Packet) -> None:
        """Send a packet that is no event."""
        self.send_encoded(self._wire.packet(packet, self._packet_protocol))

    def send_encoded(self, packet: EncodedPacket, compress: bool = True) -> None:
        """Send an encoded packet; dropped when there is no session."""
        if self.engine is not None:
            self.engine.send_packet(packet, compress)

    def encode_event(self, args: tuple[Any, ...], namespace: str, id: int | None) -> EncodedPacket:
        """An event as it goes out."""
        return self._event(args, namespace, id)

    def encode_ack(self, args: tuple[Any, ...], namespace: str, id: int) -> EncodedPacket:
        """An acknowledgement as it goes out."""
        return self._wire.ack(args, namespace, id)

    # -- losing the connection, and making it again -----------------------------------------------------

    def engine_closed(self, reason: DisconnectReason, error: Exception | None) -> None:
        """Of the engine: the session is over, or did not come about."""
        if self.state == "opening":
            self._attempt_failed(error or TransportError("closed", "", self.address.url))
            return
        self._stop_attempt_timer()
        self.state = "closed"
        self.backoff.reset()
        if self.protocol == 3 and reason == DisconnectReason.TRANSPORT_ERROR:
            self._tell("error", error)
        for socket in list(self.nsps.values()):
            socket.on_engine_close(reason, error)
        self._fire("close", (reason, error), None, True, False)
        if self.reconnection and not self._skip_reconnect:
            self._reconnect()

    def _attempt_failed(self, error: Exception) -> None:
        self._stop_attempt_timer()
        self.state = "closed"
        self._reached_websocket = False
        self._fire("error", (error,), None, True, False)
        if self.protocol == 3:
            self._fire("connect_error", (error,), None, True, False)
        reconnecting = self._reconnecting
        if reconnecting:
            last = self.backoff.attempts >= self.reconnection_attempts
        else:
            last = not self._retry_wanted
        for socket in list(self.nsps.values()):
            socket.on_connect_failed(error, last or not self.reconnection)
        # A listener may have called disconnect(), which ends the attempts.
        if self._skip_reconnect or not self.reconnection:
            self._reconnecting = False
            return
        if reconnecting:
            self._reconnecting = False
            self._reconnect()
            self._tell("reconnect_error", error)
        elif self._retry_wanted:
            self._reconnect()

    def _reconnect(self) -> None:
        if self._reconnecting or self._skip_reconnect:
            return
        if self.backoff.attempts >= self.reconnection_attempts:
            self.backoff.reset()
            self._tell("reconnect_failed")
            for socket in list(self.nsps.values()):
                socket.on_reconnect_failed()
            return
        self._reconnecting = True
        delay = self.backoff.duration()
        self._reconnect_timer = asyncio.get_running_loop().call_later(delay, self._attempt)

    def _attempt(self) -> None:
        self._reconnect_timer = None
        if not self.reconnection:
            # Switched off since.
            self._reconnecting = False
            self.backoff.reset()
            error = TransportError("reconnection was switched off", "", self.address.url)
            for socket in list(self.nsps.values()):
                socket.give_up(error)
                socket.on_reconnect_failed()
            return
        self._tell("reconnect_attempt", self.backoff.attempts)
        if self.protocol == 3:
            self._tell("reconnecting", self.backoff.attempts)
        # A listener may have disconnected.
        if not self._skip_reconnect:
            self._open()

    def _tell(self, event: str, *args: Any) -> None:
        """Fire an event of the manager's, which a v2 client's sockets get too."""
        self._fire(event, args, None, True, False)
        if self.protocol == 3:
            for socket in list(self.nsps.values()):
                socket._fire(event, args, None, True, False)

    def _stop_attempt_timer(self) -> None:
        if self._attempt_timer is not None:
            self._attempt_timer.cancel()
            self._attempt_timer = None

    # -- closing ----------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Close the connection and do not make it again: the sockets' reason is "forced close"."""
        self._skip_reconnect = True
        self._reconnecting = False
        while self._auto:
            self._auto.pop().cancel()
        self._stop_attempt_timer()
        if self._reconnect_timer is not None:
            self._reconnect_timer.cancel()
            self._reconnect_timer = None
        was_open = self.state == "open"
        self.state = "closed"
        self.backoff.reset()
        engine = self.engine
        if engine is not None and engine.state != "closed":
            engine.close()
        if engine is not None:
            self._closing = {kept for kept in self._closing if kept.state != "closed"} | {engine}
        if was_open:
            for socket in list(self.nsps.values()):
                socket.on_engine_close(DisconnectReason.FORCED_CLOSE, None)
            self._fire("close", (DisconnectReason.FORCED_CLOSE, None), None, True, False)
        error = TransportError("the client closed the connection")
        for socket in list(self.nsps.values()):
            socket.give_up(error)

    def socket_left(self) -> None:
        """Of a socket: it needs the connection no more; the last one closes it."""
        if not any(socket.active for socket in self.nsps.values()):
            self.disconnect()

    async def close(self) -> None:
        """Disconnect, and return once the connections are gone."""
        self.disconnect()
        closing, self._closing = self._closing, set()
        for engine in closing:
            await engine.wait_closed()
        if self._timers is not None:
            self._timers.close()
            self._timers = None
