"""Clients: asyncio, and blocking."""

from fastsio.client.client import Client
from fastsio.client.events import EventStream
from fastsio.client.manager import Manager
from fastsio.client.options import ClientOptions
from fastsio.client.socket import Socket, SocketOperator
from fastsio.client.sync import SyncClient, SyncSocket

__all__ = [
    "Client",
    "ClientOptions",
    "EventStream",
    "Manager",
    "Socket",
    "SocketOperator",
    "SyncClient",
    "SyncSocket",
]
