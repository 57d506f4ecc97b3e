"""Clients: asyncio, and blocking."""

from fastsio.client.client import Client
from fastsio.client.manager import Manager
from fastsio.client.options import ClientOptions
from fastsio.client.socket import Socket
from fastsio.client.sync import SyncClient

__all__ = ["Client", "ClientOptions", "Manager", "Socket", "SyncClient"]
