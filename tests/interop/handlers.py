"""Handlers that Node's servers could not have: of a router, with types, one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

import fastsio


class Item(msgspec.Struct):
    name: str
    price: float


class Steps:
    """What became of the events ``step``, which begin in the order they came, one at a time."""

    def __init__(self) -> None:
        self.log: list[int] = []
        self.running = 0
        self.most = 0


router = fastsio.Router()


@router.on("connection")
def connection(socket: Any) -> None:
    socket.data["steps"] = Steps()
    socket.emit("welcome", "/handlers")


@router.on("buy")
async def buy(socket: Any, item: Item, count: int = 1) -> dict[str, Any]:
    return {"name": item.name, "total": item.price * count}


@router.on("upload")
def upload(socket: Any, name: str, data: bytes, ack: fastsio.Ack) -> None:
    ack(name, len(data))


@router.on("error")
def error(socket: Any, exception: Exception) -> None:
    socket.emit("refused", getattr(exception, "event", None))


@router.on("step", serialize=True)
async def step(socket: Any, number: int, milliseconds: float) -> int:
    steps: Steps = socket.data["steps"]
    steps.running += 1
    steps.most = max(steps.most, steps.running)
    await asyncio.sleep(milliseconds / 1000)
    steps.running -= 1
    steps.log.append(number)
    return number


@router.on("steps", serialize=True)
def report(socket: Any) -> dict[str, Any]:
    steps: Steps = socket.data["steps"]
    return {"log": steps.log, "most": steps.most}


@router.on("interview")
async def interview(socket: Any) -> list[Any]:
    """Asks, and waits for events as answers."""
    socket.emit("name?")
    name = await socket.wait_for("name", timeout=5)
    socket.emit("age?", name)
    age = await socket.wait_for("age", timeout=5, check=lambda age: age > 0)
    try:
        await socket.wait_for("never", timeout=0.01)
    except fastsio.EventTimeout:
        return [name, age]
    return []


def serve_handlers(io: fastsio.Server) -> None:
    """The namespace ``/handlers``."""
    io.of("/handlers").include(router)
