"""The events of single packets, heartbeats and upgrades, of sessions and of the engine."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from fastsio.engine import EnginePacket
from fastsio.engine.session import Session
from fastsio.engine.sink import FunctionSink
from tests.unit.engine.fakes import Engine, FakeWebSocket, Polling

EVENTS = ("packet", "packet_create", "data", "message", "flush", "drain", "heartbeat", "upgrading", "upgrade")


class Log:
    """What a session says from now on, in order."""

    def __init__(self, session: Session, *events: str) -> None:
        self.entries: list[tuple[Any, ...]] = []
        for event in events or EVENTS:
            session.on(event, self._note(event))

    def _note(self, event: str) -> Any:
        return lambda *args: self.entries.append((event, *args))

    def take(self) -> list[tuple[Any, ...]]:
        entries, self.entries = self.entries, []
        return entries


def message(data: str | bytes) -> EnginePacket:
    return EnginePacket("message", data)


def sent(packet: EnginePacket) -> list[tuple[Any, ...]]:
    return [("packet_create", packet), ("flush", [packet]), ("drain",)]


def received(packet: EnginePacket) -> list[tuple[Any, ...]]:
    return [("packet", packet), ("data", packet.data), ("message", packet.data)]


def attach(session: Session) -> list[Any]:
    """Take the messages of a session as a Socket.IO client does."""
    taken: list[Any] = []
    session.attach(FunctionSink(taken.append, taken.append, lambda *args: None))
    return taken


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("sinks", [False, True])
def test_websocket(protocol: int, sinks: bool) -> None:
    engine = Engine()
    websocket = engine.connect(protocol)
    taken = attach(engine.session) if sinks else []
    log = Log(engine.session)
    binary = b"\x01\x02" if protocol == 4 else b"\x04\x01\x02"
    websocket.receive("4text é")
    websocket.receive(binary)
    assert log.take() == [*received(message("text é")), *received(message(b"\x01\x02"))]
    assert taken == (["4text é".encode(), b"\x01\x02"] if sinks else [])
    engine.session.send("out é")
    engine.session.send(b"\x03")
    assert log.take() == [*sent(message("out é")), *sent(message(b"\x03"))]
    assert websocket.take() == ["4out é", b"\x03" if protocol == 4 else b"\x04\x03"]


@pytest.mark.parametrize("protocol", [3, 4])
def test_polling(protocol: int) -> None:
    engine = Engine()
    client = engine.open(protocol)
    taken = attach(engine.session)
    log = Log(engine.session)
    client.post(b"4in" if protocol == 4 else b"3:4in")
    assert log.take() == received(message("in"))
    assert taken == ["in"]
    engine.session.send("one").send("two")
    assert log.take() == [("packet_create", message("one")), ("packet_create", message("two"))]
    poll = client.poll()
    assert log.take() == [("flush", [message("one"), message("two")]), ("drain",)]
    assert poll.body == (b"4one\x1e4two" if protocol == 4 else b"4:4one4:4two")


def test_heartbeats() -> None:
    engine = Engine(ping_interval=10, ping_timeout=5)
    websocket = engine.connect(4)
    log = Log(engine.session)
    engine.clock.advance(10.1)
    assert log.take() == sent(EnginePacket("ping", None))
    websocket.receive("3")
    assert log.take() == [("packet", EnginePacket("pong", None)), ("heartbeat",)]
    websocket.receive("3")  # not asked for
    assert log.take() == [("packet", EnginePacket("pong", None))]

    old = engine.connect(3)
    log = Log(engine.session)
    old.receive("2")
    assert log.take() == [
        ("packet", EnginePacket("ping", None)),
        *sent(EnginePacket("pong", None)),
        ("heartbeat",),
    ]


def test_upgrade() -> None:
    engine = Engine()
    client = engine.open()
    log = Log(engine.session)
    engine.session.send("queued")
    log.take()
    websocket = client.probe()
    assert log.take() == []
    websocket.receive("2probe")
    assert log.take() == [("upgrading", "websocket")]
    websocket.receive("5")
    assert log.take() == [("flush", [message("queued")]), ("drain",), ("upgrade", "websocket")]
    assert websocket.take() == ["3probe", "4queued"]
    websocket.receive("4hello")
    engine.session.send("after")
    assert log.take() == [*received(message("hello")), *sent(message("after"))]
    assert websocket.take() == ["4after"]


def test_transport_has_a_name() -> None:
    engine = Engine()
    client = engine.open()
    session = engine.session
    assert (session.transport, session.transport.name) == ("polling", "polling")
    websocket = client.probe()
    websocket.receive("2probe")
    websocket.receive("5")
    assert (session.transport, session.transport.name) == ("websocket", "websocket")
    assert session.upgraded


@pytest.mark.parametrize("mode", ["polling", "websocket"])
def test_engine_flush_and_drain(mode: str) -> None:
    engine = Engine()

    def begin() -> FakeWebSocket | Polling:
        return engine.open() if mode == "polling" else engine.connect()

    before = begin()
    first = engine.session
    seen: list[Any] = []
    engine.core.on("flush", lambda session, packets: seen.append((session, packets)))
    engine.core.on("drain", lambda session: seen.append(session))
    begin()
    second = engine.session
    seen.clear()  # the open packet of the second
    first.send("x")
    if isinstance(before, Polling):
        before.poll()
    assert seen == [(first, [message("x")]), first]
    second.send("y")
    if mode == "websocket":
        assert seen[2:] == [(second, [message("y")]), second]


def test_only_what_is_listened_to() -> None:
    engine = Engine()
    websocket = engine.connect()
    log = Log(engine.session, "drain")
    websocket.receive("4in")
    engine.session.send("out")
    assert log.take() == [("drain",)]


@pytest.mark.parametrize("event", ["packet", "flush", "packet_create", "data"])
@pytest.mark.parametrize("mode", ["polling", "websocket"])
def test_a_listener_may_close_the_session(event: str, mode: str) -> None:
    engine = Engine()
    client: Any = engine.open() if mode == "polling" else engine.connect()
    session = engine.session
    taken = attach(session)
    session.on(event, lambda *args: session.close(discard=True))
    session.send("out")
    if mode == "polling" and session.ready_state == "open":
        client.poll()
    if session.ready_state == "open":
        if mode == "polling":
            client.post(b"4in")
        else:
            client.receive("4in")
    assert session.ready_state == "closed"
    assert taken == []


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    websocket = engine.connect()
    taken = attach(engine.session)

    def fail(packet: EnginePacket) -> None:
        raise RuntimeError("listener")

    engine.session.on("packet", fail).on("packet_create", fail)
    websocket.receive("4in")
    engine.session.send("out")
    assert taken == [b"4in"]
    assert websocket.take() == ["4out"]
    assert caplog.text.count("RuntimeError: listener") == 2


def test_undecodable_packets_end_the_session_as_ever() -> None:
    engine = Engine()
    websocket = engine.connect()
    log = Log(engine.session, "packet")
    websocket.receive("x")
    assert engine.take() == [("close", "parse error")]
    assert log.take() == []


def test_ready_made_frames_are_not_used_while_somebody_listens() -> None:
    from fastsio._codec import encode_event

    engine = Engine()
    websocket = engine.connect()
    log = Log(engine.session, "packet_create")
    engine.session.send_encoded(encode_event(("ev", b"\x01"), "/", None))
    assert websocket.take() == ['451-["ev",{"_placeholder":true,"num":0}]', b"\x01"]
    assert log.take() == [
        ("packet_create", message('51-["ev",{"_placeholder":true,"num":0}]')),
        ("packet_create", message(b"\x01")),
    ]


def test_send_callback() -> None:
    engine = Engine()
    called: list[str] = []
    websocket = engine.connect()
    engine.session.send("x", lambda: called.append("websocket"))
    assert websocket.take() == ["4x"] and called == []
    engine.clock.settle()
    client = engine.open()
    engine.session.write("y", lambda: called.append("polling"))
    engine.clock.settle()
    assert called == ["websocket"]
    client.poll()
    engine.session.send("z")
    client.poll()
    assert called == ["websocket", "polling"]


def test_an_observed_session_is_freed() -> None:
    engine = Engine()
    websocket = engine.connect()
    engine.session.on("packet", lambda packet: None)
    websocket.receive("4x")
    gone = weakref.ref(engine.session)
    gc.disable()
    try:
        websocket.hang_up()
        engine.events.clear()
        engine.session = None  # type: ignore[assignment]
        engine.exchanges.clear()
        del websocket
        assert gone() is None
    finally:
        gc.enable()
