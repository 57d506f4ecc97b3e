"""What runs before a server serves and after it has stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from tests.support.wire import SocketIOClient, close_connections

from fastsio import Server
from fastsio.engine import EngineServer

PROGRAM = """
import asyncio, fastsio, sys
io = fastsio.Server()

@io.on_startup
async def startup():
    print("startup", flush=True)
    {startup}

@io.on_shutdown
def shutdown():
    print("shutdown", flush=True)

async def announce():
    while io.port is None:
        await asyncio.sleep(0.01)
    print("listening", flush=True)

io.run(0, "127.0.0.1")
"""


@pytest.mark.parametrize("kind", [Server, EngineServer])
async def test_order(kind: type[Any]) -> None:
    log: list[str] = []
    server = kind()

    @server.on_startup
    async def first() -> None:
        assert server.port is None
        await asyncio.sleep(0.01)
        log.append("first")

    server.on_startup(lambda: log.append("second"))
    server.on_shutdown(lambda: log.append("third"))

    @server.on_shutdown
    async def fourth() -> None:
        assert server.port is None
        log.append("fourth")

    # Whoever listens second waits for the hooks, and does not run them again.
    await asyncio.gather(server.listen(0, "127.0.0.1"), server.listen(0, "127.0.0.1"))
    assert log == ["first", "second"]
    await server.close()
    assert log == ["first", "second", "fourth", "third"]
    await server.close()
    assert len(log) == 4
    await server.listen(0, "127.0.0.1")
    await server.close()
    assert log[4:] == ["first", "second", "fourth", "third"]


async def test_sockets_are_gone_at_shutdown() -> None:
    io = Server()
    log: list[Any] = []

    @io.on("connection")
    def connection(socket: Any) -> None:
        socket.on("disconnect", lambda reason: log.append(str(reason)))

    io.on_shutdown(lambda: log.append(len(io.sockets.sockets)))
    await io.listen(0, "127.0.0.1")
    assert io.port is not None
    await SocketIOClient.connect(io.port)
    await io.close()
    assert log == ["server shutting down", 0]
    await close_connections()


async def test_a_startup_hook_that_fails() -> None:
    io = Server()
    log: list[str] = []

    @io.on_startup
    async def fails() -> None:
        raise LookupError("no database")

    io.on_startup(lambda: log.append("second"))
    io.on_shutdown(lambda: log.append("shutdown"))
    with pytest.raises(LookupError, match="no database"):
        await io.listen(0, "127.0.0.1")
    assert io.port is None
    await io.close()
    assert log == []


async def test_a_shutdown_hook_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    io = Server()
    log: list[str] = []
    io.on_shutdown(lambda: log.append("the other"))

    @io.on_shutdown
    def fails() -> None:
        raise LookupError("gone")

    await io.listen(0, "127.0.0.1")
    await io.close()
    assert log == ["the other"]
    assert "shutdown hook" in caplog.text and "LookupError: gone" in caplog.text


async def test_an_address_that_cannot_be_bound() -> None:
    log: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        io = Server()
        io.on_shutdown(lambda: log.append("shutdown"))
        with pytest.raises(OSError):
            await io.listen(taken.getsockname()[1], "127.0.0.1")
    await io.close()
    assert log == ["shutdown"]


async def test_without_listening() -> None:
    io = Server()
    log: list[str] = []
    io.on_startup(lambda: log.append("startup"))
    io.on_shutdown(lambda: log.append("shutdown"))
    await io.startup()
    await io.startup()
    await io.shutdown()
    await io.shutdown()
    assert log == ["startup", "shutdown"]
    with pytest.raises(TypeError, match="must be callable"):
        io.on_startup("fn")  # type: ignore[type-var]


def run(startup: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(startup=startup)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_run_ends_with_what_startup_raises() -> None:
    process = run("raise LookupError('no database')")
    out, err = process.communicate(timeout=20)
    assert out == "startup\n"
    assert process.returncode == 1
    assert err.rstrip().endswith("LookupError: no database")


def test_run_calls_both() -> None:
    process = run("asyncio.ensure_future(announce())")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["startup\n", "listening\n"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("shutdown\n", "", 0)
