"""Members of server, namespaces and sockets that a client sees little of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.wire import SocketIOClient, http

from fastsio import EventEmitter, OptionError, Server, Socket
from fastsio.adapters import MemoryAdapter
from fastsio.engine import EngineServer

Make = Callable[..., Any]


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


async def connected(io: Server, client: SocketIOClient, namespace: str = "/") -> Socket:
    await until(lambda: client.sid in io.of(namespace).sockets)
    return io.of(namespace).sockets[client.sid]


class TestOutgoingListeners:
    async def test_events_and_broadcasts_but_not_acks(self, make_server: Make) -> None:
        io = await make_server(
            lambda io: io.on("connection", lambda socket: socket.on("q", lambda: "answer"))
        )
        client = await SocketIOClient.connect(io.port)
        other = await SocketIOClient.connect(io.port)
        socket = await connected(io, client)
        seen: list[Any] = []
        socket.on_any_outgoing(lambda event, *args: seen.append((event, *args)))
        socket.emit("own", 1, b"\x01")
        socket.emit("asks", lambda: None)
        io.emit("everyone", {"a": 1})
        socket.join("r")
        io.to("r").volatile.emit("room")
        (await connected(io, other)).emit("not this one")
        socket.broadcast.emit("nor this one")
        client.emit("q", ack=1)
        waiting = asyncio.ensure_future(io.timeout(5).emit_with_ack("poll"))
        await until(lambda: len(seen) == 5)
        assert seen == [("own", 1, b"\x01"), ("asks",), ("everyone", {"a": 1}), ("room",), ("poll",)]
        waiting.cancel()

    async def test_order_and_removal(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        socket = await connected(io, client)
        seen: list[str] = []

        def first(event: str) -> None:
            seen.append("first")

        async def second(event: str) -> None:
            seen.append("second")

        assert socket.listeners_any_outgoing() == []
        assert socket.on_any_outgoing(second).prepend_any_outgoing(first) is socket
        assert socket.listeners_any_outgoing() == [first, second]
        socket.emit("x")
        assert seen == ["first", "second"]
        socket.off_any_outgoing(first)
        assert socket.listeners_any_outgoing() == [second]
        socket.off_any_outgoing()
        assert socket.listeners_any_outgoing() == []
        socket.emit("y")
        assert seen == ["first", "second"]
        assert [await client.event(), await client.event()] == [["x"], ["y"]]

    async def test_one_that_fails(self, make_server: Make, caplog: pytest.LogCaptureFixture) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)

        def fail(event: str) -> None:
            raise RuntimeError("listener")

        (await connected(io, client)).on_any_outgoing(fail)
        io.emit("x")
        assert await client.event() == ["x"]
        assert "RuntimeError: listener" in caplog.text


class TestAnyListeners:
    async def test_order_and_removal(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        socket = await connected(io, client)
        seen: list[Any] = []

        def first(event: str, *args: Any) -> None:
            seen.append(("first", event))

        def second(event: str, *args: Any) -> None:
            seen.append(("second", event))

        socket.on_any(second).prepend_any(first)
        assert socket.listeners_any() == [first, second]
        client.emit("a")
        await until(lambda: len(seen) == 2)
        socket.off_any(first)
        client.emit("b")
        await until(lambda: len(seen) == 3)
        socket.off_any()
        assert socket.listeners_any() == []
        client.emit("c", ack=1)
        assert seen == [("first", "a"), ("second", "a"), ("second", "b")]


class TestSettings:
    async def test_path(self, make_server: Make) -> None:
        io = await make_server()
        assert io.path() == "/socket.io"
        assert io.path("/elsewhere/") is io
        assert io.path() == "/elsewhere"
        assert (await http(io.port, "/elsewhere/?EIO=4&transport=polling")).status == 200
        assert (await http(io.port, "/socket.io/?EIO=4&transport=polling")).status == 404
        with pytest.raises(OptionError):
            io.path("nowhere")

    async def test_serve_client(self, make_server: Make) -> None:
        io = await make_server()
        assert io.serve_client() is True
        assert (await http(io.port, "/socket.io/socket.io.js")).status == 200
        assert io.serve_client(False) is io and io.serve_client() is False
        assert (await http(io.port, "/socket.io/socket.io.js")).status == 400
        io.serve_client(True)
        assert (await http(io.port, "/socket.io/socket.io.js")).status == 200

    async def test_connect_timeout(self, make_server: Make) -> None:
        io = await make_server()
        assert io.connect_timeout() == 45
        assert io.connect_timeout(0.1) is io and io.connect_timeout() == 0.1
        response = await http(io.port, "/socket.io/?EIO=4&transport=polling")
        assert response.status == 200 and io.engine.clients_count == 1
        await until(lambda: next(iter(io.engine.clients.values())).ready_state != "open")

    async def test_adapter(self, make_server: Make) -> None:
        class Other(MemoryAdapter):
            pass

        io = await make_server()
        assert io.adapter() is MemoryAdapter
        io.of("/chat")
        client = await SocketIOClient.connect(io.port, "/chat")
        socket = await connected(io, client, "/chat")
        socket.join("room")
        assert io.adapter(Other) is io
        assert io.adapter() is Other
        assert isinstance(io.sockets.adapter, Other) and isinstance(io.of("/chat").adapter, Other)
        assert isinstance(io.of("/new").adapter, Other)
        assert socket.rooms == {socket.id, "room"}
        io.of("/chat").to("room").emit("still")
        assert await client.recv() == '2/chat,["still"]'

    async def test_attach_and_listeners(self) -> None:
        io = Server()
        assert io.http_server is None and io.port is None
        assert await io.attach(0, "127.0.0.1") is io
        assert io.http_server is not None and io.http_server.port == io.port
        assert io.eio is io.engine
        await io.close()

    async def test_bind(self, make_server: Make) -> None:
        """An engine that listens by itself, below a server that does not."""
        engine = EngineServer(path="/socket.io")
        await engine.listen(0, "127.0.0.1")
        io = Server()
        assert io.bind(engine) is io
        assert io.engine is engine
        io.on("connection", lambda socket: socket.on("echo", lambda x: socket.emit("echo", x)))
        assert engine.port is not None
        client = await SocketIOClient.connect(engine.port)
        client.emit("echo", 1)
        assert await client.event() == ["echo", 1]
        await engine.close()

    async def test_on_connection(self, make_server: Make) -> None:
        """Sessions handed over one by one."""
        engine = EngineServer(path="/socket.io")
        io = Server()
        io.bind(engine)
        engine.off("connection", io.on_connection)
        engine.on("connection", lambda session: io.on_connection(session))
        await engine.listen(0, "127.0.0.1")
        assert engine.port is not None
        client = await SocketIOClient.connect(engine.port)
        assert client.sid in io.sockets.sockets
        await engine.close()

    async def test_generate_id(self, make_server: Make) -> None:
        io = await make_server()
        assert isinstance(io.engine.generate_id(None), str)
        io.engine.generate_id = lambda request: "id-" + request.query["n"]
        client = await SocketIOClient.connect(io.port, query="&n=7")
        assert client.opened["sid"] == "id-7"

    async def test_use_of_the_engine(self, make_server: Make) -> None:
        io = await make_server()

        def check(request: Any, next: Callable[..., None]) -> None:
            next(None if request.query.get("token") == "good" else Exception("no"))

        assert io.engine.use(check) is io.engine
        refused = await http(io.port, "/socket.io/?EIO=4&transport=polling")
        assert (refused.status, refused.body) == (400, b'{"code":3,"message":"Bad request"}')
        assert (await http(io.port, "/socket.io/?EIO=4&transport=polling&token=good")).status == 200

    async def test_engine_events(self, make_server: Make) -> None:
        io = await make_server()
        errors: list[Any] = []
        io.engine.on("connection_error", errors.append)
        io.engine.on("initial_headers", lambda headers, request: headers.append(("X-Initial", "1")))
        io.engine.on("headers", lambda headers, request: headers.append(("X-Every", request.method)))
        response = await http(io.port, "/socket.io/?EIO=4&transport=polling")
        assert (response.headers["x-initial"], response.headers["x-every"]) == ("1", "GET")
        client = await SocketIOClient.connect(io.port)
        assert client.websocket.handshake is not None
        assert client.websocket.handshake.headers["x-initial"] == "1"
        response = await http(io.port, "/socket.io/?EIO=4&transport=polling&sid=unknown")
        assert "x-initial" not in response.headers and response.headers["x-every"] == "GET"
        (error,) = errors
        assert (error.code, error.message, error.context) == (1, "Session ID unknown", {"sid": "unknown"})
        assert error.req is error.request and error.req.query["sid"] == "unknown"
        io.engine.close_sessions()
        assert io.engine.clients_count == 0


class TestEmitterOfTheServer:
    async def test_acts_on_the_root_namespace(self) -> None:
        io = Server()
        calls: list[str] = []

        def listener(name: str) -> Callable[[], None]:
            return lambda: calls.append(name)

        second = listener("second")
        io.on("ev", second)
        io.add_listener("ev", listener("third"))
        io.prepend_listener("ev", listener("first"))
        io.prepend_once_listener("ev", listener("once"))
        io.once("ev")(listener("last"))
        assert io.listener_count("ev") == 5 == io.sockets.listener_count("ev")
        assert io.has_listeners("ev") and io.event_names() == ["ev"]
        for _ in range(2):
            EventEmitter.emit(io.sockets, "ev")  # not the namespace's, which sends to clients
        assert calls == ["once", "first", "second", "third", "last", "first", "second", "third"]
        io.off("ev", second)
        assert second not in io.listeners("ev") and len(io.listeners("ev")) == 2
        io.remove_listener("ev", io.listeners("ev")[0])
        assert io.listener_count("ev") == 1
        io.remove_all_listeners("ev")
        assert not io.has_listeners("ev") and io.event_names() == []


class TestNamespaces:
    async def test_new_namespace(self, make_server: Make) -> None:
        made: list[Any] = []
        io = await make_server(lambda io: io.on("new_namespace", made.append))
        chat = io.of("chat")
        assert chat is io.of("/chat") and chat.name == "/chat" and chat.server is io
        io.of(re.compile("^/dyn-"))
        await SocketIOClient.connect(io.port, "/dyn-1")
        assert [namespace.name for namespace in made] == ["/chat", "/dyn-1"]

    async def test_connect_fires_first(self, make_server: Make) -> None:
        seen: list[str] = []

        def setup(io: Server) -> None:
            io.on("connection", lambda socket: seen.append("connection"))
            io.on("connect", lambda socket: seen.append("connect"))

        io = await make_server(setup)
        await SocketIOClient.connect(io.port)
        assert seen == ["connect", "connection"]

    async def test_parents_reach_their_children(self, make_server: Make) -> None:
        io = await make_server()
        parent = io.of(re.compile("^/dyn-"), lambda socket: socket.join("everyone"))
        assert re.fullmatch(r"/_\d+", parent.name)
        clients = {name: await SocketIOClient.connect(io.port, name) for name in ("/dyn-1", "/dyn-2")}
        outside = await SocketIOClient.connect(io.port)
        assert parent.emit("all", 1) is True
        parent.to("everyone").emit("room")
        parent.except_("everyone").emit("nobody")
        parent.to("nowhere").emit("nobody")
        parent.sockets_join("x")
        parent.to("x").emit("joined")
        parent.sockets_leave("x")
        parent.to("x").emit("nobody")
        waiting = asyncio.ensure_future(parent.timeout(5).emit_with_ack("poll"))
        for name, client in clients.items():
            for event in ('["all",1]', '["room"]', '["joined"]'):
                assert await client.recv() == f"2{name},{event}"
            packet = await client.recv()
            assert isinstance(packet, str)
            found = re.fullmatch(rf'2{name},(\d+)\["poll"\]', packet)
            assert found, packet
            client.send(f'3{name},{found[1]}["{name}"]')
        assert sorted(await waiting) == ["/dyn-1", "/dyn-2"]
        with pytest.raises(TypeError, match="parent"):
            await parent.fetch_sockets()
        parent.disconnect_sockets()
        for name, client in clients.items():
            assert await client.recv() == f"1{name},"
        io.emit("end")
        assert await outside.event() == ["end"]

    async def test_matching_by_function(self, make_server: Make) -> None:
        io = await make_server()
        io.of(lambda name, auth, next: next(None, name == "/a" and auth.get("ok")))
        io.of(lambda name, auth: name == "/b")
        client = await SocketIOClient.connect(io.port, "/a", {"ok": True})
        assert await client.join("/b", {}) != ""
        refused = await SocketIOClient.connect(io.port)
        assert await refused.join("/a2") == '4/a2,{"message":"Invalid namespace"}'

    @pytest.mark.parametrize("cleanup", [False, True])
    async def test_cleanup(self, make_server: Make, cleanup: bool) -> None:
        closed: list[str] = []

        class Adapter(MemoryAdapter):
            async def close(self) -> None:
                closed.append(self.namespace.name)

        io = await make_server(adapter=Adapter, cleanup_empty_child_namespaces=cleanup)
        parent = io.of(re.compile("^/dyn-"))

        @parent.use
        def guard(socket: Socket) -> None:
            if socket.handshake.auth.get("bad"):
                raise ValueError("no")

        a = await SocketIOClient.connect(io.port, "/dyn-1")
        b = await SocketIOClient.connect(io.port, "/dyn-1")
        a.send("1/dyn-1,")
        await until(lambda: len(parent.children["/dyn-1"].sockets) == 1)
        assert list(parent.children) == ["/dyn-1"]
        b.send("1/dyn-1,")
        await until(lambda: len(io.engine.clients) == 2 and not io.of("/dyn-1").sockets)
        refused = await SocketIOClient.connect(io.port)
        assert (await refused.join("/dyn-2", {"bad": True})).startswith("4/dyn-2,")
        if cleanup:
            await until(lambda: closed == ["/dyn-1", "/dyn-2"])
            assert "/dyn-2" not in parent.children
        else:
            assert closed == [] and set(parent.children) == {"/dyn-1", "/dyn-2"}

    async def test_cleanup_waits_for_those_on_their_way(self, make_server: Make) -> None:
        io = await make_server(cleanup_empty_child_namespaces=True)
        parent = io.of(re.compile("^/dyn-"), lambda socket: socket.emit("welcome"))
        gates: list[asyncio.Future[None]] = []

        @parent.use
        async def slow(socket: Socket) -> None:
            if socket.handshake.auth.get("slow"):
                gates.append(asyncio.get_running_loop().create_future())
                await gates[-1]

        first = await SocketIOClient.connect(io.port, "/dyn-1")
        assert await first.recv() == '2/dyn-1,["welcome"]'
        second = await SocketIOClient.connect(io.port)
        second.send('0/dyn-1,{"slow":true}')
        await until(lambda: gates)
        first.send("1/dyn-1,")
        await until(lambda: not parent.children["/dyn-1"].sockets)
        gates[0].set_result(None)
        reply = await second.recv()
        assert isinstance(reply, str) and reply.startswith("0/dyn-1,")
        assert await second.recv() == '2/dyn-1,["welcome"]'
        io.of("/dyn-1").emit("reached")
        assert await second.recv() == '2/dyn-1,["reached"]'
        second.send("1/dyn-1,")
        await until(lambda: not parent.children)


class TestAdapter:
    async def test_room_events(self, make_server: Make) -> None:
        io = await make_server()
        seen: list[Any] = []
        for event in ("create-room", "join-room", "leave-room", "delete-room"):
            io.sockets.adapter.on(event, lambda *args, event=event: seen.append((event, *args)))
        client = await SocketIOClient.connect(io.port)
        sid = client.sid
        socket = await connected(io, client)
        socket.join(["r"])
        socket.join("r")
        socket.leave("r")
        socket.leave_all()
        assert seen == [
            ("create-room", sid),
            ("join-room", sid, sid),
            ("create-room", "r"),
            ("join-room", "r", sid),
            ("leave-room", "r", sid),
            ("delete-room", "r"),
            ("leave-room", sid, sid),
            ("delete-room", sid),
        ]

    async def test_who_is_where(self, make_server: Make) -> None:
        io = await make_server()
        a, b = [await SocketIOClient.connect(io.port) for _ in range(2)]
        adapter = io.sockets.adapter
        got: list[Any] = []
        adapter.add(a.sid, "r", lambda error: got.append(error))
        assert adapter.rooms["r"] == {a.sid} and adapter.sids[a.sid] == {a.sid, "r"}
        assert await adapter.sockets(["r"]) == {a.sid}
        assert await adapter.sockets() == {a.sid, b.sid}
        assert adapter.socket_rooms(a.sid) == {a.sid, "r"} and adapter.socket_rooms("x") is None
        adapter.clients(["r"], lambda error, ids: got.append((error, ids)))
        adapter.client_rooms(a.sid, lambda error, rooms: got.append((error, sorted(rooms))))
        adapter.client_rooms("x", lambda error, rooms: got.append((error, rooms)))
        await until(lambda: len(got) == 4)
        assert got == [None, (None, [a.sid]), (None, sorted([a.sid, "r"])), (None, None)]
        adapter.del_(a.sid, "r")
        adapter.del_all(b.sid)
        assert adapter.rooms == {a.sid: {a.sid}} and b.sid not in adapter.sids
        assert await adapter.server_count() == 1


class TestV2:
    async def test_join_and_leave_with_callbacks(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        socket = await connected(io, client)
        got: list[Any] = []
        socket.join("r", lambda error: got.append(("joined", error, "r" in socket.rooms)))
        assert got == []
        socket.leave("r", lambda: got.append("left"))
        await until(lambda: len(got) == 2)
        assert got == [("joined", None, False), "left"]

    async def test_flags(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        socket = await connected(io, client)
        for target in (socket, socket.volatile, io, io.sockets, io.to(client.sid)):
            target.json.emit("json", {"a": 1})
            assert await client.event() == ["json", {"a": 1}]
            target.binary(False).emit("text", [b"\x01", {"b": bytearray(b"\x02")}])
            buffers = [{"type": "Buffer", "data": [1]}, {"b": {"type": "Buffer", "data": [2]}}]
            assert await client.event() == ["text", buffers]
            target.binary(True).emit("bytes", b"\x03")
            assert await client.recv() == '51-["bytes",{"_placeholder":true,"num":0}]'
            assert await client.recv() == b"\x03"

    async def test_connected_and_clients(self, make_server: Make) -> None:
        io = await make_server()
        client = await SocketIOClient.connect(io.port)
        assert list(io.sockets.connected) == [client.sid]
        got: list[Any] = []

        async def ids(error: Any, ids: list[str]) -> None:
            got.append((error, ids))

        assert io.sockets.clients(ids) is io.sockets
        await until(lambda: got)
        assert got == [(None, [client.sid])]

    @pytest.mark.parametrize(("protocol", "packet"), [(4, '4{"code":1}'), (5, '2["error",{"code":1}]')])
    async def test_error(self, make_server: Make, protocol: int, packet: str) -> None:
        sockets: list[Socket] = []
        io = await make_server(lambda io: io.on("connection", sockets.append))
        client = await SocketIOClient.connect(io.port, protocol=protocol)
        await until(lambda: sockets)
        sockets[0].error({"code": 1})
        assert await client.recv() == packet
        assert sockets[0].connected

    @pytest.mark.parametrize(
        ("origins", "allowed", "refused"),
        [
            ("*:*", ["http://any.example", "https://any.example:8443"], []),
            ("a.example:*", ["http://a.example", "https://a.example:444"], ["http://b.example"]),
            ("a.example:80 b.example:443", ["http://a.example", "https://b.example"], ["https://a.example"]),
            (["*:8080"], ["http://a.example:8080"], ["http://a.example"]),
            (["https://a.example:443"], ["https://a.example"], ["http://a.example:443"]),
            (lambda origin: origin == "http://a", ["http://a"], ["http://b"]),
            (lambda origin, done: done(None, origin == "http://a"), ["http://a"], ["http://b"]),
            (lambda origin, done: done("not allowed", True), [], ["http://a"]),
            (lambda origin, done: None, [], ["http://a"]),
            (lambda origin: 1 / 0, [], ["http://a"]),
        ],
    )
    async def test_origins(self, make_server: Make, origins: Any, allowed: Any, refused: Any) -> None:
        io = await make_server()
        assert io.origins() is None
        assert io.origins(origins) is io
        assert io.origins() is origins
        for origin in allowed + refused:
            response = await http(io.port, "/socket.io/?EIO=3&transport=polling", headers={"Origin": origin})
            assert response.status == (200 if origin in allowed else 403), origin
            if origin in allowed:
                assert response.headers["access-control-allow-origin"] == origin
                assert response.headers["access-control-allow-credentials"] == "true"
        assert (await http(io.port, "/socket.io/?EIO=3&transport=polling")).status == 200

    async def test_check_request(self, make_server: Make) -> None:
        io = await make_server()
        io.origins("a.example:*")
        got: list[Any] = []

        def check(request: Any) -> bool:
            return io.check_request(request, lambda error, ok: got.append((error, ok)))

        io.engine.set_option("allow_request", check)
        target = "/socket.io/?EIO=3&transport=polling"
        assert (await http(io.port, target, headers={"Origin": "http://a.example"})).status == 200
        assert got == [(None, True)]
        io.origins("b.example:*")
        client = await http(io.port, target, headers={"Origin": "http://a.example"})
        assert client.status == 403

    async def test_set(self, make_server: Make) -> None:
        io = await make_server()
        assert io.set("heartbeat interval", 7).set("heartbeat timeout", 3) is io
        io.set("destroy buffer size", 5000).set("resource", "/old").set("transports", ["websocket"])
        io.set("origins", "*:*")
        options = io.engine.options
        assert (options.ping_interval, options.ping_timeout, options.max_http_buffer_size) == (7, 3, 5000)
        assert io.origins() == "*:*" and io.path() == "/old"
        assert (await http(io.port, "/old/?EIO=4&transport=polling")).status == 400
        with pytest.raises(OptionError, match="nonsense"):
            io.set("nonsense", 1)
        with pytest.raises(OptionError):
            io.set("transports", ["pigeon"])

    @pytest.mark.parametrize(
        "authorize",
        [
            lambda request: request.query.get("ok") == "1",
            lambda request, done: done(None, request.query.get("ok") == "1"),
        ],
    )
    async def test_authorization(self, make_server: Make, authorize: Callable[..., Any]) -> None:
        io = await make_server(lambda io: io.set("authorization", authorize))
        await SocketIOClient.connect(io.port, query="&ok=1")
        with pytest.raises(AssertionError, match="Not authorized"):
            await SocketIOClient.connect(io.port)

    async def test_authorization_error(self, make_server: Make) -> None:
        io = await make_server(
            lambda io: io.set("authorization", lambda request, done: done("broken", False))
        )
        with pytest.raises(AssertionError, match="broken"):
            await SocketIOClient.connect(io.port)
