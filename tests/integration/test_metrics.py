"""The metrics of a server that clients are connected to, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.support.wire import SocketIOClient, WebSocketClient, http

Make = Callable[..., Any]


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name.removeprefix("fastsio_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_prometheus_reads_them(make_server: Make) -> None:
    io = await make_server(metrics_path="/metrics")
    await SocketIOClient.connect(io.port)
    polled = await http(io.port, "/socket.io/?EIO=4&transport=polling")
    sid = polled.body.decode().split('"sid":"')[1].split('"')[0]
    await http(io.port, f"/socket.io/?EIO=4&transport=polling&sid={sid}", method="POST", body=b"40")
    await http(io.port, "/socket.io/?EIO=4&transport=polling&sid=unknown")
    upgraded = await http(io.port, "/socket.io/?EIO=4&transport=polling")
    sid = upgraded.body.decode().split('"sid":"')[1].split('"')[0]
    websocket = await WebSocketClient.connect(io.port, f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
    websocket.send("2probe")
    assert await websocket.recv() == "3probe"
    websocket.send("5")
    websocket.send("40")
    assert str(await websocket.recv()).startswith("40")
    response = await http(io.port, "/metrics")
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read(response.body.decode())
    websockets, polling = (
        (("protocol", "4"), ("transport", transport)) for transport in ("websocket", "polling")
    )
    assert found["sessions", websockets] == 2
    assert found["sessions_opened_total", websockets] == 1
    assert found["sessions_opened_total", polling] == 2
    assert found["upgrades_total", ()] == 1
    assert found["requests_refused_total", (("code", "1"),)] == 1
    assert found["sessions", polling] == 1
    assert found["sockets", (("namespace", "/"),)] == 3
    assert found["packets_received_total", ()] == 3  # the CONNECTs; a probe's are none yet
    assert found["sent_bytes_total", ()] > 300
    head = await http(io.port, "/metrics", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert (await http(io.port, "/metrics", method="POST", body=b"x")).status == 405


async def test_nothing_is_served_unless_asked_for(make_server: Make) -> None:
    io = await make_server()
    assert (await http(io.port, "/metrics")).status == 404
    assert io.metrics().sessions == {}


async def test_bytes_that_wait_for_a_poll(make_server: Make) -> None:
    io = await make_server()
    polled = await http(io.port, "/socket.io/?EIO=4&transport=polling")
    sid = polled.body.decode().split('"sid":"')[1].split('"')[0]
    target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    await http(io.port, target, method="POST", body=b"40")
    io.emit("x", "y" * 1000)
    assert io.metrics().buffered_bytes > 1000
    await http(io.port, target)
    assert io.metrics().buffered_bytes == 0
