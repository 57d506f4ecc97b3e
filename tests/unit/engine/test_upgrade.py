"""The probe and the switch from polling to WebSocket, in every order (Engine.IO protocol)."""

from __future__ import annotations

import pytest

from tests.unit.engine.fakes import Engine, FakeWebSocket, Polling

LATE = 0.05
PROTOCOLS = pytest.mark.parametrize("protocol", [3, 4])


def payload(protocol: int, *packets: str) -> bytes:
    if protocol == 4:
        return "\x1e".join(packets).encode()
    return "".join(f"{len(packet)}:{packet}" for packet in packets).encode()


def probing(engine: Engine, protocol: int = 4) -> tuple[Polling, FakeWebSocket]:
    """A polling session whose WebSocket has had its probe answered."""
    client = engine.open(protocol)
    websocket = client.probe()
    websocket.receive("2probe")
    assert websocket.take() == ["3probe"]
    return client, websocket


def unharmed(engine: Engine, client: Polling) -> None:
    """The session goes on with polling, and may try again."""
    session = client.session
    assert session.ready_state == "open" and session.transport == "polling" and not session.upgrading
    assert engine.take() == [] and len(engine.core.timers) == 1
    session.send("still here")
    assert b"still here" in client.poll().body
    websocket = client.probe()
    websocket.receive("2probe")
    assert websocket.take() == ["3probe"]
    websocket.receive("5")
    assert session.transport == "websocket"


