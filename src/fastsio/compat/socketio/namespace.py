"""Class-based namespaces of servers and clients: the owner's methods, with the namespace filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsio.compat.socketio.handlers import AsyncNamespaceBase, NamespaceBase

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fastsio.compat.socketio.client import AsyncClient
    from fastsio.compat.socketio.server import AsyncServer
    from fastsio.compat.socketio.sync_client import Client

__all__ = ["AsyncClientNamespace", "AsyncNamespace", "ClientNamespace"]


class AsyncNamespace(AsyncNamespaceBase):
    """A class of handlers for a server, see :class:`NamespaceBase`. Handlers get ``sid`` first.

    The methods are those of :class:`AsyncServer`, for this namespace unless another is named.
    """

    server: AsyncServer

    def _set_server(self, server: AsyncServer) -> None:
        self.server = server

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """As :meth:`AsyncServer.emit`."""
        name = namespace or self.namespace
        await self.server.emit(event, data, to, room, skip_sid, name, callback, ignore_queue)

    async def send(
        self,
        data: Any,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """As :meth:`AsyncServer.send`."""
        name = namespace or self.namespace
        await self.server.send(data, to, room, skip_sid, name, callback, ignore_queue)

    async def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = None,
        ignore_queue: bool = False,
    ) -> Any:
        """As :meth:`AsyncServer.call`, without a limit of time unless there is one."""
        name = namespace or self.namespace
        return await self.server.call(event, data, to, sid, name, timeout, ignore_queue)

    async def enter_room(self, sid: str, room: str, namespace: str | None = None) -> None:
        """As :meth:`AsyncServer.enter_room`."""
        await self.server.enter_room(sid, room, namespace or self.namespace)

    async def leave_room(self, sid: str, room: str, namespace: str | None = None) -> None:
        """As :meth:`AsyncServer.leave_room`."""
        await self.server.leave_room(sid, room, namespace or self.namespace)

    async def close_room(self, room: str, namespace: str | None = None) -> None:
        """As :meth:`AsyncServer.close_room`."""
        await self.server.close_room(room, namespace or self.namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        """As :meth:`AsyncServer.rooms`."""
        return self.server.rooms(sid, namespace or self.namespace)

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """As :meth:`AsyncServer.get_session`."""
        return await self.server.get_session(sid, namespace or self.namespace)

    async def save_session(self, sid: str, session: dict[str, Any], namespace: str | None = None) -> None:
        """As :meth:`AsyncServer.save_session`."""
        await self.server.save_session(sid, session, namespace or self.namespace)

    def session(self, sid: str, namespace: str | None = None) -> AbstractAsyncContextManager[dict[str, Any]]:
        """As :meth:`AsyncServer.session`."""
        return self.server.session(sid, namespace or self.namespace)

    async def disconnect(self, sid: str, namespace: str | None = None) -> None:
        """As :meth:`AsyncServer.disconnect`."""
        await self.server.disconnect(sid, namespace or self.namespace)


class AsyncClientNamespace(AsyncNamespaceBase):
    """A class of handlers for a client, see :class:`NamespaceBase`.

    The methods are those of :class:`AsyncClient`, for this namespace unless another is named.
    """

    client: AsyncClient

    def _set_client(self, client: AsyncClient) -> None:
        self.client = client

    async def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """As :meth:`AsyncClient.emit`."""
        await self.client.emit(event, data, namespace or self.namespace, callback)

    async def send(
        self, data: Any, namespace: str | None = None, callback: Callable[..., Any] | None = None
    ) -> None:
        """As :meth:`AsyncClient.send`."""
        await self.client.send(data, namespace or self.namespace, callback)

    async def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = None
    ) -> Any:
        """As :meth:`AsyncClient.call`, without a limit of time unless there is one."""
        return await self.client.call(event, data, namespace or self.namespace, timeout)

    async def disconnect(self) -> None:
        """As :meth:`AsyncClient.disconnect`."""
        await self.client.disconnect()


class ClientNamespace(NamespaceBase):
    """A class of handlers for a blocking client, see :class:`NamespaceBase`.

    The methods are those of :class:`Client`, for this namespace unless another is named.
    """

    client: Client

    def is_asyncio_based(self) -> bool:
        """False."""
        return False

    def _set_client(self, client: Client) -> None:
        self.client = client

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Call the method for an event; may be overridden to see all of them."""
        found = self._handler(event, args)
        return None if found is None else found[0](*found[1])

    def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """As :meth:`Client.emit`."""
        self.client.emit(event, data, namespace or self.namespace, callback)

    def send(
        self, data: Any, namespace: str | None = None, callback: Callable[..., Any] | None = None
    ) -> None:
        """As :meth:`Client.send`."""
        self.client.send(data, namespace or self.namespace, callback)

    def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = None
    ) -> Any:
        """As :meth:`Client.call`, without a limit of time unless there is one."""
        return self.client.call(event, data, namespace or self.namespace, timeout)

    def disconnect(self) -> None:
        """As :meth:`Client.disconnect`."""
        self.client.disconnect()
