"""The admin namespace over real connections: what the interop tests with the official client do not show."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import fastsio
from fastsio import Client, Server, Socket
from fastsio.adapters.base import Adapter
from fastsio.adapters.memory import MemoryAdapter
from fastsio.admin import instrument

Make = Callable[..., Any]
Connect = Callable[..., Any]


async def until(condition: Callable[[], Any], timeout: float = 5.0) -> None:
    """Wait for something another task does."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.005)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """``await connect(io, namespace)``: a client; disconnected after the test."""
    clients: list[Client] = []

    async def open_one(
        io: Server, namespace: str = "/", setup: Callable[[Client], Any] | None = None, **options: Any
    ) -> Client:
        url = f"http://127.0.0.1:{io.port}{namespace}"
        client = Client(url, auto_connect=False, force_new=True, reconnection=False, **options)
        clients.append(client)
        if setup is not None:
            setup(client)
        await client.connect()
        return client

    yield open_one
    for client in clients:
        client.disconnect()
        await client.manager.close()


class Admin:
    """An admin, and what it is told."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    @classmethod
    async def watch(cls, io: Server, connect: Connect, namespace: str = "/admin") -> Admin:
        admin = cls()
        admin.client = await connect(
            io, namespace, lambda client: client.on_any(lambda *event: admin.log.append(event))
        )
        await until(lambda: admin.of("server_stats"))
        return admin

    client: Client

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.log if event[0] == name]


def watched(io: Server, **options: Any) -> None:
    instrument(io, **{"auth": False, **options})

    @io.on("connection")
    def connection(socket: Socket) -> None:
        socket.on("echo", lambda *args: args[-1](*args[:-1]) if callable(args[-1]) else None)


# -- commands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("emit",), "missing 2 required positional arguments"),
        (("emit", "/nowhere", None, "x"), "there is no namespace '/nowhere'"),
        (("emit", ["/"], None, "x"), "there is no namespace ['/']"),
        (("emit", "/", None), "emit() takes an event name"),
        (("emit", "/", None, "connect"), "reserved"),
        (("emit", "/", ["room"], "x"), "a room is named by a string, not ['room']"),
        (("join", "/"), "missing 1 required positional argument"),
        (("join", "/", 7), "a room is named by a string, not 7"),
        (("leave", "/", None, "room"), "a room is named by a string, not None"),
        (("_disconnect",), "missing 1 required positional argument"),
        (("_disconnect", "/", False, "room", "more"), "positional arguments but 4 were given"),
    ],
)
async def test_commands_that_make_no_sense(
    command: tuple[Any, ...], complaint: str, make_server: Make, connect: Connect, caplog: Any
) -> None:
    io = await make_server(watched)
    admin = await Admin.watch(io, connect)
    user = await connect(io)
    assert await admin.client.timeout(5).emit_with_ack(*command) is None
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING][1:]
    assert complaint in record.getMessage() and record.exc_info is None
    assert admin.client.connected and user.connected
    assert list(io.namespaces) == ["/", "/admin"]


async def test_commands_are_logged_and_acknowledged(make_server: Make, connect: Connect, caplog: Any) -> None:
    io = await make_server(watched)
    admin = await Admin.watch(io, connect)
    users = [await connect(io), await connect(io)]
    got: list[Any] = []
    for user in users:
        user.on("hello", lambda *args: got.append(args))
    with caplog.at_level(logging.INFO, "fastsio.admin"):
        # Without a room, to all.
        assert await admin.client.timeout(5).emit_with_ack("emit", "/", None, "hello", 1, b"2") is None
        assert await admin.client.timeout(5).emit_with_ack("join", "/", "a room") is None
        await until(lambda: len(got) == 2)
        assert got == [(1, b"2")] * 2
        assert len(io.sockets.adapter.rooms["a room"]) == 2
        assert await admin.client.timeout(5).emit_with_ack("leave", "/", "a room", "a room") is None
        assert "a room" not in io.sockets.adapter.rooms
        assert await admin.client.timeout(5).emit_with_ack("_disconnect", "/", True, users[0].id) is None
    await until(lambda: not users[0].connected)
    assert users[1].connected
    messages = [record.getMessage() for record in caplog.records if record.name == "fastsio.admin"]
    assert any("command join('/', 'a room')" in message for message in messages)
    assert any("command _disconnect('/', True," in message for message in messages)


