"""The WebSocket transport (Engine.IO protocol)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fastsio._codec import encode_event
from fastsio.engine.sink import FunctionSink
from fastsio.exceptions import OptionError
from fastsio.options import DeflateOptions
from tests.unit.engine.fakes import Engine


@pytest.mark.parametrize(
    ("protocol", "frame", "message"),
    [
        (4, "4hello", "hello"),
        (4, "4", ""),
        (4, "4\u20ac\x1e\x00", "\u20ac\x1e\x00"),
        (4, b"\x01\x02", b"\x01\x02"),
        (4, b"", b""),
        (4, b"4x", b"4x"),
        (4, "bAQI=", b"\x01\x02"),
        (4, "bAQI", b"\x01\x02"),
        (4, "b!!!!", b""),
        (3, "4hello", "hello"),
        (3, b"\x04\x01\x02", b"\x01\x02"),
        (3, b"\x04", b""),
        (3, "b4AQI=", b"\x01\x02"),
    ],
)
def test_messages_in(protocol: int, frame: str | bytes, message: str | bytes) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    websocket.receive(frame)
    assert engine.take() == [("message", message)]
    assert websocket.closed is None


@pytest.mark.parametrize(
    ("protocol", "message", "frame"),
    [
        (4, "hello", "4hello"),
        (4, "", "4"),
        (4, b"\x01", b"\x01"),
        (4, b"", b""),
        (4, bytearray(b"\x01"), b"\x01"),
        (3, "hello", "4hello"),
        (3, b"\x01", b"\x04\x01"),
        (3, memoryview(b""), b"\x04"),
    ],
)
def test_messages_out(protocol: int, message: Any, frame: str | bytes) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    assert engine.session.send(message) is engine.session
    engine.session.write(message)
    assert websocket.take() == [frame, frame]


@pytest.mark.parametrize(("protocol", "frame"), [(3, "b4AQI="), (4, "bAQI=")])
def test_b64(protocol: int, frame: str) -> None:
    engine = Engine()
    websocket = engine.connect(protocol, b64="1")
    engine.session.send(b"\x01\x02")
    engine.session.send_encoded(encode_event(("x", b"\x01\x02")))
    sent = websocket.take()
    assert sent[0] == sent[2] == frame
    assert sent[1] == '451-["x",{"_placeholder":true,"num":0}]'


def test_the_compress_flag_goes_along() -> None:
    engine = Engine()
    websocket = engine.connect(compressed=True)
    websocket.flags.clear()
    engine.session.send("a").send("b", compress=False).send(b"c", compress=False)
    engine.session.send_encoded(encode_event(("d",)), False)
    engine.session.send_encoded(encode_event(("e",)))
    assert websocket.flags == [True, False, False, False, True]
    assert websocket.take() == ["4a", "4b", b"c", '42["d"]', '42["e"]']


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("compressed", [False, True])
def test_encoded_packets(protocol: int, compressed: bool) -> None:
    engine = Engine()
    packet = encode_event(("x", b"\x01", "\u20ac"))
    websocket = engine.connect(protocol, compressed=compressed)
    engine.session.send_encoded(packet)
    assert websocket.take() == [
        '451-["x",{"_placeholder":true,"num":0},"\u20ac"]',
        b"\x04\x01" if protocol == 3 else b"\x01",
    ]
    client = engine.open(protocol)
    client.session.send_encoded(packet)
    body = client.poll().body
    if protocol == 4:
        assert body == '451-["x",{"_placeholder":true,"num":0},"\u20ac"]\x1ebAQ=='.encode()
    else:
        assert body.endswith(b"\x01\x02\xff\x04\x01")
    client.session.close(discard=True)
    client.session.send_encoded(packet)
    assert client.session._buffer == []


def test_compression_options_reach_the_listener() -> None:
    defaults = DeflateOptions()
    cases: list[tuple[Any, DeflateOptions | None]] = [
        (False, None),
        (True, defaults),
        ({}, defaults),
        ({"threshold": 10}, DeflateOptions(threshold=10)),
    ]
    for option, expected in cases:
        engine = Engine(per_message_deflate=option)
        exchange = engine.request("GET", {"EIO": "4", "transport": "websocket"}, upgrade=True)
        assert exchange.websocket_options["per_message_deflate"] == expected
    with pytest.raises(OptionError, match="threshold"):
        Engine(per_message_deflate={"thresold": 10})


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("frame", ["", "9", "x", "\u20ac", "7abc"])
def test_what_cannot_be_decoded(protocol: int, frame: str) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    websocket.receive(frame)
    assert engine.take() == [("close", "parse error")]
    assert websocket.closed == (0, "")
    websocket.receive("4late")
    websocket.hang_up()
    assert engine.take() == [] and engine.core.sessions == {}


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("frame", ["0", "0{}", "1", "1x", "5", "6"])
def test_packets_out_of_place_are_ignored(protocol: int, frame: str) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    websocket.receive(frame)
    assert engine.take() == [] and websocket.sent == [] and websocket.closed is None


@pytest.mark.parametrize("frame", [b"", b"\x09x", b"\xff", b"\x00", b"\x01", b"\x05", b"\x06"])
def test_v3_binary_packets_without_a_known_type_are_ignored(frame: bytes) -> None:
    engine = Engine()
    websocket = engine.connect(3)
    websocket.receive(frame)
    assert engine.take() == [] and websocket.sent == [] and websocket.closed is None


def test_the_client_closes() -> None:
    engine = Engine()
    websocket = engine.connect()
    descriptions: list[Any] = []
    engine.session.on("close", lambda reason, description: descriptions.append(description))
    websocket.hang_up(1001)
    assert engine.take() == [("close", "transport close")] and descriptions == [1001]
    assert engine.core.sessions == {} and len(engine.core.timers) == 0
    engine.session.send("x")
    assert websocket.sent == []


def test_the_connection_breaks() -> None:
    engine = Engine()
    websocket = engine.connect()
    descriptions: list[Any] = []
    engine.session.on("close", lambda reason, description: descriptions.append(description))
    websocket.hang_up(1009, "message too large (close code 1009)")
    assert engine.take() == [("close", "transport error")]
    assert descriptions == ["message too large (close code 1009)"]


def test_drain_and_writable() -> None:
    engine = Engine()
    websocket = engine.connect()
    drained: list[int] = []
    engine.session.on("drain", lambda: drained.append(1))
    assert engine.session.writable
    websocket.writable = False
    assert not engine.session.writable
    websocket.writable = True
    websocket.receiver.on_writable()
    assert drained == [1]


def test_handlers_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    websocket = engine.connect()

    def fail(*args: object) -> None:
        raise ValueError("no")

    for event in ("message", "close", "drain"):
        engine.session.on(event, fail)
    with caplog.at_level(logging.ERROR):
        websocket.receive("4a")
        websocket.receive(b"b")
        websocket.receiver.on_writable()
        websocket.hang_up()
    assert engine.take() == [("message", "a"), ("message", b"b"), ("close", "transport close")]
    assert len(caplog.records) == 4


def test_sinks() -> None:
    engine = Engine()
    websocket = engine.connect()
    log: list[Any] = []
    session = engine.session
    sink = FunctionSink(
        lambda frame: log.append(("frame", frame)),
        lambda data: log.append(("message", data)),
        lambda reason, description: log.append(("end", str(reason), description, list(engine.events))),
    )
    session.attach(sink)
    websocket.receive("4x")
    websocket.receive("4")
    websocket.receive("bAQ==")
    websocket.receive(b"\x01")
    websocket.hang_up(1000)
    assert log == [
        ("frame", b"4x"),
        ("frame", b"4"),
        ("message", b"\x01"),
        ("message", b"\x01"),
        ("end", "transport close", 1000, []),
    ]
    # The end is an event all the same, after the sink; messages are none.
    assert engine.take() == [("close", "transport close")]


def test_sinks_take_polled_messages() -> None:
    engine = Engine()
    client = engine.open()
    log: list[Any] = []
    client.session.attach(FunctionSink(log.append, log.append, lambda reason, description: None))
    client.post(b"4x\x1ebAQ==\x1e4")
    assert log == ["x", b"\x01", ""] and engine.take() == []


def test_repr_tells_transport_and_state() -> None:
    engine = Engine()
    client = engine.open(3)
    assert repr(client.session) == f"<Session {client.session.id} polling EIO=3 open>"
    websocket = engine.connect()
    websocket.hang_up()
    assert repr(engine.session) == f"<Session {engine.session.id} websocket EIO=4 closed>"
