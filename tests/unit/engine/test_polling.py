"""Long-polling: GET, POST, their framing, and what breaks them (Engine.IO protocol)."""

from __future__ import annotations

import gzip
import logging
import zlib
from typing import Any

import pytest

from fastsio.exceptions import PayloadTooLarge
from tests.unit.engine.fakes import Engine, FakeExchange

OCTETS = {"content-type": "application/octet-stream"}
TEXT = [("Content-Type", "text/plain; charset=UTF-8"), ("Cache-Control", "no-store")]
BINARY = [("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store")]
OK = [("Content-Type", "text/html"), ("Cache-Control", "no-store")]


def accepted(exchange: FakeExchange) -> None:
    assert exchange.status == 200 and exchange.headers == OK and exchange.body == b"ok"
    assert exchange.extra == 0


def closed(engine: Engine, reason: str) -> None:
    """The session ended, once, and left the table."""
    assert engine.take()[-1:] == [("close", reason)]
    assert engine.session.ready_state == "closed"
    assert engine.core.sessions == {}
    assert len(engine.core.timers) == 0


# -- GET


@pytest.mark.parametrize(("protocol", "expected"), [(3, b"6:4hello3:4\xf0\x9f\x98\x801:4"), (4, None)])
def test_a_poll_waits_for_packets(protocol: int, expected: bytes | None) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    engine.clock.settle()
    assert poll.response is None
    client.session.send("hello").send("\U0001f600")
    client.session.send("")
    assert poll.response is None, "what one turn sends leaves together"
    engine.clock.turn()
    assert poll.status == 200 and poll.headers == TEXT
    assert poll.body == (expected or b"4hello\x1e4\xf0\x9f\x98\x80\x1e4")
    assert poll.extra == 0


def test_what_waited_leaves_with_the_next_poll_at_once() -> None:
    engine = Engine()
    client = engine.open()
    assert not client.session.writable
    client.session.send("a").send("b")
    poll = client.poll()
    assert poll.body == b"4a\x1e4b"
    poll = client.poll()
    assert poll.response is None and client.session.writable


def test_one_flush_per_turn() -> None:
    engine = Engine()
    client = engine.open()
    client.poll()
    for number in range(100):
        client.session.send(str(number))
    assert len(engine.core._dirty) == 1


def test_drain() -> None:
    engine = Engine()
    client = engine.open()
    drained: list[int] = []
    client.session.on("drain", lambda: drained.append(1))
    client.session.send("a")
    assert drained == []
    client.poll()
    assert drained == [1]


def test_a_message_sent_in_drain_waits_for_the_next_poll() -> None:
    engine = Engine()
    client = engine.open()
    client.session.once("drain", lambda: client.session.send("again"))
    client.session.send("a")
    assert client.poll().body == b"4a"
    assert client.poll().body == b"4again"


