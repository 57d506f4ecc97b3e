"""Socket.IO for Python: a compiled protocol engine under Node's event-emitter API."""

from fastsio import exceptions
from fastsio._emitter import EventEmitter
from fastsio.client import Client, SyncClient
from fastsio.exceptions import (
    AckTimeout,
    ConnectError,
    ConnectionRefused,
    Disconnected,
    FastSIOError,
    InvalidArguments,
    NamespaceNotFound,
    OptionError,
    PacketError,
    TransportError,
)
from fastsio.net.native import install as _install
from fastsio.server import Ack, Namespace, RemoteSocket, Server, Socket
from fastsio.types import DisconnectReason

__all__ = [
    "Ack",
    "AckTimeout",
    "Client",
    "ConnectError",
    "ConnectionRefused",
    "DisconnectReason",
    "Disconnected",
    "EventEmitter",
    "FastSIOError",
    "InvalidArguments",
    "Namespace",
    "NamespaceNotFound",
    "OptionError",
    "PacketError",
    "RemoteSocket",
    "Server",
    "Socket",
    "SyncClient",
    "TransportError",
    "exceptions",
]

__version__ = "0.1.0"

_install()
