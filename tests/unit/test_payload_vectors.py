"""Every vector of the reference parsers for Engine.IO 3, Engine.IO 4 and JSONP, and the malformed inputs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fastsio import _jsonp as jsonp
from fastsio import _payload as payload
from fastsio.exceptions import PacketError

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = ("open", "close", "ping", "pong", "message", "upgrade", "noop")
ERROR = {"type": "error", "data": "parser error"}

# Vectors on which fastsio is deliberately stricter than the reference, or sees another input than it did.
# docs/reference/strictness-engine.md says the same to users.
LENGTH_TEXT = "the length of a protocol 3 text packet is [0-9]+"
PAIR = "a length that ends inside a surrogate pair"
NUMBER = "data is text or bytes; a number is refused"
SHORT = "a binary frame shorter than its length is refused, not accepted truncated"
STRICTER = {
    ("engineio3", "eio3.encodePacket#75"): NUMBER,
    ("engineio3", "eio3.encodePacket#76"): NUMBER,
    ("engineio3", "eio3.encodePacket#77"): NUMBER,
    ("engineio3", "eio3.encodePacket#78"): NUMBER,
    ("engineio3", "eio3.encodePayload#55"): NUMBER,
    ("engineio3", "eio3.encodePayload#56"): NUMBER,
    ("engineio3", "eio3.encodePayload#57"): NUMBER,
    ("engineio3", "eio3.encodePayload#58"): NUMBER,
    ("engineio3", "eio3.decodePayload#83"): PAIR,
    ("invalid", "eio3.decodePayload#15"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#17"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#18"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#19"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#20"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#35"): LENGTH_TEXT,
    ("invalid", "eio3.decodePayload#43"): SHORT,
    ("invalid", "eio3.decodePayload#54"): SHORT,
}
# A lone surrogate cannot reach a function that takes the payload as UTF-8.
LONE_SURROGATE = {("jsonp", "jsonp3.response#17"), ("jsonp", "jsonp4.response#17")}


def load(name: str, *prefixes: str) -> list[Any]:
    document = json.loads((VECTORS / f"{name}.json").read_text())
    assert document["count"] == len(document["vectors"])
    found = [v for v in document["vectors"] if v["op"].startswith(prefixes)]
    return [pytest.param(name, v, id=f"{name}-{v['id']}") for v in found]


def value(notation: Any) -> Any:
    """A value in the notation of the vectors."""
    if isinstance(notation, dict) and "$bin" in notation:
        return base64.b64decode(notation["$bin"])
    return notation


def packet(notation: dict[str, Any]) -> tuple[int | None, Any]:
    type_ = notation.get("type")
    return (None if type_ is None else NAMES.index(type_)), value(notation.get("data"))


def on_wire(text: str) -> str:
    """What is left of a JavaScript string after a trip in UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def on_wire_packets(packets: list[Any]) -> list[Any]:
    return [(type_, on_wire(data) if isinstance(data, str) else data) for type_, data in packets]


def encode_packet(vector: Any, protocol: int) -> None:
    given, expected = vector["in"], value(vector["out"])
    type_, data = packet(given["packet"])
    if given.get("utf8encode"):
        # The reference's inner form of a text packet in a binary payload: characters that stand for bytes.
        body = payload.encode_payload([(type_, data), (4, b"")], 3, True)
        end = body.index(255)
        assert body[end + 1 : -4] == expected.encode("latin-1")
        return
    assert payload.encode_engine_packet(type_, data, protocol, given["supportsBinary"]) == expected


def decode_packet(vector: Any, protocol: int) -> None:
    given, expected = vector["in"], vector["out"]
    data = value(given["data"])
    if given.get("utf8decode"):
        raw = data.encode("latin-1")
        body = b"\x00" + bytes(map(int, str(len(raw)))) + b"\xff" + raw
        check_decoding(body, True, 3, [expected])
    elif expected == ERROR:
        with pytest.raises(PacketError):
            payload.decode_engine_packet(data, protocol)
    else:
        assert payload.decode_engine_packet(data, protocol) == packet(expected)


def encode_payload(vector: Any, protocol: int) -> None:
    given, expected = vector["in"], value(vector["out"])
    packets = [packet(p) for p in given["packets"]]
    result = payload.encode_payload(packets, protocol, given.get("supportsBinary", False))
    assert result == (expected if isinstance(expected, bytes) else on_wire(expected).encode())


def check_decoding(body: bytes, binary: bool, protocol: int, expected: list[Any]) -> None:
    if expected and expected[-1] == ERROR:
        with pytest.raises(PacketError) as caught:
            payload.decode_payload(body, protocol, binary)
        assert on_wire_packets([packet(p) for p in expected[:-1]]) == caught.value.packets
    else:
        assert payload.decode_payload(body, protocol, binary) == on_wire_packets(list(map(packet, expected)))


def decode_payload(vector: Any, protocol: int) -> None:
    data = value(vector["in"]["data"])
    binary = isinstance(data, bytes)
    check_decoding(data if binary else on_wire(data).encode(), binary, protocol, vector["out"])


def jsonp_response(vector: Any, protocol: int) -> None:
    given = vector["in"]
    expected = on_wire(vector["out"]).encode()
    assert jsonp.encode_jsonp(given["j"], on_wire(given["payload"]).encode()) == expected


def jsonp_post(vector: Any, protocol: int) -> None:
    body = jsonp.decode_jsonp_body(vector["in"]["body"].encode())
    if not vector["out"]:
        assert body is None
    else:
        assert body is not None
        check_decoding(body, False, protocol, vector["out"])


CHECKS = {
    "encodePacket": encode_packet,
    "decodePacket": decode_packet,
    "encodePayload": encode_payload,
    "decodePayload": decode_payload,
    "response": jsonp_response,
    "post": jsonp_post,
}


def check(file: str, vector: Any) -> None:
    module, op = vector["op"].split(".")
    run = CHECKS[op]
    key = (file, vector["id"])
    if key in LONE_SURROGATE:
        vector = {**vector, "out": vector["out"].replace("\\ud83d", "\ufffd")}
    if key in STRICTER:
        with pytest.raises(PacketError):
            if op == "encodePacket":
                payload.encode_engine_packet(*packet(vector["in"]["packet"]), protocol=3)
            elif op == "encodePayload":
                payload.encode_payload(list(map(packet, vector["in"]["packets"])), 3)
            else:
                data = value(vector["in"]["data"])
                binary = isinstance(data, bytes)
                payload.decode_payload(data if binary else data.encode(), 3, binary)
        return
    run(vector, int(module[-1]))


@pytest.mark.parametrize(("file", "vector"), load("engineio3", "eio3."))
def test_engineio3(file: str, vector: Any) -> None:
    check(file, vector)


@pytest.mark.parametrize(("file", "vector"), load("engineio4", "eio4."))
def test_engineio4(file: str, vector: Any) -> None:
    check(file, vector)


@pytest.mark.parametrize(("file", "vector"), load("jsonp", "jsonp3.", "jsonp4."))
def test_jsonp(file: str, vector: Any) -> None:
    check(file, vector)


@pytest.mark.parametrize(("file", "vector"), load("invalid", "eio3.", "eio4."))
def test_invalid(file: str, vector: Any) -> None:
    check(file, vector)


def test_the_table_names_vectors_that_exist() -> None:
    known = {
        (name, vector["id"])
        for name in ("engineio3", "engineio4", "jsonp", "invalid")
        for vector in json.loads((VECTORS / f"{name}.json").read_text())["vectors"]
    }
    assert set(STRICTER) | LONE_SURROGATE <= known
