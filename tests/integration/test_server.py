"""The Socket.IO server as a client on the wire sees it, packet by packet."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.wire import SocketIOClient, WebSocketClient, http

from fastsio import ConnectionRefused, Disconnected, OptionError, Server, Socket
from fastsio.exceptions import AckTimeout, PacketError

Make = Callable[..., Any]


async def until(condition: Callable[[], Any], timeout: float = 3.0) -> None:
    """Wait for something another task does."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.005)


class TestEvents:
    async def test_echo(self, make_server: Make) -> None:
        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                @socket.on("echo")
                def echo(*args: Any) -> None:
                    socket.emit("echo", *args)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.emit("echo", 1, "zwei", {"drei": [3.5, None, True]}, "😀 \u2028")
        assert await client.event() == ["echo", 1, "zwei", {"drei": [3.5, None, True]}, "😀 \u2028"]

    async def test_emit_in_connection_handler_follows_connect(self, make_server: Make) -> None:
        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                assert socket.connected
                socket.emit("hi", {"id": socket.id})

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        assert await client.event() == ["hi", {"id": client.sid}]

    async def test_async_handlers_start_in_order_and_may_wait(self, make_server: Make) -> None:
        started: list[int] = []
        tasks = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                @socket.on("plain")
                def plain(n: int) -> None:
                    started.append(n)

                @socket.on("slow")
                async def slow(n: int) -> None:
                    started.append(n)
                    tasks.append(asyncio.current_task())
                    await asyncio.sleep(0.05)
                    socket.emit("done", n)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        for n in range(6):
            client.emit("slow" if n % 2 else "plain", n)
        assert [await client.event() for _ in range(3)] == [["done", 1], ["done", 3], ["done", 5]]
        assert started == [0, 1, 2, 3, 4, 5]
        assert None not in tasks and len(set(tasks)) == 3

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    async def test_binary_out(self, make_server: Make, kind: Callable[[bytes], Any]) -> None:
        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.emit("bin", kind(b"\x01\x02"), {"deep": [{"er": kind(b"")}]})

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        header = await client.recv()
        assert isinstance(header, str)
        assert header.startswith("52-")
        assert json.loads(header[3:]) == [
            "bin",
            {"_placeholder": True, "num": 0},
            {"deep": [{"er": {"_placeholder": True, "num": 1}}]},
        ]
        assert [await client.recv(), await client.recv()] == [b"\x01\x02", b""]

    @pytest.mark.parametrize("protocol", [4, 5])
    async def test_binary_in(self, make_server: Make, protocol: int) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("bin", lambda *args: got.append(args))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port, protocol=protocol)
        client.send('52-["bin",{"a":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]')
        client.send(b"first")
        client.send(b"second")
        await until(lambda: got)
        assert got == [({"a": b"second"}, b"first")]

    async def test_numeric_event_name(self, make_server: Make) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            io.on("connection", lambda socket: socket.on("7", got.append))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.send('2[7,"x"]')
        await until(lambda: got)
        assert got == ["x"]

    async def test_any_listeners_come_first_and_see_the_ack(self, make_server: Make) -> None:
        seen: list[Any] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("ev", lambda x, ack: seen.append(("own", x)))
                socket.on_any(lambda event, *args: seen.append((event, args[0], callable(args[-1]))))
                socket.prepend_any(lambda event, *args: seen.append("first"))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.emit("ev", 1, ack=3)
        await until(lambda: len(seen) == 3)
        assert seen == ["first", ("ev", 1, True), ("own", 1)]

    async def test_what_cannot_be_emitted(self, make_server: Make) -> None:
        sockets: list[Socket] = []
        io = await make_server(lambda io: io.on("connection", sockets.append))
        await SocketIOClient.connect(io.port)
        await until(lambda: sockets)
        for target in (sockets[0], io, io.to("room"), sockets[0].broadcast):
            with pytest.raises(ValueError, match="reserved"):
                target.emit("disconnect")
            with pytest.raises(TypeError):
                target.emit(1)
            with pytest.raises(PacketError):
                target.emit("ev", object())


