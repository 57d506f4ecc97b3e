from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.wire import close_connections

from fastsio import Server


@pytest.fixture
async def make_server() -> AsyncIterator[Callable[..., Any]]:
    """``await make_server(**options)``: a server on a free port; closed after the test."""
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