# -- development ------------------------------------------------------------------------------------------


async def test_whoever_was_there_before(make_server: Make, connect: Connect) -> None:
    """Sockets from before `instrument`, and namespaces made since."""
    io = await make_server()
    io.of(re.compile(r"^/dynamic-\d$"))
    early = await connect(io)
    early_id = early.id
    watched(io)
    admin = await Admin.watch(io, connect)
    ((sockets,),) = admin.of("all_sockets")
    assert {entry["id"] for entry in sockets} == {early_id, admin.client.id}

    dynamic = await connect(io, "/dynamic-1")
    dynamic.emit("something", [1])
    early.emit("something", {"else": 2})
    early.disconnect()
    await until(lambda: len(admin.of("event_received")) == 2 and admin.of("socket_disconnected"))
    assert [entry[0]["nsp"] for entry in admin.of("socket_connected")] == ["/admin", "/dynamic-1"]
    told = {entry[:3] for entry in map(lambda told: (*told[:2], str(told[2])), admin.of("event_received"))}
    assert told == {
        ("/dynamic-1", dynamic.id, "['something', [1]]"),
        ("/", early_id, "['something', {'else': 2}]"),
    }
    assert admin.of("socket_disconnected")[0][:3] == ("/", early_id, "client namespace disconnect")


async def test_what_changes_in_a_sockets_data(make_server: Make, connect: Connect) -> None:
    found: list[Socket] = []

    def setup(io: Server) -> None:
        watched(io)

        @io.on("connection")
        def connection(socket: Socket) -> None:
            found.append(socket)
            socket.data["name"] = "Ann"

            @socket.on("count")
            def count() -> None:
                socket.data.setdefault("counts", {"seen": set()})["seen"].add(1)

            @socket.on("later")
            async def later() -> None:
                await asyncio.sleep(0.05)
                socket.data = ["replaced", b"\x00"]

    io = await make_server(setup)
    admin = await Admin.watch(io, connect)
    user = await connect(io)

    def updates() -> list[Any]:
        return [entry[0]["data"] for entry in admin.of("socket_updated") if "data" in entry[0]]

    await user.timeout(5).emit_with_ack("count")
    await until(lambda: len(updates()) == 1)
    assert updates() == [{"name": "Ann", "counts": {"seen": [1]}}]
    await user.timeout(5).emit_with_ack("count")
    user.emit("later")
    # Nothing announces this one: it is found by the look every two seconds.
    await until(lambda: len(updates()) == 2)
    assert updates()[1] == {"value": ["replaced", "(1 bytes)"]}
    (socket,) = [entry for entry in found if entry.id == user.id]
    assert socket.data == ["replaced", b"\x00"], "looked at, not touched"


async def test_events_that_cannot_be_passed_on(make_server: Make, connect: Connect) -> None:
    """As deep as a packet can be, the report of it would be deeper."""
    io = await make_server(watched)
    admin = await Admin.watch(io, connect)
    user = await connect(io)
    depth = 0
    value: list[Any] = []
    with pytest.raises(fastsio.PacketError):
        while True:
            user.emit("deep", value)
            depth += 1
            value = [value]
    await until(lambda: len(admin.of("event_received")) == depth)
    assert admin.of("event_received")[5][2] == ["deep", [[[[[[]]]]]]]
    assert admin.of("event_received")[-1][:3] == ("/", user.id, "(not JSON)")
    assert user.connected and admin.client.connected


