from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsio import Server, Socket
from fastsio.adapters.redis_streams import create_adapter
from tests.interop.harness import CLIENTS, Program, node_package
from tests.support.servers import make_servers

_ids = itertools.count(1)


class RedisServer:
    """A Redis of the tests' own, which keeps nothing over its end."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server is missing: run scripts/test-deps, which installs it", pytrace=False)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(100).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def command(self, *words: str | bytes) -> bytes:
        """Send a command; the beginning of the reply as it is."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(request)
            reply = connection.recv(65536)
        assert not reply.startswith(b"-"), reply
        return reply


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """An empty Redis that runs."""
    redis_server.command("FLUSHALL")
    return redis_server


def setup(io: Server) -> None:
    for name in ("/", "/chat"):

        @io.of(name).on("connection")
        def connection(socket: Socket) -> None:
            socket.data.setdefault("from", "fastsio")
            socket.join(socket.handshake.auth.get("rooms", ()))
            socket.emit("state", socket.recovered)
            socket.on("others", socket.broadcast.emit)


@pytest.fixture
async def make_server(redis: RedisServer) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """``await make_server(recovery, **adapter_options)``: a server of the cluster, closed after the test."""
    async with make_servers() as make_any:

        async def make(recovery: Any = True, **options: Any) -> Server:
            adapter = create_adapter(redis.url, **{"block_time": 1.0, **options})
            return await make_any(setup, adapter=adapter, connection_state_recovery=recovery)

        yield make


class NodeServer(Program):
    """Node's server with its own adapter."""

    def __init__(self, redis: RedisServer, options: str = "{}") -> None:
        node = node_package("@socket.io/redis-streams-adapter")
        super().__init__([node, "streams_server.js", str(redis.port), options], CLIENTS)
        self.port: int = self.wait_for(lambda lines: lines[:1], 20, "the server's port")[0]["port"]

    def begin(self, call: str, *args: Any) -> int:
        """Ask for something; the number by which :meth:`finish` gives its result."""
        number = next(_ids)
        self.write(json.dumps({"id": number, "call": call, "args": args}))
        return number

    def finish(self, number: int) -> Any:
        def answers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [line for line in lines if line.get("id") == number]

        (answer,) = self.wait_for(answers, 10, f"the answer to call {number}")
        assert "error" not in answer, answer
        return answer["value"]


@pytest.fixture
def node(redis: RedisServer) -> Iterator[NodeServer]:
    server = NodeServer(redis)
    yield server
    assert server.stop() == 0, server.output()
