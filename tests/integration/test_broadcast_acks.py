"""Broadcasts that every recipient acknowledges."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.wire import SocketIOClient

from fastsio import AckTimeout, PacketError, Server, Socket

Make = Callable[..., Any]


async def asked(client: SocketIOClient, event: str) -> str:
    """The acknowledgement id with which ``client`` was asked."""
    packet = await client.recv()
    assert isinstance(packet, str)
    found = re.fullmatch(rf'2(\d+)\["{event}"\]', packet)
    assert found, packet
    return found[1]


async def answer(client: SocketIOClient, event: str, arguments: str) -> None:
    client.send(f"3{await asked(client, event)}{arguments}")


def pending(io: Server) -> int:
    return len(io.sockets._asked)


class TestCollecting:
    async def test_all_answer(self, make_server: Make) -> None:
        io = await make_server()
        a, b, c = [await SocketIOClient.connect(io.port) for _ in range(3)]
        io.in_([a.sid, b.sid]).sockets_join("room")
        got: list[Any] = []
        io.to("room").timeout(5).emit("poll", lambda *args: got.append(args))
        waiting = asyncio.ensure_future(io.except_("room").timeout(5).emit_with_ack("poll"))
        await answer(a, "poll", '["first","dropped"]')
        assert got == []
        await answer(b, "poll", "[]")
        await answer(c, "poll", '[{"a":[1]}]')
        assert await waiting == [{"a": [1]}]
        assert got == [(None, ["first", None])]
        assert pending(io) == 0

    async def test_one_id_for_all(self, make_server: Make) -> None:
        io = await make_server()
        clients = [await SocketIOClient.connect(io.port) for _ in range(3)]
        waiting = asyncio.ensure_future(io.timeout(5).emit_with_ack("poll"))
        assert len({await asked(client, "poll") for client in clients}) == 1
        assert pending(io) == 1
        waiting.cancel()

    async def test_from_a_socket_and_a_namespace(self, make_server: Make) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            @io.of("/chat").on("connection")
            def connection(socket: Socket) -> None:
                @socket.on("go")
                async def go() -> None:
                    got.append(await socket.timeout(5).broadcast.emit_with_ack("poll"))
                    got.append(await socket.timeout(5).to(socket.id).emit_with_ack("poll"))
                    got.append(await socket.nsp.timeout(5).emit_with_ack("poll"))
                    socket.emit("done")

        io = await make_server(setup)
        a = await SocketIOClient.connect(io.port, "/chat")
        b = await SocketIOClient.connect(io.port, "/chat")
        a.emit("go", namespace="/chat")
        for client, sends in ((b, "b"), (b, "b"), (a, "a")):
            packet = await client.recv()
            assert isinstance(packet, str)
            found = re.fullmatch(r'2/chat,(\d+)\["poll"\]', packet)
            assert found, packet
            client.send(f'3/chat,{found[1]}["{sends}"]')
        assert await a.recv() == '2/chat,["done"]'
        assert got[:2] == [["b"], []]
        assert sorted(got[2]) == ["a", "b"]

    async def test_nobody_to_ask(self, make_server: Make) -> None:
        io = await make_server()
        got: list[Any] = []
        io.timeout(5).emit("poll", lambda *args: got.append(args))
        assert got == []  # never before emit() has returned
        assert await io.timeout(5).emit_with_ack("poll") == []
        assert got == [(None, [])]

    async def test_binary(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        waiting = asyncio.ensure_future(io.timeout(5).emit_with_ack("poll", b"\x01"))
        header = await client.recv()
        assert isinstance(header, str)
        found = re.fullmatch(r'51-(\d+)\["poll",\{"_placeholder":true,"num":0\}\]', header)
        assert found and await client.recv() == b"\x01"
        client.send(f'61-{found[1]}[{{"_placeholder":true,"num":0}}]')
        client.send(b"\x02")
        assert await waiting == [b"\x02"]


class TestTimeout:
    async def test_partial_responses(self, make_server: Make) -> None:
        io = await make_server()
        a, b = [await SocketIOClient.connect(io.port) for _ in range(2)]
        got: list[Any] = []
        io.timeout(0.1).emit("poll", lambda *args: got.append(args))
        await answer(a, "poll", "[1]")
        late = await asked(b, "poll")
        with pytest.raises(AckTimeout, match="operation has timed out") as caught:
            await io.timeout(0.1).emit_with_ack("again")
        assert caught.value.responses == [] and caught.value.timeout == 0.1
        ((error, responses),) = got
        assert isinstance(error, AckTimeout)
        assert responses == [1] == error.responses
        assert pending(io) == 0
        # A late answer is no use, and no harm.
        b.send(f"3{late}[2]")
        await asked(b, "again")
        b.emit("still here")
        assert await io.in_(b.sid).fetch_sockets() != []
        assert responses == [1]

    async def test_a_recipient_that_leaves_is_missing(self, make_server: Make) -> None:
        io = await make_server()
        a, b = [await SocketIOClient.connect(io.port) for _ in range(2)]
        waiting = asyncio.ensure_future(io.timeout(0.2).emit_with_ack("poll"))
        await answer(a, "poll", '["a"]')
        await asked(b, "poll")
        b.send("1")
        with pytest.raises(AckTimeout) as caught:
            await waiting
        assert caught.value.responses == ["a"]
        assert pending(io) == 0

    async def test_is_needed(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        (socket,) = await io.fetch_sockets()
        for target in (io, io.of("/"), io.to("room"), socket.broadcast):
            with pytest.raises(ValueError, match="time limit"):
                target.emit("poll", print)
            with pytest.raises(ValueError, match="time limit"):
                await target.emit_with_ack("poll")
        io.emit("end")
        assert await client.event() == ["end"]

    async def test_nobody_waits_any_more(self, make_server: Make) -> None:
        io = await make_server()
        await SocketIOClient.connect(io.port)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(io.timeout(0.2).emit_with_ack("poll"), 0.05)
        assert pending(io) == 1
        await asyncio.sleep(0.3)
        assert pending(io) == 0


class TestWhatClientsMayDo:
    async def test_one_answer_each_and_only_of_those_asked(self, make_server: Make) -> None:
        io = await make_server()
        a, b, stranger = [await SocketIOClient.connect(io.port) for _ in range(3)]
        waiting = asyncio.ensure_future(io.except_(stranger.sid).timeout(5).emit_with_ack("poll"))
        ack_id = await asked(a, "poll")
        stranger.send(f'3{ack_id}["forged"]')
        a.send(f'3{ack_id}["a"]')
        a.send(f'3{ack_id}["twice"]')
        for client in (a, stranger):
            client.emit("echo", ack=1)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await answer(b, "poll", '["b"]')
        assert await waiting == ["a", "b"]

    async def test_a_callback_that_fails(self, make_server: Make, caplog: pytest.LogCaptureFixture) -> None:
        failed: list[Any] = []

        def setup(io: Server) -> None:
            io.on("error", lambda error, socket, event: failed.append((str(error), socket, event)))

        async def awaited(error: Any, responses: list[Any]) -> None:
            await asyncio.sleep(0)
            raise RuntimeError("awaited")

        def plain(error: Any, responses: list[Any]) -> None:
            raise RuntimeError("plain")

        io = await make_server(setup)
        with caplog.at_level(logging.CRITICAL, logger="fastsio.server"):
            io.timeout(5).emit("poll", plain)
            io.timeout(5).emit("poll", awaited)
            await asyncio.sleep(0.05)
        assert failed == [("plain", None, "ack"), ("awaited", None, "ack")]

    async def test_what_cannot_be_sent(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        for args, error in [
            (("disconnect",), ValueError),
            ((1,), TypeError),
            (("poll", object()), PacketError),
        ]:
            with pytest.raises(error):
                io.timeout(5).emit(*args, print)
            with pytest.raises(error):
                await io.timeout(5).emit_with_ack(*args)
        assert pending(io) == 0 and len(io.engine.timers) == 1  # the heartbeat of the client
        io.emit("end")
        assert await client.event() == ["end"]
