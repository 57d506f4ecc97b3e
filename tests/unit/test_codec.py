"""Socket.IO packets: round trips, the reference codec, limits, hostile input, leaks."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import gc
import json
import math
import string
import sys
import tracemalloc
import uuid
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastsio._codec import (
    Decoder,
    EncodedPacket,
    Packet,
    PacketType,
    encode,
    encode_ack,
    encode_event,
    encode_packet,
)
from fastsio._frames import OP_BINARY, OP_TEXT, FrameParser
from fastsio.exceptions import PacketError, PayloadTooLarge, TooManyAttachments
from tests.reference import socketio_codec as reference

PROTOCOLS = pytest.mark.parametrize("protocol", [4, 5])
RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
MAX_DEPTH = 1024


def one_placeholder(num: Any = 0) -> str:
    return json.dumps({"_placeholder": True, "num": num})


def decode_all(messages: list[Any], protocol: int = 5, **limits: int) -> Packet | None:
    decoder = Decoder(protocol, **limits)
    for message in messages[:-1]:
        assert decoder.add(message) is None
    return decoder.add(messages[-1])


# ------------------------------------------------------------------------------------- round trips

any_text = st.text(st.characters())  # surrogates included
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text
)
exact_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | any_text
namespaces = st.just("/") | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=","), min_size=1
).map("/".__add__)
ids = st.none() | st.integers(0, 2**53 - 1)
names = any_text.filter(lambda name: name not in RESERVED)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves | st.binary(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(any_text.filter(lambda key: key != "_placeholder"), inner, max_size=4)
        ),
        max_leaves=12,
    )


def as_javascript(value: Any) -> Any:
    """The value with halves of a surrogate pair joined where they stand side by side."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if isinstance(value, (list, tuple)):
        return [as_javascript(item) for item in value]
    if isinstance(value, dict):
        return {as_javascript(key): as_javascript(item) for key, item in value.items()}
    return value


@given(names, st.lists(values(scalars), max_size=4), namespaces, ids, st.sampled_from([4, 5]))
def test_event_round_trip(name: str, args: list[Any], namespace: str, id_: int | None, protocol: int) -> None:
    encoded = encode_event((name, *args), namespace, id_)
    assert encoded.text == encoded.messages()[0][1].encode()
    packet = decode_all([message for _, message in encoded.messages()], protocol, max_attachments=1000)
    binary = protocol == 4 and encoded.attachments
    assert packet.type is (PacketType.BINARY_EVENT if binary else PacketType.EVENT)
    assert packet.namespace == namespace
    assert packet.id == id_
    assert packet.data == as_javascript([name, *args])
    assert packet.attachments == list(encoded.attachments)


@given(st.lists(values(scalars), max_size=4), namespaces, st.integers(0, 2**53 - 1))
def test_ack_round_trip(args: list[Any], namespace: str, id_: int) -> None:
    encoded = encode_ack(args, namespace, id_)
    packet = decode_all([message for _, message in encoded.messages()], max_attachments=1000)
    assert (packet.type, packet.namespace, packet.id) == (PacketType.ACK, namespace, id_)
    assert packet.data == as_javascript(args)


@pytest.mark.parametrize("type_", [PacketType.CONNECT, PacketType.CONNECT_ERROR])
@PROTOCOLS
def test_connect_round_trip(type_: PacketType, protocol: int) -> None:
    packet = Packet(type_, "/admin?token=x", {"sid": "é", "n": [1]})
    assert Decoder(protocol).add(*encode(packet, protocol)) == packet


# ----------------------------------------------------------------------------- against the reference


@given(st.sampled_from([2, 3]), names, st.lists(values(exact_scalars), max_size=4), namespaces, ids)
def test_encodes_as_the_reference(
    type_: int, name: str, args: list[Any], namespace: str, id_: int | None
) -> None:
    data = as_javascript([name, *args])
    assert encode(Packet(type_, namespace, data, id_)) == reference.encode(type_, namespace, data, id_)


