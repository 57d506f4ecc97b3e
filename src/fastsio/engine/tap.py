"""The events of single packets: what a session without listeners for them does not pay for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastsio._payload import decode_engine_packet
from fastsio.engine.request import WebSocket
from fastsio.exceptions import PacketError

if TYPE_CHECKING:
    from fastsio.engine.session import Session

__all__ = ["EnginePacket", "Tap"]

_NAMES = ("open", "close", "ping", "pong", "message", "upgrade", "noop")


class EnginePacket(NamedTuple):
    """One Engine.IO packet, as the events ``packet`` and ``packet_create`` show it.

    ``type`` is ``"open"``, ``"close"``, ``"ping"``, ``"pong"``, ``"message"``, ``"upgrade"`` or ``"noop"``.
    """

    type: str
    data: str | bytes | None

    @classmethod
    def of(cls, kind: int | None, data: str | bytes | None) -> EnginePacket:
        """The packet with that digit; one that the protocol does not have is called ``error``."""
        return cls("error" if kind is None else _NAMES[kind], data)


class Tap(WebSocket):
    """Stands between a session and its WebSocket, in both directions, and shows each packet to the session.

    It passes for a compressed WebSocket, so that the session sends packets one by one through it, and no
    frames made elsewhere.
    """

    __slots__ = ("_session", "websocket")

    def __init__(self, session: Session, websocket: WebSocket) -> None:
        super().__init__(session, True)
        self._session = session
        self.websocket = websocket
        websocket.receiver = self

    # -- as the WebSocket's receiver ------------------------------------------------------------------

    def on_text(self, payload: bytes) -> None:
        """A text message of the client."""
        self._show(payload.decode())
        self.receiver.on_text(payload)

    def on_binary(self, payload: bytes) -> None:
        """A binary message of the client."""
        self._show(payload)
        self.receiver.on_binary(payload)

    def _show(self, message: str | bytes) -> None:
        session = self._session
        if session.ready_state != "open" or not session.shows_received:
            return
        try:
            kind, data = decode_engine_packet(message, session.protocol)
        except PacketError:
            return  # the session's own business
        session.note_received(kind, data)

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        """The connection is gone."""
        self.receiver.on_close(code, reason, error)

    def on_writable(self) -> None:
        """The client reads again."""
        self.receiver.on_writable()

    # -- as the session's WebSocket -------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """As the WebSocket's."""
        return self.websocket.buffered

    def is_writable(self) -> bool:
        """Whether the client keeps up."""
        return self.websocket.is_writable()

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        """Send one text message."""
        if self._session.shows_sent:
            self._show_sent(payload.decode())
        self.websocket.send_text(payload, compress)
        self._session.note_drain()

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        """Send one binary message."""
        if self._session.shows_sent:
            self._show_sent(payload)
        self.websocket.send_binary(payload, compress)
        self._session.note_drain()

    def _show_sent(self, message: str | bytes) -> None:
        session = self._session
        packets = [decode_engine_packet(message, session.protocol)]
        session.note_created(packets)
        session.note_flush(packets)

    def write_frames(self, frames: bytes) -> None:
        """Send ready-made frames, unseen; a session has none for a compressed WebSocket."""
        self.websocket.write_frames(frames)

    def flush(self) -> None:
        """Hand what is queued to the transport."""
        self.websocket.flush()

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close the connection."""
        self.websocket.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self.websocket.abort()
