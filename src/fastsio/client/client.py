"""The asyncio client."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import Self

from fastsio.client.address import Address
from fastsio.client.manager import Manager
from fastsio.client.options import ClientOptions
from fastsio.client.socket import Socket
from fastsio.options import split_options

__all__ = ["Client"]


class Client(Socket):
    """A Socket.IO client: the socket of its URL's namespace, and the owner of the connection.

    ::

        async with fastsio.Client("http://localhost:3000") as client:
            print(await client.emit_with_ack("sum", 1, 2))

    :param url: ``http``, ``https``, ``ws`` or ``wss``; its path is the namespace.
    :param options: see :class:`ClientOptions`.
    :raises OptionError: for an unknown or impossible option, or a URL that leads nowhere.
    """

    def __init__(self, url: str, **options: Any) -> None:
        (chosen,) = split_options(options, ClientOptions)
        address = Address(url, chosen)
        manager = Manager(address, chosen)
        super().__init__(manager, address.namespace, chosen.auth, address.query)
        manager.nsps[self.nsp] = self
        if chosen.auto_connect and _in_a_loop():
            manager.auto_open(self._auto_connect)

    def _auto_connect(self) -> None:
        for socket in list(self.manager.nsps.values()):
            socket.open()

    def of(self, namespace: str, auth: Any = None) -> Socket:
        """The socket of another namespace on the same connection; the same one each time.

        If the client is connected or connecting, so will be the new socket; else :meth:`connect` takes it
        along.

        :param namespace: its name; with ``protocol=3`` a query may follow: ``/chat?token=x``.
        :param auth: what its CONNECT carries; None: the client's option ``auth``.
        """
        parts = urlsplit(namespace if namespace.startswith("/") else f"/{namespace}")
        known = self.manager.nsps.get(parts.path)
        if known is not None:
            return known
        socket = Socket(
            self.manager, parts.path, self.manager.options.auth if auth is None else auth, parts.query
        )
        self.manager.nsps[parts.path] = socket
        if self.active:
            socket.open()
        return socket

    async def connect(self, *namespaces: str, retry: bool = False) -> None:
        """Connect; return once this client's namespace, and each named by :meth:`of` or here, is joined.

        :param namespaces: further namespaces to join.
        :param retry: whether to keep trying as after a lost connection; else the first failure is raised.
        :raises ConnectError: ``refused`` says for each namespace that was not joined what happened. Those
            that were joined stay connected.
        """
        for namespace in namespaces:
            self.of(namespace)
        await self.manager.join(list(self.manager.nsps.values()), retry)

    async def close(self) -> None:
        """Disconnect every namespace, and return once the connection is gone."""
        self.manager.cancel_auto_open()
        for socket in list(self.manager.nsps.values()):
            socket.disconnect()
        await self.manager.close()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
