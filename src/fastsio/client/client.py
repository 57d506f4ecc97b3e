"""The asyncio client."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fastsio.client.address import Address
from fastsio.client.options import ClientOptions
from fastsio.client.sharing import manager_for
from fastsio.client.socket import Socket
from fastsio.options import split_options

__all__ = ["Client"]


class Client(Socket):
    """A Socket.IO client: the socket of its URL's namespace, and of what :meth:`of` adds to it.

    Clients made inside one running loop for several namespaces of a server, with the same options, share a
    connection, unless ``force_new=True``; it is closed with the last of them.

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
        manager = manager_for(address, chosen)
        super().__init__(manager, address.namespace, chosen.auth, address.query, chosen)
        manager.nsps[self.nsp] = self
        self._options = chosen
        #: This socket, and those that :meth:`of` made.
        self._own: list[Socket] = [self]
        self._auto: asyncio.Handle | None = None
        if chosen.auto_connect and _in_a_loop():
            self._auto = manager.auto_open(self._auto_connect)

    def _auto_connect(self) -> None:
        for socket in list(self._own):
            socket.open()

    def _cancel_auto_connect(self) -> None:
        if self._auto is not None:
            self._auto.cancel()
            self._auto = None

    def of(self, namespace: str, auth: Any = None) -> Socket:
        """The socket of another namespace on the same connection; the same one each time.

        If the client is connected or connecting, so will be the new socket; else :meth:`connect` takes it
        along.

        :param namespace: its name; with ``protocol=3`` a query may follow: ``/chat?token=x``.
        :param auth: what its CONNECT carries; None: the client's option ``auth``.
        """
        before = len(self.manager.nsps)
        socket = self.manager.socket(namespace, auth, self._options)
        if len(self.manager.nsps) > before:
            self._own.append(socket)
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
        self._cancel_auto_connect()
        named = [self.of(namespace) for namespace in namespaces]
        await self.manager.join(list(dict.fromkeys([*self._own, *named])), retry)

    def disconnect(self) -> Self:
        """Leave the namespace for good, or until the next connect; the last socket closes the connection."""
        self._cancel_auto_connect()
        return super().disconnect()

    async def close(self) -> None:
        """Disconnect this client's namespaces; return once the connection is gone, if no other shares it."""
        for socket in self._own:
            socket.disconnect()
        if not any(socket.active for socket in self.manager.nsps.values()):
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