@pytest.mark.parametrize("protocol", [3, 4])
def test_binary(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    client.session.send("x").send(bytearray(b"\x01\x02")).send(memoryview(b""))
    poll = client.poll()
    if protocol == 4:
        assert poll.headers == TEXT
        assert poll.body == b"4x\x1ebAQI=\x1eb"
    else:
        assert poll.headers == BINARY
        assert poll.body == b"\x00\x02\xff4x" + b"\x01\x03\xff\x04\x01\x02" + b"\x01\x01\xff\x04"


def test_v3_without_binary_in_the_flush_is_text() -> None:
    engine = Engine()
    client = engine.open(3)
    client.session.send("x")
    poll = client.poll()
    assert poll.headers == TEXT and poll.body == b"2:4x"


def test_v3_with_b64_is_text() -> None:
    engine = Engine()
    client = engine.open(3, b64="1")
    client.session.send(b"\x01\x02")
    poll = client.poll()
    assert poll.headers == TEXT and poll.body == b"6:b4AQI="


@pytest.mark.parametrize(("protocol", "status", "packet"), [(3, 500, b"1:1"), (4, 400, b"1")])
def test_two_polls_at_once(protocol: int, status: int, packet: bytes) -> None:
    engine = Engine()
    client = engine.open(protocol)
    first, second = client.poll(), client.poll()
    assert first.status == 200 and first.body == packet
    assert second.status == status and second.body == b""
    assert first.extra == second.extra == 0
    closed(engine, "transport error")
    assert client.poll().body == b'{"code":1,"message":"Session ID unknown"}'


def test_the_client_drops_the_poll() -> None:
    engine = Engine()
    client = engine.open()
    poll, post = client.poll(), client.post(None)
    poll.disconnect()
    closed(engine, "transport error")
    assert post.aborted, "a body nobody waits for is not read"


def test_the_client_drops_the_handshake() -> None:
    engine = Engine()
    exchange = engine.request("GET", {"EIO": "4", "transport": "polling"})
    exchange.disconnect()
    closed(engine, "transport error")
    engine.clock.settle()
    assert exchange.response is None


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_other_methods(method: str) -> None:
    engine = Engine()
    client = engine.open()
    exchange = engine.request(method, client.query)
    assert exchange.status == 500 and exchange.body == b"" and exchange.headers == []
    assert client.session.ready_state == "open"


# -- POST


@pytest.mark.parametrize(
    ("protocol", "body", "messages"),
    [
        (4, b"4hello", ["hello"]),
        (4, b"4a\x1e4b\x1ebAQID\x1e4", ["a", "b", b"\x01\x02\x03", ""]),
        (4, "4\u20ac\U0001f600".encode(), ["\u20ac\U0001f600"]),
        (4, b"4\xff\xfe", ["\ufffd\ufffd"]),
        (4, b"b!!!!", [b""]),
        (3, b"6:4hello", ["hello"]),
        (3, b"2:4a2:4b8:b4AQID==1:4", ["a", "b", b"\x01\x02\x03", ""]),
        (3, "3:4\U0001f600".encode(), ["\U0001f600"]),
        (3, b"0:2:4a", ["a"]),
    ],
)
def test_messages(protocol: int, body: bytes, messages: list[Any]) -> None:
    engine = Engine()
    client = engine.open(protocol)
    accepted(client.post(body))
    assert engine.take() == [("message", message) for message in messages]
    assert client.session.ready_state == "open"


def test_v3_binary_framing() -> None:
    engine = Engine()
    client = engine.open(3)
    accepted(
        client.post(b"\x00\x02\xff4a" + b"\x01\x03\xff\x04\x01\x02" + b"\x01\x02\xff\x09x", headers=OCTETS)
    )
    assert engine.take() == [("message", "a"), ("message", b"\x01\x02")]


def test_v3_framing_goes_by_the_exact_content_type() -> None:
    engine = Engine()
    client = engine.open(3)
    accepted(client.post(b"2:4a", headers={"content-type": "application/octet-stream; x=y"}))
    assert engine.take() == [("message", "a")]


def test_the_answer_follows_the_handlers() -> None:
    engine = Engine()
    client = engine.open()
    post = client.post(None)
    client.session.on("message", lambda data: engine.events.append(("answered", post.response is not None)))
    post.deliver(b"4x")
    assert engine.take() == [("message", "x"), ("answered", False)]
    accepted(post)


def test_get_and_post_go_side_by_side() -> None:
    engine = Engine()
    client = engine.open()
    client.session.on("message", client.session.send)
    poll = client.poll()
    accepted(client.post(b"4echo"))
    engine.clock.turn()
    assert poll.body == b"4echo"


@pytest.mark.parametrize("packet", ["0", "0{}", "5", "6", "3", "6x"])
def test_packets_out_of_place_are_ignored(packet: str) -> None:
    for protocol in (3, 4):
        engine = Engine()
        client = engine.open(protocol)
        body = packet.encode() if protocol == 4 else f"{len(packet)}:{packet}".encode()
        accepted(client.post(body))
        assert engine.take() == [] and client.session.ready_state == "open"


@pytest.mark.parametrize(
    ("protocol", "body", "messages"),
    [
        (4, b"", []),
        (4, b"4a\x1e", ["a"]),
        (4, b"4a\x1e\x1e4b", ["a"]),
        (4, b"4a\x1e9\x1e4b", ["a"]),
        (4, b"x", []),
        (4, b"\xff", []),
        (4, gzip.compress(b"4a"), []),
        (3, b"", []),
        (3, b"2:4a3:4b", ["a"]),
        (3, b"2:4a9", ["a"]),
        (3, b"-1:4", []),
        (3, b"1e1:4", []),
        (3, b"NaN:4", []),
        (3, b"Infinity:4", []),
        (3, b"1" * 400 + b":4", []),
        (3, b"99999999999999999999:4", []),
        (3, b"1:9", []),
    ],
)
def test_what_cannot_be_decoded_ends_the_session(protocol: int, body: bytes, messages: list[str]) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    accepted(client.post(body))
    assert engine.events[:-1] == [("message", message) for message in messages]
    closed(engine, "parse error")
    assert poll.status == 200 and poll.body == (b"1" if protocol == 4 else b"1:1")


@pytest.mark.parametrize(
    "body", [b"\x00", b"\x01\x05\xff\x04", b"\x00" + b"\x09" * 400 + b"\xff4", b"\x00\x0a\xff4"]
)
def test_v3_binary_framing_that_cannot_be_decoded(body: bytes) -> None:
    engine = Engine()
    client = engine.open(3)
    accepted(client.post(body, headers=OCTETS))
    closed(engine, "parse error")


@pytest.mark.parametrize(("protocol", "status", "packet"), [(3, 500, b"1:1"), (4, 400, b"1")])
def test_two_posts_at_once(protocol: int, status: int, packet: bytes) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll, first, second = client.poll(), client.post(None), client.post(b"4x")
    assert poll.body == packet
    assert first.aborted
    assert second.status == status and second.body == b""
    assert engine.events == [("close", "transport error")]
    closed(engine, "transport error")


def test_the_client_drops_a_post() -> None:
    engine = Engine()
    client = engine.open()
    poll, post = client.poll(), client.post(None)
    post.disconnect()
    closed(engine, "transport error")
    assert poll.status == 200 and poll.body == b"1", "the poll is not forgotten"


def test_binary_body_on_protocol_4() -> None:
    engine = Engine()
    client = engine.open()
    poll, post = client.poll(), client.post(b"4x", headers=OCTETS)
    assert post.status == 400 and post.body == b"" and not post.reading
    assert poll.body == b"1"
    assert engine.events == [("close", "transport error")]
    closed(engine, "transport error")


@pytest.mark.parametrize("protocol", [3, 4])
def test_body_at_the_limit(protocol: int) -> None:
    engine = Engine(max_http_buffer_size=100)
    client = engine.open(protocol)
    body = b"4" + b"x" * 99 if protocol == 4 else b"97:4" + b"x" * 96
    assert len(body) == 100
    accepted(client.post(body))
    assert len(engine.take()) == 1


def test_body_above_the_limit_v4(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(max_http_buffer_size=100)
    client = engine.open()
    poll = client.poll()
    with caplog.at_level(logging.WARNING):
        post = client.post(b"4" + b"x" * 100)
    assert post.status == 413 and post.body == b"" and post.extra == 0
    assert "option max_http_buffer_size" in caplog.text
    assert engine.take() == [] and client.session.ready_state == "open" and poll.response is None
    accepted(client.post(b"4x"))
    assert engine.take() == [("message", "x")]


def test_body_above_the_limit_v3() -> None:
    engine = Engine(max_http_buffer_size=100)
    client = engine.open(3)
    poll, post = client.poll(), client.post(b"x" * 101)
    assert post.aborted and post.response is None
    assert poll.body == b"1:1"
    closed(engine, "transport error")


def test_packets_of_one_payload(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(max_packets_per_payload=3)
    client = engine.open()
    accepted(client.post(b"\x1e".join([b"4x"] * 3)))
    assert engine.take() == [("message", "x")] * 3
    with caplog.at_level(logging.INFO):
        accepted(client.post(b"\x1e".join([b"4x"] * 4)))
    assert "option max_packets_per_payload" in caplog.text
    closed(engine, "parse error")


def test_a_handler_that_ends_the_session_in_the_middle_of_a_payload() -> None:
    engine = Engine()
    client = engine.open()
    client.session.on("message", lambda data: client.session.close())
    poll = client.poll()
    accepted(client.post(b"4a\x1e4b\x1e4c"))
    assert engine.events == [("message", "a"), ("close", "forced close")]
    assert poll.body == b"1"


def test_handlers_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    client = engine.open()

    def fail(data: object) -> None:
        raise ValueError("no")

    client.session.on("message", fail)
    with caplog.at_level(logging.ERROR):
        accepted(client.post(b"4a\x1e4b"))
    assert engine.take() == [("message", "a"), ("message", "b")]
    assert len(caplog.records) == 2 and client.session.ready_state == "open"


# -- the queue


def test_buffered_bytes_at_the_limit() -> None:
    engine = Engine(max_buffered_bytes=3 * 64 + 30)
    client = engine.open()
    for _ in range(3):
        client.session.send("x" * 10)
    assert client.session.ready_state == "open"
    # What was taken no longer counts.
    assert len(client.poll().body) == 3 * 11 + 2
    for _ in range(3):
        client.session.send(b"x" * 10)
    assert client.session.ready_state == "open"


def test_buffered_bytes_above_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(max_buffered_bytes=3 * 64 + 30)
    client = engine.open()
    descriptions: list[Any] = []
    client.session.on("close", lambda reason, description: descriptions.append(description))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            client.session.send("x" * 11)
    assert "option max_buffered_bytes" in caplog.text and len(caplog.records) == 1
    closed(engine, "transport error")
    (description,) = descriptions
    assert isinstance(description, PayloadTooLarge)
    assert (description.size, description.limit) == (3 * 75, 3 * 64 + 30)
    assert client.session._buffer == []


def test_empty_packets_cannot_queue_without_end() -> None:
    engine = Engine(max_buffered_bytes=10_000)
    client = engine.open()
    for _ in range(200):
        client.session.send("")
    closed(engine, "transport error")


def test_v3_ping_flood_without_a_poll() -> None:
    engine = Engine(max_buffered_bytes=10_000)
    client = engine.open(3)
    for _ in range(100):
        accepted(client.post(b"1:2" * 500))
    assert client.session.ready_state == "open"
    assert client.poll().body == b"1:3"


@pytest.mark.parametrize("data", [5, None, 1.5, ["x"], {"a": 1}, object()])
def test_only_text_and_bytes_are_messages(data: Any) -> None:
    engine = Engine()
    for session in (engine.open().session, (engine.connect(), engine.session)[1]):
        with pytest.raises(TypeError, match="a message is text or bytes"):
            session.send(data)


def test_data_is_copied() -> None:
    engine = Engine()
    client = engine.open()
    data = bytearray(b"\x01")
    client.session.send(data)
    data[0] = 2
    assert client.poll().body == b"bAQ=="


def test_lone_surrogates() -> None:
    for protocol, expected in ((3, b"4:4a\xef\xbf\xbdb"), (4, b"4a\xef\xbf\xbdb")):
        engine = Engine()
        client = engine.open(protocol)
        client.session.send("a\ud800b")
        assert client.poll().body == expected
        websocket = engine.connect(protocol)
        engine.session.send("a\ud800b\ud83d\ude00")
        assert websocket.take() == ["4a\ufffdb\U0001f600"]


# -- HTTP compression


def compressed(engine: Engine, accept: str | None, size: int = 2000) -> FakeExchange:
    client = engine.open()
    client.session.send("x" * (size - 1))
    return client.poll(headers={} if accept is None else {"accept-encoding": accept})


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, None),
        ("", None),
        ("br", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("GZIP; q=0.5 , deflate; q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0, *", None),
        ("deflate;q=0.1, *;q=0.5", "gzip"),
        ("gzip;q=nan", None),
        ("gzip;q=x", None),
        (";;;,,,", None),
    ],
)
def test_compression(accept: str | None, expected: str | None) -> None:
    exchange = compressed(Engine(), accept)
    assert exchange.header("Content-Encoding") == expected
    plain = b"4" + b"x" * 1999
    if expected == "gzip":
        assert gzip.decompress(exchange.body) == plain
    elif expected == "deflate":
        assert zlib.decompress(exchange.body) == plain
    else:
        assert exchange.body == plain


@pytest.mark.parametrize(
    ("option", "size", "expected"),
    [
        (True, 1024, "gzip"),
        (True, 1023, None),
        (False, 5000, None),
        ({}, 1024, "gzip"),
        ({"threshold": 10}, 10, "gzip"),
        ({"threshold": 10, "level": 1}, 9, None),
    ],
)
def test_compression_threshold(option: Any, size: int, expected: str | None) -> None:
    exchange = compressed(Engine(http_compression=option), "gzip", size)
    assert exchange.header("Content-Encoding") == expected


def test_compression_needs_one_packet_that_allows_it() -> None:
    engine = Engine()
    client = engine.open()
    gzipped = {"accept-encoding": "gzip"}
    client.session.send("x" * 2000, compress=False)
    assert client.poll(headers=gzipped).header("Content-Encoding") is None
    client.session.send("x" * 2000, compress=False).send("y")
    assert client.poll(headers=gzipped).header("Content-Encoding") == "gzip"
    client.session.send("x" * 2000, compress=False)
    assert client.poll(headers=gzipped).header("Content-Encoding") is None


def test_the_answer_to_a_post_is_not_compressed() -> None:
    engine = Engine(http_compression={"threshold": 1})
    client = engine.open()
    accepted(client.post(b"4x", headers={"accept-encoding": "gzip"}))


# -- JSONP


@pytest.mark.parametrize("index", ["0", "12"])
def test_jsonp_answers(index: str) -> None:
    engine = Engine()
    client = engine.open(j=index)
    assert client.handshake.headers == TEXT
    assert client.handshake.body.startswith(b'___eio[%s]("0{\\"sid\\":' % index.encode())
    assert client.handshake.body.endswith(b'");')
    client.session.send('a"\u2028b')
    poll = client.poll()
    assert poll.body == b'___eio[%s]("4a\\"\\u2028b");' % index.encode()
    assert poll.headers == TEXT


def test_jsonp_index_is_digits_of_the_handshake() -> None:
    engine = Engine()
    client = engine.open(j="1);alert(2)//")
    assert client.handshake.body.startswith(b'___eio[12]("')
    client.query["j"] = "7"
    client.session.send("x")
    assert client.poll().body == b'___eio[12]("4x");'
    assert Engine().open(j="").handshake.body.startswith(b'___eio[]("')


@pytest.mark.parametrize("protocol", [3, 4])
def test_jsonp_takes_binary_as_text(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol, j="0")
    client.session.send(b"\x01\x02")
    poll = client.poll()
    assert poll.headers == TEXT
    assert poll.body == (b'___eio[0]("bAQI=");' if protocol == 4 else b'___eio[0]("6:b4AQI=");')


@pytest.mark.parametrize(
    ("protocol", "body", "messages"),
    [
        (4, b"d=4hello%20world", ["hello world"]),
        (4, b"d=4a+b&x=y", ["a b"]),
        (4, rb"d=4a%5Cnb", ["a\nb"]),
        (4, rb"d=4a%5C%5Cnb", [r"a\nb"]),
        (3, rb"d=4%3A4a%5Cnb", ["a\nb"]),
        (4, b"x=y", []),
        (4, b"d=4a&d=4b", []),
        (4, b"", []),
    ],
)
def test_jsonp_bodies(protocol: int, body: bytes, messages: list[str]) -> None:
    engine = Engine()
    client = engine.open(protocol, j="0")
    accepted(client.post(body, headers={"content-type": "application/x-www-form-urlencoded"}))
    assert engine.take() == [("message", message) for message in messages]
    assert client.session.ready_state == "open"


def test_jsonp_body_that_cannot_be_decoded() -> None:
    engine = Engine()
    client = engine.open(j="0")
    poll = client.poll()
    accepted(client.post(b"d=9"))
    closed(engine, "parse error")
    assert poll.body == b'___eio[0]("1");'