async def test_a_connection_outlives_its_sockets(make_server: Make, connect: Connect) -> None:
    io = await make_server(watched)
    io.of("/chat")
    user = await connect(io)
    (session,) = io.engine.sessions.values()
    before = session.listener_count("upgrade")
    chat = user.of("/chat")
    for _ in range(20):
        await chat.connect()
        chat.disconnect()
        await until(lambda: not io.of("/chat").sockets)
    assert session.listener_count("upgrade") == before
    assert user.connected


# -- while nobody watches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["development", "production"])
async def test_nobody_watches(mode: str, make_server: Make, connect: Connect) -> None:
    """Then no packet costs anything more, and no timer runs."""
    io = await make_server(lambda io: watched(io, mode=mode))
    user = await connect(io, transports=["websocket"])
    (session,) = io.engine.sessions.values()
    idle = len(io.engine.timers)
    assert not session.has_listeners("packet") and not session.has_listeners("packet_create")

    admin = await Admin.watch(io, connect)
    assert session.has_listeners("packet") and session.has_listeners("packet_create")
    await user.timeout(5).emit_with_ack("echo", 1)
    await until(lambda: len(admin.of("server_stats")) >= 2)
    kinds = {entry["type"] for (told,) in admin.of("server_stats") for entry in told["aggregatedEvents"]}
    assert kinds >= {"packetsIn", "packetsOut", "bytesIn", "bytesOut"}
    assert admin.of("server_stats")[0][0]["clientsCount"] == 2

    await admin.client.manager.close()
    await until(lambda: io.engine.clients_count == 1)
    assert not session.has_listeners("packet") and not session.has_listeners("packet_create")
    assert len(io.engine.timers) == idle
    assert await user.timeout(5).emit_with_ack("echo", "é", b"\x00") == ("é", b"\x00")


def test_one_server_over_several_loops() -> None:
    """The second admin is told as much as the first."""
    io = Server()
    watched(io)

    async def watch() -> int:
        await io.listen(0, "127.0.0.1")
        client = Client(f"http://127.0.0.1:{io.port}/admin", auto_connect=False, force_new=True)
        told: list[Any] = []
        client.on("server_stats", lambda stats: told.append(stats))
        await client.connect()
        await until(lambda: len(told) >= 2)
        await client.manager.close()
        await io.close(grace=0.2)
        return told[-1]["namespaces"][1]["socketsCount"]

    assert [asyncio.run(watch()) for _ in range(2)] == [1, 1]


# -- several servers --------------------------------------------------------------------------------------


def delegate(name: str) -> Any:
    member = getattr(MemoryAdapter, name)
    if isinstance(member, property):
        return property(lambda self: getattr(self.local, name))
    return lambda self, *args, **options: getattr(self.local, name)(*args, **options)


class Cluster(Adapter):
    """An adapter that could reach other servers: what it broadcasts is written down."""

    def __init__(self, namespace: Any) -> None:
        super().__init__(namespace)
        self.local = MemoryAdapter(namespace)
        self.sent: list[Any] = []

    for _name in Adapter.__abstractmethods__:
        locals()[_name] = delegate(_name)

    def broadcast(self, packet: Any, options: Any) -> None:
        self.sent.append(packet.messages()[0][1])
        self.local.broadcast(packet, options)


async def test_admins_of_other_servers(make_server: Make, connect: Connect) -> None:
    """Are told too, and learn from a socket's data what only its server knows."""
    io = await make_server(watched, adapter=Cluster)
    user = await connect(io)
    sent = io.of("/admin").adapter.sent
    for name in ("socket_connected", "server_stats"):
        await until(lambda name=name: any(f'2/admin,["{name}"' in packet for packet in sent))  # type: ignore[misc]
    (socket,) = io.sockets.sockets.values()
    await until(lambda: socket.data["_admin"]["transport"] == "websocket")
    (session,) = io.engine.sessions.values()
    assert socket.data["_admin"]["clientId"] == session.id[:12]
    assert user.connected