class TestAcknowledgements:
    @pytest.mark.parametrize(
        ("handler", "answer"),
        [
            (lambda a: a * 2, "[42]"),
            (lambda a: None, "[]"),
            (lambda a: (1, "two"), '[1,"two"]'),
            (lambda a: [1, 2], "[[1,2]]"),
            (lambda a, ack: ack("called", a), '["called",21]'),
            (lambda *args: args[-1](len(args)), "[2]"),
        ],
    )
    async def test_answers(self, make_server: Make, handler: Callable[..., Any], answer: str) -> None:
        io = await make_server(lambda io: io.on("connection", lambda socket: socket.on("q", handler)))
        client = await SocketIOClient.connect(io.port)
        client.emit("q", 21, ack=7)
        assert await client.recv() == "37" + answer

    async def test_async_answer(self, make_server: Make) -> None:
        async def handler(a: int) -> int:
            await asyncio.sleep(0.01)
            return a + 1

        io = await make_server(lambda io: io.on("connection", lambda socket: socket.on("q", handler)))
        client = await SocketIOClient.connect(io.port, "/")
        client.emit("q", 1, ack=0)
        assert await client.recv() == "30[2]"

    async def test_only_the_first_call_is_sent(self, make_server: Make) -> None:
        def handler(ack: Callable[..., None]) -> None:
            ack(1)
            ack(2)

        io = await make_server(lambda io: io.on("connection", lambda socket: socket.on("q", handler)))
        client = await SocketIOClient.connect(io.port)
        client.emit("q", ack=1)
        client.emit("q", ack=2)
        assert [await client.recv(), await client.recv()] == ["31[1]", "32[1]"]

    async def test_binary_answer(self, make_server: Make) -> None:
        io = await make_server(
            lambda io: io.on("connection", lambda socket: socket.on("q", lambda: b"bytes"))
        )
        client = await SocketIOClient.connect(io.port)
        client.emit("q", ack=1)
        assert await client.recv() == '61-1[{"_placeholder":true,"num":0}]'
        assert await client.recv() == b"bytes"

    async def test_callback_and_await(self, make_server: Make) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            async def connection(socket: Socket) -> None:
                socket.emit("first", 1, lambda *args: got.append(args))
                got.append(await socket.emit_with_ack("second"))
                got.append(await socket.timeout(5).emit_with_ack("third"))
                got.append(await socket.emit_with_ack("fourth"))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        answers = ['["a","b"]', '["c"]', "[]", "[1,2]"]
        for answer in answers:
            packet = await client.recv()
            assert isinstance(packet, str)
            found = re.match(r"2(\d+)\[", packet)
            assert found, packet
            client.send(f"3{found[1]}{answer}")
            client.send(f"3{found[1]}{answer}")  # repeated: ignored
        await until(lambda: len(got) == 4)
        assert got == [("a", "b"), "c", None, (1, 2)]

    async def test_timeouts(self, make_server: Make) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            async def connection(socket: Socket) -> None:
                socket.timeout(0.05).emit("silent", lambda error, *args: got.append((type(error), args)))
                try:
                    await socket.timeout(0.05).emit_with_ack("silent")
                except AckTimeout as error:
                    got.append(error.timeout)

        io = await make_server(setup)
        await SocketIOClient.connect(io.port)
        await until(lambda: len(got) == 2)
        assert (AckTimeout, ()) in got and 0.05 in got

    async def test_disconnect_ends_the_wait(self, make_server: Make) -> None:
        got: list[Any] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            async def connection(socket: Socket) -> None:
                try:
                    await socket.emit_with_ack("silent")
                except Disconnected as error:
                    got.append(error.reason)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        await client.recv()
        client.send("1")
        await until(lambda: got)
        assert got == ["client namespace disconnect"]


