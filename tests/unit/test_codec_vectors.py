"""Every vector of the reference parsers for Socket.IO 4 and 5, and the malformed inputs."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from fastsio._codec import Decoder, EncodedPacket, Packet, encode, encode_ack, encode_event
from fastsio.exceptions import PacketError
from tests.reference import socketio_codec as reference

VECTORS = Path(__file__).parents[1] / "vectors"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

# Vectors that the reference accepts and fastsio refuses. docs/reference/strictness.md says the same to users.
EMPTY = "an empty message, or a type that is white space"
SPACE = "white space in front of the payload, which JavaScript reads as a part of the ack id"
LONG_ID = "an ack id of more than 16 digits"
COUNT = "a number of attachments that is not [0-9]+"
FRACTION = "a placeholder's num that is not an integer"
TWICE = "an attachment used by two placeholders"
RESERVED = "a reserved event name, in protocol 4 too"
STRICTER = {
    ("socketio4", "sio4.decode#147"): LONG_ID,
    ("socketio5", "sio5.decode#122"): LONG_ID,
    ("socketio4", "sio4.decode#261"): TWICE,
    ("socketio5", "sio5.decode#207"): TWICE,
    **{
        ("invalid", f"sio{protocol}.decode#{number}"): reason
        for protocol in (4, 5)
        for reason, numbers in {
            EMPTY: (1, 2),
            SPACE: (45, 46, 47, 48, 49),
            LONG_ID: (56, 57),
            COUNT: (95, 96, 97, 98, 99),
            FRACTION: (114,),
        }.items()
        for number in numbers
    },
    **{("invalid", f"sio4.decode#{number}"): RESERVED for number in (*range(34, 40), 92)},
}
# isPacketValid asks for data that its own decoder does without.
ACCEPTED_ON_WIRE = {"sio5.isPacketValid#21"}


def load(name: str, *operations: str) -> list[Any]:
    document = json.loads((VECTORS / f"{name}.json").read_text())
    assert document["count"] == len(document["vectors"])
    found = [v for v in document["vectors"] if v["op"] in operations]
    assert found
    return [pytest.param(name, v, id=f"{name}-{v['id']}") for v in found]


def value(notation: Any) -> Any:
    """A value in the notation of the vectors."""
    if isinstance(notation, list):
        return [value(item) for item in notation]
    if not isinstance(notation, dict):
        return notation
    if "$bin" in notation:
        return base64.b64decode(notation["$bin"])
    if "$date" in notation:
        return EPOCH + datetime.timedelta(milliseconds=notation["$date"])
    if "$number" in notation:
        return float(notation["$number"].replace("Infinity", "inf"))
    if "$undefined" in notation:
        return None
    return {k: value(v) for k, v in notation.items() if v != {"$undefined": True}}


def packet(notation: dict[str, Any]) -> Packet:
    number = notation.get("id")
    return Packet(
        notation["type"],
        notation.get("nsp", ""),
        value(notation.get("data")),
        int(number) if isinstance(number, float) and number.is_integer() else number,
    )


def messages(encoded: EncodedPacket) -> list[Any]:
    found = [encoded.text.decode(), *encoded.attachments]
    assert encoded.messages() == [(4, message) for message in found]
    return found


def check_encoded(found: list[Any], vector: dict[str, Any]) -> None:
    expected = value(vector["out"])
    if "tags" not in vector:
        assert found == expected
        return
    # Only the printing of numbers or the order of keys may differ.
    assert len(found) == len(expected) == 1
    (our_head, ours), (head, theirs) = (split(text[0]) for text in (found, expected))
    assert ours == theirs
    assert our_head == head or float(our_head[1:]) == float(head[1:])


def split(text: str) -> tuple[str, Any]:
    start = text.index("[")
    return text[:start], json.loads(text[start:])


@pytest.mark.parametrize(
    ("name", "vector"), load("socketio4", "sio4.encode") + load("socketio5", "sio5.encode")
)
def test_encode(name: str, vector: dict[str, Any]) -> None:
    check_encoded(encode(packet(vector["in"]["packet"]), int(vector["op"][3])), vector)


@pytest.mark.parametrize(("name", "vector"), load("socketio4", "sio4.emit", "sio4.ack"))
def test_emit_and_ack(name: str, vector: dict[str, Any]) -> None:
    given = vector["in"]
    if vector["op"] == "sio4.emit":
        encoded = encode_event(tuple(value(given["args"])), given["nsp"], given["id"])
    else:
        encoded = encode_ack(value(given["args"]), given["nsp"], given["id"])
    check_encoded(messages(encoded), vector)


@pytest.mark.parametrize(("name", "vector"), load("socketio4", "sio4.hasBinary"))
def test_has_binary(name: str, vector: dict[str, Any]) -> None:
    encoded = encode_event(("e", value(vector["in"]["value"])))
    assert bool(encoded.attachments) is vector["out"]
    assert encoded.text[:1] == (b"5" if vector["out"] else b"2")


@pytest.mark.parametrize(("name", "vector"), load("socketio5", "sio5.isPacketValid"))
def test_is_packet_valid(name: str, vector: dict[str, Any]) -> None:
    given = vector["in"]["packet"]
    try:
        encode(Packet(given["type"], given.get("nsp"), value(given.get("data")), given.get("id")))
        Decoder(5).add(reference.encode(given["type"], "/", value(given.get("data")))[0])
        found = True
    except PacketError:
        found = False
    assert found is (vector["out"] or vector["id"] in ACCEPTED_ON_WIRE)


def feed(decoder: Decoder, message: str | bytes, as_text: bool) -> Packet | None:
    if as_text and isinstance(message, str):
        return decoder.add_text(b"4" + message.encode(), 1)
    return decoder.add(message)


@pytest.mark.parametrize(
    ("name", "vector"),
    load("socketio4", "sio4.decode")
    + load("socketio5", "sio5.decode")
    + load("invalid", "sio4.decode", "sio5.decode"),
)
def test_decode(name: str, vector: dict[str, Any]) -> None:
    for as_text in (False, True):
        decoder = Decoder(int(vector["op"][3]))
        found = []
        error_at = None
        for number, message in enumerate(value(vector["in"]["frames"])):
            try:
                result = feed(decoder, message, as_text)
            except PacketError:
                error_at = number
                break
            if result is not None:
                found.append(result)
        if (name, vector["id"]) in STRICTER:
            assert error_at is not None
            assert found == []
            assert "error" not in vector["out"]
            continue
        expected = vector["out"]
        assert error_at == expected.get("errorAtFrame")
        assert (error_at is None) == ("error" not in expected)
        if error_at is None:
            assert decoder.pending is expected.get("pendingAttachments", False)
        for result in found:
            result.attachments.clear()
        assert found == [packet(notation) for notation in expected["packets"]]


def test_table_of_exceptions_names_existing_vectors() -> None:
    decoded = [
        parameters.values[:2]
        for parameters in load("socketio4", "sio4.decode")
        + load("socketio5", "sio5.decode")
        + load("invalid", "sio4.decode", "sio5.decode")
    ]
    assert set(STRICTER) <= {(name, vector["id"]) for name, vector in decoded}
