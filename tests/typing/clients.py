"""The clients' API as type checkers see it: `make lint` runs mypy --strict and pyright's strict mode on this.

Nothing here is run.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

import fastsio
from fastsio.client import ClientOptions, EventStream, Manager, Socket, SocketOperator, SyncSocket

client = fastsio.Client(
    "https://localhost:3000/chat",
    auth={"token": "x"},
    transports=["websocket"],
    ssl=ssl.create_default_context(),
    transport_options={"polling": {"request_timeout": 60}},
)
assert_type(client.id, str | None)
assert_type(client.connected, bool)
assert_type(client.active, bool)
assert_type(client.recovered, bool)
assert_type(client.nsp, str)
assert_type(client.retries, int)
assert_type(client.ack_timeout, float | None)
assert_type(client.manager, Manager)
assert_type(client.io, Manager)
assert_type(client.of("/admin", auth={"role": 1}), Socket)
assert_type(client.emit("event", 1, {"a": [b"bytes"]}), bool)
assert_type(client.send("text"), fastsio.Client)
assert_type(client.volatile, SocketOperator)
assert_type(client.timeout(5).volatile.compress(False), SocketOperator)
assert_type(client.open(), fastsio.Client)
assert_type(client.disconnect(), fastsio.Client)
assert_type(client.events(limit=100), EventStream)
assert_type(client.listeners_any(), list[Callable[..., Any]])


@client.on("connect")
def connect() -> None: ...


@client.on("sum")
def total(a: int, b: int) -> int:
    return a + b


# The decorator gives back the function it was given.
assert_type(total(1, 2), int)
assert_type(client.on("sum", total).once("sum", total).off("sum", total), fastsio.Client)
assert_type(client.on_any(print).prepend_any(print).off_any(print), fastsio.Client)


async def main() -> None:
    async with fastsio.Client("http://localhost:3000") as other:
        assert_type(other, fastsio.Client)
        assert_type(await other.connect("/a", "/b", retry=True), None)
        assert_type(await other.emit_with_ack("question"), Any)
        assert_type(await other.timeout(5).emit_with_ack("question"), Any)
        async for event, args in other.events():
            assert_type(event, str)
            assert_type(args, tuple[Any, ...])
    assert_type(await client.close(), None)
    try:
        await client.connect()
    except fastsio.ConnectError as error:
        assert_type(error.refused, dict[str, BaseException])
    except fastsio.AckTimeout as error:
        assert_type(error.timeout, float)


manager = client.manager
assert_type(manager.state, str)
assert_type(manager.uri, str)
assert_type(manager.nsps, dict[str, Socket])
assert_type(manager.options, ClientOptions)
assert_type(manager.reconnecting, bool)
assert_type(manager.reconnection_delay, float)
assert_type(manager.socket("/other"), Socket)
manager.reconnection_delay = 0.5
manager.on("reconnect_attempt", print)

with fastsio.SyncClient("http://localhost:3000", protocol=3) as blocking:
    assert_type(blocking, fastsio.SyncClient)
    assert_type(blocking.call("sum", 1, 2, timeout=5), Any)
    assert_type(blocking.receive(timeout=1), tuple[str, tuple[Any, ...]])
    assert_type(blocking.of("/admin"), SyncSocket)
    assert_type(blocking.emit("event"), bool)
    assert_type(blocking.connect("/a", timeout=3), fastsio.SyncClient)
    for event, args in blocking:
        assert_type(event, str)
        assert_type(args, tuple[Any, ...])

    @blocking.on("sum")
    def sum_up(a: int, b: int) -> int:
        return a + b

    assert_type(sum_up(1, 2), int)