wire_pieces = st.sampled_from(
    [
        *string.digits,
        *("-", ",", "/", "/n,", "/n", " ", "\n", "\t", "x", "é", "\ud83d", "\x00"),
        *("[", "]", "{", "}", '"', '["a"]', '["a",1]', "[]", "{}", "null", '"m"', "true", "[1]", "[[]]"),
        *("1-", "2-", "0-", "10-", "11-", "01-", "1" * 16, "1" * 17, "0" * 20, "9007199254740993"),
        *('["connect"]', '["e",NaN]', '["e",1e400]', '["\\ud83d"]', '["e",01]', "[1.5]", "[true]"),
        *(f'["e",{one_placeholder(n)}]' for n in (0, 1, 2, -1, 0.5, True, None, "0", [])),
        f'["e",{one_placeholder()},{one_placeholder()}]',
        f'["e",[[{one_placeholder(1)},{{"k":{one_placeholder()}}}]]]',
        f"[{one_placeholder()}]",
    ]
)
wire_text = st.builds(
    "{}{}".format, st.sampled_from([*"0123456789x ", ""]), st.lists(wire_pieces, max_size=6).map("".join)
)
likely_text = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["0", "1", "2", "3", "4", "51-", "52-", "61-", "510-", "511-", "50-", "5", "7"]),
    st.sampled_from(["", "/n,", "/,", "/n"]),
    st.sampled_from(["", "0", "12", "007"]),
    wire_pieces | st.just(""),
)


@given(
    st.lists(likely_text | wire_text | st.binary(max_size=3), min_size=1, max_size=5), st.sampled_from([4, 5])
)
@example(["51-[]", b""], 5)
@example([f'52-["e",{one_placeholder(1)},{one_placeholder(0)}]', b"a", b"b", '2["x"]'], 4)
@example([f'51-["e",{one_placeholder()},{one_placeholder()}]', b"a"], 5)
@example(["2/\ud83d,[1]"], 5)
def test_decodes_as_the_reference(messages: list[Any], protocol: int) -> None:
    decoder = Decoder(protocol)
    found = []
    refused = False
    for message in messages:
        try:
            packet = decoder.add(message)
        except PacketError:
            refused = True
            break
        if packet is not None:
            found.append((packet.type, packet.namespace, packet.data, packet.id))
    pending = decoder.pending
    assert (found, refused, pending) == reference.decode(messages, protocol)
    assert not (refused and pending)


@given(st.binary(max_size=60), st.sampled_from([4, 5]))
@example(b'2["\xed\xa0\x80"]', 5)
@example(b"2/\xff,", 5)
def test_any_bytes_are_a_packet_or_a_packet_error(data: bytes, protocol: int) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        with pytest.raises(PacketError):
            # In protocol 4 an unknown type hides the rest; make the type a known one.
            Decoder(protocol).add_text(b"2/" + data)
        return
    outcomes = []
    for feed in (lambda d: d.add(text), lambda d: d.add_text(b"--" + data, 2)):
        try:
            outcomes.append(feed(Decoder(protocol)))
        except PacketError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


# --------------------------------------------------------------------------------------- wire forms


@pytest.mark.parametrize("size", [0, 1, 120, 121, 122, 65520, 65526, 65527, 65528, 70000])
def test_frames_of_a_plain_event(size: int) -> None:
    encoded = encode_event(("e" * size,))
    frame = encoded.frames(4)
    assert encoded.frames(3) is frame
    assert FrameParser(client=True).feed(frame) == [(OP_TEXT, b"4" + encoded.text)]
    assert encoded.text == b'2["' + b"e" * size + b'"]'
    assert encoded.text is encoded.text
    assert encoded.messages() is encoded.messages()
    assert encoded.attachments == ()


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 65534, 65535, 65536])
@pytest.mark.parametrize(("protocol", "prefix"), [(3, b"\x04"), (4, b"")])
def test_frames_of_a_binary_event(size: int, protocol: int, prefix: bytes) -> None:
    encoded = encode_event(("e", b"x" * size, [bytearray(b"y")]), "/n", 7)
    frames = encoded.frames(protocol)
    assert encoded.frames(protocol) is frames
    parser = FrameParser(client=True)
    assert parser.feed(frames) == [
        (OP_TEXT, b"4" + encoded.text),
        (OP_BINARY, prefix + b"x" * size),
        (OP_BINARY, prefix + b"y"),
    ]
    assert parser.buffered == 0
    assert encoded.text.startswith(b'52-/n,7["e",')
    assert encoded.messages() == [(4, encoded.text.decode()), (4, b"x" * size), (4, b"y")]


