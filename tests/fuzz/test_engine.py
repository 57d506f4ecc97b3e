"""Random requests, frames, time and hooks on an engine: nothing escapes, everything is answered, all ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastsio.engine.session import Session
from tests.unit.engine.fakes import Engine, FakeWebSocket

T = TypeVar("T")

METHODS = st.sampled_from(["GET", "GET", "GET", "POST", "POST", "OPTIONS", "HEAD", "PUT", "", "get"])
PACKETS_TEXT = st.one_of(
    st.sampled_from(["2probe", "5", "2", "3", "1", "0", "6", "4", "4hello", "bAQID", "b", "b4AQ==", "", "9"]),
    st.text(max_size=20),
)
PACKETS_BINARY = st.one_of(
    st.sampled_from([b"", b"\x04x", b"\x01", b"\x02", b"\xff"]), st.binary(max_size=20)
)
BODIES = st.one_of(
    st.lists(PACKETS_TEXT, max_size=4).map(lambda packets: "\x1e".join(packets).encode("utf-8", "replace")),
    st.lists(PACKETS_TEXT, max_size=4).map(
        lambda packets: "".join(f"{len(packet)}:{packet}" for packet in packets).encode("utf-8", "replace")
    ),
    st.binary(max_size=60),
    st.sampled_from([b"d=4x", b"d=", b"x" * 300, b"\x00\x02\xff4x", b"\x01\x02\xff\x04x", b"2:4x", b"1"]),
)
HEADERS = st.dictionaries(
    st.sampled_from(["origin", "accept-encoding", "content-type", "user-agent", "x-forwarded-for", "host"]),
    st.one_of(
        st.sampled_from(
            [
                "http://example.com",
                "null",
                "gzip, deflate;q=0.5",
                "application/octet-stream",
                ";MSIE",
                "10.0.0.1, 1.2.3.4",
                "example.com",
            ]
        ),
        st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=15),
    ),
    max_size=3,
)
TEXT = st.text(max_size=10)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "EIO": st.one_of(st.sampled_from(["3", "4", "4", "5"]), TEXT),
        "transport": st.one_of(st.sampled_from(["polling", "polling", "websocket"]), TEXT),
        "j": st.one_of(st.just("0"), TEXT),
        "b64": st.sampled_from(["", "1"]),
        "sid": TEXT,
    },
)
OPTIONS = st.fixed_dictionaries(
    {
        "ping_interval": st.sampled_from([0.5, 5.0]),
        "ping_timeout": st.sampled_from([0.5, 5.0]),
        "upgrade_timeout": st.sampled_from([0.5, 5.0]),
        "close_timeout": st.sampled_from([0.5, 5.0]),
        "max_http_buffer_size": st.just(200),
        "max_buffered_bytes": st.sampled_from([1000, 100_000]),
        "max_packets_per_payload": st.sampled_from([2, 100]),
        "max_connections": st.sampled_from([None, 3]),
        "allow_upgrades": st.sampled_from([True, True, False]),
        "cors": st.sampled_from([None, "*", True, ["http://example.com"]]),
        "cookie": st.booleans(),
        "initial_packet": st.sampled_from([None, "0", b"\x01"]),
        "protocols": st.sampled_from([(3, 4), (4,)]),
        "trusted_proxies": st.sampled_from([(), ("192.0.2.0/24",)]),
        "http_compression": st.sampled_from([True, {"threshold": 1}]),
    }
)


INDEX = st.integers(0, 5)


class EngineMachine(RuleBasedStateMachine):
    """A server, clients that do anything, and a program that does anything to its sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.engine: Engine = Engine()
        self.all_sessions: list[Session] = []
        self.ends: dict[Session, int] = {}
        self.websockets: list[FakeWebSocket] = []
        self.behaviour = "echo"

    @initialize(options=OPTIONS)
    def configure(self, options: dict[str, Any]) -> None:
        self.engine = Engine(**options)
        self.engine.core.on("connection", self._on_connection)

    def _on_connection(self, session: Session) -> None:
        self.all_sessions.append(session)
        session.on("message", lambda data: self._act(session, data))
        session.on("drain", lambda: self._act(session, "drained") if self.behaviour != "echo" else None)
        session.on("close", lambda: self._ended(session))
        session.on("upgrade", lambda: self._act(session, "upgraded"))

    def _ended(self, session: Session) -> None:
        self.ends[session] = self.ends.get(session, 0) + 1
        self._act(session, "late")

    def _act(self, session: Session, data: Any) -> None:
        if self.behaviour == "echo":
            session.send(data)
        elif self.behaviour == "close":
            session.close()
        elif self.behaviour == "discard":
            session.close(discard=True)
        elif self.behaviour == "raise":
            raise ValueError("a handler fails")
        elif self.behaviour == "close all":
            self.engine.core.close_sessions()

    # -- the clients

    @rule(protocol=st.sampled_from(["3", "4"]), jsonp=st.sampled_from([False, False, True]))
    def handshake(self, protocol: str, jsonp: bool) -> None:
        self.engine.request("GET", {"EIO": protocol, "transport": "polling", **({"j": "1"} if jsonp else {})})
        self.engine.clock.settle()

    @rule(protocol=st.sampled_from(["3", "4"]), compressed=st.booleans())
    def connect(self, protocol: str, compressed: bool) -> None:
        self._upgrade({"EIO": protocol, "transport": "websocket"}, compressed=compressed)

    @rule(method=METHODS, query=QUERIES, headers=HEADERS, body=st.none() | BODIES)
    def anything(
        self, method: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
    ) -> None:
        self.engine.request(method, _encodable(query), headers=headers, body=body)

    @rule(query=QUERIES, headers=HEADERS, handshake=st.sampled_from([101, 400, 426]))
    def any_upgrade(self, query: dict[str, str], headers: dict[str, str], handshake: int) -> None:
        self._upgrade(_encodable(query), headers=headers, handshake=handshake)

    def _upgrade(self, query: dict[str, str], **options: Any) -> None:
        exchange = self.engine.request("GET", query, upgrade=True, **options)
        assert exchange.ended
        if exchange.websocket is not None:
            self.websockets.append(exchange.websocket)

    @rule(index=INDEX, method=METHODS, headers=HEADERS, body=st.none() | BODIES)
    def of_session(self, index: int, method: str, headers: dict[str, str], body: bytes | None) -> None:
        self._polling(index, method, body, headers)

    @rule(index=INDEX)
    def poll(self, index: int) -> None:
        self._polling(index, "GET", b"", {})

    @rule(index=INDEX, body=st.none() | BODIES)
    def post(self, index: int, body: bytes | None) -> None:
        self._polling(index, "POST", body, {})

    def _polling(self, index: int, method: str, body: bytes | None, headers: dict[str, str]) -> None:
        session = _pick(self.engine.core.sessions.values(), index)
        if session is not None:
            query = {"EIO": str(session.protocol), "transport": "polling", "sid": session.id}
            self.engine.request(method, query, headers=headers, body=body)

    @rule(index=INDEX, b64=st.booleans())
    def probe(self, index: int, b64: bool) -> None:
        session = _pick(self.engine.core.sessions.values(), index)
        if session is not None:
            query = {"EIO": str(session.protocol), "transport": "websocket", "sid": session.id}
            self._upgrade({**query, **({"b64": "1"} if b64 else {})})

    @rule(index=INDEX, body=BODIES)
    def deliver(self, index: int, body: bytes) -> None:
        exchange = _pick([exchange for exchange in self.engine.exchanges if exchange.reading], index)
        if exchange is not None:
            exchange.deliver(body)

    @rule(index=INDEX)
    def disconnect(self, index: int) -> None:
        exchange = _pick([exchange for exchange in self.engine.exchanges if not exchange.ended], index)
        if exchange is not None:
            exchange.disconnect()

    @rule(index=INDEX, packet=st.one_of(PACKETS_TEXT, PACKETS_BINARY))
    def receive(self, index: int, packet: str | bytes) -> None:
        websocket = _pick([websocket for websocket in self.websockets if websocket.closed is None], index)
        if websocket is not None:
            websocket.receive(packet)

    @rule(index=INDEX)
    def upgrade(self, index: int) -> None:
        self.receive(index, "2probe")
        self.receive(index, "5")

    @rule(index=INDEX, error=st.sampled_from([None, "reset"]))
    def hang_up(self, index: int, error: str | None) -> None:
        websocket = _pick(self.websockets, index)
        if websocket is not None:
            websocket.hang_up(1006, error)

    # -- the program

    @rule(behaviour=st.sampled_from(["echo", "close", "discard", "raise", "nothing", "close all"]))
    def behave(self, behaviour: str) -> None:
        self.behaviour = behaviour

    @rule(index=INDEX, data=st.one_of(st.text(max_size=20), st.binary(max_size=20)))
    def send(self, index: int, data: str | bytes) -> None:
        session = _pick(self.all_sessions, index)
        if session is not None:
            session.send(data)

    @rule(index=INDEX, discard=st.booleans())
    def close(self, index: int, discard: bool) -> None:
        session = _pick(self.all_sessions, index)
        if session is not None:
            session.close(discard)

    @rule()
    def turn(self) -> None:
        self.engine.clock.settle()

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.6, 3.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self.engine.clock.advance(seconds)

    # -- what holds

    @invariant()
    def tables_hold_what_is_open(self) -> None:
        core = self.engine.core
        for sid, session in core.sessions.items():
            assert session.id == sid and session.ready_state in ("open", "closing")
            assert session.tick, "no deadline"
            polling = session.polling
            assert (polling is None) is (session.transport == "websocket")
            if polling is not None and polling.poll is not None and session._buffer:
                assert session in core._dirty, "nobody flushes it"
        for session in self.all_sessions:
            if session.ready_state == "closed":
                assert session.id not in core.sessions
                assert self.ends.get(session) == 1
                assert session.tick == 0 and session._buffer == [] and not session.upgrading
            else:
                assert core.sessions[session.id] is session
                assert session not in self.ends

    @invariant()
    def answered_at_most_once(self) -> None:
        for exchange in self.engine.exchanges:
            assert exchange.extra == 0

    @invariant()
    def requests_without_a_session_are_answered(self) -> None:
        waiting = set()
        for session in self.engine.core.sessions.values():
            if session.polling is not None and session.polling.poll is not None:
                waiting.add(session.polling.poll.exchange)
        for exchange in self.engine.exchanges:
            assert exchange.ended or exchange.reading or exchange in waiting, "forgotten"

    def teardown(self) -> None:
        """Everything ends by itself, and everything is answered."""
        self.behaviour = "nothing"
        for exchange in self.engine.exchanges:
            if exchange.reading:
                exchange.disconnect()
        self.engine.clock.advance(100)
        assert self.engine.core.sessions == {}
        assert len(self.engine.core.timers) == 0
        for exchange in self.engine.exchanges:
            assert exchange.ended, "never answered"
        for websocket in self.websockets:
            websocket.hang_up()
        self.engine.clock.advance(100)
        assert self.engine.clock.pending == 0, "a timer goes on for nobody"
        self.tables_hold_what_is_open()
        self.answered_at_most_once()


def _pick(things: Iterable[T], index: int) -> T | None:
    """One of the latest few."""
    latest = list(things)[-3:]
    return latest[index % len(latest)] if latest else None


def _encodable(query: dict[str, str]) -> dict[str, str]:
    return {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
