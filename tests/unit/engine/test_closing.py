"""The end of a session, in every state and from every side (Engine.IO protocol)."""

from __future__ import annotations

from typing import Any

import pytest

from fastsio.types import DisconnectReason
from tests.unit.engine.fakes import Engine

LATE = 0.05
PROTOCOLS = pytest.mark.parametrize("protocol", [3, 4])


def payload(protocol: int, *packets: str) -> bytes:
    if protocol == 4:
        return "\x1e".join(packets).encode()
    return "".join(f"{len(packet)}:{packet}" for packet in packets).encode()


def over(engine: Engine, reason: str) -> None:
    """Ended exactly once, with nothing left."""
    assert engine.take() == [("close", reason)]
    assert engine.session.ready_state == "closed"
    assert engine.core.sessions == {} and len(engine.core.timers) == 0
    engine.session.close()
    engine.session.close(discard=True)
    engine.session.end(DisconnectReason.PING_TIMEOUT)
    engine.session.send("late")
    engine.clock.advance(100)
    assert engine.take() == [] and engine.session._buffer == []


# -- by the client


@PROTOCOLS
def test_the_client_closes_over_polling(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    post = client.post(payload(protocol, "4a", "1", "4lost"))
    assert poll.body == payload(protocol, "6")
    assert post.body == b"ok"
    assert engine.events.pop(0) == ("message", "a")
    over(engine, "transport close")
    assert client.poll().status == 400


@PROTOCOLS
def test_the_client_closes_without_a_poll(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    assert client.post(payload(protocol, "1")).body == b"ok"
    over(engine, "transport close")


def test_what_waits_for_the_poll_is_still_delivered() -> None:
    engine = Engine()
    client = engine.open()
    poll = client.poll()
    client.session.on("message", client.session.send)
    client.post(b"4bye\x1e1")
    assert poll.body == b"4bye"
    engine.take()
    assert engine.core.sessions == {}


# -- by the server, polling


@PROTOCOLS
def test_close_with_an_open_poll(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    client.session.close()
    assert poll.body == payload(protocol, "1")
    over(engine, "forced close")


@PROTOCOLS
def test_what_is_queued_has_a_response_of_its_own(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    client.session.send("last").close()  # type: ignore[func-returns-value]
    assert poll.body == payload(protocol, "4last")
    assert client.session.ready_state == "closing"
    assert client.poll().body == payload(protocol, "6", "1")
    over(engine, "forced close")


def test_a_listener_that_ends_the_session_while_it_closes() -> None:
    engine = Engine()
    client = engine.open()
    client.poll()
    client.session.on("drain", lambda: client.session.close(discard=True))
    client.session.send("last").close()  # type: ignore[func-returns-value]
    over(engine, "forced close")


@PROTOCOLS
def test_close_without_a_poll_waits_for_one(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    client.session.close()
    assert client.session.ready_state == "closing" and engine.take() == []
    assert engine.core.clients_count == 1
    client.session.send("dropped")
    poll = client.poll()
    assert poll.body == payload(protocol, "6", "1")
    over(engine, "forced close")


@PROTOCOLS
def test_close_without_a_poll_sends_what_is_queued(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    client.session.send("a").send("b").close()  # type: ignore[func-returns-value]
    assert client.poll().body == payload(protocol, "4a", "4b")
    assert client.poll().body == payload(protocol, "6", "1")
    over(engine, "forced close")


@PROTOCOLS
def test_close_timeout(protocol: int) -> None:
    engine = Engine(close_timeout=7)
    client = engine.open(protocol)
    client.session.close()
    client.session.close()
    engine.clock.advance(7 - LATE)
    assert client.session.ready_state == "closing" and engine.take() == []
    engine.clock.advance(2 * LATE)
    over(engine, "forced close")


def test_close_timeout_takes_the_place_of_the_heartbeat() -> None:
    for protocol in (3, 4):
        engine = Engine(ping_interval=2, ping_timeout=1, close_timeout=30)
        client = engine.open(protocol)
        client.session.close()
        engine.clock.advance(29)
        assert client.session.ready_state == "closing"
        engine.clock.advance(2)
        over(engine, "forced close")


def test_posts_while_closing() -> None:
    engine = Engine()
    client = engine.open()
    client.session.close()
    assert client.post(b"4x\x1e3\x1e2").body == b"ok"
    assert engine.take() == [] and client.session.ready_state == "closing"
    assert client.post(b"1").body == b"ok"
    over(engine, "transport close")


def test_junk_while_closing() -> None:
    engine = Engine()
    client = engine.open()
    client.session.close()
    assert client.post(b"junk").body == b"ok"
    over(engine, "parse error")


def test_discard_ends_a_closing_session() -> None:
    engine = Engine()
    client = engine.open()
    client.session.close()
    client.session.close(discard=True)
    over(engine, "forced close")


@PROTOCOLS
def test_discard_drops_what_is_queued(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    poll = client.poll()
    client.session.send("lost").close(discard=True)  # type: ignore[func-returns-value]
    assert poll.body == payload(protocol, "1")
    over(engine, "forced close")
    client = engine.open(protocol)
    client.session.send("lost").close(discard=True)  # type: ignore[func-returns-value]
    over(engine, "forced close")


@pytest.mark.parametrize("discard", [False, True])
def test_close_in_the_connection_handler(discard: bool) -> None:
    engine = Engine()
    engine.core.on("connection", lambda session: session.close(discard))
    exchange = engine.request("GET", {"EIO": "4", "transport": "polling"})
    assert exchange.status == 200
    if discard:
        assert exchange.body == b"1"
    else:
        assert exchange.body.startswith(b'0{"sid"')
        query = {"EIO": "4", "transport": "polling", "sid": engine.session.id}
        assert engine.request("GET", query).body == b"6\x1e1"
    over(engine, "forced close")
    exchange = engine.request("GET", {"EIO": "4", "transport": "websocket"}, upgrade=True)
    assert exchange.websocket is not None and exchange.websocket.closed == (0, "")
    over(engine, "forced close")


def test_close_ends_a_body_in_progress() -> None:
    engine = Engine()
    client = engine.open()
    poll, post = client.poll(), client.post(None)
    client.session.close()
    assert poll.body == b"1" and post.aborted
    over(engine, "forced close")


# -- by the server, WebSocket


@PROTOCOLS
@pytest.mark.parametrize("discard", [False, True])
def test_close_over_websocket(protocol: int, discard: bool) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    engine.session.send("last").close(discard)  # type: ignore[func-returns-value]
    assert websocket.take() == ["4last"] and websocket.closed == (0, "")
    over(engine, "forced close")
    websocket.hang_up(1005)
    assert engine.take() == []


# -- all


def test_close_sessions() -> None:
    engine = Engine()
    polled, idle, closing = engine.open(), engine.open(), engine.open()
    closing.session.close()
    websocket = engine.connect()
    poll = polled.poll()
    for session in engine.core.clients.values():
        session.send("bye")
    engine.core.close_sessions()
    assert poll.body == b"4bye"
    assert websocket.take() == ["4bye"] and websocket.closed == (0, "")
    assert engine.take() == [("close", "forced close")] * 4
    assert idle.session.ready_state == "closed"
    assert engine.core.sessions == {} and len(engine.core.timers) == 0


async def test_engine_server_close_ends_all() -> None:
    from fastsio.engine import EngineServer

    server = EngineServer()
    await server.close()
    assert server.clients_count == 0 and server.port is None


# -- the event


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_close_fires_once_whoever_is_first(transport: str) -> None:
    engine = Engine()
    if transport == "polling":
        engine.open().poll()
    else:
        engine.connect()
    session = engine.session
    calls: list[Any] = []

    def again(reason: str, description: Any) -> None:
        calls.append((reason, description))
        session.close()
        session.end(DisconnectReason.PARSE_ERROR)
        session.send("x")

    session.on("close", again)
    session.end(DisconnectReason.TRANSPORT_ERROR, "why")
    assert calls == [("transport error", "why")]
    over(engine, "transport error")


def test_listeners_go_with_the_session() -> None:
    engine = Engine()
    engine.connect()
    engine.session.close()
    assert engine.session.event_names() == []


def test_an_end_while_the_response_is_put_together() -> None:
    # A listener of "headers" runs inside the answer to a poll.
    engine = Engine()
    client = engine.open()
    engine.core.on("headers", lambda headers, request: client.session.close())
    poll = client.poll()
    client.session.send("x")
    engine.clock.settle()
    assert poll.body == b"4x" and poll.extra == 0
    assert client.session.ready_state == "closing"
