"""Names shared by all rings: disconnect reasons and aliases."""

from __future__ import annotations

from enum import Enum

__all__ = ["POLLING", "WEBSOCKET", "DisconnectReason", "TransportName"]


class DisconnectReason(str, Enum):
    """Why a session or a socket ended. Equal to the string Node uses, and prints as it."""

    #: On a client: the server left the namespace; the client itself did.
    IO_SERVER_DISCONNECT = "io server disconnect"
    IO_CLIENT_DISCONNECT = "io client disconnect"
    CLIENT_NAMESPACE_DISCONNECT = "client namespace disconnect"
    SERVER_NAMESPACE_DISCONNECT = "server namespace disconnect"
    SERVER_SHUTTING_DOWN = "server shutting down"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    PING_TIMEOUT = "ping timeout"
    PARSE_ERROR = "parse error"
    FORCED_CLOSE = "forced close"
    FORCED_SERVER_CLOSE = "forced server close"

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        return self.value.__format__(format_spec)


class TransportName(str):
    """``"polling"`` or ``"websocket"``, also where a program asks for the ``name`` of a transport."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The same string."""
        return str(self)


POLLING = TransportName("polling")
WEBSOCKET = TransportName("websocket")
