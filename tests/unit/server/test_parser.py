"""Servers with another parser than the default, on a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fastsio import ConnectionRefused, msgpack
from fastsio.codec import JSONParser, Packet, PacketType
from fastsio.exceptions import OptionError, PacketError
from tests.unit.server.fakes import FakeClient, FakeServer


class MsgpackClient:
    """What a client that speaks msgpack sends and sees."""

    def __init__(self, server: FakeServer, protocol: int = 5) -> None:
        self.client = server.connect(protocol)

    def send(self, packet: Packet) -> None:
        self.client.websocket.receive(msgpack.encode(packet))

    def read(self) -> list[Packet]:
        messages = [message for message in self.client.websocket.take() if message != "2"]
        assert all(isinstance(message, bytes) for message in messages), messages
        return [msgpack.decode(message) for message in messages if isinstance(message, bytes)]


def event(*args: Any, namespace: str = "/", id: int | None = None) -> Packet:
    return Packet(PacketType.EVENT, namespace, list(args), id)


async def test_msgpack() -> None:
    server = FakeServer(parser="msgpack")
    sockets: list[Any] = []
    answers: list[Any] = []

    @server.io.on("connection")
    def connection(socket: Any) -> None:
        sockets.append(socket)
        socket.on("echo", lambda *args: args[-1](*args[:-1]))

    client = MsgpackClient(server)
    client.send(Packet(PacketType.CONNECT, data={"token": b"\x01"}))
    (accepted,) = client.read()
    assert accepted == Packet(PacketType.CONNECT, data={"sid": sockets[0].id})
    assert sockets[0].handshake.auth == {"token": b"\x01"}
    client.send(event("echo", b"\x02", {"a": [1]}, id=7))
    assert client.read() == [Packet(PacketType.ACK, "/", [b"\x02", {"a": [1]}], 7)]
    sockets[0].emit("ask", b"\x03", lambda *args: answers.append(args))
    (asked,) = client.read()
    assert asked.data == ["ask", b"\x03"] and asked.id is not None
    client.send(Packet(PacketType.ACK, "/", [1, b"\x04"], asked.id))
    assert answers == [(1, b"\x04")]
    sockets[0].emit("plain", 1)
    server.io.emit("all", 2)
    assert client.read() == [event("plain", 1), event("all", 2)]
    sockets[0].disconnect()
    assert client.read() == [Packet(PacketType.DISCONNECT)]


async def test_msgpack_refusals() -> None:
    server = FakeServer(parser="msgpack")

    @server.io.of("/guarded").use
    def refuse(socket: Any) -> None:
        raise ConnectionRefused("no", {"code": b"\x07"})

    client = MsgpackClient(server)
    client.send(Packet(PacketType.CONNECT, "/guarded"))
    client.send(Packet(PacketType.CONNECT, "/nowhere"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(client.read(), key=lambda packet: packet.namespace) == [
        Packet(PacketType.CONNECT_ERROR, "/guarded", {"message": "no", "data": {"code": b"\x07"}}),
        Packet(PacketType.CONNECT_ERROR, "/nowhere", {"message": "Invalid namespace"}),
    ]


@pytest.mark.parametrize(
    "message",
    [
        '2["e"]',
        b"\xc1",
        b"",
        b"\x80",
        msgpack.encode(event("e")) + b"\x00",
        msgpack.encode(event("e"))[:-1],
        msgpack.encode(event("disconnect")),
        msgpack.encode(event()),
        msgpack.encode(event({})),
        msgpack.encode(Packet(PacketType.ACK, "/", [])),
        msgpack.encode(Packet(PacketType.CONNECT_ERROR, "/", "x")),
        msgpack.encode(event("e", namespace="/other")),
        msgpack.encode(Packet(PacketType.CONNECT)),
    ],
)
async def test_invalid_messages_end_the_connection(message: str | bytes) -> None:
    server = FakeServer(parser="msgpack")
    errors: list[Any] = []
    reasons: list[Any] = []

    @server.io.on("connection")
    def connection(socket: Any) -> None:
        socket.on("error", errors.append)
        socket.on("disconnect", lambda reason: reasons.append(str(reason)))

    client, other = MsgpackClient(server), MsgpackClient(server)
    for each in (client, other):
        each.send(Packet(PacketType.CONNECT))
        each.read()
    client.client.websocket.receive("4" + message if isinstance(message, str) else message)
    assert client.client.websocket.closed is not None and reasons == ["forced close"]
    assert len(errors) == 1 and isinstance(errors[0], PacketError)
    server.io.emit("still here")
    assert other.read() == [event("still here")]


async def test_a_broadcast_is_encoded_once() -> None:
    server = FakeServer(parser="msgpack")
    written: list[bytes] = []
    for _ in range(3):
        client = MsgpackClient(server)
        client.send(Packet(PacketType.CONNECT))
        client.client.websocket.write_frames = written.append  # type: ignore[method-assign]
    server.io.emit("all", b"\x01")
    assert len(written) == 3 and all(frames is written[0] for frames in written)


async def test_recovery() -> None:
    server = FakeServer(parser="msgpack", connection_state_recovery=True)
    client = MsgpackClient(server)
    client.send(Packet(PacketType.CONNECT))
    (accepted,) = client.read()
    server.io.emit("got", b"\x01")
    (got,) = client.read()
    assert got.data[:2] == ["got", b"\x01"] and isinstance(got.data[2], str)
    client.client.lose()
    server.io.emit("missed", b"\x02")
    again = MsgpackClient(server)
    again.send(Packet(PacketType.CONNECT, data={"pid": accepted.data["pid"], "offset": got.data[2]}))
    missed, reply = again.read()
    assert missed.data[:2] == ["missed", b"\x02"] and reply == accepted


async def test_clients_of_protocol_4() -> None:
    server = FakeServer(parser="msgpack")
    client = MsgpackClient(server, protocol=4)
    messages = client.client.websocket.take()
    assert [msgpack.decode(message[1:]) for message in messages if isinstance(message, bytes)] == [
        Packet(PacketType.CONNECT)
    ]


class Lines:
    """Packets as lines: ``type namespace JSON``; several a message, or parts of one."""

    class Encoder:
        def encode(self, packet: Packet) -> list[str | bytes]:
            return [f"{packet.type} {packet.namespace} {json.dumps(packet.data)}"]

    class Decoder:
        def __init__(self) -> None:
            self.rest = ""

        def add(self, message: str | bytes) -> list[Packet]:
            assert isinstance(message, str)
            *lines, self.rest = (self.rest + message).split("\n")
            packets = []
            for line in lines:
                kind, namespace, data = line.split(" ", 2)
                packets.append(Packet(int(kind), namespace, json.loads(data)))
            return packets


async def test_a_custom_parser() -> None:
    server = FakeServer(parser=Lines)
    seen: list[Any] = []

    @server.io.on("connection")
    def connection(socket: Any) -> None:
        socket.on_any(lambda *args: seen.append(args))

    clients = [server.connect(), server.connect()]
    for client in clients:
        client.send('0 / null\n2 / ["half",')
    for number, client in enumerate(clients):
        client.send(f'{number}]\n2 / ["more"]\n')
    assert seen == [("half", 0), ("more",), ("half", 1), ("more",)]
    for client in clients:
        client.websocket.take()
    server.io.emit("all", [1])
    assert [client.websocket.take() for client in clients] == [['42 / ["all", [1]]']] * 2
    with pytest.raises(PacketError):
        server.io.emit("all", b"not JSON")
    clients[0].send("what is this\n")
    assert clients[0].websocket.closed is not None and clients[1].websocket.closed is None
    # A message that ends the connection is not read to its end.
    clients[1].send('2 / ["e"]\n1 / null\n2 / ["after"]\n')
    assert seen[-1] == ("e",) and clients[1].websocket.closed is not None


async def test_another_json() -> None:
    calls: list[str] = []

    def dumps(value: Any) -> str:
        calls.append("dumps")
        return json.dumps(value, default=str)

    def loads(text: str) -> Any:
        calls.append("loads")
        return json.loads(text)

    server = FakeServer(parser=JSONParser(dumps, loads))
    sockets: list[Any] = []

    @server.io.on("connection")
    def connection(socket: Any) -> None:
        sockets.append(socket)
        socket.on("echo", lambda *args: args[-1](*args[:-1]))

    client: FakeClient = server.join({"a": 1})
    client.send('51-3["echo",{"_placeholder":true,"num":0}]')
    client.send(b"\x01")
    client.read()
    assert client.packets[1:] == ['61-3[{"_placeholder": true, "num": 0}]', b"\x01"]
    sockets[0].emit("object", {1, 2} and ValueError("text"))
    assert client.read() == [["object", "text"]]
    assert calls == ["loads", "dumps", "loads", "dumps", "dumps"]
    client.send('2["e",NaN')
    assert client.websocket.closed is not None


@pytest.mark.parametrize("parser", ["msgpack", Lines, JSONParser(json.dumps, json.loads)], ids=str)
async def test_outgoing_listeners(parser: Any) -> None:
    server = FakeServer(parser=parser)
    seen: list[Any] = []

    @server.io.on("connection")
    def connection(socket: Any) -> None:
        socket.on_any_outgoing(lambda *args: seen.append(args))
        socket.emit("one", 1)
        server.io.emit("all", 2)

    client = server.connect()
    if parser == "msgpack":
        client.websocket.receive(msgpack.encode(Packet(PacketType.CONNECT)))
    else:
        client.send("0 / null\n" if parser is Lines else "0")
    assert seen == [("one", 1), ("all", 2)]


async def test_no_parser() -> None:
    with pytest.raises(OptionError, match="option parser"):
        FakeServer(parser="json")
