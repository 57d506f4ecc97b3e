"""Routers: handlers of many sockets in one table."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import msgspec
import pytest

from fastsio import ConnectionRefused, Router, Server, Socket
from tests.unit.server.in_process import LocalClient


async def turns() -> None:
    """Let tasks go on."""
    for _ in range(6):
        await asyncio.sleep(0)


class Message(msgspec.Struct):
    text: str


def chat() -> tuple[Router, list[Any]]:
    router = Router()
    log: list[Any] = []

    @router.use
    def check(socket: Socket) -> None:
        log.append("middleware")
        if socket.handshake.query.get("refused"):
            raise ConnectionRefused("no")

    @router.on("connection")
    def connection(socket: Socket) -> None:
        log.append("connection")

    @router.on("message")
    async def message(socket: Socket, message: Message, count: int = 1) -> str:
        socket.emit("got", message.text)
        return message.text * count

    @router.on("plain")
    def plain(socket, a, b):  # type: ignore[no-untyped-def]
        log.append((type(socket).__name__, a, b))
        return "plain"

    @router.on("with ack")
    def with_ack(socket, value, ack):  # type: ignore[no-untyped-def]
        ack(value)

    @router.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        log.append((socket.connected, str(reason)))

    @router.on("error")
    def error(socket: Socket, exception: Exception) -> None:
        log.append(exception)

    return router, log


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("namespace", ["/", "/chat"])
async def test_everything_a_router_has(protocol: int, namespace: str) -> None:
    router, log = chat()
    io = Server()
    assert io.of(namespace).include(router) is io.of(namespace)
    client = LocalClient(io, namespace, protocol=protocol)
    await turns()
    client.take()
    assert log == ["middleware", "connection"]
    log.clear()
    client.emit("plain", 1, 2, ack=1)
    assert client.answer() == ["plain"]
    client.emit("with ack", 7, ack=2)
    assert client.answer() == [7]
    client.emit("message", {"text": 1}, ack=3)
    assert client.answer() == [
        {"error": "invalid arguments", "detail": "message.text: Expected `str`, got `int`"}
    ]
    client.emit("message", {"text": "ab"}, 2)
    await turns()
    assert [packet[packet.index("[") :] for packet in map(str, client.take())] == ['["got","ab"]']
    client.leave()
    assert log[0] == ("Socket", 1, 2)
    assert str(log[1]).startswith("invalid arguments of 'message'")
    assert log[2] == (False, "transport close")


async def test_a_middleware_of_a_router_refuses() -> None:
    router = Router()

    @router.use
    def check(socket: Socket) -> None:
        raise ConnectionRefused("no")

    io = Server()
    io.include(router)
    client = LocalClient(io)
    await turns()
    # Since Python 3.12 a task that does not wait is done at once: the answer came with the handshake.
    _handshake, *packets = [*client.opened, *client.take()]
    assert packets == ['4{"message":"no"}']


async def test_routers_in_routers() -> None:
    called: list[str] = []
    outer, middle, inner = Router(prefix="a:"), Router(), Router(prefix="c:")

    @inner.on("x")
    def x(socket: Socket) -> None:
        called.append("x")

    @inner.on("disconnect")
    def disconnect(socket: Socket) -> None:
        called.append("disconnect")

    assert outer.include(middle, prefix="b:") is outer
    middle.include(inner)

    @inner.on("late")
    def late(socket: Socket) -> None:
        called.append("late")

    io = Server()
    assert io.include(outer) is io
    client = LocalClient(io)
    for event in ("x", "a:x", "a:b:x", "a:b:c:x", "a:b:c:late"):
        client.emit(event)
    assert called == ["x", "late"]
    client.leave()
    assert called == ["x", "late", "disconnect"]
    for pair in ((outer, outer), (inner, outer), (middle, outer)):
        with pytest.raises(ValueError, match="includes"):
            pair[0].include(pair[1])


async def test_one_router_in_several_namespaces_and_several_in_one() -> None:
    called: list[Any] = []
    one, two = Router(), Router()
    one.on("x", lambda socket: called.append(("one", socket.nsp.name)))
    two.on("x", lambda socket: called.append(("two", socket.nsp.name)))
    io = Server()
    io.include(one).include(two)
    io.of("/b").include(one)
    io.of(re.compile("^/dyn")).include(two)
    for namespace in ("/", "/b"):
        LocalClient(io, namespace).emit("x")
    assert called == [("one", "/"), ("two", "/"), ("one", "/b")]


async def test_dynamic_namespaces() -> None:
    called: list[Any] = []
    router = Router()
    router.on("x", lambda socket: called.append(socket.nsp.name))
    io = Server()
    io.of(re.compile("^/dyn")).include(router)
    io.of("/dyn-1")
    LocalClient(io, "/dyn-1").emit("x")
    assert called == ["/dyn-1"]


# -- beside listeners of the socket's own


def shared_and_own(setup: Any) -> tuple[LocalClient, list[Any], Socket]:
    log: list[Any] = []
    sockets: list[Socket] = []
    router = Router()

    @router.on("x")
    def x(socket: Socket) -> None:
        log.append("shared")

    @router.on("y")
    def y(socket: Socket) -> None:
        log.append("shared y")

    io = Server()
    io.include(router)

    @io.on("connection")
    def connection(socket: Socket) -> None:
        sockets.append(socket)
        if len(sockets) == 1:
            setup(socket, log, x)

    client = LocalClient(io)
    other = LocalClient(io)
    other.emit("x")
    other.emit("y")
    assert log == ["shared", "shared y"], "the other sockets know nothing of it"
    log.clear()
    return client, log, sockets[0]


async def test_a_listener_of_the_socket_itself() -> None:
    def setup(socket: Socket, log: list[Any], x: Any) -> None:
        socket.on("x", lambda: log.append("own"))
        socket.prepend_listener("x", lambda: log.append("first"))
        socket.once("z", lambda: log.append("z"))

    client, log, socket = shared_and_own(setup)
    for event in ("x", "y", "z", "z"):
        client.emit(event)
    assert log == ["first", "shared", "own", "shared y", "z"]
    assert sorted(socket.event_names()) == ["x", "y"]
    assert socket.listener_count("x") == 3


async def test_a_shared_handler_can_be_removed_from_one_socket() -> None:
    def setup(socket: Socket, log: list[Any], x: Any) -> None:
        assert socket.listeners("x") == [x]
        socket.off("x", x)
        assert socket.listeners("x") == [] and not socket.has_listeners("x")
        socket.remove_all_listeners("y")

    client, log, socket = shared_and_own(setup)
    client.emit("x")
    client.emit("y")
    assert log == []
    assert socket.event_names() == []
    socket.on("x", lambda: log.append("own"))
    client.emit("x")
    assert log == ["own"]


async def test_a_once_listener_beside_a_shared_one() -> None:
    def setup(socket: Socket, log: list[Any], x: Any) -> None:
        socket.once("x", lambda: log.append("once"))

    client, log, _ = shared_and_own(setup)
    client.emit("x")
    client.emit("x")
    assert log == ["shared", "once", "shared"]


async def test_sockets_hold_nothing_of_their_own() -> None:
    router = Router()
    for number in range(100):
        router.on(f"event {number}", lambda socket: None)
    io = Server()
    io.include(router)
    before = Server()
    sizes = []
    for server in (before, io):
        LocalClient(server)
        (socket,) = server.sockets.sockets.values()
        sizes.append(sys.getsizeof(socket))
    assert sizes[0] == sizes[1]
    LocalClient(io)
    first, second = io.sockets.sockets.values()
    # The very same listeners, not copies.
    assert first.listeners("event 7")[0] is second.listeners("event 7")[0]


async def test_including_later_concerns_later_sockets() -> None:
    called: list[int] = []
    router = Router()
    router.on("x", lambda socket: called.append(1))
    io = Server()
    early = LocalClient(io)
    io.include(router)
    late = LocalClient(io)
    early.emit("x")
    assert called == []
    late.emit("x")
    assert called == [1]


def test_mistakes() -> None:
    router = Router()
    with pytest.raises(TypeError, match="must be callable"):
        router.on("x", "y")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="must be callable"):
        router.use("y")  # type: ignore[type-var]
    with pytest.raises(ValueError, match="'connection' is no event of clients"):
        router.on("connection", print, serialize=True)


async def test_serialized_handlers_of_a_router() -> None:
    router = Router()
    log: list[Any] = []

    @router.on("x", serialize=True)
    async def x(socket: Socket, number: int) -> int:
        log.append(number)
        return number

    io = Server()
    io.include(router)
    client = LocalClient(io)
    client.emit("x", 1, ack=1)
    client.emit("x", "no number", ack=2)
    assert log == [1]