class TestNamespaces:
    async def test_auth_and_middlewares(self, make_server: Make) -> None:
        order: list[str] = []

        def setup(io: Server) -> None:
            admin = io.of("/admin")

            @admin.use
            def plain(socket: Socket) -> None:
                order.append("plain")
                if socket.handshake.auth.get("token") != "secret":
                    raise ConnectionRefused("no entry", {"code": 7})

            @admin.use
            async def later(socket: Socket) -> None:
                await asyncio.sleep(0.01)
                order.append("async")

            @admin.use
            def node(socket: Socket, go_on: Callable[..., None]) -> None:
                order.append("next")
                asyncio.get_running_loop().call_later(0.01, go_on)

            admin.on("connection", lambda socket: order.append("connection"))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        assert await client.join("/admin") == '4/admin,{"message":"no entry","data":{"code":7}}'
        assert (await client.join("/admin", {"token": "secret"})).startswith('0/admin,{"sid":"')
        assert order == ["plain", "plain", "async", "next", "connection"]

    async def test_a_client_that_leaves_ends_the_wait_for_its_middlewares(self, make_server: Make) -> None:
        ended: list[str] = []

        def setup(io: Server) -> None:
            @io.of("/slow").use
            async def never(socket: Socket) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(socket.nsp.name)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.send("0/slow,")
        client.websocket.close()
        await until(lambda: ended)
        assert ended == ["/slow"]

    @pytest.mark.parametrize(
        ("protocol", "answer"),
        [(5, '4/none,{"message":"Invalid namespace"}'), (4, '4/none,"Invalid namespace"')],
    )
    async def test_unknown(self, make_server: Make, protocol: int, answer: str) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port, protocol=protocol)
        assert await client.join("/none") == answer
        assert len(io.engine.clients) == 1

    @pytest.mark.parametrize(
        ("error", "answer"),
        [
            (ConnectionRefused("no", {"a": 1}), '{"a":1}'),
            (ConnectionRefused("no"), '"no"'),
            (ValueError("bad"), '"bad"'),
        ],
    )
    async def test_refusal_of_a_v2_client(self, make_server: Make, error: Exception, answer: str) -> None:
        io = await make_server(lambda io: io.of("/deny").use(lambda socket, go_on: go_on(error)))
        client = await SocketIOClient.connect(io.port, protocol=4)
        assert await client.join("/deny") == "4/deny," + answer

    async def test_v2_client(self, make_server: Make) -> None:
        seen: list[Any] = []

        def setup(io: Server) -> None:
            io.on("connection", lambda socket: seen.append((socket.id, socket.handshake.auth["a"])))

            @io.of("/chat").on("connection")
            def connection(socket: Socket) -> None:
                seen.append((socket.id, socket.handshake.query["token"], socket.handshake.auth["token"]))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port, protocol=4, query="&a=1&token=url")
        assert await client.join("/chat?token=x%20y") == "0/chat,"
        sid = client.opened["sid"]
        assert seen == [(sid, "1"), (f"/chat#{sid}", "x y", "x y")]
        assert "maxPayload" not in client.opened

    async def test_dynamic(self, make_server: Make) -> None:
        seen: list[str] = []

        def setup(io: Server) -> None:
            io.of(re.compile(r"^/room-\d+$")).on("connection", lambda socket: seen.append(socket.nsp.name))

            async def decide(name: str, auth: Any) -> bool:
                await asyncio.sleep(0)
                return bool(auth.get("ok"))

            io.of(decide).on("connection", lambda socket: seen.append("decided " + socket.nsp.name))
            io.of(lambda name, auth, go_on: go_on(None, name == "/node"))

        io = await make_server(setup, cleanup_empty_child_namespaces=True)
        client = await SocketIOClient.connect(io.port)
        assert (await client.join("/room-12")).startswith("0/room-12,")
        assert (await client.join("/x", {"ok": True})).startswith("0/x,")
        assert (await client.join("/node")).startswith("0/node,")
        assert (await client.join("/room-x")).startswith("4/room-x,")
        assert seen == ["/room-12", "decided /x"]
        assert io.find("/room-12") is not None
        client.send("1/room-12,")
        await until(lambda: io.find("/room-12") is None)

    async def test_one_socket_per_namespace(self, make_server: Make) -> None:
        reasons: list[str] = []

        def setup(io: Server) -> None:
            for name in ("/", "/b"):
                io.of(name).on("connection", lambda socket: socket.on("disconnect", reasons.append))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        assert client.sid not in await client.join("/b")
        client.send("1/b,")
        await until(lambda: reasons == ["client namespace disconnect"])
        client.websocket.close()
        await until(lambda: len(reasons) == 2)
        assert reasons[1] == "transport close"


