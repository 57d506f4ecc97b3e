"""What a server counts, and how it tells Prometheus."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastsio import OptionError, Router, Server, Socket
from fastsio.metrics import Metrics, prometheus
from tests.unit.server.in_process import LocalClient


def served() -> Server:
    io = Server()
    router = Router()

    @router.on("echo")
    def echo(socket: Socket, value: int) -> int:
        return value

    @router.on("fails")
    def fails(socket: Socket) -> None:
        raise ValueError

    @router.on("ask")
    def ask(socket: Socket) -> None:
        socket.emit("question", lambda *args: None)

    @router.on("join")
    def join(socket: Socket, room: str) -> None:
        socket.join(room)

    io.include(router)
    io.of(re.compile("^/dyn"))
    return io


async def test_a_server_that_did_nothing() -> None:
    metrics = Server().metrics()
    assert isinstance(metrics, Metrics)
    assert (metrics.packets_received, metrics.bytes_sent, metrics.buffered_bytes) == (0, 0, 0)
    assert metrics.sessions == metrics.sessions_opened == metrics.sessions_closed == {}
    assert metrics.sockets == metrics.rooms == {"/": 0}


@pytest.mark.parametrize("protocol", [4, 5])
async def test_what_is_counted(protocol: int) -> None:
    io = served()
    client = LocalClient(io, protocol=protocol)
    kind = ("websocket", 4 if protocol == 5 else 3)
    start = io.metrics()
    assert start.sessions == start.sessions_opened == {kind: 1}
    assert start.sockets == {"/": 1} and start.rooms == {"/": 1}
    assert start.sockets_connected == 1
    client.emit("echo", 1, ack=1)
    client.emit("echo", "x", ack=2)
    client.emit("fails")
    client.emit("ask")
    client.send("30[]")
    client.emit("join", "room")
    now = io.metrics()
    assert now.events_received == 5
    assert now.events_refused == 1
    assert now.handler_errors == 1
    assert (now.acks_received, now.acks_sent) == (1, 2)
    assert now.rooms == {"/": 2}
    assert now.packets_received - start.packets_received == 6
    received = [
        '421["echo", 1]',
        '422["echo", "x"]',
        '42["fails"]',
        '42["ask"]',
        "430[]",
        '42["join", "room"]',
    ]
    assert now.bytes_received - start.bytes_received == sum(map(len, received))
    sent = client.take()
    assert now.packets_sent - start.packets_sent == len(sent) == 3
    # Each with the Engine.IO digit and a frame header of two bytes.
    assert now.bytes_sent - start.bytes_sent == sum(len(packet) + 3 for packet in sent)
    client.leave()
    end = io.metrics()
    assert end.sessions == {kind: 0} and end.sessions_opened == {kind: 1}
    assert end.sessions_closed == end.sockets_disconnected == {"transport close": 1}
    assert end.sockets == end.rooms == {"/": 0}


async def test_attachments_are_packets() -> None:
    io = Server()
    io.on("connection", lambda socket: socket.on("bin", lambda data: socket.emit("bin", data)))
    client = LocalClient(io)
    before = io.metrics()
    client.send('51-["bin",{"_placeholder":true,"num":0}]')
    client.send(b"12345")
    after = io.metrics()
    assert after.packets_received - before.packets_received == 2
    assert after.packets_sent - before.packets_sent == 2
    assert after.events_received == 1


def families(text: str) -> dict[str, Any]:
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found
        assert family.documentation
        found[family.name] = family
    return found


async def test_the_text_is_what_prometheus_reads() -> None:
    io = served()
    awkward = '/dyn"quoted"\\back\nline'
    io.of(awkward)
    client = LocalClient(io)
    client.emit("echo", 1, ack=1)
    gone = LocalClient(io, protocol=4)
    gone.leave()
    text = prometheus(io)
    found = families(text)
    assert all(name.startswith("fastsio_") for name in found)
    assert text.count("# HELP ") == text.count("# TYPE ") == len(found)

    def samples(name: str) -> dict[tuple[tuple[str, str], ...], float]:
        assert all(sample.value == math.floor(sample.value) for sample in found[name].samples)
        return {tuple(sorted(sample.labels.items())): sample.value for sample in found[name].samples}

    assert found["fastsio_sessions"].type == "gauge"
    assert samples("fastsio_sessions") == {
        (("protocol", "4"), ("transport", "websocket")): 1,
        (("protocol", "3"), ("transport", "websocket")): 0,
    }
    assert found["fastsio_sessions_closed"].type == "counter"
    assert samples("fastsio_sessions_closed") == {(("reason", "transport close"),): 1}
    assert samples("fastsio_sockets") == {(("namespace", "/"),): 1, (("namespace", awkward),): 0}
    assert samples("fastsio_events_received") == {(): 1}
    assert samples("fastsio_slow_handlers") == {(): 0}


async def test_two_servers_count_for_themselves() -> None:
    one, two = served(), served()
    LocalClient(one).emit("echo", 1)
    assert one.metrics().events_received == 1
    assert two.metrics().events_received == 0


def test_the_option() -> None:
    assert Server(metrics_path="/metrics").options.metrics_path == "/metrics"
    for wrong in ("metrics", 1):
        with pytest.raises(OptionError, match="metrics_path"):
            Server(metrics_path=wrong)
