"""What is left of sockets that middlewares refuse: nothing."""

from __future__ import annotations

import asyncio

import pytest

from fastsio import ConnectionRefused, Server, Socket
from tests.unit.server.in_process import LocalClient


@pytest.mark.parametrize("leaves", [False, True])
async def test_rooms_joined_before_a_refusal(leaves: bool) -> None:
    io = Server()
    decided = asyncio.Event()

    @io.use
    async def refuse(socket: Socket) -> None:
        socket.join(["a", "b"])
        await decided.wait()
        raise ConnectionRefused("no")

    client = LocalClient(io)
    await asyncio.sleep(0)
    assert set(io.sockets.adapter.rooms) == {"a", "b"}
    if leaves:
        client.leave()
    decided.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (dict(io.sockets.adapter.rooms), dict(io.sockets.adapter.sids)) == ({}, {})
    assert client.take() == ([] if leaves else ['4{"message":"no"}'])


async def test_rooms_joined_before_an_admission() -> None:
    io = Server()

    @io.use
    def admit(socket: Socket) -> None:
        socket.join("a")

    client = LocalClient(io)
    await asyncio.sleep(0)
    (socket,) = io.sockets.sockets.values()
    assert socket.rooms == {socket.id, "a"}
    client.leave()
    assert dict(io.sockets.adapter.rooms) == {}