class TestRooms:
    async def test_who_gets_what(self, make_server: Make) -> None:
        sockets: dict[str, Socket] = {}

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                sockets[socket.id] = socket
                socket.join(socket.handshake.auth["rooms"])

        io = await make_server(setup)
        clients = {
            name: await SocketIOClient.connect(io.port, auth={"rooms": rooms})
            for name, rooms in {"a": ["r1"], "b": ["r1", "r2"], "c": ["r2"], "d": []}.items()
        }
        a, b = (sockets[clients[name].sid] for name in "ab")
        cases: list[tuple[Callable[[str], Any], str]] = [
            (lambda ev: io.emit(ev), "abcd"),
            (lambda ev: io.to("r1").emit(ev), "ab"),
            (lambda ev: io.to("r1").to("r2").emit(ev), "abc"),
            (lambda ev: io.in_(["r1", "r2"]).except_("r2").emit(ev), "a"),
            (lambda ev: io.except_("r1").emit(ev), "cd"),
            (lambda ev: io.to(b.id).emit(ev), "b"),
            (lambda ev: io.local.volatile.compress(False).emit(ev), "abcd"),
            (lambda ev: a.broadcast.emit(ev), "bcd"),
            (lambda ev: a.to("r1").emit(ev), "b"),
            (lambda ev: a.to("r1").in_("r2").except_(b.id).emit(ev), "c"),
            (lambda ev: a.except_("r2").emit(ev), "d"),
            (lambda ev: a.emit(ev), "a"),
            (lambda ev: a.to(a.id).emit(ev), ""),
            (lambda ev: io.to("nobody").emit(ev), ""),
        ]
        for number, (emit, _) in enumerate(cases):
            emit(f"case {number}")
        io.emit("end")
        for name, client in clients.items():
            got = []
            while (event := await client.event()) != ["end"]:
                got.append(event[0])
            assert got == [f"case {number}" for number, (_, who) in enumerate(cases) if name in who]

    async def test_membership(self, make_server: Make) -> None:
        sockets: list[Socket] = []
        left: list[set[str]] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                sockets.append(socket)
                socket.on("disconnecting", lambda: left.append(socket.rooms))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        await until(lambda: sockets)
        socket = sockets[0]
        socket.join("x")
        socket.join(["y", "z"])
        socket.leave("y")
        assert socket.rooms == {socket.id, "x", "z"}
        assert io.sockets.adapter.rooms == {socket.id: {socket.id}, "x": {socket.id}, "z": {socket.id}}
        client.send("1")
        await until(lambda: left)
        assert left == [{socket.id, "x", "z"}]
        assert socket.rooms == set()
        assert io.sockets.adapter.rooms == {} and io.sockets.adapter.sids == {}
        socket.emit("too late")
        assert len(io.engine.clients) == 1

    async def test_remote_control(self, make_server: Make) -> None:
        io = await make_server()
        clients = [await SocketIOClient.connect(io.port) for _ in range(3)]
        io.in_(clients[0].sid).sockets_join(["x", "y"])
        assert [socket.id for socket in await io.in_("x").fetch_sockets()] == [clients[0].sid]
        io.sockets_leave("x")
        assert await io.in_("x").fetch_sockets() == []
        io.in_("y").disconnect_sockets(True)
        assert await clients[0].recv() == "1"
        assert await clients[0].websocket.expect_closed() == 1005
        assert len(await io.fetch_sockets()) == 2


class TestDisconnecting:
    @pytest.mark.parametrize("close", [False, True])
    async def test_by_the_server(self, make_server: Make, close: bool) -> None:
        reasons: list[Any] = []

        def setup(io: Server) -> None:
            def watch(socket: Socket) -> None:
                name = socket.nsp.name
                socket.on("disconnecting", lambda reason: reasons.append((name, "disconnecting", reason)))
                socket.on("disconnect", lambda reason: reasons.append((name, "disconnect", reason)))

            io.of("/b").on("connection", watch)
            io.on("connection", watch)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        await client.join("/b")
        socket = io.sockets.sockets[client.sid]
        assert socket.disconnect(close) is socket
        assert socket.disconnected
        for packet in ("1", "1/b,", None) if close else ("1",):
            assert await client.recv() == packet
        server = "server namespace disconnect"
        expected = [("/", "disconnecting", server), ("/", "disconnect", server)]
        if close:
            expected += [("/b", "disconnecting", server), ("/b", "disconnect", server)]
        assert reasons == expected

    async def test_server_close(self, make_server: Make) -> None:
        reasons: list[str] = []
        io = await make_server(lambda io: io.on("connection", lambda s: s.on("disconnect", reasons.append)))
        client = await SocketIOClient.connect(io.port)
        await io.close()
        assert await client.websocket.expect_closed() == 1005
        assert reasons == ["server shutting down"]

    async def test_ping_timeout(self, make_server: Make) -> None:
        reasons: list[str] = []
        io = await make_server(
            lambda io: io.on("connection", lambda s: s.on("disconnect", reasons.append)),
            ping_interval=0.1,
            ping_timeout=0.1,
        )
        client = await SocketIOClient.connect(io.port)
        await until(lambda: reasons)
        assert reasons == ["ping timeout"]
        assert await client.websocket.expect_closed() == 1005

    async def test_connect_timeout(self, make_server: Make, caplog: pytest.LogCaptureFixture) -> None:
        io = await make_server(connect_timeout=0.1)
        with caplog.at_level(logging.INFO):
            websocket = await WebSocketClient.connect(io.port, "/socket.io/?EIO=4&transport=websocket")
            assert await websocket.expect_closed() == 1005
        assert "connect_timeout" in caplog.text

    async def test_a_listener_may_disconnect(self, make_server: Make) -> None:
        fired: list[str] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                def again(reason: str) -> None:
                    fired.append(reason)
                    socket.disconnect(True)

                socket.on("disconnecting", again)
                socket.on("disconnect", again)

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.send("1")
        await until(lambda: len(fired) == 2)
        await asyncio.sleep(0.02)
        assert fired == ["client namespace disconnect"] * 2


