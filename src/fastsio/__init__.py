"""Socket.IO for Python: a compiled protocol engine under Node's event-emitter API."""

from fastsio import exceptions
from fastsio._emitter import EventEmitter
from fastsio.client import Client, SyncClient
from fastsio.exceptions import (
    AckTimeout,
    ConnectError,
    ConnectionRefused,
    Disconnected,
    EventRefused,
    EventTimeout,
    FastSIOError,
    InvalidArguments,
    NamespaceNotFound,
    OptionError,
    PacketError,
    TooManyEvents,
    TransportError,
)
from fastsio.net.native import install as _install
from fastsio.server import Ack, Namespace, RemoteSocket, Router, Server, Socket
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
    "EventRefused",
    "EventTimeout",
    "FastSIOError",
    "InvalidArguments",
    "Namespace",
    "NamespaceNotFound",
    "OptionError",
    "PacketError",
    "RemoteSocket",
    "Router",
    "Server",
    "Socket",
    "SyncClient",
    "TooManyEvents",
    "TransportError",
    "exceptions",
]

__version__ = "0.1.0"

_install()