@PROTOCOLS
def test_poll_open(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    websocket = client.probe()
    assert websocket.sent == [] and client.session.upgrading
    websocket.receive("2probe")
    assert websocket.take() == ["3probe"]
    engine.clock.advance(0.09)
    assert poll.response is None
    engine.clock.advance(0.02)
    assert poll.body == payload(protocol, "6")
    assert client.session.transport == "polling" and not client.session.upgraded
    websocket.receive("5")
    assert client.session.transport == "websocket" and client.session.upgraded
    assert not client.session.upgrading and client.session.polling is None
    assert engine.take() == [("upgrade",)]
    assert websocket.take() == [], "no open packet"
    client.session.send("x")
    assert websocket.take() == ["4x"]
    websocket.receive("4y")
    assert engine.take() == [("message", "y")]


@PROTOCOLS
def test_poll_opened_during_the_probe(protocol: int) -> None:
    engine = Engine()
    client, websocket = probing(engine, protocol)
    engine.clock.advance(0.15)
    poll = client.poll()
    assert poll.response is None
    engine.clock.advance(0.06)
    assert poll.body == payload(protocol, "6")
    # A client that polls on is released again and again.
    for _ in range(3):
        poll = client.poll()
        engine.clock.advance(0.11)
        assert poll.body == payload(protocol, "6")
    websocket.receive("5")
    assert engine.take() == [("upgrade",)]
    assert engine.clock.pending == 1, "only the heartbeat is left"


def test_messages_go_over_polling_until_the_switch() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    poll = client.poll()
    client.session.send("a")
    engine.clock.settle()
    assert poll.body == b"4a" and websocket.sent == []
    client.session.send("b")
    assert client.poll().body == b"4b"
    assert client.post(b"4c").body == b"ok"
    assert engine.take() == [("message", "c")]


@PROTOCOLS
def test_what_is_buffered_leaves_over_the_websocket_in_order(protocol: int) -> None:
    engine = Engine()
    client, websocket = probing(engine, protocol)
    client.session.on("upgrade", lambda: client.session.send("from the handler"))
    for number in range(3):
        client.session.send(str(number))
    client.session.send(b"\x01")
    websocket.receive("5")
    client.session.send("after")
    binary = b"\x04\x01" if protocol == 3 else b"\x01"
    assert websocket.take() == ["40", "41", "42", binary, "4from the handler", "4after"]
    assert client.session._buffered_bytes == 0


def test_a_message_of_the_same_turn_as_the_release_takes_its_place() -> None:
    engine = Engine()
    client, _websocket = probing(engine)
    poll = client.poll()
    engine.clock.call_later(0.1, lambda: client.session.send("x"))
    client.session.send("x")
    client.session.polling.release()  # type: ignore[union-attr]
    assert poll.body == b"4x"


def test_poll_still_open_at_the_switch() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    poll = client.poll()
    client.session.send("x")
    websocket.receive("5")
    assert poll.body == b"1"
    assert websocket.take() == ["4x"], "not lost with the poll"
    engine.clock.settle()
    assert poll.extra == 0 and engine.take() == [("upgrade",)]


def test_the_poll_is_dropped_after_the_switch() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    websocket.receive("5")
    poll = client.poll()
    assert poll.status == 400 and poll.body == b'{"code":3,"message":"Bad request"}'
    assert client.post(b"4x").body == b'{"code":3,"message":"Bad request"}'
    assert engine.take() == [("upgrade",)] and websocket.closed is None


def test_post_in_flight_at_the_switch() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    post = client.post(None)
    websocket.receive("5")
    websocket.receive("4first")
    post.deliver(b"4second\x1e4third")
    assert post.body == b"ok"
    assert engine.take() == [("upgrade",), ("message", "first"), ("message", "second"), ("message", "third")]


def test_post_in_flight_that_breaks_after_the_switch() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    post = client.post(None)
    websocket.receive("5")
    post.disconnect()
    assert engine.take() == [("upgrade",)]
    assert client.session.ready_state == "open" and websocket.closed is None


@PROTOCOLS
def test_post_in_flight_too_large_after_the_switch(protocol: int) -> None:
    engine = Engine(max_http_buffer_size=10)
    client, websocket = probing(engine, protocol)
    post = client.post(None)
    websocket.receive("5")
    post.deliver(b"4" * 11)
    assert post.ended
    assert engine.take() == [("upgrade",)]
    assert client.session.ready_state == "open" and websocket.closed is None


@pytest.mark.parametrize("body", [b"4a\x1ejunk", b"4a\x1e1"])
def test_post_in_flight_cannot_end_the_session_after_the_switch(body: bytes) -> None:
    engine = Engine()
    client, websocket = probing(engine)
    post = client.post(None)
    websocket.receive("5")
    post.deliver(body)
    assert post.body == b"ok"
    assert engine.take() == [("upgrade",), ("message", "a")]
    assert websocket.closed is None


def test_post_in_flight_when_the_upgraded_session_ends() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    post = client.post(None)
    websocket.receive("5")
    websocket.hang_up()
    post.deliver(b"4late")
    assert post.body == b"ok"
    assert engine.take() == [("upgrade",), ("close", "transport close")]


@PROTOCOLS
def test_second_probe_while_one_runs(protocol: int) -> None:
    engine = Engine()
    client, first = probing(engine, protocol)
    second = client.probe()
    assert second.closed == (0, "") and second.sent == []
    second.receive("2probe")
    second.hang_up()
    assert client.session.upgrading and first.closed is None
    first.receive("5")
    assert engine.take() == [("upgrade",)]


def test_probe_after_the_switch() -> None:
    engine = Engine()
    client, first = probing(engine)
    first.receive("5")
    second = client.probe()
    assert second.closed == (0, "") and second.sent == []
    second.hang_up()
    first.receive("4x")
    assert engine.take() == [("upgrade",), ("message", "x")]


def test_probe_of_a_websocket_session() -> None:
    engine = Engine()
    websocket = engine.connect()
    query = {"EIO": "4", "transport": "websocket", "sid": engine.session.id}
    second = engine.request("GET", query, upgrade=True).websocket
    assert second is not None and second.closed == (0, "")
    second.hang_up()
    websocket.receive("4x")
    assert engine.take() == [("message", "x")]


def test_upgrades_not_allowed() -> None:
    engine = Engine(allow_upgrades=False)
    client = engine.open()
    websocket = client.probe()
    assert websocket.closed == (0, "")
    websocket.hang_up()
    assert client.session.ready_state == "open" and engine.take() == []


@pytest.mark.parametrize("junk", ["4x", "2", "2prob", "2probex", "3probe", "1", "", "\x00", b"", b"2probe"])
@PROTOCOLS
def test_junk_instead_of_the_probe(protocol: int, junk: str | bytes) -> None:
    engine = Engine()
    client = engine.open(protocol)
    websocket = client.probe()
    websocket.receive(junk)
    assert websocket.closed == (0, "") and websocket.sent == []
    websocket.hang_up()
    unharmed(engine, client)


@pytest.mark.parametrize("junk", ["4x", "2", "3probe", "1", "", b"\x01"])
def test_junk_after_the_probe(junk: str | bytes) -> None:
    engine = Engine()
    client, websocket = probing(engine)
    websocket.receive(junk)
    assert websocket.closed == (0, "")
    # What follows in the same read is not heard any more.
    websocket.receiver.on_text(b"5")
    websocket.receiver.on_binary(b"x")
    assert client.session.transport == "polling"
    websocket.hang_up()
    unharmed(engine, client)


def test_a_repeated_probe_is_answered_again() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    websocket.receive("2probe")
    assert websocket.take() == ["3probe"]
    poll = client.poll()
    engine.clock.advance(0.11)
    assert poll.body == b"6"
    websocket.receive("5")
    assert engine.take() == [("upgrade",)] and engine.clock.pending == 1


def test_5_without_a_probe() -> None:
    engine = Engine()
    client = engine.open()
    client.session.send("x")
    websocket = client.probe()
    websocket.receive("5")
    assert engine.take() == [("upgrade",)] and websocket.take() == ["4x"]


@PROTOCOLS
def test_probe_that_never_begins(protocol: int) -> None:
    engine = Engine(upgrade_timeout=4)
    client = engine.open(protocol)
    websocket = client.probe()
    engine.clock.advance(4 - LATE)
    assert websocket.closed is None
    engine.clock.advance(2 * LATE)
    assert websocket.closed == (0, "")
    websocket.hang_up()
    unharmed(engine, client)


def test_probe_that_never_ends() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    engine.clock.advance(10 - LATE)
    assert websocket.closed is None
    engine.clock.advance(2 * LATE)
    assert websocket.closed == (0, "")
    websocket.hang_up()
    poll = client.poll()
    engine.clock.advance(1)
    assert poll.response is None, "polls are no longer released"
    client.session.send("x")
    engine.clock.settle()
    assert poll.body == b"4x"
    unharmed(engine, client)


def test_the_websocket_dies_before_the_probe() -> None:
    engine = Engine()
    client = engine.open()
    client.probe().hang_up(1006)
    unharmed(engine, client)


@pytest.mark.parametrize("error", [None, "invalid UTF-8 (close code 1007)"])
def test_the_websocket_dies_in_the_middle_of_the_probe(error: str | None) -> None:
    engine = Engine()
    client, websocket = probing(engine)
    websocket.hang_up(1006, error)
    engine.clock.advance(1)
    unharmed(engine, client)


def test_the_websocket_dies_after_the_switch() -> None:
    engine = Engine()
    _client, websocket = probing(engine)
    websocket.receive("5")
    websocket.hang_up(1006, "reset")
    assert engine.take() == [("upgrade",), ("close", "transport error")]
    assert engine.core.sessions == {} and len(engine.core.timers) == 0


# -- the end during a probe


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("side", ["server", "client", "abort", "timeout", "overlap"])
def test_the_session_ends_during_the_probe(begun: bool, side: str) -> None:
    engine = Engine(ping_interval=2, ping_timeout=1)
    client = engine.open()
    websocket = client.probe()
    if begun:
        websocket.receive("2probe")
        assert websocket.take() == ["3probe"]
    poll = client.poll()
    if side == "server":
        client.session.close()
    elif side == "client":
        client.post(b"1")
    elif side == "abort":
        poll.disconnect()
    elif side == "overlap":
        client.poll()
    else:
        for _ in range(40):
            engine.clock.advance(0.1)
            client.poll() if poll.ended and client.session.ready_state == "open" else None
    reasons = {
        "server": "forced close",
        "client": "transport close",
        "abort": "transport error",
        "overlap": "transport error",
        "timeout": "ping timeout",
    }
    assert websocket.closed == (0, "")
    if side != "timeout":
        assert engine.take() == [("close", reasons[side])]
    assert engine.core.sessions == {} and len(engine.core.timers) == 0
    engine.clock.advance(20)
    assert engine.clock.pending == 0
    websocket.receiver.on_text(b"5")
    websocket.hang_up()
    engine.take()
    assert client.session.ready_state == "closed" and client.session.transport == "polling"


def test_a_closing_session_may_finish_its_upgrade() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    client.session.send("last").close()  # type: ignore[func-returns-value]
    assert client.session.ready_state == "closing"
    websocket.receive("5")
    assert websocket.take() == ["4last"] and websocket.closed == (0, "")
    assert engine.take() == [("close", "forced close")]
    assert engine.core.sessions == {} and len(engine.core.timers) == 0


def test_a_listener_of_headers_ends_the_session_of_a_probe() -> None:
    engine = Engine()
    client = engine.open()
    engine.core.on("headers", lambda headers, request: client.session.close(discard=True))
    websocket = client.probe()
    assert websocket.closed == (0, "") and not client.session.upgrading
    assert len(engine.core.timers) == 0
    websocket.hang_up()
    assert engine.take() == [("close", "forced close")]


def test_the_handler_of_upgrade_closes() -> None:
    engine = Engine()
    client, websocket = probing(engine)
    client.session.on("upgrade", lambda: client.session.close())
    websocket.receive("5")
    assert websocket.closed == (0, "")
    assert engine.take() == [("upgrade",), ("close", "forced close")]


# -- heartbeat and binary over the switch


def test_v4_heartbeat_keeps_its_time() -> None:
    engine = Engine(ping_interval=5, ping_timeout=3)
    client = engine.open()
    engine.clock.advance(4)
    websocket = client.probe()
    websocket.receive("2probe")
    websocket.receive("5")
    websocket.take()
    engine.clock.advance(1 + LATE)
    assert websocket.take() == ["2"]
    websocket.receive("3")
    engine.clock.advance(5 + LATE)
    assert websocket.take() == ["2"]
    engine.clock.advance(3 + LATE)
    assert engine.take() == [("upgrade",), ("close", "ping timeout")]


def test_v4_a_ping_that_nobody_polled_leaves_over_the_websocket() -> None:
    engine = Engine(ping_interval=5, ping_timeout=3)
    client = engine.open()
    engine.clock.advance(5 + LATE)
    websocket = client.probe()
    websocket.receive("2probe")
    websocket.receive("5")
    assert websocket.take() == ["3probe", "2"]
    websocket.receive("3")
    engine.clock.advance(4)
    assert engine.take() == [("upgrade",)]


def test_v3_heartbeat_keeps_its_time() -> None:
    engine = Engine(ping_interval=5, ping_timeout=3)
    client = engine.open(3)
    engine.clock.advance(4)
    websocket = client.probe()
    websocket.receive("2probe")
    websocket.receive("5")
    engine.clock.advance(4 - LATE)
    assert engine.take() == [("upgrade",)]
    engine.clock.advance(2 * LATE)
    assert engine.take() == [("close", "ping timeout")]


@pytest.mark.parametrize(
    ("handshake", "probe", "expected"),
    [({"b64": "1"}, {}, b"\x04\x01"), ({}, {"b64": "1"}, "b4AQ=="), ({}, {}, b"\x04\x01")],
)
def test_the_websocket_says_anew_whether_it_takes_binary(
    handshake: dict[str, str], probe: dict[str, str], expected: str | bytes
) -> None:
    # The v3 Node client always polls with b64=1.
    engine = Engine()
    client = engine.open(3, **handshake)
    websocket = client.probe(**probe)
    websocket.receive("2probe")
    websocket.receive("5")
    websocket.take()
    client.session.send(b"\x01")
    assert websocket.take() == [expected]
