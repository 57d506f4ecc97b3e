"""What the engine's transports share."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from fastsio.exceptions import TransportError

__all__ = ["Message", "Owner", "transport_error"]

#: An Engine.IO packet: type and data.
Message: TypeAlias = "tuple[int, str | bytes | None]"


class Owner(Protocol):
    """What a transport tells the engine, or the probe, that it belongs to."""

    def transport_open(self) -> None:
        """The transport can carry packets."""

    def transport_text(self, payload: bytes) -> None:
        """A WebSocket text message, its UTF-8 checked: an Engine.IO packet."""

    def transport_binary(self, payload: bytes) -> None:
        """A WebSocket binary message."""

    def transport_packet(self, type: int | None, data: str | bytes | None) -> None:
        """An Engine.IO packet of a polling response."""

    def transport_drained(self) -> None:
        """What was sent has left; there is room for more."""

    def transport_closed(self, error: Exception | None) -> None:
        """The transport is over, told once, unless it was closed from this side; None: an orderly close."""


def transport_error(message: str, cause: BaseException | None, transport: str, url: str) -> TransportError:
    """An error that says what happened where."""
    error = TransportError(message, transport, url, getattr(cause, "status", None))
    error.__cause__ = cause
    return error
