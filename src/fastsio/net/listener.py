"""The native listener: sockets that accept, and the life and end of what they accepted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl as ssl_module
import stat
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from fastsio.engine.request import App
from fastsio.engine.workers import WorkerPlace
from fastsio.net.handover import Handover
from fastsio.net.http import HttpProtocol
from fastsio.net.hub import Hub
from fastsio.options import ListenerOptions

if sys.platform == "linux":
    from fastsio.net._epoll import Poller

__all__ = ["Listener", "open_poller"]

logger = logging.getLogger("fastsio.net")

# Seconds that dropped connections get to report their end.
_REPORT_TIME = 1.0


class ServerLike(Protocol):
    """What accepts connections on a socket."""

    def close(self) -> None: ...


class Listener:
    """Serves HTTP and WebSocket requests to an application.

    :param app: gets every request as soon as its headers are complete.
    :param options: limits and timeouts; None takes the defaults.
    """

    def __init__(self, app: App, options: ListenerOptions | None = None) -> None:
        self._app = app
        self._options = ListenerOptions() if options is None else options
        self._hub: Hub | None = None
        self._servers: list[ServerLike] = []
        self._paths: list[tuple[str, int]] = []

    async def listen(
        self,
        port: int | None = None,
        host: str | Sequence[str] | None = None,
        *,
        path: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        sock: socket.socket | None = None,
        backlog: int = 2048,
        reuse_port: bool = False,
        workers: WorkerPlace | None = None,
    ) -> None:
        """Accept connections on one more address. Exactly one of ``port``, ``path`` and ``sock`` says where.

        :param port: a TCP port; 0 takes a free one, see :attr:`port`.
        :param host: name or address, or several; None is every interface, IPv4 and IPv6.
        :param path: a Unix socket; a stale one of that name is replaced.
        :param ssl: serves TLS.
        :param sock: a bound socket; it belongs to the listener from now on.
        :param backlog: connections the kernel may hold for us.
        :param reuse_port: share the port with other processes that say so too.
        :param workers: which of those this one is, for connections whose sessions others have.
        :raises OSError: if the address is taken or is not ours.
        """
        if (port is not None) + (path is not None) + (sock is not None) != 1:
            raise TypeError("listen takes one of port, path and sock")
        loop = asyncio.get_running_loop()
        if self._hub is None:
            self._hub = Hub(loop, self._app, self._options, open_poller(loop))
        hub = self._hub
        if workers is not None and hub.handover is None:
            if hub.poller is None:
                raise RuntimeError("workers need Linux")
            hub.handover = Handover(hub, workers)

        def factory() -> asyncio.BaseProtocol:
            # Compiled classes cannot inherit from asyncio's; loops ask only for the methods.
            return cast(asyncio.BaseProtocol, HttpProtocol(hub))

        if path is not None:
            bound = [_bind_path(path, backlog)]
            self._paths.append((path, os.stat(path).st_ino))
        elif sock is not None:
            sock.listen(backlog)
            bound = [sock]
        elif host:
            bound = await _bind_hosts(loop, host, port or 0, backlog, reuse_port)
        else:
            bound = [_bind_all(port or 0, backlog, reuse_port)]
        for entry in bound:
            server: ServerLike
            if ssl is None and hub.poller is not None:
                server = hub.poller.listen(entry, factory)
            elif entry.family == socket.AF_UNIX:
                server = await loop.create_unix_server(factory, sock=entry, ssl=ssl, backlog=backlog)
            else:
                server = await loop.create_server(factory, sock=entry, ssl=ssl, backlog=backlog)
            self._servers.append(server)

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that accept connections."""
        return [sock for server in self._servers for sock in getattr(server, "sockets", ())]

    @property
    def port(self) -> int:
        """The TCP port of the first socket that has one, 0 if none has."""
        for sock in self.sockets:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                port: int = sock.getsockname()[1]
                return port
        return 0

    @property
    def connection_count(self) -> int:
        """Connections open now, WebSockets included."""
        return 0 if self._hub is None else len(self._hub.connections)

    async def close(self, grace: float = 10.0) -> None:
        """Stop accepting, let requests under way finish, close the rest.

        Idle connections are closed, WebSockets get a close frame (1001).

        :param grace: seconds after which what is still open is dropped.
        """
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        paths, self._paths = self._paths, []
        for path, inode in paths:
            # Somebody else may be listening there by now.
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
        hub = self._hub
        if hub is None:
            return
        hub.closing = True
        if hub.handover is not None:
            hub.handover.close()
            hub.handover = None
        for connection in list(hub.connections):
            connection.shut_down()
        if not await self._emptied(hub, grace):
            logger.info("%d connections dropped after %s s of grace", len(hub.connections), grace)
            for connection in list(hub.connections):
                connection.abort()
            await self._emptied(hub, _REPORT_TIME)
        hub.wheel.close()
        if hub.poller is not None:
            hub.poller.close()
        self._hub = None

    async def _emptied(self, hub: Hub, timeout: float) -> bool:
        """Wait until no connection is left; False if ``timeout`` seconds were not enough."""
        emptied = asyncio.Event()
        hub.on_empty.append(emptied.set)
        if hub.connections:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(emptied.wait(), timeout)
        return not hub.connections


def open_poller(loop: asyncio.AbstractEventLoop) -> Poller | None:
    """What plain sockets use on Linux; None elsewhere. TLS, and other systems, take the loop's transports."""
    return Poller(loop) if sys.platform == "linux" else None


def _bind_path(path: str, backlog: int) -> socket.socket:
    """A Unix socket; one that an earlier process left behind is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


async def _bind_hosts(
    loop: asyncio.AbstractEventLoop, host: str | Sequence[str], port: int, backlog: int, reuse_port: bool
) -> list[socket.socket]:
    """One socket for each address that the names stand for."""
    bound: list[socket.socket] = []
    unavailable: OSError | None = None
    try:
        for name in [host] if isinstance(host, str) else host:
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
                try:
                    bound.append(
                        socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)
                    )
                except OSError as error:
                    # "localhost" has an address of IPv6 also where the system has IPv6 switched off.
                    if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                        raise
                    unavailable = error
        if not bound and unavailable is not None:
            raise unavailable
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_all(port: int, backlog: int, reuse_port: bool) -> socket.socket:
    """One socket for IPv4 and IPv6, so that port 0 is the same port for both."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port),
                family=socket.AF_INET6,
                backlog=backlog,
                reuse_port=reuse_port,
                dualstack_ipv6=True,
            )
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return socket.create_server(("", port), backlog=backlog, reuse_port=reuse_port)