def test_frames_of_the_two_protocols_differ_when_binary() -> None:
    encoded = encode_event((b"x",))
    assert (
        encoded.frames(4)
        == b'\x81\x27451-[{"_placeholder":true,"num":0}]'.replace(b"\x27", bytes([len(encoded.text) + 1]))
        + b"\x82\x01x"
    )
    assert encoded.frames(3)[-4:] == b"\x82\x02\x04x"


@pytest.mark.parametrize("protocol", [2, 5])
def test_frames_of_another_protocol(protocol: int) -> None:
    for args in (("e",), ("e", b"x")):
        with pytest.raises(ValueError, match="no Engine"):
            encode_event(args).frames(protocol)


def test_encoded_packet_is_made_by_functions_only() -> None:
    with pytest.raises(TypeError):
        EncodedPacket()
    with pytest.raises(AttributeError):
        encode_event(("e",)).attachments = (b"x",)


def test_attachments_are_snapshots() -> None:
    source = bytearray(b"before")
    view = memoryview(b"0123456789")[::2]
    encoded = encode_event(("e", source, view, array.array("H", [1, 2])))
    source[:] = b"after!"
    assert encoded.attachments == (b"before", b"02468", array.array("H", [1, 2]).tobytes())
    assert {type(attachment) for attachment in encoded.attachments} == {bytes}


def test_more_placeholders_than_are_cached() -> None:
    blobs = [bytes([n]) for n in range(100)]
    encoded = encode_event(("e", *blobs))
    assert encoded.text.startswith(b'5100-["e",{"_placeholder":true,"num":0},')
    assert decode_all([m for _, m in encoded.messages()], max_attachments=100).data == ["e", *blobs]


def test_protocol_4_trusts_the_type() -> None:
    assert encode(Packet(PacketType.EVENT, data=["e", b"\x01\xff"]), 4) == [
        '2["e",{"type":"Buffer","data":[1,255]}]'
    ]
    assert encode(Packet(PacketType.BINARY_EVENT, data=["e"]), 4) == ['50-["e"]']
    assert encode(Packet(PacketType.BINARY_ACK, data=[b"x"], id=1), 4)[1:] == [b"x"]
    assert encode_packet(Packet(PacketType.EVENT, data=["e"]), 4).text == b'2["e"]'


def test_protocol_5_decides_by_content() -> None:
    assert encode(Packet(PacketType.BINARY_EVENT, data=["e"])) == ['2["e"]']
    assert encode(Packet(PacketType.ACK, data=[b"x"], id=1))[0].startswith("61-1[")
    assert encode(Packet(PacketType.BINARY_ACK, id=1)) == ["31"]
    assert encode(Packet(PacketType.CONNECT, data={"k": b"\x02"})) == ['0{"k":{"type":"Buffer","data":[2]}}']


# ---------------------------------------------------------------------- what JavaScript would print


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    tag: Any
    _private: int = 0


class Name(str):
    pass


class Real(float):
    pass


Pair = namedtuple("Pair", "a b")
UTC = datetime.timezone.utc

