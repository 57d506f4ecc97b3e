"""What a server can ask of the other servers of its cluster: the interface between server and adapter."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.cluster import Bus
from tests.support.wire import SocketIOClient

from fastsio import AckTimeout, Disconnected, RemoteSocket, Server, Socket

Make = Callable[..., Any]


@pytest.fixture
async def cluster(make_server: Make) -> tuple[Server, Server, Bus]:
    bus = Bus()

    def setup(io: Server) -> None:
        @io.on("connection")
        def connection(socket: Socket) -> None:
            socket.data = {"user": socket.handshake.auth.get("user")}
            socket.join(socket.handshake.auth.get("rooms", ()))

    here = await make_server(setup, adapter=bus.adapter)
    there = await make_server(setup, adapter=bus.adapter)
    return here, there, bus


Cluster = tuple[Server, Server, Bus]


async def remote(io: Server, sid: str) -> RemoteSocket:
    (socket,) = await io.in_(sid).fetch_sockets()
    assert isinstance(socket, RemoteSocket)
    return socket


class TestRemoteSockets:
    async def test_what_is_known_of_them(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        near = await SocketIOClient.connect(here.port, auth={"user": "near", "rooms": ["r"]})
        far = await SocketIOClient.connect(
            there.port, auth={"user": "far", "rooms": ["r"]}, query="&x=1", headers={"X-Name": "value"}
        )
        sockets = {socket.id: socket for socket in await here.in_("r").fetch_sockets()}
        assert set(sockets) == {near.sid, far.sid} == await here.all_sockets()
        assert isinstance(sockets[near.sid], Socket)
        socket = sockets[far.sid]
        assert isinstance(socket, RemoteSocket)
        assert socket.rooms == {far.sid, "r"} and socket.data == {"user": "far"}
        handshake = socket.handshake
        assert handshake.auth == {"user": "far", "rooms": ["r"]}
        assert handshake.query["x"] == "1" and handshake.headers["x-name"] == "value"
        assert handshake.address == "127.0.0.1" and handshake.url.startswith("/socket.io/?")
        assert (handshake.secure, handshake.xdomain) == (False, False)
        assert abs(handshake.issued - time.time()) < 60 and handshake.time.endswith("GMT")

    async def test_emit_join_leave_disconnect(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        far = await SocketIOClient.connect(there.port)
        other = await SocketIOClient.connect(there.port)
        socket = await remote(here, far.sid)
        assert socket.emit("hi", {"a": [1]}) is True
        assert await far.event() == ["hi", {"a": [1]}]
        socket.join(["x", "y"])
        assert (await remote(here, far.sid)).rooms == {far.sid, "x", "y"}
        socket.leave("y")
        assert there.sockets.sockets[far.sid].rooms == {far.sid, "x"}
        socket.disconnect()
        assert await far.recv() == "1"
        (await remote(here, other.sid)).disconnect(True)
        assert await other.recv() == "1"
        assert await other.websocket.expect_closed() == 1005

    async def test_acknowledgements(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        far = await SocketIOClient.connect(there.port)
        socket = await remote(here, far.sid)
        got: list[Any] = []
        socket.timeout(5).emit("q", 1, lambda *args: got.append(args))
        assert await far.recv() == '20["q",1]'
        far.send('30["answer","more"]')
        waiting = asyncio.ensure_future(socket.timeout(5).emit_with_ack("q", 2))
        assert await far.recv() == '21["q",2]'
        far.send("31[2]")
        assert await waiting == 2
        assert got == [(None, "answer")]
        socket.timeout(0.05).emit("q", lambda *args: got.append(args))
        with pytest.raises(AckTimeout):
            await socket.timeout(0.05).emit_with_ack("q")
        error, response = got[1]
        assert isinstance(error, AckTimeout) and response is None
        for emit in (socket.emit, socket.emit_with_ack):
            with pytest.raises(ValueError, match="time limit"):
                result = emit("q", print)
                await result  # type: ignore[misc]
        far.websocket.abort()
        while far.sid in await here.all_sockets():
            await asyncio.sleep(0.01)
        with pytest.raises(Disconnected):
            await socket.timeout(5).emit_with_ack("q")
        socket.timeout(5).emit("q", lambda *args: got.append(args))
        await asyncio.sleep(0.01)
        assert isinstance(got[2][0], Disconnected)


class TestTheWholeCluster:
    async def test_control(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        near = await SocketIOClient.connect(here.port)
        far = await SocketIOClient.connect(there.port)
        here.sockets_join(["r", "s"])
        here.in_(far.sid).sockets_leave("s")
        assert there.sockets.sockets[far.sid].rooms == {far.sid, "r"}
        here.to("r").emit("both")
        here.local.emit("here")
        assert [await near.event(), await near.event()] == [["both"], ["here"]]
        assert await far.event() == ["both"]
        here.disconnect_sockets()
        assert [await near.recv(), await far.recv()] == ["1", "1"]

    async def test_broadcast_acknowledgements(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        near = await SocketIOClient.connect(here.port)
        far = [await SocketIOClient.connect(there.port) for _ in range(2)]
        waiting = asyncio.ensure_future(here.timeout(5).emit_with_ack("q"))
        for number, client in enumerate([near, *far]):
            assert await client.recv() == '20["q"]'
            client.send(f"30[{number}]")
        assert sorted(await waiting) == [0, 1, 2]
        with pytest.raises(AckTimeout) as caught:
            await here.timeout(0.2).emit_with_ack("q")
        assert caught.value.responses == []
        assert not here.sockets._asked and not there.sockets._asked

    async def test_clients_as_in_v2(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        near = await SocketIOClient.connect(here.port, auth={"rooms": ["r"]})
        far = await SocketIOClient.connect(there.port)
        got: list[Any] = []
        here.clients(lambda error, ids: got.append((error, sorted(ids))))
        here.to("r").clients(lambda error, ids: got.append((error, ids)))
        here.sockets.clients(lambda error, ids: got.append((error, sorted(ids))))
        await asyncio.sleep(0.01)
        both = sorted([near.sid, far.sid])
        assert got == [(None, both), (None, [near.sid]), (None, both)]


class TestServerSideEmit:
    async def test_to_the_others(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        got: list[Any] = []
        here.on("ping", lambda *args: got.append(("here", *args)))
        there.on("ping", lambda *args: got.append(("there", *args)))
        there.of("/chat").on("ping", lambda *args: got.append(("chat", *args)))
        here.of("/chat")
        await asyncio.sleep(0.01)
        assert here.server_side_emit("ping", 1, {"a": None}) is True
        here.of("/chat").server_side_emit("ping")
        assert got == [("there", 1, {"a": None}), ("chat",)]

    async def test_acknowledgements(self, cluster: Cluster) -> None:
        here, there, _ = cluster
        there.on("sum", lambda a, b: a + b)
        there.on("later", lambda ack: asyncio.get_running_loop().call_later(0.01, ack, "late"))
        got: list[Any] = []
        here.server_side_emit("sum", 1, 2, lambda *args: got.append(args))
        assert await here.server_side_emit_with_ack("later") == ["late"]
        assert got == [(None, [3])]
        with pytest.raises(AckTimeout) as caught:
            await here.server_side_emit_with_ack("nobody listens")
        assert caught.value.responses == []

    @pytest.mark.parametrize("event", ["connect", "connection", "new_namespace"])
    async def test_reserved_names(self, cluster: Cluster, event: str) -> None:
        here, _, _ = cluster
        for target in (here, here.of("/chat")):
            with pytest.raises(ValueError, match="reserved"):
                target.server_side_emit(event)
            with pytest.raises(ValueError, match="reserved"):
                await target.server_side_emit_with_ack(event)
            with pytest.raises(TypeError):
                target.server_side_emit()

    async def test_alone(self, make_server: Make, caplog: pytest.LogCaptureFixture) -> None:
        io = await make_server()
        io.on("ping", lambda: pytest.fail("a server hears itself"))
        got: list[Any] = []
        with caplog.at_level(logging.WARNING, logger="fastsio.server"):
            io.server_side_emit("ping", lambda *args: got.append(args))
        assert "reaches nobody" in caplog.text
        assert got == []
        assert await io.server_side_emit_with_ack("ping") == []
        assert got == [(None, [])]


class TestAdaptersBeginAndEnd:
    async def test_with_the_server(self) -> None:
        bus = Bus()
        io = await asyncio.to_thread(Server, adapter=bus.adapter)
        await asyncio.to_thread(io.of, "/early")
        assert bus.log == []  # no loop may run yet when namespaces are made
        await io.listen(0, "127.0.0.1")
        assert bus.log == [("init", "/"), ("init", "/early")]
        io.of("/late")
        await asyncio.sleep(0.01)
        assert bus.log[2:] == [("init", "/late")]
        await io.close()
        assert sorted(bus.log[3:]) == [("close", "/"), ("close", "/early"), ("close", "/late")]
        await io.listen(0, "127.0.0.1")
        assert len(bus.adapters) == 3
        await io.close()

    async def test_without_a_listener(self, make_server: Make) -> None:
        """A server that another program hands its requests connects its adapters with the first."""
        from tests.unit.engine.fakes import FakeExchange

        from fastsio.engine.request import Request

        bus = Bus()
        io = await asyncio.to_thread(Server, adapter=bus.adapter)  # where no loop runs
        assert bus.log == []
        exchange = FakeExchange()
        io.handle(Request("GET", "/elsewhere", {}, exchange=exchange))
        await asyncio.sleep(0.01)
        assert bus.log == [("init", "/")] and exchange.status == 404
