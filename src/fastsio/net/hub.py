"""What the connections of one listener share: limits, timer wheel, table of connections, dirty list."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from fastsio._frames import FrameChain
from fastsio._http import KnownHeads
from fastsio.engine.request import App, WebSocket
from fastsio.engine.timers import TimerWheel
from fastsio.options import ListenerOptions

if TYPE_CHECKING:
    from fastsio.net._epoll import Poller
    from fastsio.net.handover import Handover

__all__ = ["Connection", "Hub"]

logger = logging.getLogger("fastsio.net")

# Request heads that are known for all connections of a listener.
_SHARED_HEADS = 16


class Connection(Protocol):
    """What a listener does with its connections."""

    def shut_down(self) -> None:
        """Finish what is under way, take nothing new, then close."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Hub:
    """Shared by all connections of one listener.

    :param loop: the loop the connections live on.
    :param app: gets the requests.
    :param poller: what their sockets are served by; None if that is the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        app: App,
        limits: ListenerOptions,
        poller: Poller | None = None,
    ) -> None:
        self.loop = loop
        self.poller = poller
        self.app = app
        self.limits = limits
        shortest = min(
            limits.keep_alive_timeout,
            limits.header_timeout,
            limits.body_timeout,
            limits.write_timeout,
            limits.linger_timeout,
        )
        self.wheel = TimerWheel(loop, max(0.005, min(0.5, shortest / 4)))
        self.connections: set[Connection] = set()
        self.closing = False
        #: Where connections go that are another worker's; None: there are no others.
        self.handover: Handover | None = None
        #: Called whenever the last connection is gone.
        self.on_empty: list[Callable[[], None]] = []
        #: Request heads that many connections may send.
        self.heads = KnownHeads(_SHARED_HEADS, limits.max_target_size)
        self.keep_alive_timeout = limits.keep_alive_timeout
        self.max_pipelined = limits.max_pipelined
        # The headers that all responses of one second have, by what becomes of the connection; then empty.
        self._closing_headers = self._keeping_headers = b""
        #: What the last write of this turn made: the same frames behind the same others are this chain again.
        self.newest: FrameChain | None = None
        self._dirty: list[WebSocket] = []
        self._scheduled = False
        # Whether the log has it; until there is clearly room again, so that a crowd does not flood the log.
        self._full = False

    def add(self, connection: Connection) -> bool:
        """Take a new connection in; False if there are ``max_tcp_connections`` already."""
        limit = self.limits.max_tcp_connections
        if limit is not None and len(self.connections) >= limit:
            if not self._full:
                self._full = True
                logger.warning("connections refused: %d are open (option max_tcp_connections)", limit)
            return False
        self.connections.add(connection)
        return True

    def replace(self, old: Connection, new: Connection) -> None:
        """A connection goes on as another object."""
        self.connections.discard(old)
        self.connections.add(new)

    def discard(self, connection: Connection) -> None:
        """A connection is gone."""
        connections = self.connections
        connections.discard(connection)
        limit = self.limits.max_tcp_connections
        if self._full and limit is not None and len(connections) <= limit * 0.9:
            self._full = False
        if not connections:
            for callback in self.on_empty:
                callback()

    def common_headers(self, close: bool) -> bytes:
        """The header lines of all responses: date, and whether the connection ends."""
        if not self._keeping_headers:
            now = time.time()
            date = f"Date: {formatdate(now, usegmt=True)}\r\n"
            self._closing_headers = f"{date}Connection: close\r\n".encode()
            # Named, so that clients with a pool of connections do not reuse one that is about to be closed.
            keep = f"Connection: keep-alive\r\nKeep-Alive: timeout={int(self.keep_alive_timeout)}\r\n"
            self._keeping_headers = f"{date}{keep}".encode()
            self.loop.call_later(1.0 - now % 1.0, self._forget_date)
        return self._closing_headers if close else self._keeping_headers

    def _forget_date(self) -> None:
        self._keeping_headers = b""

    def mark_dirty(self, connection: WebSocket) -> None:
        """Have ``connection`` flushed once this turn of the loop is over."""
        self._dirty.append(connection)
        if not self._scheduled:
            self._scheduled = True
            if self.poller is None or not self.poller.at_end_of_turn(self._flush):
                self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self.newest = None
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()
