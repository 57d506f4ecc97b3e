"""The msgpack parser: every vector of the reference, and what the vectors do not reach."""

from __future__ import annotations

import base64
import enum
import json
import math
import struct
import tracemalloc
from array import array
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsio._codec import Packet, PacketType
from fastsio.exceptions import PacketError
from fastsio.msgpack import decode, encode

VECTORS = Path(__file__).parents[1] / "vectors"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Encoded otherwise than by the reference, on purpose: vector -> what is written there instead.
OTHERWISE = {
    # notepack takes 1e100 for an integer and writes zero.
    "msgpack.encode#63": ("cf0000000000000000", "cb" + struct.pack(">d", 1e100).hex()),
    # Python has no undefined: None is null, and a missing key is missing.
    "msgpack.encode#83": ("d40000", "c0"),
    "msgpack.encode#84": (b"data".hex() + "d40000", None),
}


def load(name: str, op: str) -> list[Any]:
    document = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(v, id=f"{name}-{v['id']}") for v in document["vectors"] if v["op"] == op]


def value(notation: Any) -> Any:
    """A value in the notation of the vectors; undefined is None in arrays and left out elsewhere."""
    if isinstance(notation, list):
        return [value(item) for item in notation]
    if not isinstance(notation, dict):
        return notation
    if "$bin" in notation:
        return base64.b64decode(notation["$bin"])
    if "$date" in notation:
        return EPOCH + timedelta(milliseconds=notation["$date"])
    if "$undefined" in notation:
        return None
    if "$number" in notation:
        return float(notation["$number"])
    return {key: value(item) for key, item in notation.items() if item != {"$undefined": True}}


def packet(notation: dict[str, Any]) -> Packet:
    fields = value(notation)
    return Packet(fields["type"], fields["nsp"], fields.get("data"), fields.get("id"))


@pytest.mark.parametrize("vector", load("msgpack", "msgpack.encode"))
def test_encode(vector: Any) -> None:
    (expected,) = value(vector["out"])
    if vector["id"] in OTHERWISE:
        theirs, ours = OTHERWISE[vector["id"]]
        assert theirs in expected.hex()
        if ours is None:
            expected = ormsgpack.packb(value(vector["in"]["packet"]))
        else:
            expected = bytes.fromhex(expected.hex().replace(theirs, ours))
    assert encode(packet(vector["in"]["packet"])) == expected


@pytest.mark.parametrize("vector", load("msgpack", "msgpack.decode") + load("invalid", "msgpack.decode"))
def test_decode(vector: Any) -> None:
    data = value(vector["in"]["data"])
    if "error" in vector:
        with pytest.raises(PacketError):
            decode(data)
    else:
        assert decode(data) == packet(vector["out"])


def test_all_vectors_are_run() -> None:
    assert len(load("msgpack", "msgpack.encode")) == 109
    assert len(load("msgpack", "msgpack.decode")) == 116
    assert len(load("invalid", "msgpack.decode")) == 30


# What JavaScript clients really send


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("83a47479706500a46461746181a17401a36e7370a12f", Packet(0, "/", {"t": 1})),
        ("83a47479706500a464617461d40000a36e7370a12f", Packet(0, "/")),
        ("83a47479706502a46461746192a568656c6c6f01a36e7370a12f", Packet(2, "/", ["hello", 1])),
        ("84a47479706502a46461746191a161a26964d40000a36e7370a12f", Packet(2, "/", ["a"])),
        ("82a47479706501a36e7370a12f", Packet(1, "/")),
    ],
)
def test_captured_packets(wire: str, expected: Packet) -> None:
    result = decode(bytes.fromhex(wire))
    assert result == expected
    assert result.type is PacketType(expected.type)


def test_other_keys_are_ignored() -> None:
    wire = ormsgpack.packb(
        {"type": 2, "data": ["a"], "options": {"compress": True}, "id": 3, "nsp": "/a", "x": 1}
    )
    assert decode(wire) == Packet(2, "/a", ["a"], 3)


