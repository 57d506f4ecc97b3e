"""WebSockets of a uvicorn server on the compiled path: a class for its setting ``ws``.

uvicorn gives such a class the transport and the handshake as it was read, so for our own paths the listener's
protocol takes over there.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from fastsio.engine.serving import Owner
from fastsio.net.http import HttpProtocol
from fastsio.net.hub import Hub
from fastsio.options import ListenerOptions

__all__ = ["make_protocol"]

# What uvicorn itself says where it has no implementation of WebSocket.
_NOT_SERVED: Final = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _Group:
    """All our connections of one uvicorn server, as one that it can shut down and wait for."""

    def __init__(self, app: Owner, options: ListenerOptions, connections: set[Any]) -> None:
        self.hub = Hub(asyncio.get_running_loop(), app, options)
        self.hub.on_empty.append(self._left)
        self._connections = connections

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection that begins with ``data``."""
        self._connections.add(self)
        protocol = HttpProtocol(self.hub)
        transport.set_protocol(protocol)  # type: ignore[arg-type]
        protocol.connection_made(transport)
        protocol.data_received(data)

    def shutdown(self) -> None:
        """uvicorn stops."""
        self.hub.closing = True
        for connection in list(self.hub.connections):
            connection.shut_down()

    def _left(self) -> None:
        self._connections.discard(self)
        if self.hub.closing:
            self.hub.wheel.close()


def make_protocol(app: Owner, options: ListenerOptions) -> type[asyncio.Protocol]:
    """The class for uvicorn's setting ``ws``; requests that are not ``app``'s go to uvicorn's own."""
    # uvicorn makes an object per connection; what those of one server share hangs on its table of them.
    groups: WeakKeyDictionary[Any, _Group] = WeakKeyDictionary()

    class UvicornProtocol(asyncio.Protocol):
        """Gets the whole handshake, and gives the connection to whom it is for."""

        _transport: asyncio.Transport

        def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
            self._settings = (config, server_state, app_state, _loop)
            self._data = b""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # uvloop's transports are none of asyncio's classes.
            self._transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            if not self._data:
                # uvicorn sets this protocol only after it has given it the handshake.
                asyncio.get_running_loop().call_soon(self._give_away)
            self._data += data

        def _give_away(self) -> None:
            transport = self._transport
            if transport.is_closing():
                return
            target = self._data.split(b" ", 2)[1].decode("latin-1")
            config, state, app_state, loop = self._settings
            if app.owns(target.partition("?")[0]):
                group = groups.get(state)
                if group is None:
                    group = groups[state] = _Group(app, options, state.connections)
                group.take(transport, self._data)
            elif AutoWebSocketsProtocol is not None:
                other = AutoWebSocketsProtocol(config, state, app_state, loop)
                other.connection_made(transport)
                transport.set_protocol(other)
                other.data_received(self._data)
            else:
                transport.write(_NOT_SERVED)
                transport.close()

    return UvicornProtocol
