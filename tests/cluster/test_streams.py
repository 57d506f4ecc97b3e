"""Servers of one cluster over a real Redis: ours with ours, and ours with Node's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ormsgpack
import pytest
from redis.exceptions import RedisError

from fastsio import AckTimeout, RemoteSocket, Server, Socket
from fastsio.adapters.redis_link import _BATCH
from fastsio.adapters.redis_streams import _Entry, create_adapter
from tests.cluster.conftest import NodeServer, RedisServer
from tests.cluster.visitor import Visitor
from tests.interop.recorder import Recorder, make_client
from tests.support.cut import Wire, wire_to

pytestmark = pytest.mark.cluster

Make = Callable[..., Awaitable[Server]]


async def eventually(check: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What ``check`` gives, once that is true."""
    end = time.monotonic() + seconds
    while not (result := check()):
        assert time.monotonic() < end, f"not within {seconds} s"
        await asyncio.sleep(0.02)
    return result


async def servers_are(io: Server, count: int) -> None:
    """Wait until the cluster has ``count`` servers; Redis may be on its way back."""
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(RedisError):
            if await io.sockets.adapter.server_count() == count:
                return
        assert time.monotonic() < end, f"not {count} servers within 10 s"
        await asyncio.sleep(0.02)


async def ask(node: NodeServer, call: str, *args: Any) -> Any:
    """A call of Node's server; ours answer meanwhile."""
    return await asyncio.to_thread(node.finish, node.begin(call, *args))


@pytest.fixture(params=[False, True], ids=["", "recovery"])
async def pair(request: pytest.FixtureRequest, make_server: Make) -> tuple[Server, Server]:
    return await make_server(request.param), await make_server(request.param)


Pair = tuple[Server, Server]


async def lost_client(io: Server) -> Visitor:
    """A client, the only one, that got one event and then lost its connection."""
    visitor = await Visitor.come(io.port)
    io.emit("x")
    await visitor.until(["x"])
    visitor.lose()
    await eventually(lambda: not io.sockets.sockets)
    return visitor


class TestBroadcasts:
    async def test_reach_the_clients_of_all_servers(self, pair: Pair) -> None:
        a, b = pair
        near, far = await Visitor.come(a.port, "r"), await Visitor.come(b.port, "r")
        other = await Visitor.come(b.port, "s")
        a.emit("to all", 1, {"deep": [None, "ü"]})
        b.to("r").emit("to r", 2)
        a.except_("r").emit("not to r", 3)
        a.to(["r", "s"]).emit("bytes", b"\x01\xff")
        a.local.emit("local")
        a.emit("end")
        first = ["to all", 1, {"deep": [None, "ü"]}]
        binary = [["bytes", {"_placeholder": True, "num": 0}, b"\x01\xff"]]
        # Which of two servers' events comes first is not said.
        expected = [first, ["to r", 2], *binary, ["end"]]
        await far.until(["to r", 2])
        await near.until(["to r", 2])
        assert sorted(map(str, await far.until(["end"]))) == sorted(map(str, expected))
        assert await other.until(["end"]) == [first, ["not to r", 3], *binary, ["end"]]
        assert sorted(map(str, await near.until(["end"]))) == sorted(map(str, [*expected, ["local"]]))

    async def test_each_namespace_has_its_own(self, pair: Pair) -> None:
        a, b = pair
        root, chat = await Visitor.come(b.port), await Visitor.come(b.port, namespace="/chat")
        a.of("/chat").emit("chat")
        a.emit("root")
        assert await chat.until(["chat"]) == [["chat"]]
        assert await root.until(["root"]) == [["root"]]

    async def test_from_a_socket_to_all_others(self, pair: Pair) -> None:
        a, b = pair
        sender, far = await Visitor.come(a.port), await Visitor.come(b.port)
        sender.emit("others", "said", 1)
        assert await far.until(["said", 1]) == [["said", 1]]
        a.emit("end")
        assert await sender.until(["end"]) == [["end"]]

    async def test_volatile_ones_too(self, pair: Pair) -> None:
        a, b = pair
        near, far = await Visitor.come(a.port), await Visitor.come(b.port)
        a.volatile.emit("now")
        a.emit("end")
        assert ["now"] in await far.until(["end"]) and ["now"] in await near.until(["end"])
        assert near.events.count(["now"]) == far.events.count(["now"]) == 1

    @pytest.mark.parametrize("options", [{"stream_count": 3}, {"only_plaintext": True}])
    async def test_options(self, make_server: Make, redis: RedisServer, options: dict[str, Any]) -> None:
        a, b = await make_server(**options), await make_server(**options)
        far, chat = await Visitor.come(b.port), await Visitor.come(b.port, namespace="/chat")
        a.of("/chat").emit("chat")
        a.emit("bytes", b"\x01")
        a.emit("end")
        await chat.until(["chat"])
        (event, _) = await far.until(["end"])
        if "only_plaintext" in options:
            assert event == ["bytes", {"type": "Buffer", "data": [1]}]
        else:
            assert event[2] == b"\x01"
            assert redis.command("EXISTS", "socket.io", "socket.io-0", "socket.io-1", "socket.io-2") > b":0"
            assert redis.command("EXISTS", "socket.io") == b":0\r\n"


