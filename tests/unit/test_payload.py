"""Engine.IO packets and payloads: properties, agreement with the reference codec, limits, garbage, leaks."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsio._jsonp import decode_jsonp_body, encode_jsonp
from fastsio._payload import (
    EnginePacketType,
    decode_engine_packet,
    decode_payload,
    encode_engine_packet,
    encode_payload,
)
from fastsio.exceptions import PacketError, PayloadTooLarge
from tests.reference import engineio_payload as reference

protocols = st.sampled_from([3, 4])
types = st.integers(0, 6)
# Few letters, so that separators, digits, surrogates and characters outside the BMP meet often.
texts = st.text(st.sampled_from('a:"\\\n\x00\x1e0149bé\u2028中\ufffd😀\ud83d\ude00')) | st.text()
clean = st.text(st.characters(exclude_categories=("Cs",)))
blobs = st.binary(max_size=40)


def packets(text: st.SearchStrategy[str], protocol: int) -> st.SearchStrategy[list[Any]]:
    binary = st.tuples(types if protocol == 3 else st.just(4), blobs)
    return st.lists(st.tuples(types, st.none() | text) | binary, max_size=25)


def without_empty(items: list[Any]) -> list[Any]:
    return [(type_, None if data == "" else data) for type_, data in items]


# Single packets


@given(types, st.none() | texts, protocols)
def test_text_packets_come_back(type_: int, data: str | None, protocol: int) -> None:
    wire = encode_engine_packet(type_, data, protocol)
    assert wire == str(type_) + (data or "")
    assert decode_engine_packet(wire, protocol) == (type_, data or None)


@given(types, blobs, st.booleans())
def test_binary_packets_come_back_in_protocol_3(type_: int, data: bytes, binary: bool) -> None:
    wire = encode_engine_packet(type_, data, 3, binary)
    assert isinstance(wire, bytes if binary else str)
    assert decode_engine_packet(wire, 3) == (type_, data)


@given(blobs, st.booleans())
def test_binary_messages_come_back_in_protocol_4(data: bytes, binary: bool) -> None:
    wire = encode_engine_packet(4, data, 4, binary)
    assert isinstance(wire, bytes if binary else str)
    assert decode_engine_packet(wire, 4) == (4, data)


@given(types, st.none() | texts | blobs, protocols, st.booleans())
def test_packets_as_the_reference(type_: int, data: Any, protocol: int, binary: bool) -> None:
    if isinstance(data, bytes) and protocol == 4:
        type_ = 4
    wire = encode_engine_packet(type_, data, protocol, binary)
    assert wire == reference.encode_packet(type_, data, protocol, binary)


@given(texts | blobs, protocols)
def test_decoding_a_packet_as_the_reference(data: Any, protocol: int) -> None:
    try:
        expected = reference.decode_packet(data, protocol)
    except reference.Undecodable:
        with pytest.raises(PacketError):
            decode_engine_packet(data, protocol)
    else:
        assert decode_engine_packet(data, protocol) == expected


@given(st.text(st.sampled_from("AQIDz09+/-_=! \n#é😀\ud83d")))
def test_base64_is_as_forgiving_as_the_reference(text: str) -> None:
    expected = reference.b64decode(text)
    assert decode_engine_packet("b" + text) == (4, expected)
    assert decode_engine_packet("b4" + text, 3) == (4, expected)
    body = b"b" + text.encode("utf-8", "replace")
    assert decode_payload(body) == [(4, expected)]


def test_base64_of_every_length() -> None:
    for size in range(70):
        data = bytes(range(180, 180 + size))
        wire = encode_engine_packet(4, data, 4, False)
        assert wire == "b" + reference.b64encode(data)
        assert decode_engine_packet(wire) == (4, data)
        assert decode_engine_packet(wire.rstrip("=")) == (4, data)
        assert decode_engine_packet("b#" + wire[1:]) == (4, data)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes(kind: Callable[[bytes], Any]) -> None:
    data = kind(b"\x01\x02\x03")
    assert encode_engine_packet(4, data) == b"\x01\x02\x03"
    assert encode_engine_packet(4, data, 3) == b"\x04\x01\x02\x03"
    assert encode_engine_packet(4, data, binary=False) == "bAQID"
    assert encode_payload([(4, data), (4, data)]) == b"bAQID\x1ebAQID"
    assert decode_engine_packet(data) == (4, b"\x01\x02\x03")
    assert type(decode_engine_packet(data)[1]) is bytes
    assert decode_engine_packet(data, 3) == (1, b"\x02\x03")
    assert decode_payload(kind(b"4a\x1e2")) == [(4, "a"), (2, None)]


def test_a_strided_view_is_read() -> None:
    view = memoryview(b"a.b.c.")[::2]
    assert encode_engine_packet(4, view) == b"abc"
    assert encode_payload([(4, view)]) == b"bYWJj"


def test_immutable_bytes_are_not_copied() -> None:
    data = b"some bytes"
    assert encode_engine_packet(4, data) is data
    assert decode_engine_packet(data) == (4, data)


def test_subclasses_are_taken_for_what_they_are() -> None:
    class Text(str):
        pass

    class Blob(bytes):
        pass

    assert encode_engine_packet(4, Text("é")) == "4é"
    assert decode_engine_packet(Text("4é")) == (4, "é")
    assert encode_payload([(4, Text("é")), (4, Text("\ud83d")), (4, Blob(b"\0"))]) == (
        "4é\x1e4\ufffd\x1ebAA==".encode()
    )


def test_types_have_names() -> None:
    assert [t.name for t in EnginePacketType] == "OPEN CLOSE PING PONG MESSAGE UPGRADE NOOP".split()
    assert encode_engine_packet(EnginePacketType.PONG, "probe") == "3probe"


@pytest.mark.parametrize("type_", [-1, 7, 10**30, -(10**30), "4", None, b"4", 4.0])
def test_a_type_that_does_not_exist(type_: Any) -> None:
    with pytest.raises(PacketError):
        encode_engine_packet(type_)
    with pytest.raises(PacketError):
        encode_payload([(4, "a"), (type_, "b")])


@pytest.mark.parametrize("data", [1, 1.5, ["a"], {}, object(), True])
def test_data_that_is_neither_text_nor_bytes(data: Any) -> None:
    for protocol in (3, 4):
        with pytest.raises(PacketError):
            encode_engine_packet(4, data, protocol)
        with pytest.raises(PacketError):
            encode_payload([(4, data)], protocol)
        with pytest.raises(PacketError):
            decode_engine_packet(data, protocol)
        with pytest.raises(PacketError):
            decode_payload(data, protocol)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_protocol_that_does_not_exist(protocol: int) -> None:
    with pytest.raises(PacketError):
        encode_engine_packet(4, "a", protocol)
    with pytest.raises(PacketError):
        decode_engine_packet("4a", protocol)
    with pytest.raises(PacketError):
        encode_payload([(4, "a")], protocol)
    with pytest.raises(PacketError):
        decode_payload(b"4a", protocol)


@pytest.mark.parametrize("packet", ["4a", [4, "a"], (4,), (4, "a", None), None])
def test_what_is_not_a_packet(packet: Any) -> None:
    with pytest.raises(PacketError):
        encode_payload([packet])


def test_only_messages_are_binary_in_protocol_4() -> None:
    for binary in (False, True):
        with pytest.raises(PacketError):
            encode_engine_packet(2, b"a", 4, binary)
    with pytest.raises(PacketError):
        encode_payload([(2, b"a")])


def test_protocol_4_has_no_binary_payload() -> None:
    with pytest.raises(PacketError):
        decode_payload(b"4a", 4, True)


def test_a_released_view_is_an_error() -> None:
    view = memoryview(b"4a")
    view.release()
    for run in (decode_payload, decode_engine_packet):
        with pytest.raises(PacketError):
            run(view)
    with pytest.raises(PacketError):
        encode_payload([(4, view)])


def test_a_body_that_cannot_be_read_in_one_piece() -> None:
    with pytest.raises(PacketError):
        decode_payload(memoryview(b"4.a.")[::2])


# Payloads


@given(st.data())
def test_protocol_4_payloads_come_back(data: st.DataObject) -> None:
    items = data.draw(packets(clean, 4).filter(len))
    items = [(t, d.replace("\x1e", "") if isinstance(d, str) else d) for t, d in items]
    assert decode_payload(encode_payload(items)) == without_empty(items)


@given(packets(clean, 3), st.booleans())
def test_protocol_3_payloads_come_back(items: list[Any], binary: bool) -> None:
    wire = encode_payload(items, 3, binary)
    framed = binary and any(isinstance(data, bytes) for _, data in items)
    assert decode_payload(wire, 3, framed) == without_empty(items)


@given(st.data(), protocols, st.booleans())
def test_encoding_as_the_reference(data: st.DataObject, protocol: int, binary: bool) -> None:
    items = data.draw(packets(texts, protocol))
    assert encode_payload(items, protocol, binary) == reference.encode_payload(items, protocol, binary)


def decodes_as_the_reference(body: bytes, protocol: int, binary: bool) -> None:
    try:
        expected = reference.decode_payload(body, protocol, binary)
    except reference.Undecodable as error:
        with pytest.raises(PacketError) as caught:
            decode_payload(body, protocol, binary)
        assert caught.value.packets == error.packets
    else:
        assert decode_payload(body, protocol, binary) == expected


PIECES = [
    *rb"4 b b4 AQ== : 1 2:4 3: a 9".split(),
    *(bytes([i]) for i in (0, 1, 2, 10, 30, 128, 255)),
    *(char.encode("utf-8", "surrogatepass") for char in "é😀\ud83d"),
    b"\xf0\x9f",
]
garbage = st.binary(max_size=60) | st.lists(st.sampled_from(PIECES)).map(b"".join)


@given(garbage)
def test_garbage_is_decoded_as_by_the_reference(body: bytes) -> None:
    decodes_as_the_reference(body, 4, False)
    decodes_as_the_reference(body, 3, False)
    decodes_as_the_reference(body, 3, True)


@given(st.data(), st.booleans())
def test_damaged_payloads_are_decoded_as_by_the_reference(data: st.DataObject, binary: bool) -> None:
    protocol = data.draw(protocols)
    items = data.draw(packets(texts, protocol))
    body = bytearray(encode_payload(items, protocol, binary))
    at = data.draw(st.integers(0, len(body)))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    framed = protocol == 3 and binary and any(isinstance(item[1], bytes) for item in items)
    decodes_as_the_reference(bytes(body), protocol, framed)


@given(garbage, texts)
def test_garbage_gives_packet_errors_only(body: bytes, text: str) -> None:
    runs: list[Callable[[], object]] = [
        lambda: decode_payload(body),
        lambda: decode_payload(body, 3),
        lambda: decode_payload(body, 3, True),
        lambda: decode_payload(body, max_packets=2),
        lambda: decode_engine_packet(body),
        lambda: decode_engine_packet(body, 3),
        lambda: decode_engine_packet(text),
        lambda: decode_engine_packet(text, 3),
        lambda: decode_jsonp_body(body),
    ]
    for run in runs:
        try:
            run()
        except PacketError:
            pass


@pytest.mark.parametrize("count", [1, 15, 16, 17, 300])
def test_any_number_of_packets(count: int) -> None:
    items: list[Any] = [(4, f"é{i}" if i % 3 else bytes([i % 256])) for i in range(count)]
    for protocol, binary in ((4, False), (3, False), (3, True)):
        wire = encode_payload(items, protocol, binary)
        assert wire == reference.encode_payload(items, protocol, binary)
        assert decode_payload(wire, protocol, binary) == items


def test_any_iterable_of_packets() -> None:
    assert encode_payload((2 + i, None) for i in range(2)) == b"2\x1e3"


def test_nothing_to_send() -> None:
    assert encode_payload([]) == b""
    assert encode_payload([], 3) == encode_payload([], 3, False) == b"0:"


def test_the_same_invalid_utf8_as_node() -> None:
    # Node: one U+FFFD per maximal part of a sequence.
    assert decode_payload(b"4\xe2\x82\x1e4\xf0\x9f\x98|\xff\xc0\x80") == [
        (4, "\ufffd"),
        (4, "\ufffd|\ufffd\ufffd\ufffd"),
    ]
    assert decode_payload(b"2:4\xff", 3) == [(4, "\ufffd")]


def test_packets_before_the_undecodable_one_are_kept() -> None:
    for body, protocol, binary in (
        (b"4a\x1eb\x1e7", 4, False),
        (b"2:4a1:b1:7", 3, False),
        (b"\x00\x02\xff4a\x01\x00\xff\x00\x01\xff7", 3, True),
    ):
        with pytest.raises(PacketError) as caught:
            decode_payload(body, protocol, binary)
        assert caught.value.packets == [(4, "a"), (4 if protocol == 4 else None, b"")]


# Limits


@pytest.mark.parametrize(
    ("one", "join", "protocol", "binary"),
    [
        (b"2", b"\x1e", 4, False),
        (b"1:2", b"", 3, False),
        (b"1:20:", b"", 3, False),
        (b"\x00\x01\xff2", b"", 3, True),
    ],
)
def test_packets_per_payload(one: bytes, join: bytes, protocol: int, binary: bool) -> None:
    body = join.join([one] * 5)
    assert len(decode_payload(body, protocol, binary)) == 5
    assert len(decode_payload(body, protocol, binary, max_packets=5)) == 5
    with pytest.raises(PayloadTooLarge) as caught:
        decode_payload(body, protocol, binary, max_packets=4)
    assert (caught.value.size, caught.value.limit) == (5, 4)
    assert "max_packets_per_payload" in str(caught.value)
    assert "packets" in str(caught.value)
    assert caught.value.packets == [(2, None)] * 4


@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("text", ["a" * 9, "é" * 9, "😀" * 9, "中a😀"])
def test_lengths_at_the_end_of_the_payload(text: str, excess: int) -> None:
    body = f"{1 + len(reference.units(text)) + excess}:4{text}".encode()
    framed = b"\x00" + bytes(map(int, str(1 + len(text.encode()) + excess))) + b"\xff4" + text.encode()
    for wire, binary in ((body, False), (framed, True)):
        if excess:
            with pytest.raises(PacketError):
                decode_payload(wire, 3, binary)
        else:
            assert decode_payload(wire, 3, binary) == [(4, text)]


@pytest.mark.parametrize("length", ["9" * 19, str(2**63), str(2**64), str(2**64 + 1), "1" * 5000])
def test_lengths_beyond_any_size(length: str) -> None:
    for text in ("4", "4😀"):
        with pytest.raises(PacketError):
            decode_payload(f"{length}:{text}".encode(), 3)
        digits = bytes(map(int, length))
        with pytest.raises(PacketError):
            decode_payload(b"\x00" + digits + b"\xff" + text.encode(), 3, True)
        with pytest.raises(PacketError):
            decode_payload(b"\x01" + digits + b"\xff" + text.encode(), 3, True)


def test_length_digits_of_binary_framing() -> None:
    assert decode_payload(b"\x00" + b"\0" * 309 + b"\x01\xff2", 3, True) == [(2, None)]
    with pytest.raises(PacketError):
        decode_payload(b"\x00" + b"\0" * 310 + b"\x01\xff2", 3, True)
    assert decode_payload(b"\x00\x09\xff4 8 chars", 3, True) == [(4, " 8 chars")]
    with pytest.raises(PacketError):
        decode_payload(b"\x00\x0a\xff4 9 chars.", 3, True)


# JSONP


@given(texts, clean)
def test_a_script_hands_over_the_payload(index: str, text: str) -> None:
    body = encode_jsonp(index, text.encode()).decode()
    digits = "".join(char for char in index if char in "0123456789")
    head = f"___eio[{digits}]("
    assert body.startswith(head) and body.endswith(");")
    literal = body[len(head) : -2]
    assert json.loads(literal) == text
    assert not set(literal) & set("\n\r\u2028\u2029")


def test_only_ascii_digits_of_the_index() -> None:
    assert encode_jsonp("٣4²", b"") == b'___eio[4]("");'


def test_a_payload_that_is_not_utf8() -> None:
    assert encode_jsonp("0", b"4\xff") == '___eio[0]("4\ufffd");'.encode()


def escape(payload: str) -> str:
    """What the reference client does to a payload before it fills the form."""
    return payload.replace("\\n", "\\\n").replace("\n", "\\n")


@given(st.text(st.sampled_from("ab\n\\n&=+%é😀 ")))
def test_a_posted_form_comes_back(text: str) -> None:
    # A backslash before a newline looks like an escaped \n: the client's escaping is ambiguous there.
    text = text.replace("\\\n", "")
    form = urllib.parse.urlencode({"x": "1", "d": escape(text), "y": "2"})
    expected = escape(text).replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")
    assert decode_jsonp_body(form.encode()) == expected.encode()


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"d=2%3A4a", b"2:4a"),
        (b"d", b""),
        (b"d=", b""),
        (b"%64=1", b"1"),
        (b"&&d=a=b&", b"a=b"),
        (b"d=%4", b"%4"),
        (b"d=%", b"%"),
        (b"d=%zz%41%e9%C3", b"%zzA\xe9\xc3"),
        (b"d=%5", b"%5"),
        (rb"d=\n", b"\n"),
        (rb"d=\\n", rb"\n"),
        (rb"d=\\\n", rb"\\n"),
        (rb"d=\\\\n", rb"\\\n"),
        (rb"d=\\n\n", b"\\n\n"),
        (b"d=\\", b"\\"),
        (b"d=\\\\", b"\\\\"),
        (b"d=%5Cn%5C%5cn", b"\n\\n"),
        (b"", None),
        (b"x=1", None),
        (b"dd=1", None),
        (b"D=1", None),
        (b"d=1&d=2", None),
        (b"d=1&%64=2", None),
        (b"d&d", None),
    ],
)
def test_form_bodies(body: bytes, payload: bytes | None) -> None:
    assert decode_jsonp_body(body) == payload


# Ownership


def everything() -> None:
    """Each function on each path, the failing ones too."""
    odd = "\ud83d é 😀"
    items: list[Any] = [(4, odd), (4, b"bytes"), (4, bytearray(b"more")), (2, None)] * 6
    for protocol, binary in ((4, False), (3, False), (3, True)):
        wire = encode_payload(items, protocol, binary)
        decode_payload(bytearray(wire), protocol, binary)
        for bad in (wire[:-1] + b"\xff\xff\xff", wire + b"\x1e", b"\x00\x02\xff4\xff"):
            try:
                decode_payload(bad, protocol, binary)
            except PacketError as error:
                assert error.packets is not None
        try:
            decode_payload(wire, protocol, binary, max_packets=3)
        except PayloadTooLarge:
            pass
        try:
            encode_payload([*items, (4, object())], protocol, binary)
        except PacketError:
            pass
        decode_engine_packet(encode_engine_packet(4, memoryview(b"view"), protocol, binary), protocol)
        decode_engine_packet(encode_engine_packet(4, odd, protocol), protocol)
        try:
            decode_engine_packet("x", protocol)
        except PacketError:
            pass
    decode_engine_packet("b!A!Q!é")
    encode_jsonp("1", encode_payload(items))
    decode_jsonp_body(b"d=a%20b\\n&x=1")


def test_nothing_leaks() -> None:
    for _ in range(20):
        everything()
    gc.collect()
    tracemalloc.start()
    try:
        everything()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            everything()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A single object lost per round would be 200 of them, at no less than 30 bytes.
    assert grown < 4000


def test_references_to_arguments_are_given_back() -> None:
    text, blob, view = "text é" * 2, b"blob" * 2, bytearray(b"4a\x1e2")
    items = [(4, text), (4, blob)]
    before = [sys.getrefcount(x) for x in (text, blob, view, items, items[0])]
    for _ in range(50):
        encode_payload(items)
        encode_payload(items, 3, True)
        encode_engine_packet(4, blob)
        encode_engine_packet(4, text)
        decode_payload(view)
    assert [sys.getrefcount(x) for x in (text, blob, view, items, items[0])] == before
    view.append(0)  # no buffer is still exported
