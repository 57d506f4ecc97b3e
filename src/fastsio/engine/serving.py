"""Listening and running, for whatever is an :class:`~fastsio.engine.request.App`.

The engine may not know the ring that owns sockets, so that ring installs itself here (:func:`set_network`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Mapping
from os import PathLike, fspath
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fastsio.engine.request import App, Request, Response
from fastsio.engine.workers import WorkerPlace
from fastsio.options import ListenerOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Lifespan", "ListenerLike", "Network", "Owner", "Served", "Serving", "set_network"]

logger = logging.getLogger("fastsio.engine")

_F = TypeVar("_F", bound=Callable[..., Any])


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
        workers: WorkerPlace | None,
    ) -> None: ...

    async def close(self, grace: float = 0.0) -> None: ...


class FilesLike(Protocol):
    """Serves files; says whether a request was for one."""

    def handle(self, request: Request) -> bool: ...


class Served(Protocol):
    """What an ASGI server can serve."""

    def serve(self, request: Request) -> bool:
        """Answer ``request``, now or later, if it is meant for this; whether it is."""
        ...

    async def startup(self) -> None: ...

    async def close(self) -> None: ...


class Owner(App, Protocol):
    """An application that can tell its requests by their paths."""

    def owns(self, path: str) -> bool:
        """Whether a request with that path is meant for the engine."""
        ...


class Network(Protocol):
    """What the network ring provides."""

    def listener(self, app: App, options: ListenerOptions) -> ListenerLike:
        """A listener that hands its requests to ``app``."""
        ...

    def static_files(self, files: Mapping[str, str | PathLike[str]]) -> FilesLike:
        """Serves files by the paths of their URLs."""
        ...

    def asgi(self, app: Served, other: Callable[..., Any] | None) -> Callable[..., Any]:
        """An ASGI application of ``app``, which passes on to ``other`` what is not ``app``'s."""
        ...

    def uvicorn_protocol(self, app: Owner, options: ListenerOptions) -> type[asyncio.Protocol]:
        """What uvicorn can serve the WebSockets of ``app`` with."""
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


class Lifespan:
    """What is called before a server serves, and after it has stopped."""

    def __init__(self) -> None:
        #: Which worker the server is; None if it is alone.
        self.workers: WorkerPlace | None = None
        self._startup: list[Callable[[], Any]] = []
        self._shutdown: list[Callable[[], Any]] = []
        self._started = False
        # The second listener waits until the first has had everything prepared.
        self._lock = asyncio.Lock()

    def add(self, startup: bool, fn: Callable[[], Any]) -> None:
        """Have ``fn()``, plain or async, called at the start, or at the end."""
        if not callable(fn):
            raise TypeError(f"a hook must be callable, not {type(fn).__name__}")
        (self._startup if startup else self._shutdown).append(fn)

    async def start(self) -> None:
        """Call the startup hooks in the order they were added, unless that is done; raises what they do."""
        async with self._lock:
            if not self._started:
                for fn in self._startup:
                    await _call(fn)
                self._started = True

    async def stop(self) -> None:
        """Call the shutdown hooks, last added first, if the start was successful; logs what they raise."""
        if self._started:
            self._started = False
            for fn in reversed(self._shutdown):
                try:
                    await _call(fn)
                except Exception:
                    logger.exception("shutdown hook %s failed", getattr(fn, "__qualname__", fn))


async def _call(fn: Callable[[], Any]) -> None:
    result = fn()
    if inspect.isawaitable(result):
        await result


class Serving:
    """``listen``, ``close`` and ``run``, for classes that have :meth:`serve` and :meth:`_close_all`."""

    __slots__ = ()
    _listeners: list[ListenerLike]
    _listener_options: ListenerOptions
    _lifespan: Lifespan

    def serve(self, request: Request) -> bool:
        """Answer a request that is meant for this server; whether it is."""
        raise NotImplementedError

    def owns(self, path: str) -> bool:
        """Whether a request with that path is meant for the engine."""
        raise NotImplementedError

    def handle(self, request: Request) -> None:
        """Answer one request; what is not meant for this server is not found."""
        if not self.serve(request):
            request.exchange.respond(Response(404))

    async def _prepare(self) -> None:
        """Called before a listener starts."""

    async def _close_all(self) -> None:
        """End every session."""
        raise NotImplementedError

    @property
    def port(self) -> int | None:
        """The TCP port of the first listener; None when there is none."""
        return self._listeners[0].port if self._listeners else None

    def on_startup(self, fn: _F) -> _F:
        """Have ``fn()``, plain or async, called before the first :meth:`listen` binds its address.

        Hooks run in the order in which they were added. What one raises ends :meth:`listen`, and :meth:`run`.
        A decorator: gives ``fn`` back.
        """
        self._lifespan.add(True, fn)
        return fn

    def on_shutdown(self, fn: _F) -> _F:
        """Have ``fn()``, plain or async, called by :meth:`close`, after sockets and listeners are closed.

        Hooks run in reverse order; what one raises is logged. They do not run if startup failed. A decorator:
        gives ``fn`` back.
        """
        self._lifespan.add(False, fn)
        return fn

    def join_workers(self, place: WorkerPlace) -> None:
        """Be one of several processes that share a port; before :meth:`listen`. ``fastsio run`` does it."""
        self._lifespan.workers = place

    async def startup(self) -> None:
        """Call the startup hooks, once until :meth:`shutdown`, and have adapters connected; for a server that
        another program serves."""
        await self._lifespan.start()
        await self._prepare()

    async def shutdown(self) -> None:
        """Call the shutdown hooks, if the startup hooks were; :meth:`close` does."""
        await self._lifespan.stop()

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
        await self.startup()
        listener = network().listener(self, self._listener_options)
        await listener.listen(
            None if path is not None or sock is not None else port,
            host,
            path=None if path is None else fspath(path),
            ssl=ssl,
            sock=sock,
            backlog=backlog,
            reuse_port=reuse_port,
            workers=self._lifespan.workers,
        )
        self._listeners.append(listener)
        return self

    def asgi(self, other_app: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """This server as an ASGI application (ASGI 3.0), for uvicorn, hypercorn and the like.

        >>> app = io.asgi(app)  # a FastAPI, Starlette, Quart or Django application

        It can also be mounted in such an application. The server starts and stops with the ASGI server's
        lifespan; mounted, where no lifespan comes, with the first request and by :meth:`close`.

        :param other_app: gets every request that is not for this server; without it those are not found.
        """
        return network().asgi(self, other_app)

    def uvicorn_protocol(self) -> type[asyncio.Protocol]:
        """For uvicorn's setting ``ws``: WebSockets of this server are served as those of :meth:`listen` are,
        on the compiled path and with this server's options; others as uvicorn does by default.

        >>> uvicorn.run(io.asgi(app), ws=io.uvicorn_protocol())

        :raises ImportError: if uvicorn is not installed.
        """
        return network().uvicorn_protocol(self, self._listener_options)

    async def close(self, grace: float = 2.0) -> None:
        """End every session, stop listening, and give responses in progress ``grace`` seconds.

        The shutdown hooks come last.
        """
        listeners = list(self._listeners)
        self._listeners.clear()
        try:
            await self._close_all()
            for listener in listeners:
                await listener.close(grace)
        finally:
            await self._lifespan.stop()

    def run(self, port: int = 3000, host: str | None = None, **options: Any) -> None:
        """Serve until SIGINT or SIGTERM; takes the options of :meth:`listen`. Does not return before."""

        async def serve() -> None:
            try:
                await self.listen(port, host, **options)
                await asyncio.Event().wait()
            finally:
                await self.close()

        network().run(serve)
