"""Listening and running, for whatever is an :class:`~fastsio.engine.request.App`.

The engine may not know the ring that owns sockets, so that ring installs itself here (:func:`set_network`).
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Mapping
from os import PathLike, fspath
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol

from fastsio.engine.request import App, Request
from fastsio.options import ListenerOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ListenerLike", "Network", "Serving", "set_network"]


class ListenerLike(Protocol):
    """A listening HTTP server."""

    @property
    def port(self) -> int: ...

    async def listen(
        self,
        port: int | None,
        host: str | None,
        *,
        path: str | None,
        ssl: ssl_module.SSLContext | None,
        sock: socket | None,
        backlog: int,
        reuse_port: bool,
    ) -> None: ...

    async def close(self, grace: float = 0.0) -> None: ...


class FilesLike(Protocol):
    """Serves files; says whether a request was for one."""

    def handle(self, request: Request) -> bool: ...


class Network(Protocol):
    """What the network ring provides."""

    def listener(self, app: App, options: ListenerOptions) -> ListenerLike:
        """A listener that hands its requests to ``app``."""
        ...

    def static_files(self, files: Mapping[str, str | PathLike[str]]) -> FilesLike:
        """Serves files by the paths of their URLs."""
        ...

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run ``main`` on the fastest loop there is until it ends; SIGINT and SIGTERM cancel it."""


_network: Network | None = None


def set_network(network: Network) -> None:
    """Install the network ring."""
    global _network
    _network = network


def network() -> Network:
    """The installed network ring."""
    assert _network is not None, "fastsio.net installs itself when fastsio is imported"
    return _network


class Serving:
    """``listen``, ``close`` and ``run``, for classes that have :meth:`handle` and :meth:`_close_all`."""

    __slots__ = ()
    _listeners: list[ListenerLike]
    _listener_options: ListenerOptions

    def handle(self, request: Request) -> None:
        """Answer one request."""
        raise NotImplementedError

    async def _prepare(self) -> None:
        """Called before a listener starts."""

    async def _close_all(self) -> None:
        """End every session."""
        raise NotImplementedError

    @property
    def port(self) -> int | None:
        """The TCP port of the first listener; None when there is none."""
        return self._listeners[0].port if self._listeners else None

    async def listen(
        self,
        port: int = 3000,
        host: str | None = None,
        *,
        path: str | PathLike[str] | None = None,
        ssl: ssl_module.SSLContext | None = None,
        sock: socket | None = None,
        backlog: int = 2048,
        reuse_port: bool = False,
    ) -> Self:
        """Start serving inside the running event loop.

        :param port: TCP port, 0 for one the system picks (see :attr:`port`).
        :param host: address to bind; None binds all of them, IPv4 and IPv6.
        :param path: a Unix socket to listen on instead.
        :param ssl: serve HTTPS and WSS.
        :param sock: a bound socket to listen on instead.
        :raises OSError: if the address cannot be bound.
        """
        await self._prepare()
        listener = network().listener(self, self._listener_options)
        await listener.listen(
            None if path is not None or sock is not None else port,
            host,
            path=None if path is None else fspath(path),
            ssl=ssl,
            sock=sock,
            backlog=backlog,
            reuse_port=reuse_port,
        )
        self._listeners.append(listener)
        return self

    async def close(self, grace: float = 2.0) -> None:
        """End every session, stop listening, and give responses in progress ``grace`` seconds."""
        listeners = list(self._listeners)
        self._listeners.clear()
        await self._close_all()
        for listener in listeners:
            await listener.close(grace)

    def run(self, port: int = 3000, host: str | None = None, **options: Any) -> None:
        """Serve until SIGINT or SIGTERM; takes the options of :meth:`listen`. Does not return before."""

        async def serve() -> None:
            await self.listen(port, host, **options)
            try:
                await asyncio.Event().wait()
            finally:
                await self.close()

        network().run(serve)
