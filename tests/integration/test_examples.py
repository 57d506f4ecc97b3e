"""Examples, as a client sees them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import serve_asgi
from tests.support.wire import SocketIOClient, close_connections, http

import fastsio

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "todo"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("server").io


async def test_the_shared_list(example: Any) -> None:
    await example.listen(0, "127.0.0.1")
    try:
        client = await SocketIOClient.connect(example.port)
        assert await client.event() == ["todo:all", []]
        client.emit("todo:add", "", ack=1)
        refused = str(await client.recv())
        assert refused.startswith("31")
        assert json.loads(refused[2:]) == [
            {"error": "invalid arguments", "detail": "text: Expected `str` of length >= 1"}
        ]
        client.emit("todo:add", "tea", ack=2)
        assert await client.event() == ["todo:changed", {"id": 1, "text": "tea", "done": False}]
        assert await client.recv() == "32[1]"
        client.emit("todo:change", 1, {"done": True})
        assert await client.event() == ["todo:changed", {"id": 1, "text": "tea", "done": True}]
        other = await SocketIOClient.connect(example.port)
        assert await other.event() == ["todo:all", [{"id": 1, "text": "tea", "done": True}]]
        metrics = await http(example.port, "/metrics")
        assert b"\nfastsio_events_refused_total 1\n" in metrics.body
    finally:
        await close_connections()
        await example.close(grace=0.2)


async def test_fastapi_beside_socketio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example = importlib.import_module("fastapi_app")
    async with serve_asgi(example.app, ws=example.io.uvicorn_protocol()) as port:
        assert b"socket.io.js" in (await http(port, "/")).body
        counts: list[int] = []
        client = fastsio.Client(f"http://127.0.0.1:{port}", transports=["websocket"])
        client.on("votes", counts.append)
        async with client:
            assert await client.timeout(5).emit_with_ack("vote") == 1
            assert (await http(port, "/votes", method="POST")).body == b"2"
            await client.timeout(5).emit_with_ack("vote")
        assert counts == [0, 1, 2, 3]
