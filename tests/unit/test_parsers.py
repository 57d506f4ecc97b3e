"""Parsers other than the default, below server and client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastsio import msgpack
from fastsio._codec import encode_event, encoded_messages
from fastsio._frames import OP_BINARY, OP_TEXT, FrameParser
from fastsio.codec import Decoder, JSONParser, Packet, PacketType, encode
from fastsio.exceptions import OptionError, PacketError, TooManyAttachments
from fastsio.parsers import CustomDecoder, make_wire


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# -- messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "text_first"),
    [
        (["a"], True),
        (["ü😀"], True),
        ([""], True),
        (["x" * 70_000], True),
        (["a", b"1", b""], True),
        ([b"1"], True),
        ([b"1", b"2"], True),
        (["a", "b"], False),
        ([b"1", "a"], False),
        (["a", b"1", "b"], False),
    ],
    ids=repr,
)
def test_messages_in_order(messages: list[str | bytes], text_first: bool) -> None:
    packet = encoded_messages(messages)
    assert packet.messages() == [(4, message) for message in messages]
    assert packet.text_first is text_first
    assert packet.attachments == tuple(message for message in messages if isinstance(message, bytes))
    assert packet.text == (messages[0].encode() if text_first and isinstance(messages[0], str) else b"")
    for protocol, prefix in ((3, b"\x04"), (4, b"")):
        frames = packet.frames(protocol)
        assert frames is packet.frames(protocol)
        assert list(FrameParser(client=True).feed(frames)) == [
            (OP_TEXT, b"4" + message.encode()) if isinstance(message, str) else (OP_BINARY, prefix + message)
            for message in messages
        ]
    assert packet.size > 0 and repr(packet)


def test_messages_are_copied() -> None:
    data = bytearray(b"abc")
    packet = encoded_messages([memoryview(data)])
    data[:] = b"xyz"
    assert packet.messages() == [(4, b"abc")] and packet.attachments == (b"abc",)


@pytest.mark.parametrize("messages", [[], [1], [None], ["a", 2], ["\ud800"]], ids=repr)
def test_what_is_no_message(messages: list[Any]) -> None:
    with pytest.raises(PacketError):
        encoded_messages(messages)


# -- another JSON -----------------------------------------------------------------------------------------

PACKETS = [
    Packet(PacketType.CONNECT, data={"token": "ü"}),
    Packet(PacketType.CONNECT, "/admin"),
    Packet(PacketType.DISCONNECT, "/admin"),
    Packet(PacketType.EVENT, data=["e", 1, None, True, 1.5, {"a": [1]}, "😀\u2028"]),
    Packet(PacketType.EVENT, "/n", ["e", b"\x01", {"x": [b"", {"y": b"\x02"}]}], 12),
    Packet(PacketType.ACK, "/n", [], 3),
    Packet(PacketType.ACK, data=[b"\x01"], id=0),
    Packet(PacketType.CONNECT_ERROR, data={"message": "no"}),
    Packet(PacketType.EVENT),
]


@pytest.mark.parametrize("packet", PACKETS, ids=repr)
def test_the_same_bytes(packet: Packet) -> None:
    parser = JSONParser(dumps=dumps, loads=json.loads)
    messages = list(parser.Encoder().encode(packet))
    assert messages == encode(packet)
    decoder = parser.Decoder()
    results = [decoder.add(message) for message in messages]
    reference = Decoder()
    assert results == [reference.add(message) for message in messages]


@pytest.mark.parametrize("given", [{"dumps": dumps}, {"loads": json.loads}, {}], ids=str)
def test_one_of_both(given: dict[str, Any]) -> None:
    wire = make_wire(JSONParser(**given))
    packet = wire.event(("e", b"1", [1]), "/n", 4)
    assert packet.messages() == encode_event(("e", b"1", [1]), "/n", 4).messages()
    assert wire.ack((1, b"2"), "/n", 4).messages() == [
        (4, '61-/n,4[1,{"_placeholder":true,"num":0}]'),
        (4, b"2"),
    ]
    assert wire.packet(Packet(PacketType.CONNECT, data={"sid": "x"}), 5).text == b'0{"sid":"x"}'


def test_dumps_may_give_bytes() -> None:
    wire = make_wire(JSONParser(dumps=lambda value: dumps(value).encode()))
    assert wire.event(("é",)).text == '2["é"]'.encode()


def test_the_functions_are_used() -> None:
    parser = JSONParser(dumps=lambda value: '["dumped"]', loads=lambda text: ["loaded", text])
    assert list(parser.Encoder().encode(Packet(PacketType.EVENT, data=["e"]))) == ['2["dumped"]']
    packet = parser.Decoder().add('2["e"]')
    assert isinstance(packet, Packet) and packet.data == ["loaded", '["e"]']


@pytest.mark.parametrize("result", [None, 1, "x", {}, [], [None], ["connect"], ["disconnect"]], ids=repr)
def test_what_loads_gives_is_checked(result: Any) -> None:
    with pytest.raises(PacketError):
        Decoder(loads=lambda text: result).add('2["e"]')


@pytest.mark.parametrize("error", [ValueError, KeyError, RecursionError, TypeError])
def test_whatever_the_functions_raise(error: type[Exception]) -> None:
    def fail(value: Any) -> Any:
        raise error("no")

    wire = make_wire(JSONParser(dumps=fail, loads=fail))
    with pytest.raises(PacketError) as caught:
        wire.event(("e",))
    assert isinstance(caught.value.__cause__, error)
    with pytest.raises(PacketError) as caught:
        wire.decoder(5, 10, 1000).add('2["e"]')
    assert isinstance(caught.value.__cause__, error)


def test_limits_hold_for_other_json_too() -> None:
    wire = make_wire(JSONParser(loads=json.loads))
    decoder = wire.decoder(5, 2, 1000)
    assert decoder.add('52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]') is None
    decoder = wire.decoder(5, 2, 1000)
    with pytest.raises(TooManyAttachments):
        decoder.add('53-["e"]')


def test_a_cycle_cannot_be_sent() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(PacketError):
        make_wire(JSONParser(dumps=dumps)).event(("e", value))


def test_json_parser_takes_functions() -> None:
    with pytest.raises(TypeError, match="dumps must be callable"):
        JSONParser(dumps=1)  # type: ignore[arg-type]


# -- custom parsers ---------------------------------------------------------------------------------------


class Fixed:
    """A parser whose results the test says."""

    def __init__(self, encoded: Any = None, decoded: Any = None) -> None:
        self.encoded = encoded
        self.decoded = decoded

    def Encoder(self) -> Any:
        return self

    Decoder = Encoder

    def encode(self, packet: Packet) -> Any:
        if isinstance(self.encoded, Exception):
            raise self.encoded
        return self.encoded

    def add(self, message: Any) -> Any:
        if isinstance(self.decoded, Exception):
            raise self.decoded
        return self.decoded


@pytest.mark.parametrize(
    ("encoded", "messages"),
    [("text", ["text"]), (b"1", [b"1"]), (["a", b"1"], ["a", b"1"]), (iter([b"1", "a"]), [b"1", "a"])],
    ids=repr,
)
def test_what_an_encoder_may_give(encoded: Any, messages: list[Any]) -> None:
    packet = make_wire(Fixed(encoded)).event(("e",), "/", None)
    assert [data for _, data in packet.messages()] == messages


@pytest.mark.parametrize("encoded", [None, 1, [], [1], KeyError("x"), PacketError("x")], ids=repr)
def test_what_an_encoder_may_not_give(encoded: Any) -> None:
    with pytest.raises(PacketError):
        make_wire(Fixed(encoded)).ack((1,), "/", 2)


EVENT = Packet(PacketType.EVENT, data=["e"])


@pytest.mark.parametrize(
    ("decoded", "packets"),
    [(None, []), (EVENT, [EVENT]), ([EVENT, EVENT], [EVENT, EVENT]), ([], [])],
    ids=str,
)
def test_what_a_decoder_may_give(decoded: Any, packets: list[Packet]) -> None:
    decoder = make_wire(Fixed(decoded=decoded)).decoder(5, 10, 1000)
    assert isinstance(decoder, CustomDecoder)
    assert decoder.add("x") == packets and decoder.add_text(b"4x", 1) == packets


@pytest.mark.parametrize(
    "decoded",
    [
        1,
        "x",
        [1],
        [EVENT, None],
        KeyError("x"),
        PacketError("x"),
        Packet(PacketType.EVENT, data={}),
        Packet(PacketType.EVENT, data=[]),
        Packet(PacketType.EVENT, data=[["x"]]),
        Packet(PacketType.EVENT, data=["disconnect"]),
        Packet(PacketType.ACK, data=1, id=1),
        Packet(PacketType.ACK, data=[]),
        Packet(PacketType.EVENT, data=["e"], id="x"),  # type: ignore[arg-type]
        Packet(PacketType.CONNECT, data=1),
        Packet(PacketType.CONNECT_ERROR, data=[1]),
    ],
    ids=repr,
)
def test_what_a_decoder_may_not_give(decoded: Any) -> None:
    with pytest.raises(PacketError):
        make_wire(Fixed(decoded=decoded)).decoder(5, 10, 1000).add("x")


@pytest.mark.parametrize("parser", ["msgpack", msgpack], ids=["name", "module"])
def test_msgpack(parser: Any) -> None:
    wire = make_wire(parser)
    packet = wire.event(("e", b"1"), "/n", 3)
    ((_, message),) = packet.messages()
    assert packet.text == b"" and packet.attachments == (message,)
    decoder = wire.decoder(5, 10, 1000)
    assert decoder.add(message) == [Packet(PacketType.EVENT, "/n", ["e", b"1"], 3)]
    for bad in ('2["e"]', b"\xc1", msgpack.encode(Packet(PacketType.EVENT, data=["connect"]))):
        with pytest.raises(PacketError):
            decoder.add(bad)


@pytest.mark.parametrize("parser", ["json", 1, object(), {"Encoder": list}], ids=str)
def test_what_is_no_parser(parser: Any) -> None:
    with pytest.raises(OptionError, match="option parser"):
        make_wire(parser)