class TestControl:
    async def test_rooms_and_ends_of_others(self, pair: Pair) -> None:
        a, b = pair
        far = await Visitor.come(b.port, "r")
        a.in_("r").sockets_join(["x", "y"])
        await eventually(lambda: "y" in b.sockets.adapter.sids[far.sid])
        a.in_("r").sockets_leave("x")
        await eventually(lambda: "x" not in b.sockets.adapter.sids[far.sid])
        a.in_("y").disconnect_sockets(close=True)
        await far.websocket.expect_closed()

    async def test_sockets_of_others(self, pair: Pair) -> None:
        a, b = pair
        await servers_are(a, 2)
        near, far = await Visitor.come(a.port), await Visitor.come(b.port, "r")
        found = {socket.id: socket for socket in await a.fetch_sockets()}
        assert set(found) == {near.sid, far.sid} and isinstance(found[near.sid], Socket)
        remote = found[far.sid]
        assert isinstance(remote, RemoteSocket)
        assert remote.rooms == {far.sid, "r"} and remote.data == {"from": "fastsio"}
        assert remote.handshake.auth == {"rooms": ["r"]} and "EIO=4" in remote.handshake.url
        remote.emit("personal")
        assert await far.until(["personal"]) == [["personal"]]
        assert [socket.id for socket in await a.in_("r").fetch_sockets()] == [far.sid]

    async def test_data_that_cannot_be_sent(self, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
        a, b = pair
        await servers_are(a, 2)
        bad, good = await Visitor.come(b.port), await Visitor.come(b.port)
        b.sockets.sockets[bad.sid].data["lock"] = object()
        with caplog.at_level(logging.WARNING, "fastsio.adapters"):
            found = {socket.id: socket.data for socket in await a.fetch_sockets()}
        assert found == {bad.sid: None, good.sid: {"from": "fastsio"}}
        (record,) = caplog.records
        assert bad.sid in record.getMessage() and "object" in record.getMessage()

    async def test_server_side_events(self, pair: Pair) -> None:
        a, _b = pair
        await servers_are(a, 2)
        heard: list[Any] = []
        for io in pair:
            io.on("note", heard.append)
            io.on("question", lambda value, answer, io=io: answer(f"{pair.index(io)} {value}"))
        a.server_side_emit("note", {"n": 1})
        await eventually(lambda: heard)
        assert heard == [{"n": 1}]
        assert await a.server_side_emit_with_ack("question", 5) == ["1 5"]

    async def test_a_server_that_does_not_answer(self, make_server: Make) -> None:
        a = await make_server(requests_timeout=0.2)
        await make_server()
        await servers_are(a, 2)
        with pytest.raises(AckTimeout) as caught:
            await a.server_side_emit_with_ack("nobody listens")
        assert caught.value.responses == []

    async def test_acknowledgements_of_broadcasts(self, pair: Pair) -> None:
        a, b = pair
        await servers_are(a, 2)
        visitors = [await Visitor.come(io.port, "r") for io in (a, b, b)]
        answering = [asyncio.ensure_future(visitor.answer(20)) for visitor in visitors]
        assert await a.to("r").timeout(10).emit_with_ack("q", 7) == [[7], [7], [7]]
        assert await a.to("nobody").timeout(10).emit_with_ack("q", 7) == []
        answering.pop().cancel()
        with pytest.raises(AckTimeout) as caught:
            await a.to("r").timeout(0.5).emit_with_ack("q", 8)
        assert caught.value.responses == [[8], [8]]
        for task in answering:
            task.cancel()

    async def test_servers_come_and_go(self, pair: Pair, make_server: Make) -> None:
        a, _ = pair
        await servers_are(a, 2)
        third = await make_server()
        await servers_are(a, 3)
        await third.close(grace=0)
        await servers_are(a, 2)


class TestRecovery:
    @pytest.mark.parametrize("elsewhere", [False, True])
    async def test_what_was_missed_comes_in_order_and_once(self, make_server: Make, elsewhere: bool) -> None:
        a, b = await make_server(), await make_server()
        visitor = await Visitor.come(a.port, "r")
        (socket,) = a.sockets.sockets.values()
        socket.data["kept"] = [1, b"\x02"]
        a.emit("before", 0)
        await visitor.until(["before", 0])
        visitor.lose()
        await eventually(lambda: not a.sockets.sockets)
        for number in range(20):
            (a, b)[number % 2].to("r").emit("missed", number)
            if number % 7 == 0:
                a.to("elsewhere").emit("not for it")
                b.except_("r").emit("nor this")
                a.to(visitor.sid).emit("personal", number)
        a.emit("one with bytes", b"\x01")
        back = await Visitor.come((b if elsewhere else a).port, back=visitor)
        b.emit("end")
        events = await back.until(["end"])
        assert (back.sid, back.pid) == (visitor.sid, visitor.pid)
        missed = [event[1] for event in events if event[0] == "missed"]
        # Two servers write to the stream; each one's events are in its order.
        assert [n for n in missed if n % 2] == list(range(1, 20, 2)) and sorted(missed) == list(range(20))
        assert [n for n in missed if not n % 2] == list(range(0, 20, 2))
        assert [event for event in events if event[0] == "personal"] == [["personal", n] for n in (0, 7, 14)]
        assert [event[0] for event in events if event[0] not in ("missed", "personal")] == [
            "one with bytes",
            "state",
            "end",
        ]
        (socket,) = (b if elsewhere else a).sockets.sockets.values()
        assert socket.recovered and socket.rooms == {visitor.sid, "r"}
        assert socket.data == {"from": "fastsio", "kept": [1, b"\x02"]}

    async def test_again_while_events_go_on(self, make_server: Make) -> None:
        a, b = await make_server(), await make_server()
        servers = (a, b)
        visitor = await Visitor.come(a.port, "r")
        got: list[int] = []
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 600:
                servers[0].to("r").emit("n", sent)
                sent += 1
                if sent % 5 == 0:
                    await asyncio.sleep(0.002)

        sending = asyncio.ensure_future(send())
        for turn in range(1, 8):
            await visitor.answer(0.02)
            got += [event[1] for event in visitor.events if event[0] == "n"]
            visitor.lose()
            await eventually(lambda: not (a.sockets.sockets or b.sockets.sockets))
            # The session is in Redis once a command behind it was answered.
            for io in servers:
                await io.sockets.adapter.server_count()
            back = await Visitor.come(servers[turn % 2].port, back=visitor)
            assert back.sid == visitor.sid, f"not recovered the {turn}. time"
            if back.offset is None:
                back.offset = visitor.offset
            visitor = back
        await sending
        a.to("r").emit("end")
        got += [event[1] for event in await visitor.until(["end"]) if event[0] == "n"]
        assert got == list(range(600))

    async def test_before_the_first_event(self, make_server: Make) -> None:
        a, b = await make_server(), await make_server()
        for io in (a, b):
            await io.of("/quiet").adapter.server_count()
        b.of("/quiet").emit("old")
        visitor = await Visitor.come(a.port, namespace="/quiet")
        visitor.offset = None
        visitor.lose()
        await eventually(lambda: not a.of("/quiet").sockets)
        a.of("/quiet").emit("missed")
        await a.of("/quiet").adapter.server_count()
        back = await Visitor.come(b.port, namespace="/quiet", back=visitor)
        assert back.sid == visitor.sid
        assert (await back.until(["missed"]))[-1] == ["missed"]

    async def test_what_was_sent_to_a_room_before_it_was_joined(self, make_server: Make) -> None:
        a = await make_server()
        visitor = await Visitor.come(a.port)
        (socket,) = a.sockets.sockets.values()
        a.emit("first")
        await visitor.until(["first"])
        a.to("late").emit("before")
        a.emit("second")
        await eventually(lambda: a.sockets.adapter.stream.position > (0, 0))
        position = a.sockets.adapter.stream.position
        a.emit("third")
        await eventually(lambda: a.sockets.adapter.stream.position > position)
        socket.join("late")
        a.to("late").emit("after")
        kept = visitor.offset
        await visitor.until(["after"])
        visitor.offset = kept
        visitor.lose()
        await eventually(lambda: not a.sockets.sockets)
        back = await Visitor.come(a.port, back=visitor)
        a.emit("end")
        names = [event[0] for event in await back.until(["end"])]
        assert "after" in names and "before" not in names

    async def test_once_only(self, make_server: Make) -> None:
        a, b = await make_server(), await make_server()
        visitor = await lost_client(a)
        first = await Visitor.come(b.port, back=visitor)
        second = await Visitor.come(a.port, back=visitor)
        assert first.sid == visitor.sid and second.sid != visitor.sid and second.pid != visitor.pid

    @pytest.mark.parametrize("offset", ["no offset", "99999999999999-0", "1" * 60 + "-0", "-1--1", ""])
    async def test_offsets_that_cannot_be(self, make_server: Make, offset: str) -> None:
        a = await make_server()
        visitor = await lost_client(a)
        visitor.offset = offset
        back = await Visitor.come(a.port, back=visitor)
        assert back.sid != visitor.sid

    async def test_an_offset_older_than_the_session(self, make_server: Make) -> None:
        a = await make_server()
        early = await Visitor.come(a.port)
        a.emit("old")
        await early.until(["old"])
        a.emit("not so old")
        await early.until(["not so old"])
        visitor = await Visitor.come(a.port)
        a.emit("x")
        await visitor.until(["x"])
        visitor.lose()
        await eventually(lambda: len(a.sockets.sockets) == 1)
        visitor.offset = "1-1"
        back = await Visitor.come(a.port, back=visitor)
        a.emit("end")
        events = [event for event in await back.until(["end"]) if event[0] != "state"]
        assert back.sid == visitor.sid and events == [["x"], ["end"]]

    async def test_somebody_else_s_session(self, make_server: Make) -> None:
        a = await make_server()
        visitor = await lost_client(a)
        visitor.pid = "somebody else"
        assert (await Visitor.come(a.port, back=visitor)).sid != visitor.sid

    async def test_cancelled_while_it_is_restored(self, make_server: Make) -> None:
        a, b = await make_server(), await make_server()
        visitor = await lost_client(a)
        adapter = b.sockets.adapter
        await a.sockets.adapter.server_count()
        session, pauses = None, 0
        while session is None:
            restoring = asyncio.ensure_future(adapter.restore_session(visitor.pid, visitor.offset))
            for _ in range(pauses):
                await asyncio.sleep(0)
            restoring.cancel()
            # A cancellation that comes in the last moment may come too late.
            with contextlib.suppress(asyncio.CancelledError):
                session = await restoring
                assert session is not None, f"it was gone after {pauses} pauses"
            # What has gone out is answered.
            await adapter.server_count()
            pauses += 1
        assert session.sid == visitor.sid and pauses > 5
        assert adapter.resume_session(session, 1000) == []

    async def test_after_its_server_was_killed(self, make_server: Make, redis: RedisServer) -> None:
        a, node = await make_server(), NodeServer(redis)
        try:
            visitor = await Visitor.come(node.port, "r")
            a.to("r").emit("x")
            await visitor.until(["x"])
            await servers_are(a, 2)
            node.signal(signal.SIGKILL)
            await visitor.lost()
            await servers_are(a, 1)
            # A server that has no time to keep the session: the client is new, and the cluster goes on.
            back = await Visitor.come(a.port, "r", back=visitor)
            assert back.sid != visitor.sid
            a.to("r").emit("y")
            await back.until(["y"])
            assert await a.fetch_sockets() == list(a.sockets.sockets.values())
        finally:
            node.stop()

    async def test_a_stream_that_has_lost_its_beginning(self, make_server: Make, redis: RedisServer) -> None:
        a = await make_server()
        visitor = await lost_client(a)
        a.emit("y")
        await a.sockets.adapter.server_count()
        redis.command("XTRIM", "socket.io", "MAXLEN", "1")
        back = await Visitor.come(a.port, back=visitor)
        assert back.sid != visitor.sid and ["y"] not in back.events

    async def test_a_session_in_redis_that_is_none(self, make_server: Make, redis: RedisServer) -> None:
        a = await make_server()
        visitor = await Visitor.come(a.port)
        a.emit("x")
        await visitor.until(["x"])
        good = {"pid": visitor.pid, "sid": visitor.sid, "rooms": [], "data": {}}
        visitor.pid = "p"
        for kept in (b"!", base64.b64encode(b"\xc1"), *[
            base64.b64encode(ormsgpack.packb(value))
            for value in (1, [], good, {**good, "pid": "p", "rooms": [1]}, {"pid": "p"})
        ]):  # fmt: skip
            redis.command("SET", "sio:session:p", kept)
            assert (await Visitor.come(a.port, back=visitor)).sid != visitor.sid
        redis.command("SET", "sio:session:p", base64.b64encode(ormsgpack.packb({**good, "pid": "p"})))
        assert (await Visitor.come(a.port, back=visitor)).sid == visitor.sid


class TestGarbage:
    async def test_is_ignored_and_logged(
        self, make_server: Make, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        a = await make_server()
        visitor = await Visitor.come(a.port)
        options = {"rooms": [], "except": [], "flags": {}}
        packet = {"type": 2, "data": ["x"]}
        bad = [
            "{", "{}", "not base64!", base64.b64encode(b"\xc1").decode(), base64.b64encode(b"\x01").decode(),
            '{"packet":' + "[" * 5000 + "]" * 5000 + "}", base64.b64encode(b"\x91" * 5000).decode(),
            base64.b64encode(b"\xdf\xff\xff\xff\xff").decode(), "", "\N{SNOWMAN}",
            *map(json.dumps, [
                {"packet": packet}, {"opts": options},
                {"packet": {"type": 3, "data": ["x"]}, "opts": options},
                {"packet": {"type": 2, "data": []}, "opts": options}, {"packet": [], "opts": options},
                {"packet": {"type": 2, "data": [1]}, "opts": options}, {"packet": packet, "opts": []},
                {"packet": packet, "opts": {**options, "rooms": "r"}},
                {"packet": packet, "opts": {**options, "rooms": [1]}},
                {"packet": packet, "opts": {**options, "except": {}}},
                {"packet": packet, "opts": {**options, "flags": []}},
                {"packet": packet, "opts": {**options, "flags": {"timeout": "1"}}},
            ]),
        ]  # fmt: skip
        with caplog.at_level(logging.WARNING, "fastsio.adapters"):
            for data in bad:
                redis.command("XADD", "socket.io", "*", "uid", "u", "nsp", "/", "type", "3", "data", data)
            for type_ in ("", "x", "-3", "9" * 50):
                redis.command("XADD", "socket.io", "*", "uid", "u", "nsp", "/", "type", type_, "data", "{}")
            redis.command("XADD", "socket.io", "*", "unexpected", "x")
            redis.command("XADD", "socket.io", "*", "uid", "u", "nsp", "/unknown", "type", "3")
            a.emit("end")
            assert await visitor.until(["end"]) == [["end"]]
        assert len(caplog.records) == len(bad) + 4
        assert all(record.levelno == logging.WARNING for record in caplog.records)

    async def test_on_channels(
        self, make_server: Make, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        a, _b = await make_server(), await make_server()
        await servers_are(a, 2)
        whole = {"uid": "u", "nsp": "/", "type": 7, "data": {}}
        bad = [
            b"", b"\xc1", b"{}", ormsgpack.packb([]), ormsgpack.packb({}), b"\x91" * 5000,
            b"\xdd\xff\xff\xff\xff", ormsgpack.packb({**whole, "type": "7"}), ormsgpack.packb(whole),
            ormsgpack.packb({**whole, "data": []}), ormsgpack.packb({**whole, "uid": 1}),
            ormsgpack.packb({**whole, "type": 9, "data": {"packet": [1]}}),
            ormsgpack.packb({**whole, "type": 8, "data": {"requestId": 1}}),
            ormsgpack.packb({**whole, "type": 11, "data": {"requestId": "x", "clientCount": -1}}),
            b"\x81\xa1a\xd4\x05\x00",
        ]  # fmt: skip
        with caplog.at_level(logging.WARNING, "fastsio.adapters"):
            for payload in bad:
                redis.command("PUBLISH", "socket.io#/#", payload)
            # Nobody waits for these, and nobody knows that type.
            late = {**whole, "type": 8, "data": {"requestId": "x", "sockets": []}}
            for payload in (late, {**whole, "type": 99}, {**whole, "nsp": "/other"}):
                redis.command("PUBLISH", "socket.io#/#", ormsgpack.packb(payload))
            assert await a.fetch_sockets() == []
        assert len(caplog.records) == 2 * len(bad)


class TestOutage:
    @pytest.mark.parametrize("recovery", [False, True])
    async def test_redis_goes_and_comes_back(
        self, make_server: Make, redis: RedisServer, recovery: bool
    ) -> None:
        a, b = await make_server(recovery), await make_server(recovery)
        near, far = await Visitor.come(a.port), await Visitor.come(b.port)
        a.emit("before")
        await far.until(["before"])
        redis.kill()
        try:
            await eventually(lambda: a.sockets.adapter._link.down)
            for number in range(5):
                a.emit("meanwhile", number)
            # Who is here does not wait.
            assert await near.until(["meanwhile", 4]) == [
                ["before"],
                *[["meanwhile", number] for number in range(5)],
            ]
            with pytest.raises(RedisError):
                await a.fetch_sockets()
        finally:
            redis.start()
        await eventually(lambda: not (a.sockets.adapter._link.down or b.sockets.adapter._link.down))
        await servers_are(a, 2)
        a.emit("after")
        assert await near.until(["after"]) == [
            ["before"],
            *[["meanwhile", number] for number in range(5)],
            ["after"],
        ]
        events = await far.until(["after"])
        assert events == [["before"], *[["meanwhile", number] for number in range(5)], ["after"]]

    async def test_too_much_waits(
        self, make_server: Make, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        a = await make_server(False, max_pending=3)
        b = await make_server(False)
        far = await Visitor.come(b.port)
        redis.kill()
        try:
            await eventually(lambda: a.sockets.adapter._link.down)
            with caplog.at_level(logging.WARNING, "fastsio.adapters"):
                for number in range(9):
                    a.emit("n", number)
            (warning,) = [record for record in caplog.records if "max_pending" in record.getMessage()]
            assert "is 3" in warning.getMessage()
        finally:
            redis.start()
        await servers_are(a, 2)
        await eventually(lambda: not b.sockets.adapter._link.down)
        a.emit("end")
        assert await far.until(["end"]) == [["n", 0], ["n", 1], ["n", 2], ["end"]]

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_cut_off_for_longer_than_the_stream_keeps(
        self, make_server: Make, redis: RedisServer, caplog: pytest.LogCaptureFixture, trimmed: bool
    ) -> None:
        a = await make_server(False)
        b = await make_server(False)
        far = await Visitor.come(b.port)
        a.emit("before")
        await far.until(["before"])
        stream = b.sockets.adapter.stream
        with caplog.at_level(logging.WARNING, "fastsio.adapters"):
            redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await eventually(lambda: b.sockets.adapter._link.down)
            if trimmed:
                redis.command("XTRIM", stream.name, "MAXLEN", "0")
            await eventually(lambda: not (a.sockets.adapter._link.down or b.sockets.adapter._link.down))
            a.emit("after")
            await far.until(["after"])
        warnings = [record for record in caplog.records if "max_len" in record.getMessage()]
        assert bool(warnings) == trimmed

    async def test_a_fault_of_ours_does_not_end_the_link(
        self, make_server: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        a, b = await make_server(), await make_server()
        near, far = await Visitor.come(a.port), await Visitor.come(b.port)
        link = a.sockets.adapter._link
        with caplog.at_level(logging.WARNING, "fastsio.adapters"):
            # Redis clients encode text, bytes and numbers only; nothing else should get this far.
            link.send(_Entry(("SET", "k", "\ud800")))
            for number in range(_BATCH + 5):
                a.emit("news", number)
            await near.until(["news", _BATCH + 4])
        # What was to be sent together with it is lost, what waited behind that is not.
        await far.until(["news", _BATCH + 4])
        assert far.events == [["news", number] for number in range(_BATCH - 1, _BATCH + 5)]
        assert any(record.exc_info for record in caplog.records)

    async def test_not_there_at_the_start(
        self, redis: RedisServer, make_server: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fastsio.adapters.redis_streams._PATIENCE", 0.2)
        redis.kill()
        try:
            a = await make_server()
            near = await Visitor.come(a.port)
            a.emit("alone")
            await near.until(["alone"])
        finally:
            redis.start()
        b = await make_server()
        far = await Visitor.come(b.port)
        await servers_are(a, 2)
        await eventually(lambda: not a.sockets.adapter._link.down)
        a.emit("together")
        await far.until(["together"])
        await near.until(["together"])
        assert near.events.count(["alone"]) == 1


class TestWithNode:
    async def test_broadcasts(self, make_server: Make, node: NodeServer) -> None:
        ours = await make_server()
        here, there = await Visitor.come(ours.port, "r"), await Visitor.come(node.port, "r")
        await ask(node, "emit", {}, "from node", 1)
        await here.until(["from node", 1])
        await ask(node, "emit", {"rooms": ["r"]}, "bytes", {"hex": "01ff"})
        await ask(node, "emit", {"except": ["r"]}, "not for them")
        ours.to("r").emit("from us", {"n": 2})
        ours.emit("bytes too", b"\x02")
        ours.except_("r").emit("not for them")
        ours.emit("end")
        for visitor in (here, there):
            events = await visitor.until(["end"])
            names = [event[0] for event in events]
            assert sorted(names) == ["bytes", "bytes too", "end", "from node", "from us"]
            assert next(event for event in events if event[0] == "bytes")[2] == b"\x01\xff"
            assert next(event for event in events if event[0] == "bytes too")[2] == b"\x02"
        there.emit("others", "said", 3)
        await here.until(["said", 3])
        here.emit("others", "said", 4)
        await there.until(["said", 4])

    async def test_control(self, make_server: Make, node: NodeServer) -> None:
        ours = await make_server()
        await servers_are(ours, 2)
        assert await ask(node, "count") == 2
        here, there = await Visitor.come(ours.port, "r"), await Visitor.come(node.port, "r")
        await ask(node, "join", "r", "n", "no longer")
        await eventually(lambda: "no longer" in ours.sockets.adapter.sids[here.sid])
        await ask(node, "leave", "r", "no longer")
        ours.in_("r").sockets_join("o")
        await eventually(lambda: {"n", "o"} <= ours.sockets.adapter.sids[here.sid])
        theirs = {socket["id"]: socket for socket in await ask(node, "fetch")}
        assert set(theirs) == {here.sid, there.sid}
        assert set(theirs[here.sid]["rooms"]) == {here.sid, "r", "n", "o"}
        assert set(theirs[there.sid]["rooms"]) == {there.sid, "r", "n", "o"}
        assert theirs[here.sid]["data"] == {"from": "fastsio"}
        assert theirs[here.sid]["auth"] == {"rooms": ["r"]} and "EIO=4" in theirs[here.sid]["url"]
        found = {socket.id: socket for socket in await ours.fetch_sockets()}
        assert set(found) == {here.sid, there.sid} and found[there.sid].data == {"from": "node"}
        assert found[there.sid].handshake.auth == {"rooms": ["r"]}
        ours.in_(there.sid).disconnect_sockets(close=True)
        assert await there.websocket.expect_closed() in (1000, 1005)
        await ask(node, "disconnect", here.sid)
        await here.websocket.expect_closed()

    async def test_several_streams(self, make_server: Make, redis: RedisServer) -> None:
        node = NodeServer(redis, '{"streamCount": 3}')
        try:
            ours = await make_server(stream_count=3)
            # They go through different streams, which both sides have to choose alike.
            for namespace in ("/", "/chat"):
                here = await Visitor.come(ours.port, namespace=namespace)
                there = await Visitor.come(node.port, namespace=namespace)
                await ask(node, "emit", {"namespace": namespace}, "from node")
                ours.of(namespace).emit("from us")
                for visitor in (here, there):
                    await visitor.until(["from node"])
                    await visitor.until(["from us"])
            assert redis.command("EXISTS", "socket.io-1", "socket.io-2") == b":2\r\n"
        finally:
            assert node.stop() == 0, node.output()

    async def test_plain_text_only(self, make_server: Make, redis: RedisServer) -> None:
        node = NodeServer(redis, '{"onlyPlaintext": true}')
        try:
            ours = await make_server(only_plaintext=True)
            here, there = await Visitor.come(ours.port), await Visitor.come(node.port)
            await ask(node, "emit", {}, "from node", {"n": [1, None]})
            ours.emit("from us", {"n": "ü"})
            for visitor in (here, there):
                await visitor.until(["from node", {"n": [1, None]}])
                await visitor.until(["from us", {"n": "ü"}])
        finally:
            assert node.stop() == 0, node.output()

    async def test_questions(self, make_server: Make, node: NodeServer) -> None:
        ours = await make_server()
        await servers_are(ours, 2)
        heard: list[Any] = []
        ours.on("note", heard.append)
        ours.on("question", lambda value, answer: answer(f"fastsio {value}"))
        ours.server_side_emit("note", [1])
        assert await ours.server_side_emit_with_ack("question", 5) == ["node 5"]
        assert await ask(node, "heard") == [[1]]
        await ask(node, "serverSideEmit", "note", [2])
        assert await ask(node, "serverSideAsk", "question", 6) == ["fastsio 6"]
        assert heard == [[2]]
        visitors = [await Visitor.come(port, "r") for port in (ours.port, node.port, node.port)]
        answering = [asyncio.ensure_future(visitor.answer(30)) for visitor in visitors]
        assert await ours.to("r").timeout(10).emit_with_ack("q", 7) == [[7], [7], [7]]
        assert await ask(node, "ask", {"rooms": ["r"], "timeout": 10000}, "q", 8) == [[8], [8], [8]]
        for task in answering:
            task.cancel()

    @pytest.mark.parametrize("begins_here", [True, False], ids=["ours first", "node first"])
    async def test_recovery(self, make_server: Make, node: NodeServer, begins_here: bool) -> None:
        ours = await make_server()
        first, second = (ours.port, node.port) if begins_here else (node.port, ours.port)
        visitor = await Visitor.come(first, "r")
        ours.emit("before")
        await visitor.until(["before"])
        visitor.lose()

        async def is_gone() -> bool:
            return not await ours.fetch_sockets()

        end = time.monotonic() + 10
        while not await is_gone():
            assert time.monotonic() < end
        await ask(node, "emit", {"rooms": ["r"]}, "missed", 1)
        ours.to(["r", "s"]).emit("missed", b"\x02")
        ours.to("elsewhere").emit("not for it")
        ours.to(visitor.sid).emit("missed", 3)
        await ours.sockets.adapter.server_count()
        back = await Visitor.come(second, back=visitor)
        assert (back.sid, back.pid) == (visitor.sid, visitor.pid)
        ours.emit("end")
        events = [event for event in await back.until(["end"]) if event[0] != "state"]
        assert events.pop() == ["end"]
        # When Node's was written to the stream is not known.
        events.remove(["missed", 1])
        assert [event[0] for event in events] == ["missed"] * 2
        assert events[0][2] == b"\x02" and events[1] == ["missed", 3]
        (socket,) = await ours.in_("r").fetch_sockets()
        assert socket.data == {"from": "fastsio" if begins_here else "node"}


@pytest.mark.parametrize(
    "options",
    [{"stream_count": 0}, {"max_len": True}, {"read_count": 1.5}, {"block_time": 0}, {"max_pending": -1}],
)
def test_numbers_that_cannot_be(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        create_adapter("redis://localhost", **options)


def test_a_client_that_decodes() -> None:
    from redis.asyncio import Redis

    with pytest.raises(ValueError, match="decode_responses"):
        create_adapter(Redis(decode_responses=True))


async def test_a_client_of_ones_own(redis: RedisServer, make_server: Make) -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(redis.url)
    mine = Server(adapter=create_adapter(client))
    await mine.listen(0, "127.0.0.1")
    try:
        ours = await make_server(False)
        await servers_are(ours, 2)
        visitor = await Visitor.come(ours.port)
        mine.emit("hello")
        await visitor.until(["hello"])
    finally:
        await mine.close(grace=0)
        await client.aclose()


class TestOfficialClient:
    """The client of npm, which comes back to whatever server the balancer chooses."""

    @pytest.mark.parametrize("elsewhere", ["ours", "node"])
    async def test_recovers_on_either_server(
        self, make_server: Make, redis: RedisServer, elsewhere: str
    ) -> None:
        a = await make_server()
        other = await make_server() if elsewhere == "ours" else NodeServer(redis)
        try:
            await servers_are(a, 2)
            async with wire_to(a.port) as wire:
                url = f"http://127.0.0.1:{wire.port}"
                client = make_client("sio-client-4", "websocket", url, auth={"rooms": ["r"]})
                try:
                    await self._lose_it(a, other.port, redis, wire, client)
                finally:
                    await client.close()
        finally:
            if isinstance(other, NodeServer):
                assert other.stop() == 0, other.output()

    async def _lose_it(self, a: Server, other: int, redis: RedisServer, wire: Wire, client: Recorder) -> None:
        def count(key: str) -> int:
            return sum(key in line for line in client.lines)

        def numbers() -> list[int]:
            return [line["args"][0] for line in client.lines if line.get("event") == "n"]

        await client.until(lambda _: count("connect"))
        for turn in range(6):
            first = 21 * turn
            a.to("r").emit("n", first)
            await client.until(lambda _, first=first: numbers()[-1:] == [first])
            wire.cut()
            await eventually(lambda: redis.command("KEYS", "sio:session:*").startswith(b"*1"))
            for number in range(first + 1, first + 21):
                a.to("r").emit("n", number)
            wire.target = (other, a.port)[turn % 2]
            wire.mend()
            await client.until(lambda _, turn=turn: count("connect") == turn + 2)
        await client.until(lambda _: numbers()[-1:] == [125])
        assert numbers() == list(range(126))
        connects = [line for line in client.lines if "connect" in line]
        assert [line["recovered"] for line in connects] == [False, *[True] * 6]
        assert len({line["connect"] for line in connects}) == 1
