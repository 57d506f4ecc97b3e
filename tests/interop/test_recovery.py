"""Connection state recovery over connections that break: the official client, ours for browsers, ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastsio import Server
from tests.interop.harness import MODES
from tests.interop.recorder import Recorder, make_client
from tests.support.cut import Wire, wire_to

pytestmark = pytest.mark.interop

CLIENTS = ["sio-client-4", "own", "python"]
each_client = pytest.mark.parametrize("name", CLIENTS)
each_mode = pytest.mark.parametrize("mode", MODES)


class Scene:
    """A server, a wire that can be cut, and a client at its other end."""

    def __init__(self, io: Server, wire: Wire, client: Recorder, mode: str) -> None:
        self.io = io
        self.wire = wire
        self.client = client
        self.mode = mode
        self.sockets: list[Any] = []
        io.on("connection", self._on_connection)

    def _on_connection(self, socket: Any) -> None:
        self.sockets.append(socket)
        if not socket.recovered:
            socket.join("room")
            socket.data["count"] = len(self.sockets)

    async def connected(self) -> dict[str, Any]:
        line = await self.client.see(connect=...)
        if self.mode != "polling":
            await self.client.see(upgrade="websocket")
        return line

    async def lost(self) -> None:
        """Both sides know; between two polls the server has nothing to notice it by, and need not."""
        await self.client.see(disconnect=...)
        if self.mode != "polling":
            await self.client.until(lambda _: self.sockets[-1].disconnected)

    async def back(self) -> tuple[list[Any], dict[str, Any]]:
        """The wire is mended: the events that came before the connection was back, and that."""
        self.wire.mend()
        before: list[Any] = []

        def found(lines: list[dict[str, Any]]) -> bool:
            return any("connect" in line for line in lines)

        await self.client.until(found)
        for line in self.client.lines:
            if "connect" in line:
                break
            if "event" in line:
                before.append([line["event"], *line["args"][:-1]])
        return before, await self.connected()


@pytest.fixture
async def scene() -> AsyncIterator[Callable[..., Any]]:
    """``async with scene(name, mode, recovery, **options)``."""

    @asynccontextmanager
    async def make(name: str, mode: str, recovery: Any = True, **options: Any) -> AsyncIterator[Scene]:
        io = Server(connection_state_recovery=recovery, **options)
        await io.listen(0, "127.0.0.1")
        async with wire_to(io.port) as wire:
            client = make_client(name, mode, f"http://127.0.0.1:{wire.port}")
            try:
                yield Scene(io, wire, client, mode)
            finally:
                await client.close()
                await io.close(grace=0.2)

    yield make


@each_client
@each_mode
async def test_nothing_is_missed(scene: Any, name: str, mode: str) -> None:
    async with scene(name, mode) as s:
        first = await s.connected()
        assert not first["recovered"] and first["connect"] == s.sockets[0].id
        # The client has got no event so far.
        s.wire.cut()
        await s.lost()
        s.io.emit("missed", 1)
        s.io.to("room").emit("missed", 2, b"\x02")
        s.io.to("elsewhere").emit("missed", "not for it")
        s.io.except_("room").emit("missed", "not for it")
        s.io.volatile.emit("missed", "volatile")
        events, again = await s.back()
        assert events == [["missed", 1], ["missed", 2, {"$bytes": "02"}]]
        assert again == {"connect": first["connect"], "recovered": True}
        socket = s.sockets[1]
        assert socket.recovered and socket.rooms == {socket.id, "room"} and socket.data == {"count": 1}

        socket.emit("live", 3)
        await s.client.see(event="live")
        # What was on its way when the connection broke has not arrived.
        s.wire.freeze()
        socket.emit("lost", 4)
        s.io.emit("lost", 5)
        await asyncio.sleep(0.05)
        s.wire.cut()
        await s.lost()
        s.io.to("room").emit("missed", 6)
        events, again = await s.back()
        assert events == [["lost", 4], ["lost", 5], ["missed", 6]]
        assert again["recovered"]
        # And nothing twice.
        s.sockets[-1].emit("live", 7)
        assert (await s.client.see(event=...))["args"][0] == 7
        assert len(s.io.sockets.sockets) == 1


@each_client
@each_mode
async def test_an_end_that_the_server_does_not_notice(scene: Any, name: str, mode: str) -> None:
    async with scene(name, mode) as s:
        first = await s.connected()
        s.wire.freeze()
        s.io.emit("lost", 1)
        await asyncio.sleep(0.05)
        s.wire.cut(unnoticed=True)
        await s.client.see(disconnect=...)
        assert s.sockets[0].connected
        s.io.emit("lost", 2)
        events, again = await s.back()
        assert events == [["lost", 1], ["lost", 2]]
        assert again == {"connect": first["connect"], "recovered": True}
        assert s.sockets[0].disconnected and len(s.io.sockets.sockets) == 1
        s.wire.drop_servers()


@each_client
async def test_too_late(scene: Any, name: str) -> None:
    async with scene(name, "websocket", {"max_disconnection_duration": 0.1}) as s:
        first = await s.connected()
        s.wire.cut()
        await s.lost()
        s.io.emit("missed", 1)
        await asyncio.sleep(0.3)
        events, again = await s.back()
        assert events == [] and not again["recovered"] and again["connect"] != first["connect"]
        assert not s.sockets[1].recovered and s.sockets[1].data == {"count": 2}


@each_client
async def test_the_server_closes(scene: Any, name: str) -> None:
    """The connection, not the namespace: the client comes back to what it had."""
    async with scene(name, "upgrade", ping_interval=0.3, ping_timeout=0.3) as s:
        first = await s.connected()
        s.sockets[0].conn.close()
        s.io.emit("missed", 1)
        events, again = await s.back()
        assert events == [["missed", 1]]
        assert again == {"connect": first["connect"], "recovered": True}


@pytest.mark.parametrize("name", ["sio-client-2", "sio-client-3"])
async def test_clients_that_know_nothing_of_it(scene: Any, name: str) -> None:
    async with scene(name, "websocket") as s:
        await s.client.until(lambda _: s.sockets)
        s.client.emit("question", {"$ack": 1})
        s.sockets[0].on("question", lambda: "answer")
        s.client.emit("question", {"$ack": 2})
        assert (await s.client.see(ack=2))["args"] == ["answer"]
        s.wire.cut()
        await s.client.see(disconnect=...)
        s.wire.mend()
        await s.client.until(lambda _: len(s.sockets) == 2)
        assert not s.sockets[1].recovered
