"""Which worker a request is for."""

from __future__ import annotations

import pytest

from fastsio.engine.request import Request
from fastsio.engine.server import EngineCore
from fastsio.engine.workers import WorkerPlace, worker_of
from fastsio.options import EngineOptions
from tests.unit.engine.fakes import FakeExchange


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("/socket.io/?EIO=4&transport=polling&sid=abc-_D.3", 3),
        ("/socket.io/?sid=abc.12&transport=polling", 12),
        ("/socket.io/?sid=a.b.0", 0),
        ("/socket.io/?sid=a.9999#x", 9999),
        ("/socket.io/?EIO=4&transport=polling", None),
        ("/socket.io/?sid=abc", None),
        ("/socket.io/?sid=.1", None),
        ("/socket.io/?sid=abc.", None),
        ("/socket.io/?sid=abc.x", None),
        ("/socket.io/?sid=abc.10000", None),
        ("/socket.io/?sid=abc.1x", None),
        ("/socket.io/?nosid=abc.1", None),
        ("/socket.io/?sid=abc%2E1", None),
        ("/socket.io/?sid=" + "a" * 300 + ".1", None),
    ],
)
def test_worker_of(target: str, number: int | None) -> None:
    assert worker_of(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == number
    # The line has to be there to its end, and nothing else counts.
    assert worker_of(f"GET {target} HTTP/1.1".encode()) is None
    assert worker_of(f"GET / HTTP/1.1\r\nX: {target}\r\n\r\n".encode()) is None


def test_a_line_without_an_end() -> None:
    assert worker_of(b"GET /?sid=a.1 " + b"x" * 20_000 + b"\r\n") is None


@pytest.mark.parametrize("generate_id", [None, lambda request: "own"])
async def test_ids_have_the_mark(generate_id: object) -> None:
    engine = EngineCore(EngineOptions(generate_id=generate_id))  # type: ignore[arg-type]
    place = WorkerPlace("/nowhere", 7, 8)
    engine.mark_ids(place.mark)
    assert place.socket_of(3, "bus") == "/nowhere/bus-3"
    request = Request("GET", "/engine.io/?EIO=4&transport=polling", {}, exchange=FakeExchange())
    engine.handle(request)
    (sid,) = engine.sessions
    assert sid == "own.7" if generate_id else sid.endswith(".7")
    assert worker_of(f"GET /?sid={sid} HTTP/1.1\r\n".encode()) == 7
    engine.close_sessions()
