"""python-socketio's interface: ``from fastsio.compat import socketio``.

Programs with ``AsyncServer``, ``AsyncNamespace``, ``ASGIApp`` and any of the clients run as they are.
docs/migrate/from-python-socketio.md says what is different.
"""

from __future__ import annotations

from fastsio.compat.socketio import exceptions
from fastsio.compat.socketio.asgi import ASGIApp
from fastsio.compat.socketio.client import AsyncClient
from fastsio.compat.socketio.manager import AsyncManager, AsyncRedisManager
from fastsio.compat.socketio.namespace import AsyncClientNamespace, AsyncNamespace, ClientNamespace
from fastsio.compat.socketio.server import AsyncServer
from fastsio.compat.socketio.simple_client import AsyncSimpleClient
from fastsio.compat.socketio.sync_client import Client, SimpleClient

__all__ = [
    "ASGIApp",
    "AsyncClient",
    "AsyncClientNamespace",
    "AsyncManager",
    "AsyncNamespace",
    "AsyncRedisManager",
    "AsyncServer",
    "AsyncSimpleClient",
    "Client",
    "ClientNamespace",
    "SimpleClient",
    "exceptions",
]

_ELSEWHERE = {
    "Server": "runs handlers in threads; there is AsyncServer",
    "Namespace": "there is AsyncNamespace",
    "WSGIApp": "there is ASGIApp",
    "Middleware": "there is ASGIApp",
    "Manager": "there is AsyncManager",
    "RedisManager": "there is AsyncRedisManager",
    "AsyncAioPikaManager": "there is AsyncRedisManager",
    "KombuManager": "there is AsyncRedisManager",
    "KafkaManager": "there is AsyncRedisManager",
    "ZmqManager": "there is AsyncRedisManager",
}


def __getattr__(name: str) -> object:
    hint = _ELSEWHERE.get(name)
    if hint is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise AttributeError(f"fastsio.compat.socketio has no {name}: {hint}")
