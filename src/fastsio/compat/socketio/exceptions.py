"""The errors of python-socketio's interface."""

from __future__ import annotations

from typing import Any

from fastsio.exceptions import FastSIOError

__all__ = [
    "BadNamespaceError",
    "ConnectionError",
    "ConnectionRefusedError",
    "DisconnectedError",
    "SocketIOError",
    "TimeoutError",
]


class SocketIOError(FastSIOError):
    """The base of the others."""


class ConnectionError(SocketIOError):
    """A client cannot connect."""


class ConnectionRefusedError(ConnectionError):
    """Raised by a ``connect`` handler to refuse a client.

    :param args: the message, then what becomes ``data`` of the client's ``connect_error``: one value, or a
        tuple of several.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        message = str(args[0]) if args else "Connection rejected by server"
        #: What the client gets.
        self.error_args: dict[str, Any] = {"message": message}
        if len(args) > 1:
            self.error_args["data"] = args[1] if len(args) == 2 else args[1:]


class TimeoutError(SocketIOError):
    """The other side has not answered in time."""


class BadNamespaceError(SocketIOError):
    """The client is not connected to that namespace."""


class DisconnectedError(SocketIOError):
    """The client is disconnected."""