class TestErrors:
    async def test_handlers_that_fail(self, make_server: Make, caplog: pytest.LogCaptureFixture) -> None:
        errors: list[Any] = []

        async def fails_later() -> None:
            await asyncio.sleep(0)
            raise KeyError("later")

        def setup(io: Server) -> None:
            io.on("error", lambda error, socket, event: errors.append((type(error), socket.id, event)))

            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("now", lambda: 1 / 0)
                socket.on("later", fails_later)
                socket.on("wrong", lambda a, b: None)
                socket.on("ok", lambda: "fine")

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.emit("now")
        client.emit("later")
        client.emit("wrong", 1)
        client.emit("ok", ack=1)
        assert await client.recv() == '31["fine"]'
        await until(lambda: len(errors) == 3)
        assert {kind for kind, _, _ in errors} == {ZeroDivisionError, KeyError, TypeError}
        assert {event for _, _, event in errors} == {"now", "later", "wrong"}
        assert {sid for _, sid, _ in errors} == {client.sid}
        assert "ZeroDivisionError" in caplog.text and client.sid in caplog.text

    async def test_a_failing_error_listener(self, make_server: Make) -> None:
        def setup(io: Server) -> None:
            io.on("error", lambda error: 1 / 0)
            io.on("connection", lambda socket: socket.on("boom", lambda: 1 / 0))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port)
        client.emit("boom")
        assert (await client.join("/none")).startswith("4")

    @pytest.mark.parametrize("protocol", [4, 5])
    async def test_packet_middleware(self, make_server: Make, protocol: int) -> None:
        errors: list[str] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                @socket.use
                async def check(event: list[Any]) -> None:
                    await asyncio.sleep(0)
                    if event[0] == "bad":
                        raise ConnectionRefused("not that", {"why": 1})
                    event.append("added")

                socket.on("error", lambda error: errors.append(str(error)))
                socket.on("good", lambda *args: socket.emit("got", *args))

        io = await make_server(setup)
        client = await SocketIOClient.connect(io.port, protocol=protocol)
        client.emit("bad")
        if protocol == 4:
            assert await client.recv() == '4{"why":1}'
        client.emit("good", 1)
        assert await client.event() == ["got", 1, "added"]
        assert errors == ["not that"]

    async def test_options(self) -> None:
        with pytest.raises(OptionError, match="ping_interval"):
            Server(ping_intervall=3)
        with pytest.raises(OptionError, match="seconds"):
            Server(ping_timeout=0)
        assert issubclass(OptionError, TypeError)


BAD_PACKETS_V5 = [
    "",
    "9",
    "x",
    '2["a"',
    "2{}",
    "2[]",
    "2[{}]",
    "2",
    '2["connect"]',
    '2["disconnect"]',
    '2/other,["a"]',
    '4{"message":"x"}',
    "0",
    '50-["a"]',
    '511-["a"]',
    '51-["a",{"_placeholder":true,"num":1}]',
    "1{}",
    '3["no id"',
    "5",
    "2" + "[" * 100_000,
    '2["a",NaN]',
]


