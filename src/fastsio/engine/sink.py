"""Whoever takes a session's messages directly, instead of by events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastsio.types import DisconnectReason

__all__ = ["FunctionSink", "Sink"]


class Sink:
    """Gets the messages of a session, and its end before the event ``close``."""

    def on_frame(self, payload: bytes) -> None:
        """A text message as it stood in its WebSocket frame, UTF-8 behind the digit 4."""
        raise NotImplementedError

    def on_message(self, data: str | bytes) -> None:
        """Any other message."""
        raise NotImplementedError

    def on_close(self, reason: DisconnectReason, description: Any) -> None:
        """The session is over."""
        raise NotImplementedError


class FunctionSink(Sink):
    """A sink of three functions."""

    def __init__(
        self,
        on_frame: Callable[[bytes], None],
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[DisconnectReason, Any], None],
    ) -> None:
        self._on_frame = on_frame
        self._on_message = on_message
        self._on_close = on_close

    def on_frame(self, payload: bytes) -> None:
        """Pass it on."""
        self._on_frame(payload)

    def on_message(self, data: str | bytes) -> None:
        """Pass it on."""
        self._on_message(data)

    def on_close(self, reason: DisconnectReason, description: Any) -> None:
        """Pass it on."""
        self._on_close(reason, description)
