"""Random requests, frames, time and handlers: nothing escapes, everything is answered, all ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsio.engine.session import Session
from tests.unit.engine.fakes import Engine, FakeWebSocket

T = TypeVar("T")

STEPS = 150

PACKETS = ["2probe", "5", "2", "3", "1", "0", "6", "4", "4hello", "bAQID", "b", "b4AQ==", "", "9", "4\u20ac"]
FRAMES = [b"", b"\x04x", b"\x01", b"\x02", b"\xff"]
BODIES = [b"", b"d=4x", b"d=", b"x" * 201, b"4" * 200, b"\x00\x02\xff4x", b"\x01\x02\xff\x04x", b"-1:4"]
HEADERS = {
    "origin": ["http://example.com", "http://evil.com", "null", "\x01"],
    "accept-encoding": ["gzip, deflate;q=0.5", "*", ";;q=x,"],
    "content-type": ["application/octet-stream", "text/plain"],
    "user-agent": [";MSIE"],
    "x-forwarded-for": ["10.0.0.1, 1.2.3.4", ",", "x"],
    "x-forwarded-host": ["evil.com", ""],
    "host": ["example.com:80", ""],
    "access-control-request-headers": ["x-a"],
}
OPTIONS: dict[str, list[Any]] = {
    "ping_interval": [0.5, 5.0],
    "ping_timeout": [0.5, 5.0],
    "upgrade_timeout": [0.5, 5.0],
    "close_timeout": [0.5, 5.0],
    "max_buffered_bytes": [1000, 100_000],
    "max_packets_per_payload": [2, 100],
    "max_connections": [None, None, 3],
    "allow_upgrades": [True, True, False],
    "cors": [None, "*", True, ["http://example.com"]],
    "cookie": [None, True],
    "initial_packet": [None, "0", b"\x01"],
    "protocols": [(3, 4), (3, 4), (4,)],
    "trusted_proxies": [(), ("192.0.2.0/24",)],
    "http_compression": [True, {"threshold": 1}],
}


class Chaos:
    """A server, clients that do anything, and a program that does anything to its sessions."""

    def __init__(self, random: Random) -> None:
        self.random = random
        options = {name: random.choice(values) for name, values in OPTIONS.items()}
        self.engine = Engine(max_http_buffer_size=200, **options)
        self.engine.core.on("connection", self._on_connection)
        self.engine.core.on("headers", lambda headers, request: self._now_and_then(self.close))
        self.sessions: list[Session] = []
        self.ends: dict[Session, int] = {}
        self.websockets: list[FakeWebSocket] = []
        self.behaviour: Callable[[Session], object] = _nothing
        self.steps: list[tuple[Callable[[], object], int]] = [
            (self.handshake, 6),
            (self.connect, 3),
            (self.poll, 12),
            (self.post, 10),
            (self.probe, 8),
            (self.deliver, 6),
            (self.disconnect, 3),
            (self.receive, 12),
            (self.hang_up, 2),
            (self.anything, 6),
            (self.behave, 2),
            (self.send, 10),
            (self.close, 3),
            (self.turn, 8),
            (self.wait, 8),
        ]

    def run(self) -> None:
        steps, weights = zip(*self.steps, strict=True)
        for step in self.random.choices(steps, weights, k=STEPS):
            step()
            self.check()
        self.finish()

    # -- values

    def bytes(self, size: int) -> bytes:
        return self.random.randbytes(self.random.randrange(size))

    def text(self) -> str:
        return self.bytes(12).decode("utf-8", "replace")

    def packet(self) -> str:
        return self.random.choice(PACKETS) if self.random.random() < 0.8 else self.text()

    def body(self) -> bytes:
        kind = self.random.random()
        packets = [self.packet() for _ in range(self.random.choice([1, 1, 2, 3]))]
        if kind < 0.35:
            return "\x1e".join(packets).encode()
        if kind < 0.7:
            return "".join(f"{len(packet)}:{packet}" for packet in packets).encode()
        return self.random.choice(BODIES) if kind < 0.9 else self.bytes(60)

    def headers(self) -> dict[str, str]:
        names = self.random.sample(list(HEADERS), self.random.choice([0, 0, 0, 1, 2, 3]))
        return {name: self.random.choice(HEADERS[name]) for name in names}

    def pick(self, things: Iterable[T]) -> T | None:
        """One of the latest few."""
        latest = list(things)[-4:]
        return self.random.choice(latest) if latest else None

    # -- the clients

    def handshake(self) -> None:
        query = {"EIO": self.random.choice("344"), "transport": "polling"}
        if self.random.random() < 0.2:
            query["j"] = self.text()
        if self.random.random() < 0.2:
            query["b64"] = "1"
        self.engine.request("GET", query, headers=self.headers())

    def connect(self) -> None:
        compressed = self.random.random() < 0.3
        self._upgrade({"EIO": self.random.choice("344"), "transport": "websocket"}, compressed=compressed)

    def poll(self) -> None:
        self._polling("GET", b"")

    def post(self) -> None:
        self._polling("POST", None if self.random.random() < 0.5 else self.body())

    def _polling(self, method: str, body: bytes | None) -> None:
        session = self.pick(self.engine.core.sessions.values())
        if session is not None:
            if self.random.random() < 0.03:
                method = self.random.choice(["OPTIONS", "HEAD", "PUT", ""])
            query = {"EIO": str(session.protocol), "transport": "polling", "sid": session.id}
            self.engine.request(method, query, headers=self.headers(), body=body)

    def probe(self) -> None:
        session = self.pick(self.engine.core.sessions.values())
        if session is not None:
            query = {"EIO": str(session.protocol), "transport": "websocket", "sid": session.id}
            self._upgrade({**query, **({"b64": "1"} if self.random.random() < 0.2 else {})})
            if self.random.random() < 0.5 and self.websockets:
                self.websockets[-1].receive("2probe")
                if self.random.random() < 0.5:
                    self.websockets[-1].receive("5")

    def _upgrade(self, query: dict[str, str], **options: Any) -> None:
        handshake = self.random.choice([101] * 9 + [400])
        exchange = self.engine.request(
            "GET", query, upgrade=True, headers=self.headers(), handshake=handshake, **options
        )
        assert exchange.ended
        if exchange.websocket is not None:
            self.websockets.append(exchange.websocket)

    def anything(self) -> None:
        values = {
            "EIO": ["3", "4", "5", self.text()],
            "transport": ["polling", "websocket", "", self.text()],
            "sid": ["", self.text(), *self.engine.core.sessions],
            "j": ["0", self.text()],
        }
        names = self.random.sample(list(values), self.random.randrange(len(values) + 1))
        query = {name: self.random.choice(values[name]) for name in names}
        if self.random.random() < 0.3:
            self._upgrade(query)
        else:
            method = self.random.choice(["GET", "POST", "OPTIONS", "PUT", ""])
            body = None if self.random.random() < 0.5 else self.body()
            self.engine.request(method, query, headers=self.headers(), body=body)

    def deliver(self) -> None:
        exchange = self.pick(exchange for exchange in self.engine.exchanges if exchange.reading)
        if exchange is not None:
            exchange.deliver(self.body())

    def disconnect(self) -> None:
        exchange = self.pick(exchange for exchange in self.engine.exchanges if not exchange.ended)
        if exchange is not None:
            exchange.disconnect()

    def receive(self) -> None:
        websocket = self.pick(websocket for websocket in self.websockets if websocket.closed is None)
        if websocket is not None:
            frame = self.packet() if self.random.random() < 0.8 else self.random.choice(FRAMES)
            websocket.receive(frame)

    def hang_up(self) -> None:
        websocket = self.pick(self.websockets)
        if websocket is not None:
            websocket.hang_up(1006, self.random.choice([None, "reset"]))

    # -- the program

    def _on_connection(self, session: Session) -> None:
        self.sessions.append(session)
        for event in ("message", "drain", "upgrade"):
            session.on(event, lambda *args: self._act(session))
        session.on("close", lambda: self._ended(session))
        self._act(session)

    def _ended(self, session: Session) -> None:
        self.ends[session] = self.ends.get(session, 0) + 1
        self._act(session)

    def _act(self, session: Session) -> None:
        self._now_and_then(lambda: self.behaviour(session))

    def _now_and_then(self, action: Callable[[], object]) -> None:
        # Not always: a message sent on every "drain" would go on for ever.
        if self.random.random() < 0.3:
            action()

    def behave(self) -> None:
        self.behaviour = self.random.choice(
            [
                lambda session: session.send("echo"),
                lambda session: session.send(b"echo"),
                lambda session: session.close(),
                lambda session: session.close(discard=True),
                lambda session: self.engine.core.close_sessions(),
                _raise,
                _nothing,
            ]
        )

    def send(self) -> None:
        session = self.pick(self.sessions)
        if session is not None:
            size = self.random.choice([0, 5, 5, 5, 600])
            session.send("x" * size if self.random.random() < 0.7 else b"x" * size)

    def close(self) -> None:
        session = self.pick(self.sessions)
        if session is not None:
            session.close(self.random.random() < 0.3)

    def turn(self) -> None:
        self.engine.clock.settle()

    def wait(self) -> None:
        self.engine.clock.advance(self.random.choice([0.05, 0.05, 0.2, 0.2, 0.6, 3.0, 12.0]))

    # -- what holds

    def check(self) -> None:
        core = self.engine.core
        waiting = set()
        for sid, session in core.sessions.items():
            assert session.id == sid and session.ready_state in ("open", "closing")
            assert session.tick, "no deadline"
            polling = session.polling
            assert (polling is None) is (session.transport == "websocket")
            if polling is not None and polling.poll is not None:
                waiting.add(polling.poll.exchange)
                if session._buffer:
                    assert session in core._dirty, "nobody flushes it"
        for session in self.sessions:
            if session.ready_state == "closed":
                assert session.id not in core.sessions
                assert self.ends[session] == 1
                assert session.tick == 0 and session._buffer == [] and not session.upgrading
            else:
                assert core.sessions[session.id] is session
                assert session not in self.ends
        for exchange in self.engine.exchanges:
            assert exchange.extra == 0, "answered twice"
            assert exchange.ended or exchange.reading or exchange in waiting, "forgotten"

    def finish(self) -> None:
        """Left alone, everything ends by itself, and everything is answered."""
        self.behaviour = _nothing
        self.engine.core.remove_all_listeners("headers")
        for exchange in self.engine.exchanges:
            if exchange.reading:
                exchange.disconnect()
        self.engine.clock.advance(100)
        assert self.engine.core.sessions == {}
        assert len(self.engine.core.timers) == 0
        assert all(exchange.ended for exchange in self.engine.exchanges)
        for websocket in self.websockets:
            websocket.hang_up()
        self.engine.clock.advance(100)
        assert self.engine.clock.pending == 0, "a timer goes on for nobody"
        self.check()


def _nothing(session: Session) -> None:
    pass


def _raise(session: Session) -> None:
    raise ValueError("a handler fails")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_chaos(seed: int) -> None:
    Chaos(Random(seed)).run()
