"""The probe: a polling session tries a WebSocket and moves over to it (Engine.IO protocol, "Upgrade")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsio.engine.request import WebSocket
from fastsio.engine.timers import TimerHandle

if TYPE_CHECKING:
    from fastsio.engine.session import Session

__all__ = ["Probe", "Unwanted"]

# Seconds between two looks for an open poll that has to be released before the client can switch.
_RELEASE_INTERVAL = 0.1


class Probe:
    """Receives on the WebSocket of an upgrade until the client switches to it, or gives up."""

    __slots__ = ("_release", "_session", "_supports_binary", "deadline", "tick", "websocket")

    def __init__(self, session: Session, supports_binary: bool) -> None:
        """:param supports_binary: whether the client takes binary frames; asked anew for a WebSocket."""
        self._session = session
        self._supports_binary = supports_binary
        self._release: TimerHandle | None = None
        self.websocket: WebSocket | None = None
        self.deadline = 0.0
        self.tick = 0

    def start(self, websocket: WebSocket) -> None:
        """The WebSocket is open: wait for ``2probe`` for at most ``upgrade_timeout``."""
        self.websocket = websocket
        server = self._session.server
        server.timers.arm(self, server.options.upgrade_timeout)

    def on_text(self, payload: bytes) -> None:
        """``2probe`` is answered, ``5`` completes the upgrade, anything else ends the attempt."""
        websocket = self.websocket
        if websocket is None:
            return
        if payload == b"2probe":
            websocket.send_text(b"3probe", False)
            self._session.note_upgrading()
            if self.websocket is None:
                return  # a listener has ended it
            if self._release is None:
                self._look_again()
        elif payload.startswith(b"5"):
            self._stop()
            self._session.upgrade(websocket, self._supports_binary)
        else:
            self.abandon()

    def on_binary(self, payload: bytes) -> None:
        """Nothing binary belongs here."""
        self.abandon()

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        """The client, or the network, gave the attempt up."""
        self._stop()

    def on_writable(self) -> None:
        """Nothing waits for this."""

    def expire(self) -> None:
        """``upgrade_timeout`` has passed."""
        self.abandon()

    def abandon(self) -> None:
        """Close the WebSocket; the session goes on with polling."""
        websocket = self.websocket
        self._stop()
        if websocket is not None:
            websocket.close()

    def _stop(self) -> None:
        self._session.server.timers.cancel(self)
        if self._release is not None:
            self._release.cancel()
            self._release = None
        self.websocket = None
        self._session.end_probe(self)

    def _look_again(self) -> None:
        self._release = self._session.server.clock.call_later(_RELEASE_INTERVAL, self._release_poll)

    def _release_poll(self) -> None:
        polling = self._session.polling
        if polling is not None:
            polling.release()
        self._look_again()


class Unwanted:
    """Receives on a WebSocket that is closed as soon as it is open."""

    __slots__ = ()

    def on_text(self, payload: bytes) -> None:
        """Too late."""

    def on_binary(self, payload: bytes) -> None:
        """Too late."""

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        """As intended."""

    def on_writable(self) -> None:
        """Nothing is sent."""
