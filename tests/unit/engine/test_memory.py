"""What is over is free again, by reference counting alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastsio.engine.session import Session
from tests.unit.engine.fakes import Engine, FakeExchange


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps the records, and with them tracebacks
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


class Watched:
    """An engine that keeps nothing of its sessions but weak references."""

    def __init__(self, **options: Any) -> None:
        self.engine = Engine(**options)
        self.engine.core.remove_all_listeners("connection")
        self.engine.core.on("connection", self._on_connection)
        self.sessions: list[weakref.ref[Session]] = []

    def _on_connection(self, session: Session) -> None:
        self.sessions.append(weakref.ref(session))
        session.on("message", session.send)  # a cycle, as programs make them
        session.on("close", lambda: session.id)

    def request(self, method: str = "GET", upgrade: bool = False, **query: str) -> FakeExchange:
        exchange = self.engine.request(method, {"EIO": "4", **query}, upgrade=upgrade, body=None)
        self.engine.clock.settle()
        return exchange

    @property
    def alive(self) -> list[Session]:
        return [session for reference in self.sessions if (session := reference()) is not None]


def polled(watched: Watched) -> tuple[str, FakeExchange]:
    watched.request(transport="polling")
    sid = next(reversed(watched.engine.core.sessions))
    return sid, watched.request(transport="polling", sid=sid)


def _client_closes(watched: Watched) -> None:
    sid, _poll = polled(watched)
    watched.request("POST", transport="polling", sid=sid).deliver(b"4x\x1e1")


def _server_closes(watched: Watched) -> None:
    sid, _poll = polled(watched)
    watched.engine.core.sessions[sid].close()


def _poll_aborted(watched: Watched) -> None:
    _sid, poll = polled(watched)
    poll.disconnect()


def _post_in_flight(watched: Watched) -> None:
    sid, _poll = polled(watched)
    watched.request("POST", transport="polling", sid=sid)
    watched.engine.core.sessions[sid].close()


def _overlap(watched: Watched) -> None:
    sid, _poll = polled(watched)
    watched.request(transport="polling", sid=sid)


def _timeout(watched: Watched) -> None:
    polled(watched)
    watched.engine.clock.advance(100)


def _websocket(watched: Watched) -> None:
    exchange = watched.request(transport="websocket", upgrade=True)
    assert exchange.websocket is not None
    exchange.websocket.receive("4x")
    exchange.websocket.hang_up()


def _websocket_times_out(watched: Watched) -> None:
    exchange = watched.request(transport="websocket", upgrade=True)
    watched.engine.clock.advance(100)
    assert exchange.websocket is not None and exchange.websocket.closed is not None
    exchange.websocket.hang_up()


def _upgraded(watched: Watched) -> None:
    sid, poll = polled(watched)
    websocket = watched.request(transport="websocket", sid=sid, upgrade=True).websocket
    assert websocket is not None
    websocket.receive("2probe")
    watched.engine.clock.advance(0.2)
    assert poll.body == b"6"
    websocket.receive("5")
    websocket.receive("4x")
    websocket.hang_up()


def _probing(watched: Watched) -> None:
    sid, _poll = polled(watched)
    websocket = watched.request(transport="websocket", sid=sid, upgrade=True).websocket
    assert websocket is not None
    websocket.receive("2probe")
    watched.engine.core.sessions[sid].close()
    assert websocket.closed is not None
    websocket.hang_up()


def _handshake_refused_by_the_listener(watched: Watched) -> None:
    watched.engine.request("GET", {"EIO": "4", "transport": "websocket"}, upgrade=True, handshake=400)


def _parse_error(watched: Watched) -> None:
    sid, _poll = polled(watched)
    watched.request("POST", transport="polling", sid=sid).deliver(b"junk")


@pytest.mark.parametrize(
    "ending",
    [
        _client_closes,
        _server_closes,
        _poll_aborted,
        _post_in_flight,
        _overlap,
        _timeout,
        _websocket,
        _websocket_times_out,
        _upgraded,
        _probing,
        _handshake_refused_by_the_listener,
        _parse_error,
    ],
)
def test_nothing_holds_an_ended_session(ending: Callable[[Watched], None]) -> None:
    watched = Watched(ping_interval=20)
    ending(watched)
    watched.engine.clock.settle()
    assert watched.engine.core.sessions == {}
    assert watched.alive == []


def test_an_open_session_is_held() -> None:
    # So that the test above could fail.
    watched = Watched()
    polled(watched)
    watched.request(transport="websocket", upgrade=True)
    assert len(watched.alive) == 2


async def test_nothing_holds_a_session_behind_async_hooks() -> None:
    async def allow(request: object) -> bool:
        await asyncio.sleep(0)
        return True

    watched = Watched(allow_request=allow)
    exchange = watched.request(transport="websocket", upgrade=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert exchange.websocket is not None and len(watched.alive) == 1
    exchange.websocket.hang_up()
    assert watched.alive == []


async def test_nothing_holds_a_refused_request() -> None:
    class WeakExchange(FakeExchange):
        pass

    def ask(engine: Engine) -> weakref.ref[FakeExchange]:
        from fastsio.engine.request import Request

        exchange = WeakExchange()
        request = Request("GET", "/engine.io/?EIO=4&transport=polling", {}, exchange=exchange)
        engine.core.handle(request)
        return weakref.ref(exchange)

    async def refuse(request: object) -> bool:
        await asyncio.sleep(0)
        raise ValueError("no")

    for hook in (lambda request: False, refuse):
        reference = ask(Engine(allow_request=hook))
        for _ in range(6):
            await asyncio.sleep(0)
        if sys.version_info < (3, 11):
            gc.collect()  # a compiled coroutine that raised is in a cycle with its traceback there
        assert reference() is None