def event(argument: str, *, name: str = "a161") -> bytes:
    """An event whose only argument is given in hex."""
    return bytes.fromhex("83a47479706502a36e7370a12fa46461746192" + name + argument)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("d40000", None),
        ("d40007", None),
        ("d70000000000000003e8", EPOCH + timedelta(seconds=1)),
        ("d700fffffffffffffc18", EPOCH - timedelta(seconds=1)),
        ("d5000102", b"\1\2"),
        ("d60001020304", b"\1\2\3\4"),
        ("d800" + "09" * 16, b"\t" * 16),
        # ArrayBuffers of the sizes that the fixed extensions have
        ("c7010005", b"\5"),
        ("c80001" + "0005", b"\5"),
        ("c900000001" + "0005", b"\5"),
        ("c70800" + "01" * 8, b"\1" * 8),
        ("c70800" + "ff" * 8, b"\xff" * 8),
        ("c70000", b""),
        ("c8000300010203", b"\1\2\3"),
        # both forms at once, among one of everything else
        ("92c7010005d40000", [b"\5", None]),
        (
            "83a161d40000a162d70000000000000003e8a163c70800" + "01" * 8,
            {"b": EPOCH + timedelta(seconds=1), "c": b"\1" * 8},
        ),
        ("dc0002c7010005de0001a161d90162", [b"\5", {"a": "b"}]),
        ("dd00000002c7010005df00000001a161da000162", [b"\5", {"a": "b"}]),
        ("93c7010005db0000000162c0", [b"\5", "b", None]),
        ("98c7010005c2c3c40107c5000107c600000001079080", [b"\5", False, True, b"\7", b"\7", b"\7", [], {}]),
        ("95c7010005ca3f800000cb3ff8000000000000cc80cd0100", [b"\5", 1.0, 1.5, 128, 256]),
        ("93c7010005ce00010000cf0000000100000000", [b"\5", 65536, 2**32]),
        ("96c7010005d0dfd1ff7fd2ffff7fffd3ffffffff7fffffffff", [b"\5", -33, -129, -32769, -(2**31) - 1, -1]),
        ("94c7010005d5000102d60001020304d800" + "09" * 16, [b"\5", b"\1\2", b"\1\2\3\4", b"\t" * 16]),
        # bytes that only look like an extension
        ("92c403c70100d40000", [b"\xc7\1\0", None]),
    ],
)
def test_extensions(argument: str, expected: Any) -> None:
    assert decode(event(argument)).data == ["a", expected]


def test_undefined_is_left_out_of_maps() -> None:
    # {message: "no", data: undefined}, as a server refuses a connection
    wire = bytes.fromhex("83a47479706504a46461746182a76d657373616765a26e6fa464617461d40000a36e7370a12f")
    assert decode(wire) == Packet(4, "/", {"message": "no"})
    assert decode(event("9181a16191d40000")).data == ["a", [{"a": [None]}]]


@pytest.mark.parametrize(
    "argument",
    [
        "d40100",  # another type
        "d4ff00",
        "c7010105",
        "d7ff0000000000000001",  # msgpack's own timestamp
        "d7007fffffffffffffff",  # no date Python knows
        "d7008000000000000000",
        "81d4000001",  # undefined as a key
        "810101",  # a number as a key
        "a1ff",  # not UTF-8
        "a3eda080",  # a lone surrogate in UTF-8
        "c1",
    ],
)
def test_refused_values(argument: str) -> None:
    with pytest.raises(PacketError):
        decode(event(argument))


@pytest.mark.parametrize("field", ["type", "id"])
@pytest.mark.parametrize("wrong", [True, None, 2.0, "2", [], {}, b"2"])
def test_numbers_that_are_none(field: str, wrong: Any) -> None:
    fields = {"type": 2, "nsp": "/", "data": ["a"], "id": 1}
    assert decode(ormsgpack.packb(fields)).id == 1
    with pytest.raises(PacketError):
        decode(ormsgpack.packb({**fields, field: wrong}))


@pytest.mark.parametrize(
    ("type_", "accepted"),
    [(0, "absent map"), (1, "absent"), (2, "array"), (3, "array"), (4, "map text"), (5, ""), (-1, "")],
)
def test_payload_of_each_type(type_: int, accepted: str) -> None:
    payloads = {"map": {}, "array": [], "text": "", "nil": None, "bytes": b"", "number": 1, "true": True}
    for kind in ["absent", *payloads]:
        fields = {"type": type_, "nsp": "/"}
        if kind != "absent":
            fields["data"] = payloads[kind]
        if kind in accepted.split():
            assert decode(ormsgpack.packb(fields)).data == payloads.get(kind)
        else:
            with pytest.raises(PacketError):
                decode(ormsgpack.packb(fields))


# Hostile input


def test_bytes_left_over() -> None:
    wire = event("01")
    for extra in (b"\0", b"\xc0", wire, b"\xc4\x10" + bytes(16), b"\xc1", b"\xd4\0\0", event("d40000")):
        with pytest.raises(PacketError):
            decode(wire + extra)
        with pytest.raises(PacketError):
            decode(event("d40000") + extra)


def test_cut_short() -> None:
    for argument in ("a568656c6c6f", "d40000", "c70800" + "01" * 8, "c412" + "00" * 18):
        wire = event(argument)
        decode(wire)
        for size in range(len(wire)):
            with pytest.raises(PacketError):
                decode(wire[:size])


@pytest.mark.parametrize("head", ["dd", "df", "db", "c6", "c9"])
@pytest.mark.parametrize("length", ["ffffffff", "7fffffff", "0fffffff"])
def test_giant_declared_lengths_take_no_memory(head: str, length: str) -> None:
    wire = event(head + length + "00")
    tracemalloc.start()
    try:
        with pytest.raises(PacketError):
            decode(wire)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("open_", ["91", "81a161"])
