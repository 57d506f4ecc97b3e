"""Facts and flags of sockets, clients and namespaces."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fastsio import Server, Socket
from fastsio.engine import Session
from tests.unit.server.fakes import FakeClient, FakeServer


def join(server: FakeServer, auth: Any = None, namespace: str = "/") -> tuple[FakeClient, Socket]:
    client = server.join(auth, namespace)
    return client, server.io.of(namespace).sockets[client.sid]


class TestFacts:
    def test_of_a_socket(self) -> None:
        server = FakeServer()
        client, socket = join(server, {"a": 1})
        assert socket.id == client.sid and len(socket.id) == 20 and socket.id != socket.conn.id
        assert socket.nsp is server.io.sockets and socket.server is server.io
        assert socket.adapter is server.io.sockets.adapter
        assert socket.conn is server.io.engine.clients[socket.conn.id]
        assert socket.request is socket.conn.request
        assert socket.connected and not socket.disconnected
        assert socket.data == {}
        socket.data["x"] = 1
        assert socket.data == {"x": 1}
        assert socket.rooms == {socket.id}
        assert (socket.recovered, socket.pid) == (False, None)
        socket.disconnect()
        assert socket.disconnected and not socket.connected
        assert socket.rooms == set()

    def test_ids_of_v2_clients(self) -> None:
        server = FakeServer()
        server.io.of("/chat")
        client = server.connect(protocol=4)
        client.send("0/chat")
        (root,) = server.io.sockets.sockets.values()
        (chat,) = server.io.of("/chat").sockets.values()
        assert (root.id, chat.id) == (root.conn.id, f"/chat#{root.conn.id}")

    def test_of_a_handshake(self) -> None:
        server = FakeServer()
        _, socket = join(server, {"a": 1})
        handshake = socket.handshake
        assert handshake.headers == {"host": "example.com"}
        assert handshake.query == {"EIO": "4", "transport": "websocket"}
        assert handshake.auth == {"a": 1}
        assert handshake.url == "/socket.io/?EIO=4&transport=websocket"
        assert handshake.address == "192.0.2.1"
        assert (handshake.secure, handshake.xdomain) == (False, False)
        assert abs(handshake.issued - time.time()) < 60
        assert handshake.time.endswith(" GMT")
        assert handshake.as_dict() == {
            "headers": handshake.headers,
            "time": handshake.time,
            "address": "192.0.2.1",
            "xdomain": False,
            "secure": False,
            "issued": round(handshake.issued * 1000),
            "url": handshake.url,
            "query": handshake.query,
            "auth": {"a": 1},
        }

    def test_of_a_client(self) -> None:
        server = FakeServer()
        _, socket = join(server)
        client = socket.client
        assert client.conn is socket.conn and client.id == socket.conn.id
        assert client.request is socket.request and client.server is server.io
        assert client.sockets == {"/": socket}

    @pytest.mark.parametrize(("protocol", "engine"), [(4, 3), (5, 4)])
    def test_of_a_connection(self, protocol: int, engine: int) -> None:
        server = FakeServer()
        server.connect(protocol)
        (conn,) = server.io.engine.clients.values()
        assert isinstance(conn, Session)
        assert server.io.engine.clients_count == 1
        assert conn.protocol == engine and conn.id
        assert conn.remote_address == "192.0.2.1" and conn.request.path == "/socket.io/"
        assert conn.ready_state == "open" and not conn.upgraded
        ends: list[str] = []
        conn.on("close", lambda reason, description: ends.append(f"{reason} {description}"))
        conn.close()
        assert conn.ready_state == "closed" and ends == ["forced close None"]
        assert server.io.engine.clients_count == 0

    def test_of_a_namespace(self) -> None:
        io = Server()
        chat = io.of("/chat")
        assert (chat.name, chat.server, chat.sockets) == ("/chat", io, {})
        assert io.sockets is io.of("/") and io.sockets.name == "/"
        assert chat.adapter is not io.sockets.adapter


class TestSending:
    def test_send_and_write(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        other, _ = join(server)
        targets = [socket, socket.volatile, server.io, server.io.sockets, server.io.to(client.sid)]
        for number, target in enumerate(targets):
            target.send("sent", number)
            target.write("written", number)
            assert client.read() == [["message", "sent", number], ["message", "written", number]]
        other.read()
        socket.broadcast.send("others")
        assert (client.read(), other.read()) == ([], [["message", "others"]])

    def test_emit_says_true(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        for target in (socket, socket.volatile, server.io, server.io.sockets, server.io.to("nobody")):
            assert target.emit("x") is True
        assert client.read() == [["x"]] * 4

    def test_volatile(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        client.websocket.writable = False
        for target in (
            socket.volatile,
            server.io.volatile,
            server.io.sockets.volatile,
            server.io.to(socket.id).volatile,
        ):
            target.emit("dropped")
        socket.emit("kept")
        client.websocket.writable = True
        socket.volatile.emit("kept too")
        assert client.read() == [["kept"], ["kept too"]]

    def test_compress(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        client.websocket.compressed = True
        client.websocket.flags.clear()
        for target in (socket, server.io, server.io.sockets, server.io.to(socket.id)):
            target.compress(False).emit("plain")
            target.compress(True).emit("compressed")
        assert client.websocket.flags == [False, True] * 4

    def test_local(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        other, _ = join(server)
        server.io.local.emit("all")
        server.io.sockets.local.emit("all")
        server.io.to(socket.id).local.emit("one")
        socket.local.emit("others")
        assert client.read() == [["all"], ["all"], ["one"]]
        assert other.read() == [["all"], ["all"], ["others"]]

    def test_operators_are_not_changed(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        socket.join("r")
        base = server.io.to("r")
        base.except_("r").emit("nobody")
        base.to("other").volatile.emit("x")
        base.emit("y")
        assert client.read() == [["x"], ["y"]]


class TestEventsOfSockets:
    def test_order_at_the_end(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        socket.join("r")
        seen: list[Any] = []
        socket.on("disconnecting", lambda reason, description: seen.append((reason, socket.rooms)))
        socket.on("disconnect", lambda reason: seen.append((reason, socket.rooms, socket.connected)))
        client.send("1")
        assert seen == [
            ("client namespace disconnect", {socket.id, "r"}),
            ("client namespace disconnect", set(), False),
        ]

    def test_error(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        seen: list[str] = []
        socket.on("error", lambda error: seen.append(type(error).__name__))
        socket.on("disconnect", lambda reason: seen.append(str(reason)))
        client.send("2nonsense")
        assert seen == ["PacketError", "forced close"]

    def test_emitter(self) -> None:
        server = FakeServer()
        client, socket = join(server)
        seen: list[Any] = []

        def listener(*args: Any) -> None:
            seen.append(args)

        socket.on("ev", listener)
        socket.once("ev")(lambda *args: seen.append("once"))
        assert socket.listeners("ev")[0] is listener and socket.listener_count("ev") == 2
        assert "ev" in socket.event_names()
        client.send('2["ev",1]')
        client.send('2["ev",2]')
        assert seen == [(1,), "once", (2,)]
        socket.off("ev", listener)
        socket.remove_all_listeners("ev")
        client.send('2["ev",3]')
        assert len(seen) == 3
