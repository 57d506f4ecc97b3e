"""What the tests of the browser client connect to, on fastsio; node_server.js is the same on socket.io 4.8.

PORT says where.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import fastsio

io = fastsio.Server(
    static_files={"/": Path(__file__).with_name("fastsio.html")},
    ping_interval=2.0,
    ping_timeout=2.0,
    connection_state_recovery=True,
)
calls: dict[str, int] = {}


def describe(value: Any) -> Any:
    """Bytes as hexadecimal digits: tells that the server saw bytes."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value


def connection(socket: Any) -> None:
    socket.join("everybody")
    socket.emit("welcome", socket.nsp.name)

    @socket.on("echo")
    def echo(*args: Any) -> None:
        ack = args[-1]
        ack(*args[:-1])

    @socket.on("describe")
    def on_describe(value: Any) -> Any:
        return describe(value)

    @socket.on("size")
    def size(value: bytes) -> int:
        return len(value)

    @socket.on("auth")
    def auth() -> Any:
        return socket.handshake.auth

    @socket.on("transport")
    def transport() -> str:
        return socket.conn.transport

    @socket.on("silence")
    def silence(ack: Any) -> None:
        """Never answers."""

    @socket.on("flaky")
    def flaky(name: str, silent: int, ack: Any) -> None:
        """Answers call ``silent + 1`` of that name, with its number."""
        calls[name] = calls.get(name, 0) + 1
        if calls[name] > silent:
            ack(calls[name])

    @socket.on("cut")
    async def cut(milliseconds: float) -> None:
        """Closes the connection, and sends something that its client misses."""
        socket.conn.close()
        await asyncio.sleep(milliseconds / 1000)
        io.of(socket.nsp.name).to("everybody").emit("missed", milliseconds)

    @socket.on("disconnect")
    def disconnect(reason: str) -> None:
        io.to("everybody").emit("left", reason)

    @socket.on("leave me")
    def leave_me() -> None:
        socket.disconnect()


def guard(socket: Any, next: Any) -> None:
    if socket.handshake.auth.get("token") == "good":
        next()
    else:
        next(fastsio.exceptions.ConnectionRefused("no entry", {"code": 7}))


io.on("connection", connection)
io.of("/other").on("connection", connection)
io.of("/guarded").use(guard).on("connection", connection)


if __name__ == "__main__":
    io.run(port=int(os.environ["PORT"]), host="127.0.0.1")