class TestBadInput:
    @pytest.mark.parametrize("packet", BAD_PACKETS_V5)
    async def test_ends_the_connection_and_no_other(self, make_server: Make, packet: str) -> None:
        reasons: dict[str, str] = {}
        errors: list[Exception] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("disconnect", lambda reason: reasons.setdefault(socket.id, reason))
                socket.on("error", errors.append)
                socket.on("ping me", lambda: "pong")

        io = await make_server(setup)
        other = await SocketIOClient.connect(io.port)
        client = await SocketIOClient.connect(io.port)
        client.send(packet)
        if packet.startswith("51-"):
            client.send(b"attachment")
        assert await client.websocket.expect_closed() == 1005
        assert reasons == {client.sid: "forced close"}
        assert len(errors) == 1
        other.emit("ping me", ack=1)
        assert await other.recv() == '31["pong"]'

    async def test_binary_header_before_connect(self, make_server: Make) -> None:
        io = await make_server()
        websocket = await WebSocketClient.connect(io.port, "/socket.io/?EIO=4&transport=websocket")
        await websocket.recv()
        websocket.send('451-["a",{"_placeholder":true,"num":0}]')
        assert await websocket.expect_closed() == 1005

    @pytest.mark.parametrize("packet", ["7", "27", '2/other,["a"]', '4["x"]', "0", '39["no such ack"]'])
    async def test_what_a_v2_server_tolerates(self, make_server: Make, packet: str) -> None:
        io = await make_server(lambda io: io.on("connection", lambda s: s.on("q", lambda: 1)))
        client = await SocketIOClient.connect(io.port, protocol=4)
        if packet == "27":
            packet = '2["unknown event"]'
        client.send(packet)
        client.emit("q", ack=1)
        assert await client.recv() == "31[1]"


class TestHttp:
    async def test_client_files(self, make_server: Make, tmp_path: Any) -> None:
        (tmp_path / "socket.io.js").write_text("bundle" * 1000)
        (tmp_path / "socket.io.js.map").write_text("{}")
        io = await make_server(client=tmp_path)
        response = await http(io.port, "/socket.io/socket.io.js?v=1")
        assert response.status == 200
        assert response.body == b"bundle" * 1000
        assert response.headers["content-type"] == "application/javascript; charset=utf-8"
        etag = response.headers["etag"]
        for tag in (etag, f"W/{etag}", f'"x", {etag}'):
            again = await http(io.port, "/socket.io/socket.io.js", headers={"If-None-Match": tag})
            assert (again.status, again.body) == (304, b"")
        zipped = await http(io.port, "/socket.io/socket.io.js", headers={"Accept-Encoding": "br, gzip"})
        assert zipped.headers["content-encoding"] == "gzip"
        assert len(zipped.body) < 1000
        assert (await http(io.port, "/socket.io/socket.io.js.map")).body == b"{}"
        assert (await http(io.port, "/socket.io/socket.io.min.js")).status == 404
        assert (await http(io.port, "/socket.io/../pyproject.toml")).status in (400, 404)
        assert (await http(io.port, "/nothing")).status == 404

    async def test_static_files(self, make_server: Make, tmp_path: Any) -> None:
        (tmp_path / "index.html").write_text("<h1>hi</h1>")
        io = await make_server(static_files={"/": tmp_path / "index.html"})
        response = await http(io.port, "/")
        assert (response.status, response.body) == (200, b"<h1>hi</h1>")
        assert response.headers["content-type"].startswith("text/html")

    async def test_polling_session(self, make_server: Make) -> None:
        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.emit("hi")
                socket.on("echo", lambda *args: socket.emit("echo", *args))

        io = await make_server(setup)
        base = "/socket.io/?EIO=4&transport=polling"
        opened = json.loads((await http(io.port, base)).body[1:])
        url = f"{base}&sid={opened['sid']}"
        assert (await http(io.port, url, method="POST", body=b"40")).body == b"ok"
        first = (await http(io.port, url)).body.split(b"\x1e")
        assert first[0].startswith(b'40{"sid":') and first[1:] == [b'42["hi"]']
        waiting = asyncio.ensure_future(http(io.port, url))
        await asyncio.sleep(0.02)
        body = b'451-["echo",{"_placeholder":true,"num":0}]\x1ebAQID'
        assert (await http(io.port, url, method="POST", body=body)).body == b"ok"
        assert (await waiting).body == body

    async def test_v2_polling_handshake_carries_connect(self, make_server: Make) -> None:
        io = await make_server()
        body = (await http(io.port, "/socket.io/?EIO=3&transport=polling&b64=1")).body
        assert body.endswith(b"2:40")
