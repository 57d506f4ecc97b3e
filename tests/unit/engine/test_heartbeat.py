"""Heartbeat deadlines of both protocols (Engine.IO protocol)."""

from __future__ import annotations

import pytest

from tests.unit.engine.fakes import Engine

# Deadlines may be late by this much: the wheel's granularity with the intervals below.
LATE = 0.05
INTERVAL, TIMEOUT = 5.0, 3.0


def make() -> Engine:
    return Engine(ping_interval=INTERVAL, ping_timeout=TIMEOUT)


def test_default_intervals() -> None:
    engine = Engine()
    websocket = engine.connect()
    engine.clock.advance(24.99)
    assert websocket.take() == []
    engine.clock.advance(0.01 + LATE)
    assert websocket.take() == ["2"]
    engine.clock.advance(19.9)
    assert engine.take() == []
    engine.clock.advance(0.1 + 2 * LATE)
    assert engine.take() == [("close", "ping timeout")]


# -- protocol 4: the server pings


def test_v4_silent_client() -> None:
    engine = make()
    websocket = engine.connect()
    engine.clock.advance(INTERVAL - 0.01)
    assert websocket.take() == []
    engine.clock.advance(0.01 + LATE)
    assert websocket.take() == ["2"]
    engine.clock.advance(TIMEOUT - 2 * LATE)
    assert engine.take() == [] and websocket.closed is None
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")]
    assert websocket.closed == (0, "")
    assert engine.core.sessions == {} and len(engine.core.timers) == 0
    engine.clock.advance(100)
    websocket.hang_up()
    assert engine.take() == []


def test_v4_next_ping_is_an_interval_after_the_pong() -> None:
    engine = make()
    websocket = engine.connect()
    engine.clock.advance(INTERVAL + LATE)
    assert websocket.take() == ["2"]
    engine.clock.advance(2)
    websocket.receive("3")
    engine.clock.advance(INTERVAL - 0.01)
    assert websocket.take() == []
    engine.clock.advance(0.01 + LATE)
    assert websocket.take() == ["2"]
    for _ in range(20):
        websocket.receive("3")
        engine.clock.advance(INTERVAL + LATE)
        assert websocket.take() == ["2"]
    assert engine.take() == []


def test_v4_traffic_does_not_put_off_the_ping() -> None:
    engine = make()
    websocket = engine.connect()
    for _ in range(49):
        engine.clock.advance(0.1)
        websocket.receive("4x")
        websocket.receive(b"x")
    assert websocket.take() == []
    engine.clock.advance(0.1 + LATE)
    assert websocket.take() == ["2"]


@pytest.mark.parametrize("packet", ["4x", b"x", "6", "bAQ=="])
def test_v4_one_extension(packet: str | bytes) -> None:
    engine = make()
    websocket = engine.connect()
    engine.clock.advance(INTERVAL + LATE)
    assert websocket.take() == ["2"]
    engine.clock.advance(TIMEOUT - 0.5)
    websocket.receive(packet)
    engine.clock.advance(TIMEOUT - 0.5)
    websocket.receive(packet)
    assert ("close", "ping timeout") not in engine.take()
    engine.clock.advance(0.5 - LATE)
    assert engine.take() == []
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")], "the second packet extends nothing"


def test_v4_the_extension_comes_with_every_ping() -> None:
    engine = make()
    websocket = engine.connect()
    for _ in range(3):
        engine.clock.advance(INTERVAL + LATE)
        assert websocket.take() == ["2"]
        engine.clock.advance(TIMEOUT - 0.5)
        websocket.receive("4x")
        engine.clock.advance(TIMEOUT - 0.5)
        websocket.receive("3")
    assert {event for event, *_ in engine.take()} == {"message"}


def test_v4_a_message_before_the_ping_extends_nothing() -> None:
    engine = make()
    websocket = engine.connect()
    engine.clock.advance(INTERVAL - 0.1)
    websocket.receive("4x")
    engine.clock.advance(0.1 + LATE + TIMEOUT + LATE)
    assert engine.take() == [("message", "x"), ("close", "ping timeout")]


def test_v4_pong_flood() -> None:
    engine = make()
    websocket = engine.connect()
    for _ in range(1000):
        websocket.receive("3")
    assert len(engine.core.timers) == 1
    engine.clock.advance(INTERVAL + LATE)
    assert websocket.take() == ["2"], "stray pongs put nothing off"
    for _ in range(1000):
        websocket.receive("3")
    assert len(engine.core.timers) == 1 and engine.clock.pending == 1
    engine.clock.advance(INTERVAL + LATE)
    assert websocket.take() == ["2"]


@pytest.mark.parametrize("packet", ["2", "2probe", "2x"])
def test_v4_ping_from_the_client(packet: str) -> None:
    engine = make()
    websocket = engine.connect()
    websocket.receive(packet)
    assert engine.take() == [("close", "transport error")]
    assert websocket.closed == (0, "") and websocket.take() == []


