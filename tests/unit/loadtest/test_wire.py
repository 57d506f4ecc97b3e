"""Prepared messages: what is sent is what a server decodes, what is expected is what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from fastsio._codec import Decoder, EncodedPacket, Packet, encode_ack, encode_event
from fastsio._frames import OP_BINARY, OP_TEXT, FrameParser, build_frame
from fastsio.loadtest.wire import Ring, Wire, is_binary, payload

WIRES = [Wire(transport, protocol) for transport in ("websocket", "polling") for protocol in (3, 4)]


def ring(wire: Wire, **values: Any) -> Ring:
    arguments = {"acks": False, "namespace": "/", "size": 20, "binary": 0.5, "in_flight": 4, **values}
    return Ring(wire, **arguments)


def requests(wire: Wire, ring: Ring, first: int, count: int) -> list[Packet]:
    """What a server makes of the requests."""
    decoder = Decoder()
    packets = []
    if wire.polling:
        chunks = [data for type, data in ring.packets(first, count) if type == 4]
    else:
        frames = FrameParser().feed(ring.frames(first, count))
        chunks = [
            payload[1:].decode() if opcode == OP_TEXT else payload[len(wire.prefix) :]
            for opcode, payload in frames
        ]
    for chunk in chunks:
        assert chunk is not None
        packet = decoder.add(chunk)
        if packet is not None:
            packets.append(packet)
    assert not decoder.pending
    return packets


def answer(packet: Packet, ring: Ring) -> EncodedPacket:
    if ring.acks:
        assert packet.id is not None
        return encode_ack((packet.data[1],), packet.namespace, packet.id)
    return encode_event(tuple(packet.data), packet.namespace)


@pytest.mark.parametrize("namespace", ["/", "/chat"])
@pytest.mark.parametrize("acks", [False, True])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: f"{wire.polling}-{wire.protocol}")
def test_a_server_that_answers_right_meets_the_expectation(wire: Wire, acks: bool, namespace: str) -> None:
    prepared = ring(wire, acks=acks, namespace=namespace)
    packets = [packet for number in range(prepared.length) for packet in requests(wire, prepared, number, 1)]
    assert [packet.data[1] for packet in packets] == prepared.values
    assert {packet.namespace for packet in packets} == {namespace}
    assert [
        message for packet in packets for message in wire.incoming(answer(packet, prepared))
    ] == prepared.expect
    assert sum(prepared.ends) == prepared.length
    assert [prepared.owner[start] for start in prepared.starts] == list(range(prepared.length))


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: f"{wire.polling}-{wire.protocol}")
def test_a_run_of_requests_goes_on_past_the_end(wire: Wire) -> None:
    prepared = ring(wire)
    packets = requests(wire, prepared, prepared.length - 1, 3)
    assert [packet.data[1] for packet in packets] == [prepared.values[-1], *prepared.values[:2]]


@pytest.mark.parametrize("acks", [False, True])
@pytest.mark.parametrize("protocol", [3, 4])
def test_reads_that_are_whole_replies(protocol: int, acks: bool) -> None:
    wire = Wire("websocket", protocol)
    prepared = ring(wire, acks=acks)
    last = prepared.length - 1
    frames = [
        b"".join(
            build_frame(OP_TEXT if opcode == OP_TEXT else OP_BINARY, payload)
            for packet in requests(wire, prepared, number, 1)
            for opcode, payload in wire.incoming(answer(packet, prepared))
        )
        for number in range(prepared.length)
    ]
    assert [prepared.count_replies(number, frames[number]) for number in range(prepared.length)] == [1] * (
        prepared.length
    )
    assert prepared.count_replies(2, b"".join(frames[2:6])) == 4
    assert prepared.count_replies(last, frames[last] + frames[0] + frames[1]) == 3
    changed = bytearray(frames[3])
    changed[-1] ^= 1
    others = [b"", frames[4], frames[3][:-1], frames[3] + b"\x81", frames[2] + frames[3], bytes(changed)]
    assert [prepared.count_replies(3, data) for data in others] == [0] * len(others)


@pytest.mark.parametrize(("share", "binary"), [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)])
def test_binary_messages_are_spread_by_their_share(share: float, binary: int) -> None:
    assert sum(is_binary(number, share) for number in range(100)) == binary


def test_payloads() -> None:
    assert payload("00000001", 12, False, 0) == "00000001ABCD"
    assert payload("00000001", 12, False, 1) == "00000001BCDE"
    assert payload("00000001", 10, True, 254) == b"00000001\xfe\xff"
    assert payload("a long head", 8, False, 0) == "a long head"
    assert len(payload("x", 1_000_000, False, 5)) == 1_000_000


def test_find() -> None:
    prepared = ring(WIRES[0], acks=True)
    value = prepared.values[5]
    assert prepared.find(value, 10_000_005) == 5
    assert prepared.find(value, 10_000_006) is None
    assert prepared.find(str(prepared.values[6]) + "x", None) is None
    for other in (None, 5, "", "abc", "99999999", b"\xff" * 9, "٣" * 8):
        assert prepared.find(other, None) is None


def test_an_unknown_binary_packet_of_protocol_3_is_ignored() -> None:
    assert Wire("websocket", 3).unpack((2, b"\x09x")) == (None, None)
    assert Wire("websocket", 3).unpack((2, b"\x04x")) == (4, b"x")
    assert Wire("websocket", 4).unpack((2, b"\x04x")) == (4, b"\x04x")
