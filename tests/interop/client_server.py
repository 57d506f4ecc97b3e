"""fastsio's server as the tests of the clients need it; tests/clients/client_server.js is the same in Node.

python client_server.py fastsio <port, 0: any> '<options in Node's names, as JSON>'
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import uvloop

import fastsio

#: Options of Node's that are times in milliseconds.
MILLISECONDS = {"pingInterval", "pingTimeout", "upgradeTimeout", "connectTimeout"}


def say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def describe(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value


def connection(socket: fastsio.Socket) -> None:
    seen: list[Any] = []
    socket.emit("welcome", socket.nsp.name, b"\x00\xff")

    @socket.on("echo")
    def echo(*args: Any) -> None:
        args[-1](*args[:-1])

    @socket.on("describe")
    def on_describe(value: Any) -> Any:
        return describe(value)

    @socket.on("back")
    def back(*args: Any) -> None:
        socket.emit("back", *args)

    @socket.on("ask")
    def ask(value: Any) -> None:
        socket.emit("question", value, lambda *answer: socket.emit("answered", *answer))

    @socket.on("silent")
    def silent(ack: Callable[..., None]) -> None:
        """Never answers."""

    @socket.on("slow")
    async def slow(milliseconds: float) -> str:
        await asyncio.sleep(milliseconds / 1000)
        return "at last"

    @socket.on("seen")
    def on_seen(value: Any) -> None:
        seen.append(value)

    @socket.on("report")
    def report() -> list[Any]:
        return seen

    @socket.on("whoami")
    def whoami() -> dict[str, Any]:
        handshake = socket.handshake
        return {
            "id": socket.id,
            "auth": handshake.auth,
            "query": handshake.query,
            "header": handshake.headers.get("x-test"),
            "transport": socket.conn.transport,
        }

    @socket.on("kick")
    def kick(close: bool) -> None:
        socket.disconnect(close)

    @socket.on("drop")
    def drop() -> None:
        socket.conn.close()

    if socket.nsp.name == "/":
        socket.on("disconnect", lambda reason: say("end", reason=str(reason)))


def guard(socket: fastsio.Socket) -> None:
    if socket.handshake.auth.get("token") != "good":
        raise fastsio.ConnectionRefused("nope", {"code": 7})


async def main(port: int, options: dict[str, Any]) -> None:
    io = fastsio.Server(
        **{
            re.sub("([A-Z])", r"_\1", name).lower(): value / 1000 if name in MILLISECONDS else value
            for name, value in options.items()
        }
    )
    for namespace in ("/", "/chat", "/guarded"):
        io.of(namespace).on("connection", connection)
    io.of("/guarded").use(guard)
    await io.listen(port, "127.0.0.1")
    say("listening", port=io.port)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await io.close(grace=0)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[2]), json.loads(sys.argv[3])))