def test_v4_ping_from_a_polling_client() -> None:
    engine = make()
    client = engine.open()
    poll = client.poll()
    assert client.post(b"4a\x1e2\x1e4b").body == b"ok"
    assert engine.take() == [("message", "a"), ("close", "transport error")]
    assert poll.body == b"1"


def test_v4_over_polling() -> None:
    engine = make()
    client = engine.open()
    poll = client.poll()
    engine.clock.advance(INTERVAL + LATE)
    assert poll.body == b"2"
    client.post(b"3")
    engine.clock.advance(INTERVAL + LATE)
    # Nobody polls: the ping waits like any packet, its deadline does not.
    assert client.poll().body == b"2"
    client.post(b"4x")
    engine.clock.advance(TIMEOUT - LATE)
    assert engine.take() == [("message", "x")]
    poll = client.poll()
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")]
    assert poll.body == b"1"


def test_v4_a_session_nobody_polls() -> None:
    engine = make()
    engine.open()
    engine.clock.advance(INTERVAL + TIMEOUT + 2 * LATE)
    assert engine.take() == [("close", "ping timeout")]
    assert engine.core.sessions == {}


# -- protocol 3: the client pings


def test_v3_silent_client() -> None:
    engine = make()
    websocket = engine.connect(3)
    engine.clock.advance(INTERVAL + TIMEOUT - LATE)
    assert websocket.take() == [] and engine.take() == []
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")]
    assert websocket.closed == (0, "")


def test_v3_pings_are_answered() -> None:
    engine = make()
    websocket = engine.connect(3)
    for _ in range(10):
        engine.clock.advance(INTERVAL)
        websocket.receive("2")
        assert websocket.take() == ["3"]
    assert engine.take() == []


@pytest.mark.parametrize("packet", ["2probe", "2x", b"\x02"])
def test_v3_the_answer_carries_no_data(packet: str | bytes) -> None:
    engine = make()
    websocket = engine.connect(3)
    websocket.receive(packet)
    assert websocket.take() == ["3"]


@pytest.mark.parametrize("packet", ["2", "4x", "3", "6", "0", "1", b"\x04x", b"\x09", b"", "b4AQ=="])
def test_v3_any_packet_starts_the_time_anew(packet: str | bytes) -> None:
    engine = make()
    websocket = engine.connect(3)
    for _ in range(5):
        engine.clock.advance(INTERVAL + TIMEOUT - 0.1)
        websocket.receive(packet)
    assert ("close", "ping timeout") not in engine.take()
    engine.clock.advance(INTERVAL + TIMEOUT - LATE)
    assert engine.take() == []
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")]


def test_v3_over_polling() -> None:
    engine = make()
    client = engine.open(3)
    for _ in range(3):
        poll = client.poll()
        engine.clock.advance(INTERVAL + TIMEOUT - 0.1)
        assert client.post(b"1:2").body == b"ok"
        engine.clock.settle()
        assert poll.body == b"1:3"
    engine.clock.advance(INTERVAL + TIMEOUT + LATE)
    assert engine.take() == [("close", "ping timeout")]


def test_v3_a_pong_queues_behind_messages() -> None:
    engine = make()
    client = engine.open(3)
    client.session.send("a")
    client.post(b"1:21:2")
    client.session.send("b")
    client.post(b"1:2")
    assert client.poll().body == b"2:4a1:32:4b1:3"


def test_v3_polls_alone_are_no_sign_of_life() -> None:
    engine = make()
    client = engine.open(3)
    engine.clock.advance(INTERVAL)
    poll = client.poll()
    engine.clock.advance(TIMEOUT + LATE)
    assert engine.take() == [("close", "ping timeout")]
    assert poll.body == b"1:1"


def test_v3_a_pong_from_the_client_is_ignored() -> None:
    engine = make()
    websocket = engine.connect(3)
    websocket.receive("3")
    assert websocket.take() == [] and websocket.closed is None and engine.take() == []


# -- many


def test_ten_thousand_sessions_share_one_timer() -> None:
    engine = make()
    websockets = [engine.connect() for _ in range(10_000)]
    assert engine.clock.pending == 1
    engine.clock.advance(INTERVAL + LATE)
    assert all(websocket.take() == ["2"] for websocket in websockets)
    assert engine.clock.pending == 1
    engine.clock.advance(TIMEOUT + LATE)
    assert engine.core.sessions == {} and engine.clock.pending == 0


def test_a_handler_that_ends_other_sessions_in_their_own_last_moment() -> None:
    engine = make()
    engine.connect()
    first = engine.session
    engine.connect()
    second = engine.session
    first.on("close", lambda: second.close())
    second.on("close", lambda: first.close())
    engine.clock.advance(INTERVAL + TIMEOUT + 2 * LATE)
    assert sorted(engine.take()) == [("close", "forced close"), ("close", "ping timeout")]
    assert engine.core.sessions == {}
