"""``fastsio.compat.socketio`` with ``AsyncRedisManager``: two servers as one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastsio.compat import socketio
from tests.cluster.conftest import RedisServer
from tests.cluster.test_streams import eventually, servers_are

pytestmark = pytest.mark.cluster


def make(redis: RedisServer, channel: str) -> socketio.AsyncServer:
    manager = socketio.AsyncRedisManager(redis.url, channel, block_time=0.1)
    sio = socketio.AsyncServer(client_manager=manager)
    sio.on("rooms", lambda sid: sorted(set(sio.rooms(sid)) - {sid}))
    return sio


async def test_two_servers(redis: RedisServer) -> None:
    one, two = make(redis, "compat"), make(redis, "compat")
    await one.io.listen(0, "127.0.0.1")
    await two.io.listen(0, "127.0.0.1")
    try:
        await servers_are(one.io, 2)
        client = socketio.AsyncClient(reconnection=False)
        seen: list[Any] = []

        @client.on("question")
        async def question(value: int) -> int:
            return value + 1

        client.on("*", lambda event, *args: seen.append([event, *args]))
        client.on("disconnect", lambda reason: seen.append(reason))
        await client.connect(f"http://127.0.0.1:{two.io.port}", wait_timeout=5)
        sid = client.get_sid()
        assert sid is not None
        await one.emit("to all", (1, b"2"))
        await one.enter_room(sid, "room")
        await one.emit("to room", 3, room="room", skip_sid="somebody")
        await one.emit("to nobody", 4, skip_sid=sid)
        await one.emit("not from here", 5, ignore_queue=True)
        await eventually(lambda: len(seen) == 2)
        assert seen == [["to all", 1, b"2"], ["to room", 3]]
        assert await client.call("rooms") == ["room"]
        assert await one.call("question", 6, to=sid, timeout=5) == 7
        with pytest.raises(socketio.exceptions.TimeoutError):
            await one.call("question", 6, to="nobody", timeout=0.3)
        await one.leave_room(sid, "room")
        for _ in range(100):
            if await client.call("rooms") == []:
                break
            await asyncio.sleep(0.02)
        assert await client.call("rooms") == []
        await one.disconnect(sid)
        await eventually(lambda: len(seen) == 3)
        assert seen[-1] == "server disconnect"
        await client.disconnect()
    finally:
        await one.io.close()
        await two.io.close()
