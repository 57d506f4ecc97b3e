"""Servers in the process of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastsio import Server
from tests.support.wire import close_connections

__all__ = ["make_servers"]


@contextlib.asynccontextmanager
async def make_servers() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Gives ``await make(setup, **options)``: a server on a free port. They are closed in the end."""
    servers: list[Server] = []

    async def make(setup: Callable[[Server], None] | None = None, **options: Any) -> Server:
        server = Server(**options)
        if setup is not None:
            setup(server)
        await server.listen(0, "127.0.0.1")
        servers.append(server)
        return server

    yield make
    await close_connections()
    for server in servers:
        await server.close(grace=0.2)
