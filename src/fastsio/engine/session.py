"""One Engine.IO session: heartbeat, transports, upgrade state, write buffer (Engine.IO protocol)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastsio._emitter import EventEmitter
from fastsio._payload import EnginePacketType, decode_engine_packet, encode_engine_packet
from fastsio.engine.counters import count
from fastsio.engine.request import Request, WebSocket
from fastsio.engine.sink import Sink
from fastsio.engine.tap import EnginePacket, Tap
from fastsio.exceptions import PacketError, PayloadTooLarge
from fastsio.types import POLLING, WEBSOCKET, DisconnectReason, TransportName

if TYPE_CHECKING:
    from fastsio._codec import EncodedPacket
    from fastsio.engine.polling import PollingTransport
    from fastsio.engine.server import EngineCore
    from fastsio.engine.upgrade import Probe

__all__ = ["Session"]

logger = logging.getLogger("fastsio.engine")

MESSAGE = int(EnginePacketType.MESSAGE)
PING = int(EnginePacketType.PING)
PONG = int(EnginePacketType.PONG)
CLOSE = int(EnginePacketType.CLOSE)

_TEXT_MESSAGE = ord("4")
_PONG_PACKET = (PONG, None)
_CLOSE_PACKET = (CLOSE, None)
_NOOP_PACKET = (int(EnginePacketType.NOOP), None)

# What the deadline of an open session means.
_PING_DUE = 0  # protocol 4: time to ping; packets from the client change nothing
_PONG_DUE = 1  # protocol 4: pinged, the client must answer
_CLIENT_DUE = 2  # protocol 3: the client must send something

# Events that are spared until somebody listens to them.
_OBSERVED = frozenset(("packet", "packet_create", "data", "flush", "drain"))

# Bytes that a queued packet counts besides its data: packets without any must not queue without end.
_PACKET_COST = 64


class Session(EventEmitter):
    """A client's link to the server, over whichever transport it has at the moment.

    Events: ``message(data)``, also under the name ``data``, with ``str`` or ``bytes``; ``packet(packet)`` and
    ``packet_create(packet)`` for each :class:`~fastsio.engine.tap.EnginePacket` received and sent;
    ``flush(packets)`` before packets are handed over, ``drain()`` after; ``heartbeat()``;
    ``upgrading(transport)`` and ``upgrade(transport)``; ``close(reason, description)``, after which the
    listeners are dropped.
    """

    def __init__(self, server: EngineCore, sid: str, protocol: int, request: Request) -> None:
        self.server = server
        self.counters = server.counters
        self.id = sid
        self.protocol = protocol
        self.request = request
        self.ready_state = "opening"
        self.upgraded = False
        self.supports_binary = not self.request.session_query().base64
        self.deadline = 0.0
        self.tick = 0
        self._websocket: WebSocket | None = None
        self._polling: PollingTransport | None = None
        self._probe: Probe | None = None
        # Engine packets waiting for a poll.
        self._buffer: list[tuple[int, str | bytes | None]] = []
        self._buffered_bytes = 0
        self._compress = False
        self._phase = _PING_DUE if protocol == 4 else _CLIENT_DUE
        self._extended = False
        # Whether somebody listens to the events of single packets.
        self._observed = False
        self._sink: Sink | None = None

    # -- facts ----------------------------------------------------------------------------------------

    @property
    def transport(self) -> TransportName:
        """``"polling"`` or ``"websocket"``; its ``name`` is the same."""
        return POLLING if self._websocket is None else WEBSOCKET

    @property
    def upgrading(self) -> bool:
        """Whether a WebSocket is being probed."""
        return self._probe is not None

    @property
    def remote_address(self) -> str:
        """Host of the client."""
        return self.request.remote_address

    @property
    def writable(self) -> bool:
        """Whether a packet would leave now: a poll is open, or the WebSocket's peer keeps up."""
        if self._websocket is not None:
            return self._websocket.is_writable()
        return self._polling is not None and self._polling.poll is not None

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the client to take them."""
        return self._buffered_bytes + (0 if self._websocket is None else self._websocket.buffered)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.transport} EIO={self.protocol} {self.ready_state}>"

    def attach(self, sink: Sink) -> None:
        """Let ``sink`` take messages instead of listeners."""
        self._sink = sink

    # -- opening --------------------------------------------------------------------------------------

    def open_polling(self, transport: PollingTransport) -> None:
        """Start with long-polling."""
        self._polling = transport
        self._open()

    def open_websocket(self, websocket: WebSocket) -> None:
        """Start with WebSocket."""
        self._websocket = websocket
        if self._observed:
            self.observe()
        self._open()

    def _open(self) -> None:
        self.ready_state = "open"
        self._send_control(0, self.server.handshake_data(self))
        initial = self.server.options.initial_packet
        if initial is not None:
            self.send(initial)
        options, timers = self.server.options, self.server.timers
        delay = options.ping_interval
        timers.arm(self, delay if self.protocol == 4 else delay + options.ping_timeout)

    # -- sending --------------------------------------------------------------------------------------

    def send(
        self,
        data: str | bytes | bytearray | memoryview,
        callback: Callable[[], Any] | None = None,
        *,
        compress: bool = True,
    ) -> Session:
        """Send one message; dropped if the session is no longer open. Returns the session.

        :param callback: called once the message has been handed to the transport; never, if the session ends
            before.
        :raises TypeError: if ``data`` is neither text nor bytes.
        """
        if self.ready_state != "open":
            return self
        if not isinstance(data, str):
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"a message is text or bytes, not {type(data).__name__}")
            data = bytes(data)
        websocket = self._websocket
        if websocket is None:
            if callback is not None:
                self.once("drain", callback)
            self._queue([(MESSAGE, data)], compress)
        else:
            self._send_over(websocket, data, compress)
            if callback is not None:
                self.server.clock.call_soon(callback)
        return self

    def write(
        self,
        data: str | bytes | bytearray | memoryview,
        callback: Callable[[], Any] | None = None,
        *,
        compress: bool = True,
    ) -> Session:
        """The same as :meth:`send`."""
        return self.send(data, callback, compress=compress)

    def send_encoded(self, packet: EncodedPacket, compress: bool = True) -> None:
        """Send a Socket.IO packet that may be shared with other sessions; dropped if no longer open."""
        if self.ready_state != "open":
            return
        websocket = self._websocket
        if websocket is None:
            self._queue(packet.messages(), compress)
        elif not websocket.compressed and (self.supports_binary or not packet.attachments):
            frames = packet.frames(self.protocol)
            websocket.write_frames(frames)
            counters = self.counters
            counters.packets_sent += 1 + len(packet.attachments)
            counters.bytes_sent += len(frames)
        else:
            for _, data in packet.messages():
                self._send_over(websocket, data, compress)

    def _send_over(self, websocket: WebSocket, data: str | bytes, compress: bool) -> None:
        encoded = encode_engine_packet(MESSAGE, data, self.protocol, self.supports_binary)
        if isinstance(encoded, str):
            text = _utf8(encoded)
            self._note_sent(len(text))
            websocket.send_text(text, compress)
        else:
            self._note_sent(len(encoded))
            websocket.send_binary(encoded, compress)

    def _note_sent(self, size: int) -> None:
        self.counters.packets_sent += 1
        self.counters.bytes_sent += size

    def _send_control(self, kind: int, data: str | None = None) -> None:
        if self._websocket is None:
            self._queue([(kind, data)], False)
        else:
            packet = encode_engine_packet(kind, data, self.protocol)
            assert isinstance(packet, str)
            self._note_sent(len(packet))
            self._websocket.send_text(packet.encode(), False)

    def _queue(self, packets: Sequence[tuple[int, str | bytes | None]], compress: bool) -> None:
        buffer = self._buffer
        # With an open poll, the packet that finds the buffer empty has it flushed at the end of the turn.
        flush = not buffer and self._polling is not None and self._polling.poll is not None
        buffer.extend(packets)
        self._compress = self._compress or compress
        for _, data in packets:
            self._buffered_bytes += _PACKET_COST + (0 if data is None else len(data))
        if self._observed:
            self.note_created(packets)
        limit = self.server.options.max_buffered_bytes
        if self._buffered_bytes > limit:
            logger.warning(
                "session %s: more than %d bytes wait for a client that does not poll, closing it "
                "(option max_buffered_bytes)",
                self.id,
                limit,
            )
            error = PayloadTooLarge(self._buffered_bytes, limit, "max_buffered_bytes")
            self.end(DisconnectReason.TRANSPORT_ERROR, error)
        elif flush:
            self.server.flush_soon(self)

    def flush(self) -> None:
        """Hand what is queued to the open poll, or to the WebSocket that replaced it."""
        if self._observed and self._buffer and self.writable:
            self.note_flush(self._buffer)
        if not self._buffer:
            return
        websocket, polling = self._websocket, self._polling
        if websocket is not None:
            packets = self._take_buffer()
            for kind, data in packets:
                if kind == MESSAGE and data is not None:
                    self._send_over(websocket, data, True)
                else:
                    assert not isinstance(data, bytes)
                    self._send_control(kind, data)
        elif polling is not None and polling.poll is not None:
            compress = self._compress
            polling.send(self._take_buffer(), compress)
        else:
            return
        if self._observed:
            self.note_drain()

    def _take_buffer(self) -> list[tuple[int, str | bytes | None]]:
        packets = self._buffer
        self._buffer = []
        self._buffered_bytes = 0
        self._compress = False
        return packets

    # -- receiving ------------------------------------------------------------------------------------

    def on_text(self, payload: bytes) -> None:
        """A text message of the session's WebSocket."""
        if self.ready_state != "open":
            return
        counters = self.counters
        counters.packets_received += 1
        counters.bytes_received += len(payload)
        if self._phase != _PING_DUE:
            self._note_traffic(payload)
        if payload and payload[0] == _TEXT_MESSAGE:
            if self._sink is not None:
                self._sink.on_frame(payload)
            else:
                self._on_message(payload[1:].decode())
            return
        try:
            kind, data = decode_engine_packet(payload.decode(), self.protocol)
        except PacketError as error:
            self.end(DisconnectReason.PARSE_ERROR, error)
            return
        # A client ends a WebSocket session by closing it; a close packet here is ignored.
        if kind != CLOSE:
            self._on_packet(kind, data)

    def on_binary(self, payload: bytes) -> None:
        """A binary message of the session's WebSocket."""
        if self.ready_state != "open":
            return
        counters = self.counters
        counters.packets_received += 1
        counters.bytes_received += len(payload)
        if self._phase != _PING_DUE:
            self._note_traffic(b"")
        if self.protocol == 4:
            self._on_message(payload)
            return
        try:
            kind, data = decode_engine_packet(payload, 3)
        except PacketError as error:
            self.end(DisconnectReason.PARSE_ERROR, error)
            return
        self._on_packet(kind, data)

    def on_polled_packet(self, kind: int | None, data: str | bytes | None) -> None:
        """A packet of a polling request body."""
        if kind == CLOSE and self._polling is not None:
            self._polling.release()
            self.end(DisconnectReason.TRANSPORT_CLOSE)
        if self.ready_state != "open":
            return
        if self._phase != _PING_DUE:
            self._note_traffic(b"3" if kind == PONG else b"")
        if self._observed:
            self.note_received(kind, data)
            if self.ready_state != "open":
                return
        self._on_packet(kind, data)

    def _on_packet(self, kind: int | None, data: str | bytes | None) -> None:
        if kind == MESSAGE:
            self._on_message("" if data is None else data)
        elif kind == PING:
            if self.protocol == 3:
                # One answer is enough for all pings that came since the last poll.
                if not self._buffer or self._buffer[-1] != _PONG_PACKET:
                    self._send_control(PONG)
                self._fire("heartbeat", (), None, False, False)
            else:
                self.end(DisconnectReason.TRANSPORT_ERROR, "invalid heartbeat direction")
        elif kind == PONG and self._phase == _PONG_DUE:
            self._phase = _PING_DUE
            self.server.timers.arm(self, self.server.options.ping_interval)
            self._fire("heartbeat", (), None, False, False)
        # Everything else is ignored, as the reference does.

    def on_writable(self) -> None:
        """The WebSocket's peer reads again."""
        if self._observed:
            self.note_drain()

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        """The session's WebSocket is gone."""
        if error is None:
            self.end(DisconnectReason.TRANSPORT_CLOSE, code)
        else:
            self.end(DisconnectReason.TRANSPORT_ERROR, error)

    def _on_message(self, data: str | bytes) -> None:
        if self._sink is not None:
            self._sink.on_message(data)
        else:
            self._fire("message", (data,), None, False, False)

    # -- events of single packets ---------------------------------------------------------------------

    def observe(self) -> None:
        """Fire the events of single packets from now on."""
        self._observed = True
        websocket = self._websocket
        if websocket is not None and type(websocket) is not Tap and self.ready_state != "closed":
            self._websocket = Tap(self, websocket)

    def _listened(self, event: str) -> int:
        if event in _OBSERVED or (event == "message" and self._sink is not None):
            self.observe()
        return 0

    @property
    def shows_received(self) -> bool:
        """Whether somebody listens to the packets that come."""
        return self.has_listeners("packet") or self.has_listeners("data") or self.has_listeners("message")

    @property
    def shows_sent(self) -> bool:
        """Whether somebody listens to the packets that leave."""
        return (
            self.has_listeners("packet_create")
            or self.has_listeners("flush")
            or self.server.has_listeners("flush")
        )

    def note_received(self, kind: int | None, data: str | bytes | None) -> None:
        """A packet has come."""
        self._fire("packet", (EnginePacket.of(kind, data),), None, True, False)
        if kind == MESSAGE:
            message = "" if data is None else data
            self._fire("data", (message,), None, True, False)
            if self._sink is not None:
                self._fire("message", (message,), None, True, False)

    def note_created(self, packets: Sequence[tuple[int | None, str | bytes | None]]) -> None:
        """Packets are queued, or about to be sent."""
        if self.has_listeners("packet_create"):
            for kind, data in packets:
                self._fire("packet_create", (EnginePacket.of(kind, data),), None, True, False)

    def note_flush(self, packets: Sequence[tuple[int | None, str | bytes | None]]) -> None:
        """Packets are about to be handed to the transport."""
        if self.has_listeners("flush") or self.server.has_listeners("flush"):
            shown = [EnginePacket.of(kind, data) for kind, data in packets]
            self._fire("flush", (shown,), None, True, False)
            self.server._fire("flush", (self, shown), None, True, False)

    def note_drain(self) -> None:
        """What was queued is handed over."""
        self._fire("drain", (), None, False, False)
        self.server._fire("drain", (self,), None, True, False)

    # -- heartbeat ------------------------------------------------------------------------------------

    def _note_traffic(self, packet: bytes) -> None:
        options = self.server.options
        if self._phase == _CLIENT_DUE:
            self.server.timers.arm(self, options.ping_interval + options.ping_timeout)
        elif not self._extended and packet != b"3":
            # The peer is alive, its pong may be queued behind a long message: one more ping_timeout, once.
            self._extended = True
            self.server.timers.arm(self, options.ping_timeout)

    def expire(self) -> None:
        """The heartbeat's deadline has passed, or that of a close nobody polls for."""
        if self.ready_state == "closing":
            self.end(DisconnectReason.FORCED_CLOSE)
        elif self._phase == _PING_DUE:
            self._phase = _PONG_DUE
            self._extended = False
            self.server.timers.arm(self, self.server.options.ping_timeout)
            self._send_control(PING)
        else:
            self.end(DisconnectReason.PING_TIMEOUT)

    # -- upgrade --------------------------------------------------------------------------------------

    @property
    def polling(self) -> PollingTransport | None:
        """The polling transport, as long as it is the current one."""
        return self._polling

    @property
    def upgradable(self) -> bool:
        """Whether a WebSocket may be probed: not if one is already, or is in use, or all is over."""
        return self._probe is None and self._websocket is None and self.ready_state != "closed"

    def begin_probe(self, probe: Probe) -> None:
        """Let ``probe`` try a WebSocket."""
        self._probe = probe

    def note_upgrading(self) -> None:
        """The client has begun to talk over the WebSocket that it probes."""
        self._fire("upgrading", (WEBSOCKET,), None, True, False)

    def end_probe(self, probe: Probe) -> None:
        """``probe`` gave up; long-polling goes on."""
        if self._probe is probe:
            self._probe = None

    def upgrade(self, websocket: WebSocket, supports_binary: bool) -> None:
        """Switch to ``websocket``: what is buffered leaves over it, in order."""
        polling = self._polling
        self.supports_binary = supports_binary
        self._probe = None
        self._polling = None
        self._websocket = websocket
        self.upgraded = True
        self.counters.upgrades += 1
        websocket.receiver = self
        if polling is not None:
            polling.finish()
        self.flush()
        if self.ready_state == "closing":
            self.end(DisconnectReason.FORCED_CLOSE)
            return
        if self._observed:
            self.observe()
        self._fire("upgrade", (WEBSOCKET,), None, True, False)

    # -- closing --------------------------------------------------------------------------------------

    def close(self, discard: bool = False) -> None:
        """End the session. What is queued is sent first, unless ``discard``, which also ends it at once.

        Otherwise a polling session stays ``closing`` until a poll takes the close packet, or until
        ``close_timeout`` passes. The close packet has a response of its own: clients of v4 act on what came
        with it too late.
        """
        polling = self._polling
        if discard:
            self.end(DisconnectReason.FORCED_CLOSE)
        elif self.ready_state != "open":
            return
        elif polling is None:
            self.end(DisconnectReason.FORCED_CLOSE)
        elif polling.poll is not None and not self._buffer:
            polling.finish()
            self.end(DisconnectReason.FORCED_CLOSE)
        else:
            self.ready_state = "closing"
            self.server.timers.arm(self, self.server.options.close_timeout)
            self.flush()

    def closing_poll(self, polling: PollingTransport) -> None:
        """The poll a closing session waited for: gets what is left, or else the close packet."""
        if self._buffer:
            self.flush()
        else:
            polling.send([_NOOP_PACKET, _CLOSE_PACKET], False)
            self.end(DisconnectReason.FORCED_CLOSE)

    def end(self, reason: DisconnectReason, description: Any = None) -> None:
        """The session is over: tell the peer where it can be told, forget it, report it. Once."""
        if self.ready_state == "closed":
            return
        self.ready_state = "closed"
        count(self.counters.sessions_closed, str(reason))
        self.server.forget(self)
        probe, polling, websocket = self._probe, self._polling, self._websocket
        self._probe = self._polling = None
        if type(websocket) is Tap:
            # Which holds this session.
            self._websocket = websocket = websocket.websocket
        self._buffer = []
        if probe is not None:
            probe.abandon()
        if polling is not None:
            polling.close()
        if websocket is not None:
            websocket.close()
        sink = self._sink
        # Sinks and listeners tend to hold this session: let reference counting free all.
        self._sink = None
        if sink is not None:
            sink.on_close(reason, description)
        self._fire("close", (reason, description), None, True, False)
        self.remove_all_listeners()


def _utf8(text: str) -> bytes:
    """As JavaScript writes a string in UTF-8: lone surrogates become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
