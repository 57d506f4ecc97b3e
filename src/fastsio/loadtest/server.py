"""A server with the handlers that the load scenarios want: ``fastsio load-server``."""

from __future__ import annotations

from typing import Any

from fastsio import Server, Socket

__all__ = ["make_server"]


def make_server(**options: Any) -> Server:
    """A server for every scenario, on the namespace ``/``; ``options`` are the server's."""
    io = Server(**options)

    @io.on("connection")
    def connection(socket: Socket) -> None:
        @socket.on("echo")
        def echo(data: Any) -> None:
            socket.emit("echo", data)

        @socket.on("ack")
        def ack(data: Any) -> Any:
            return data

        @socket.on("broadcast")
        def broadcast(data: Any) -> None:
            io.emit("broadcast", data)

        @socket.on("join")
        def join(room: str) -> None:
            socket.join(room)

        @socket.on("room")
        def room(name: str, data: Any) -> None:
            io.to(name).emit("room", data)

    return io
