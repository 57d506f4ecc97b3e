"""What the scenario server can run under: ASGI servers in its process, or ``fastsio run`` with workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Close = Callable[[], Awaitable[None]]

#: Where the scenario server finds its options when ``fastsio run`` imports it.
WORKER_OPTIONS = "SCENARIO_SERVER"


async def serve_workers(options: dict[str, Any]) -> tuple[int, Close]:
    """Serve with three workers; the port, and what ends them."""
    command = ("-W", "error", "-m", "fastsio", "run", "scenario_server", "--port", "0", "--workers", "3")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=Path(__file__).parent,
        env={**os.environ, WORKER_OPTIONS: json.dumps(options)},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 20)
    found = re.search(rb"on port (\d+) with 3 workers", line)
    assert found is not None, line + await process.stderr.read()

    async def close() -> None:
        if process.returncode is None:
            process.terminate()
        assert process.stderr is not None
        complaints = await process.stderr.read()
        sys.stderr.write(complaints.decode())
        assert await process.wait() == 0

    return int(found[1]), close


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
