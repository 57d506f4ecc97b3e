"""ASGI servers for the scenario server: each serves ``server.asgi()`` on a free port of this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

Close = Callable[[], Awaitable[None]]


async def serve_under(name: str, server: Any) -> tuple[int, Close]:
    """Serve; the port, and what ends it.

    :param name: ``hypercorn``, or ``uvicorn-<implementation of HTTP>-<of WebSocket>``, where ``fastsio`` is
        ``server.uvicorn_protocol()``.
    """
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    if name.startswith("uvicorn"):
        return port, await _uvicorn(server, bound, *name.split("-", 2)[1:])
    return port, await _hypercorn(server, bound)


async def _uvicorn(server: Any, bound: socket.socket, http: str, ws: str) -> Close:
    import uvicorn

    config = uvicorn.Config(
        server.asgi(),
        http=http,
        ws=server.uvicorn_protocol() if ws == "fastsio" else ws,
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[bound]))
    while not running.started:
        await asyncio.sleep(0.01)

    async def close() -> None:
        running.should_exit = True
        await task

    return close


async def _hypercorn(server: Any, bound: socket.socket) -> Close:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.errorlog = "-"
    config.loglevel = "WARNING"
    stop = asyncio.Event()
    task = asyncio.create_task(serve(server.asgi(), config, shutdown_trigger=stop.wait))
    await asyncio.sleep(0.3)

    async def close() -> None:
        stop.set()
        await task

    return close
