"""Short arrays of strings, integers and bytes, which the codec reads and writes itself: as orjson would."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastsio.codec import Decoder, Packet, PacketType, encode
from fastsio.exceptions import PacketError

LIMIT = 256

# Pieces of which most arrays are plain, and the others nearly so.
ATOMS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='ab \x7f\x1f"\\é\u2028', max_size=12),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -1, 10**17, 10**18 - 1, 10**18, -(10**18) + 1, -(10**18), 2**63, 2**64 - 1]),
)
STRINGS = ['"a"', '""', '"a b"', '"é"', '"\\n"', '"\\u0041"', '"a', '"\x1f"']
NUMBERS = ["0", "-0", "00", "-", "-1", "01", "1.5", "1e3", "1234567890123456789", "999999999999999999"]
PLACEHOLDERS = [f'{{"_placeholder":true,"num":{rest}' for rest in ("0}", "-1}", "01}", "7 }", "1", "")]
OTHERS = ["null", "true", "{}", "[]", " 1", "1 ", "", "\x1f"]
TEXTS = st.sampled_from((*STRINGS, *NUMBERS, *PLACEHOLDERS, *OTHERS))


def read(text: str) -> Any:
    """What an event with this payload has, or PacketError."""
    try:
        packet = Decoder(max_attachments=100).add("2" + text)
    except PacketError:
        return PacketError
    assert packet is not None
    return packet.data


def expected(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return PacketError


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 0 is not -0.0."""
    return repr(one) == repr(other)


@given(st.lists(TEXTS, max_size=5))
@example(["-0"])
def test_arrays_that_are_nearly_plain_are_read_as_by_orjson(parts: list[str]) -> None:
    text = '["e"' + "".join("," + part for part in parts) + "]"
    assert same(read(text), expected(text))


@pytest.mark.parametrize(
    "text", ['["e"', '["e",]', '["e"]]', '["e"],', '["e" ]', '[ "e"]', "[", "]", "[]", '["]', '["e"}']
)
def test_arrays_that_end_oddly(text: str) -> None:
    wanted = expected(text)
    assert same(read(text), PacketError if wanted == [] else wanted)


@given(st.lists(ATOMS, max_size=8))
def test_arrays_are_printed_as_by_orjson(values: list[Any]) -> None:
    event = ["e", *values]
    try:
        wanted = orjson.dumps(event).decode()
    except TypeError:  # beyond 64 bits
        return
    assert encode(Packet(PacketType.EVENT, data=event)) == ["2" + wanted]
    assert encode(Packet(PacketType.EVENT, data=tuple(event))) == ["2" + wanted]
    assert same(read(wanted), event)


@pytest.mark.parametrize("size", range(LIMIT - 12, LIMIT + 3))
@pytest.mark.parametrize("last", ["x", '"', "\\", "\x1f", "\x7f", "é"])
def test_each_length_about_the_limit(size: int, last: str) -> None:
    event = ["e", "x" * (size - len('["e",""]') - 1) + last]
    text = orjson.dumps(event).decode()
    assert encode(Packet(PacketType.EVENT, data=event)) == ["2" + text]
    assert read(text) == event


@pytest.mark.parametrize("room", range(50))
def test_a_number_or_an_attachment_that_just_fits_or_does_not(room: int) -> None:
    long = "x" * (LIMIT - len('["e",""]') - room)
    number = -(10**18) + 1
    assert encode(Packet(PacketType.EVENT, data=["e", long, number])) == [f'2["e","{long}",{number}]']
    assert encode(Packet(PacketType.EVENT, data=["e", long, b"\x00"])) == [
        f'51-["e","{long}",{{"_placeholder":true,"num":0}}]',
        b"\x00",
    ]


@pytest.mark.parametrize("position", range(40))
@pytest.mark.parametrize("special", ['"', "\\", "\x00", "\x1f", " ", "é", "\ud83d\ude00"])
def test_a_special_character_at_each_place(position: int, special: str) -> None:
    text = "x" * position + special + "x" * (39 - position)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    printed = orjson.dumps(["e", text]).decode()
    assert encode(Packet(PacketType.EVENT, data=["e", text])) == ["2" + printed]
    assert read(printed) == ["e", text]
    raw = f'["e","{text}"]'
    assert same(read(raw), expected(raw))


def test_lone_surrogates_are_kept() -> None:
    assert read('["\udc00","a\ud800"]') == ["\udc00", "a\ud800"]


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(PacketError, match="invalid payload"):
        Decoder().add_text(b'2["e","\xff"]')
    with pytest.raises(PacketError, match="invalid payload"):
        Decoder().add_text(b'2["\xff"]')


def test_names_do_not_get_mixed_up() -> None:
    # More names than the codec remembers, again and again, with all short ones among them.
    names = ["", *map("".join, itertools.product("ab\x7f ", repeat=4)), *(f"event {n}" for n in range(400))]
    names += ["n" * size for size in range(30, 36)]
    for name in names + names[::-1] + names:
        assert read(orjson.dumps([name, name]).decode()) == [name, name]


def test_attachments_among_plain_values() -> None:
    event = ["e", b"one", 2, b"", "four", b"five"]
    messages = encode(Packet(PacketType.EVENT, data=event))
    assert messages[0] == (
        '53-["e",{"_placeholder":true,"num":0},2,{"_placeholder":true,"num":1},"four",'
        '{"_placeholder":true,"num":2}]'
    )
    decoder = Decoder()
    packets = [decoder.add(message) for message in messages]
    assert packets[:-1] == [None] * 3
    assert packets[-1] is not None
    assert packets[-1].data == event


def test_a_bytearray_is_copied() -> None:
    data = bytearray(b"one")
    messages = encode(Packet(PacketType.EVENT, data=["e", data, b"two"]))
    data[0] = 0
    assert messages[1:] == [b"one", b"two"]


def test_a_subclass_is_printed_as_orjson_prints_it() -> None:
    class Name(str):
        __slots__ = ()

    class Number(int):
        pass

    assert encode(Packet(PacketType.EVENT, data=["e", Name("x"), Number(1), True])) == ['2["e","x",1,true]']
