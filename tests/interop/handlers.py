"""Handlers of the scenario server that Node's servers could not have."""

from __future__ import annotations

from typing import Any

import msgspec

import fastsio


class Item(msgspec.Struct):
    name: str
    price: float


def serve_handlers(io: fastsio.Server) -> None:
    """The namespace ``/handlers``."""

    @io.of("/handlers").on("connection")
    def connection(socket: Any) -> None:
        socket.emit("welcome", "/handlers")

        @socket.on("buy")
        async def buy(item: Item, count: int = 1) -> dict[str, Any]:
            return {"name": item.name, "total": item.price * count}

        @socket.on("upload")
        def upload(name: str, data: bytes, ack: fastsio.Ack) -> None:
            ack(name, len(data))

        @socket.on("error")
        def error(exception: Exception) -> None:
            socket.emit("refused", getattr(exception, "event", None))