@pytest.mark.parametrize("depth", [1100, 100_000])
def test_nesting(open_: str, depth: int) -> None:
    for leaf in ("01", "d40000", "c7010005"):
        assert decode(event(open_ * 100 + leaf)).data[0] == "a"
        with pytest.raises(PacketError):
            decode(event(open_ * depth + leaf))


@given(st.binary(max_size=80))
def test_garbage_gives_packet_errors_only(data: bytes) -> None:
    for wire in (data, event(data.hex()), event("d40000", name=data.hex()), event("c7010005" + data.hex())):
        try:
            decode(wire)
        except PacketError:
            pass


@given(st.data())
def test_damaged_packets_give_packet_errors_only(data: st.DataObject) -> None:
    wire = bytearray(event(data.draw(st.sampled_from(["93c7010005d40000d70000000000000003e8", "d40000"]))))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(wire)
    except PacketError:
        pass


@pytest.mark.parametrize("data", ['2["text"]', None, 1, ["a"]])
def test_only_binary_messages(data: Any) -> None:
    with pytest.raises(PacketError):
        decode(data)


def test_every_kind_of_bytes() -> None:
    wire = event("01")
    spread = bytearray(2 * len(wire))
    spread[::2] = wire
    for data in (wire, bytearray(wire), memoryview(wire), memoryview(spread)[::2]):
        assert decode(data) == Packet(2, "/", ["a", 1])
    view = memoryview(wire)
    view.release()
    with pytest.raises(PacketError):
        decode(view)


# Values

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
moments = st.datetimes(timezones=st.just(timezone.utc)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
    | moments,
    lambda children: st.lists(children) | st.dictionaries(texts, children),
    max_leaves=15,
)


@given(plain, st.sampled_from([2, 3]), st.none() | st.integers(0, 2**53 - 1))
def test_values_come_back(item: Any, type_: int, id_: int | None) -> None:
    original = Packet(type_, "/é", ["name", item], id_)
    assert decode(encode(original)) == original


def test_binary_types_are_plain_ones() -> None:
    assert decode(encode(Packet(PacketType.BINARY_EVENT, "/", ["a", b"\1"]))).type is PacketType.EVENT
    assert decode(encode(Packet(PacketType.BINARY_ACK, "/", [b"\1"], 1))).type is PacketType.ACK


class Colour(enum.Enum):
    RED = "red"


class Bytes(bytes):
    pass


class Float(float):
    pass


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ((1, 2), [1, 2]),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"a.b.")[::2], b"ab"),
        (array("B", b"ab"), b"ab"),
        (Bytes(b"a"), b"a"),
        (Float(1.5), 1.5),
        (Colour.RED, "red"),
        (2**64, 2.0**64),
        (-(10**400), -math.inf),
        (math.inf, math.inf),
        ("a\ud83d", "a\ufffd"),
        ("\ud83d\ude00", "😀"),
        ({"\ude00": "\ud83d"}, {"\ufffd": "\ufffd"}),
        ({1: 1, None: 2, False: 3, 1.5: 4}, {"1": 1, "null": 2, "false": 3, "1.5": 4}),
        ({1e21: 1, math.nan: 2, 1e-6: 3}, {"1e+21": 1, "NaN": 2, "0.000001": 3}),
        (datetime(2020, 1, 2, 3, 4, 5, 678999), datetime(2020, 1, 2, 3, 4, 5, 678000, timezone.utc)),
        (
            datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2019, 12, 31, 22, tzinfo=timezone.utc),
        ),
        (datetime.min, datetime.min.replace(tzinfo=timezone.utc)),
        (date(2020, 1, 2), "2020-01-02"),
        (UUID(int=1), str(UUID(int=1))),
    ],
)
def test_what_is_written_for_other_values(given: Any, read: Any) -> None:
    assert decode(encode(Packet(2, "/", ["a", given]))).data == ["a", read]
    # the same when something else in the packet needs the slow path
    assert decode(encode(Packet(2, "/", ["\ud800", given]))).data == ["\ufffd", read]


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def nested(depth: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(depth):
        items = [items]
    return items


@pytest.mark.parametrize(
    "item", [{1}, object(), {(1,): 1}, {b"a": 1}, 1j, circle(), nested(5000), b"".join, {object(): 1}]
)
def test_what_cannot_be_written(item: Any) -> None:
    with pytest.raises(PacketError):
        encode(Packet(2, "/", ["a", item]))


def test_no_key_without_value() -> None:
    assert encode(Packet(0)) == bytes.fromhex("82a47479706500a36e7370a12f")
    assert encode(Packet(2, data=["a"], id=0)) == bytes.fromhex(
        "84a47479706502a36e7370a12fa46461746191a161a2696400"
    )
