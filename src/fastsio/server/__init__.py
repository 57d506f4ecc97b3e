"""The Socket.IO server."""

from fastsio.server.namespace import Namespace
from fastsio.server.operator import BroadcastOperator
from fastsio.server.remote import RemoteSocket
from fastsio.server.router import Router
from fastsio.server.server import Server
from fastsio.server.socket import Ack, Socket

__all__ = ["Ack", "BroadcastOperator", "Namespace", "RemoteSocket", "Router", "Server", "Socket"]
