"""``AsyncSimpleClient``: events are asked for instead of handled."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fastsio.compat.socketio.client import AsyncClient
from fastsio.compat.socketio.exceptions import DisconnectedError, TimeoutError

__all__ = ["AsyncSimpleClient"]

#: Events that may wait for ``receive``; the oldest are dropped.
_LIMIT = 10_000


class AsyncSimpleClient:
    """A client with the interface of python-socketio's ``AsyncSimpleClient``.

    ::

        async with AsyncSimpleClient() as sio:
            await sio.connect("http://localhost:3000")
            event, *args = await sio.receive()

    Takes the arguments of :class:`AsyncClient`.
    """

    client_class = AsyncClient

    def __init__(self, *args: Any, **options: Any) -> None:
        self._arguments = (args, options)
        #: The client below; None while there is none.
        self.client: AsyncClient | None = None
        self.namespace = "/"
        #: Whether the client is connected, or about to be again.
        self.connected = False
        self._events: deque[list[Any]] = deque(maxlen=_LIMIT)
        self._changed = asyncio.Condition()

    async def connect(
        self,
        url: str,
        headers: Any = None,
        auth: Any = None,
        transports: Any = None,
        namespace: str = "/",
        socketio_path: str = "socket.io",
        wait_timeout: float = 5,
    ) -> None:
        """Connect to one namespace of a server; see :meth:`AsyncClient.connect`.

        :raises RuntimeError: if it is connected already.
        """
        if self.connected:
            raise RuntimeError("Already connected")
        self.namespace = namespace
        self._events.clear()
        args, options = self._arguments
        client = self.client = self.client_class(*args, **options)
        client.on("connect", self._on_connect, namespace)
        client.on("disconnect", self._notify, namespace)
        client.on("__disconnect_final", self._on_end, namespace)
        client.on("*", self._on_event, namespace)
        await client.connect(
            url,
            headers=headers,
            auth=auth,
            transports=transports,
            namespaces=[namespace],
            socketio_path=socketio_path,
            wait_timeout=wait_timeout,
        )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _on_connect(self) -> None:
        self.connected = True
        await self._notify()

    async def _on_end(self) -> None:
        self.connected = False
        await self._notify()

    async def _on_event(self, event: str, *args: Any) -> None:
        self._events.append([event, *args])
        await self._notify()

    @property
    def sid(self) -> str | None:
        """The client's id; None while not connected."""
        return None if self.client is None else self.client.get_sid(self.namespace)

    @property
    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``; empty without a connection."""
        return "" if self.client is None else self.client.transport()

    async def _joined(self) -> AsyncClient:
        """Wait for the connection, if it was lost and is being made again."""
        async with self._changed:
            while self.connected and self.sid is None:
                await self._changed.wait()
        if not self.connected or self.client is None:
            raise DisconnectedError("the client is not connected")
        return self.client

    async def emit(self, event: str, data: Any = None) -> None:
        """Send an event; see :meth:`AsyncClient.emit`.

        :raises DisconnectedError: if the client is disconnected for good.
        """
        await (await self._joined()).emit(event, data, self.namespace)

    async def call(self, event: str, data: Any = None, timeout: float | None = 60) -> Any:
        """Send an event and wait for the acknowledgement; see :meth:`AsyncClient.call`.

        :raises TimeoutError: if it does not come within ``timeout`` seconds.
        :raises DisconnectedError: if the client is disconnected for good.
        """
        return await (await self._joined()).call(event, data, self.namespace, timeout)

    async def receive(self, timeout: float | None = None) -> list[Any]:
        """The next event: ``[name, *args]``.

        :raises TimeoutError: if none comes within ``timeout`` seconds.
        :raises DisconnectedError: if the client is disconnected for good and all events are read.
        """
        try:
            return await asyncio.wait_for(self._next(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no event within {timeout} s") from None

    async def _next(self) -> list[Any]:
        async with self._changed:
            while not self._events:
                if not self.connected:
                    raise DisconnectedError("the client is not connected")
                await self._changed.wait()
            return self._events.popleft()

    async def disconnect(self) -> None:
        """Disconnect."""
        client, self.client = self.client, None
        if client is not None:
            await client.disconnect()
        self.connected = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()