PRINTED = [
    ([math.nan, math.inf, -math.inf], "[null,null,null]"),
    (datetime.datetime(2023, 11, 14, 22, 13, 20, 123999, UTC), '"2023-11-14T22:13:20.123Z"'),
    (datetime.datetime(2023, 11, 14, 22, 13, 20), '"2023-11-14T22:13:20.000Z"'),
    (
        datetime.datetime(2023, 11, 14, 23, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        '"2023-11-14T21:00:00.000Z"',
    ),
    (datetime.date(2023, 11, 14), '"2023-11-14"'),
    (datetime.time(1, 2, 3), '"01:02:03"'),
    (Name("s"), '"s"'),
    (Real(1.5), "1.5"),
    (Pair(1, (2,)), "[1,[2]]"),
    (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    (Colour.RED, '"red"'),
    (Level.HIGH, "3"),
    (uuid.UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
    (Point(1, Pair(2, 3)), '{"x":1,"tag":[2,3]}'),
    ('\x00\x1f\x7f\u2028/"\\\b\t\n\f\r', '"\\u0000\\u001f\x7f\u2028/\\"\\\\\\b\\t\\n\\f\\r"'),
]


@pytest.mark.parametrize(("value", "text"), PRINTED)
def test_fast_and_slow_path_print_the_same(value: Any, text: str) -> None:
    assert encode_event(("e", value)).text.decode() == f'2["e",{text}]'
    # A lone surrogate sends the whole packet down the slow path.
    assert encode_event(("e\ud83d", value)).text.decode() == f'2["e\\ud83d",{text}]'


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (-(10**30), "-1" + "0" * 30),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1.2345678901234567e20, "123456789012345670000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (1e-7, "1e-7"),
        (1e16, "10000000000000000"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (Name("k"), "k"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_keys_as_javascript_prints_them(key: Any, text: str) -> None:
    assert encode_event(("e", {key: 1})).text.decode() == f'2["e",{{"{text}":1}}]'


def test_slow_path_collects_attachments_in_order() -> None:
    data = ("e", {1: b"a", "k": [b"b", {"\ud83d": bytearray(b"c")}]}, memoryview(b"d"))
    encoded = encode_event(data)
    assert encoded.attachments == (b"a", b"b", b"c", b"d")
    assert decode_all([m for _, m in encoded.messages()]).data == [
        "e",
        {"1": b"a", "k": [b"b", {"\ud83d": b"c"}]},
        b"d",
    ]


@pytest.mark.parametrize("text", ["\ud83d", "a\ude00b", "\ud83d\ud83d", "\ude00\ud83d"])
def test_lone_surrogates_survive(text: str) -> None:
    wire = encode_event(("e", text)).text
    assert wire.isascii()
    packet = Decoder().add_text(wire)
    assert packet.data == ["e", text]
    assert encode(packet) == [wire.decode()]


def test_surrogate_halves_are_joined() -> None:
    assert encode_event(("\ud83d\ude00", "\ud83d")).text.decode() == '2["\U0001f600","\\ud83d"]'


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits(value: int) -> None:
    wire = encode_event(("e", value)).text
    assert wire.decode() == f'2["e",{value}]'
    # JavaScript has no such integers either: they come back as the nearest float.
    expected = float(value) if value < 10**300 else math.inf
    found = Decoder().add_text(wire).data[1]
    assert (type(found), found) == (float, expected)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        1j,
        Packet,
        {(1, 2): 3},
        {b"k": 1},
        pytest.param(10**5000, id="5001 digits"),
        datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        dataclasses.make_dataclass("Hidden", [("x", object)])(object()),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
def test_unencodable_values(value: Any, slow: bool) -> None:
    with pytest.raises(PacketError, match="cannot encode"):
        encode_event(("\ud83d" if slow else "e", [value]))


def test_unencodable_keeps_its_cause() -> None:
    view = memoryview(bytearray(b"x"))
    view.release()
    with pytest.raises(PacketError) as caught:
        encode_event(("e", view))
    assert isinstance(caught.value.__cause__, ValueError)


def test_cycles_are_refused() -> None:
    cycle: list[Any] = []
    cycle.append({"k": cycle})
    with pytest.raises(PacketError, match="levels"):
        encode_event(("e", cycle))


# ----------------------------------------------------------------------------- malformed packets


@pytest.mark.parametrize("namespace", ["", "chat", "/a,b", "/\ud83d"])
def test_namespaces_that_cannot_be_sent(namespace: str) -> None:
    with pytest.raises(PacketError):
        encode_event(("e",), namespace)


@pytest.mark.parametrize("id_", [-1, -(2**70), 1.0, "1", pytest.param(10**5000, id="5001 digits")])
def test_ids_that_cannot_be_sent(id_: Any) -> None:
    with pytest.raises(PacketError):
        encode_event(("e",), "/", id_)


@pytest.mark.parametrize("id_", [0, 9, 10, 2**53 - 1, 2**63 - 1, 2**63, 10**20])
def test_ids_that_can_be_sent(id_: int) -> None:
    assert encode_event(("e",), "/n", id_).text == b'2/n,%d["e"]' % id_


def test_calls_that_make_no_packet() -> None:
    with pytest.raises(PacketError):
        encode_event(())
    with pytest.raises(PacketError):
        encode_ack({}, "/", 1)
    with pytest.raises(PacketError):
        encode_ack([], "/", None)
    with pytest.raises(PacketError):
        Packet(7)
    with pytest.raises(PacketError):
        Packet(2, None)
    with pytest.raises(ValueError, match="no Socket"):
        encode(Packet(2), 3)
    with pytest.raises(ValueError, match="no Socket"):
        Decoder(6)


@PROTOCOLS
@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names(name: str, protocol: int) -> None:
    for text in (
        f'2["{name}"]',
        f'51-["{name}",{one_placeholder()}]',
        f'2["\\u00{ord(name[0]):x}{name[1:]}"]',
    ):
        with pytest.raises(PacketError):
            Decoder(protocol).add(text)
    assert Decoder(protocol).add(f'2["{name}!"]').data == [f"{name}!"]
    assert Decoder(protocol).add(f'3["{name}"]').data == [name]


@pytest.mark.parametrize("text", ["7", "9[]", "x", "é", "-1", "\x7f"])
def test_unknown_type(text: str) -> None:
    with pytest.raises(PacketError, match="unknown packet type"):
        Decoder(5).add(text)
    packet = Decoder(4).add(text)
    assert packet.type is PacketType.ERROR
    # No namespace on the wire is empty: what sees this packet can tell that it is to be ignored.
    assert packet.namespace == ""


@pytest.mark.parametrize("message", [None, 1, ["2"], object()])
def test_messages_are_str_or_bytes(message: Any) -> None:
    with pytest.raises(PacketError):
        Decoder().add(message)


@pytest.mark.parametrize("offset", [-1, 3, 4, sys.maxsize, -sys.maxsize])
def test_offsets_outside_the_message(offset: int) -> None:
    with pytest.raises(PacketError):
        Decoder().add_text(b"402", offset)


def test_text_while_waiting_ends_the_packet() -> None:
    decoder = Decoder()
    assert decoder.add(f'51-["e",{one_placeholder()}]') is None
    assert decoder.pending
    with pytest.raises(PacketError, match="plaintext"):
        decoder.add('2["x"]')
    assert not decoder.pending
    assert decoder.add('2["x"]').data == ["x"]


def test_binary_without_header() -> None:
    with pytest.raises(PacketError, match="binary"):
        Decoder().add(b"x")


def test_reset_forgets_the_waiting_packet() -> None:
    decoder = Decoder()
    decoder.add(f'51-["e",{one_placeholder()}]')
    decoder.reset()
    assert not decoder.pending
    with pytest.raises(PacketError):
        decoder.add(b"x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_attachments_arrive_as_bytes(kind: Any) -> None:
    packet = decode_all([f'51-["e",{one_placeholder()}]', kind(b"x")])
    assert packet.data == ["e", b"x"]
    assert type(packet.data[1]) is bytes


def test_placeholder_look_alike_in_a_plain_packet() -> None:
    assert Decoder().add(f'2["e",{one_placeholder(7)}]').data == ["e", {"_placeholder": True, "num": 7}]


def test_placeholders_are_used_once() -> None:
    with pytest.raises(PacketError, match="twice"):
        decode_all([f'51-["e",{one_placeholder()},[{one_placeholder()}]]', b"x"])


# ---------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("limit", [0, 1, 10, 300])
def test_number_of_attachments(limit: int) -> None:
    with pytest.raises(TooManyAttachments) as caught:
        Decoder(max_attachments=limit).add(f'5{limit + 1}-["e"]')
    assert (caught.value.count, caught.value.limit) == (limit + 1, limit)
    if limit:
        decoder = Decoder(max_attachments=limit)
        assert decoder.add(f'5{limit}-["e"]') is None
        for _ in range(limit - 1):
            assert decoder.add(b"") is None
        assert decoder.add(b"").attachments == [b""] * limit


@pytest.mark.parametrize("digits", [16, 17, 400])
def test_absurd_number_of_attachments(digits: int) -> None:
    with pytest.raises(PacketError):
        Decoder().add("5" + "9" * digits + '-["e"]')


def test_size_of_a_text_packet() -> None:
    text = '2["é"]'
    size = len(text.encode())
    assert Decoder(max_bytes=size).add(text).data == ["é"]
    with pytest.raises(PayloadTooLarge) as caught:
        Decoder(max_bytes=size - 1).add(text)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)


def test_size_of_a_binary_packet() -> None:
    text = f'52-["e",{one_placeholder()}]'
    size = len(text) + 5
    assert decode_all([text, b"xy", b"xyz"], max_bytes=size).attachments == [b"xy", b"xyz"]
    decoder = Decoder(max_bytes=size)
    for _ in range(2):  # what one packet used does not count for the next
        decoder.add(text)
        decoder.add(b"xy")
        decoder.add(b"xyz")
    decoder.add(text)
    decoder.add(b"xy")
    with pytest.raises(PayloadTooLarge):
        decoder.add(b"wxyz")
    assert not decoder.pending


def test_length_of_an_ack_id() -> None:
    assert Decoder().add("2" + "9" * 16 + '["e"]').id == 10**16 - 1
    with pytest.raises(PacketError):
        Decoder().add("2" + "9" * 17 + '["e"]')
    with pytest.raises(PacketError):
        Decoder().add("2" + "9" * 100_000 + '["e"]')


def nested(levels: int, opening: str = "[", closing: str = "]", core: str = "") -> str:
    return opening * levels + core + closing * levels


@PROTOCOLS
@pytest.mark.parametrize("name", ['"e"', '"\\ud83d"'], ids=["fast", "slow"])
def test_depth_of_a_packet(name: str, protocol: int) -> None:
    with pytest.raises(PacketError):
        Decoder(protocol).add(f"2[{name},{nested(MAX_DEPTH)}]")
    with pytest.raises(PacketError):
        Decoder(protocol).add(f"2[{name},{nested(100_000)}]")
    with pytest.raises(PacketError):
        Decoder(protocol).add(f"2[{name}," + nested(50_000, '{"k":', "}", "1") + "]")
    with pytest.raises(PacketError):
        Decoder(protocol).add("2" + "[" * 400_000)
    # The slow path also lives within the interpreter's own recursion limit.
    levels = MAX_DEPTH - 1 if name == '"e"' else 500
    value = Decoder(protocol).add(f"2[{name},{nested(levels)}]").data[1]
    for _ in range(levels - 1):
        (value,) = value
    assert value == []


def test_brackets_in_strings_are_not_depth() -> None:
    text = '[{\\"' * 2000
    assert Decoder().add(f'2["\\ud83d","{text}"]').data == ["\ud83d", '[{"' * 2000]


def test_depth_of_a_placeholder() -> None:
    packet = decode_all([f'51-["e",{nested(1000, core=one_placeholder())}]', b"x"])
    value = packet.data[1]
    for _ in range(1000):
        (value,) = value
    assert value == b"x"


@pytest.mark.parametrize("levels", [253, 254, 255, MAX_DEPTH - 1])
def test_depth_of_an_encoded_value(levels: int) -> None:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    wire = encode_event(("e", value)).text
    assert wire.decode() == f'2["e",{nested(levels)}]'
    assert encode(Decoder().add_text(wire)) == [wire.decode()]
    if levels == MAX_DEPTH - 1:
        with pytest.raises(PacketError):
            encode_event(("e", [value]))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e400", math.inf),
        ("-1e400", -math.inf),
        ("1e-400", 0.0),
        ("9" * 400, math.inf),
        ("9" * 100_000, math.inf),
        ("0." + "9" * 100_000, 1.0),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
    ],
)
def test_numbers_out_of_range(text: str, number: float) -> None:
    for name in ('"e"', '"\\ud83d"'):
        found = Decoder().add(f"2[{name},{text}]").data[1]
        assert (type(found), found) == (type(number), number)


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "nan", "01", "1.", ".5", "+1", "0x1", "1_0"]
)
def test_numbers_that_are_not_json(text: str) -> None:
    for name in ('"e"', '"\\ud83d"'):
        with pytest.raises(PacketError):
            Decoder().add(f"2[{name},{text}]")


@pytest.mark.parametrize("size", [4000, 5000, 100_000])
def test_long_payloads(size: int) -> None:
    # Around the size from which the JSON is read where it lies instead of copied.
    for text in ("x" * size, "é" * size, "\ud83d" + "x" * size):
        wire = b"4" + encode_event((text,)).text
        assert Decoder().add_text(wire, 1).data == [text]
    with pytest.raises(PacketError):
        Decoder().add_text(wire[:-1], 1)


# --------------------------------------------------------------------------------- Packet itself


def test_packet_is_a_plain_record() -> None:
    packet = Packet(PacketType.EVENT, "/n", ["e"], 1)
    assert repr(packet) == "Packet(EVENT, namespace='/n', data=['e'], id=1)"
    assert packet == Packet(2, "/n", ["e"], 1)
    assert packet != Packet(3, "/n", ["e"], 1)
    assert packet != Packet(2, "/m", ["e"], 1)
    assert packet != Packet(2, "/n", ["f"], 1)
    assert packet != Packet(2, "/n", ["e"], 2)
    assert packet != "packet"
    other = Packet(2, "/n", ["e"], 1)
    other.attachments.append(b"x")
    assert packet != other
    with pytest.raises(TypeError):
        hash(packet)
    packet.type = 3
    assert packet.type is PacketType.ACK
    with pytest.raises(PacketError):
        packet.type = 9
    assert PacketType.ERROR is PacketType.CONNECT_ERROR


def test_namespace_may_be_a_subclass_of_str() -> None:
    assert encode_event(("e",), Name("/n")).text == b'2/n,["e"]'
    assert type(Packet(2, Name("/n")).namespace) is str


# ----------------------------------------------------------------------------------------- leaks


def exercise(blob: bytes, value: dict[str, Any]) -> None:
    decoder = Decoder()
    for args in (("e", value), ("e", value, blob), ("e\ud83d", value, blob), ("e", {1: blob})):
        encoded = encode_event(args, "/n", 3)
        for protocol in (3, 4):
            encoded.frames(protocol)
        for _, message in encoded.messages():
            decoder.add(message)
        decoder.add_text(encode_ack(args, "/", 1).text)
        decoder.reset()
    for hostile in ("2[", "51-[]", "2" + "1" * 17, "2/\ud83d,", "2[" + "[" * 2000, '2["connect"]', "9"):
        with pytest.raises(PacketError):
            decoder.add(hostile)
    decoder.add(f'51-["e",{one_placeholder(3)}]')
    with pytest.raises(PacketError):
        decoder.add(blob)
    for refused in (object(), {1, 2}):
        with pytest.raises(PacketError):
            encode_event(("e", blob, refused))
    with pytest.raises(PacketError):
        encode_event(("e", blob), "no slash")
    # A packet inside its own data is a cycle that only the collector can free.
    packet = Packet(2, data=[])
    packet.data.append(packet)


def test_nothing_leaks() -> None:
    blob = bytes(50)
    value = {"key": ["text", 1.5]}
    for _ in range(50):
        exercise(blob, value)
    gc.collect()
    references = (sys.getrefcount(blob), sys.getrefcount(value))
    grown = []
    tracemalloc.start()
    try:
        for _ in range(5):
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(200):
                exercise(blob, value)
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert (sys.getrefcount(blob), sys.getrefcount(value)) == references
    # One leaked object of any kind would be 200 times 32 bytes or more, in each round; caches fill once.
    assert min(grown) < 200 * 16
