"""Handlers that run one at a time, and waiting for an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from fastsio import Disconnected, EventTimeout, Server, Socket, TooManyEvents
from tests.unit.server.in_process import LocalClient

Register = Callable[[Socket], Any]


def serve(register: Register, **options: Any) -> Server:
    io = Server(**options)
    io.on("connection", register)
    return io


async def turns(count: int = 6) -> None:
    """Let tasks go on."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gate:
    """A handler's way to be in the middle of something until the test says so."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self._events: dict[Any, asyncio.Event] = {}

    def open(self, name: Any) -> None:
        self._events.setdefault(name, asyncio.Event()).set()

    async def __call__(self, name: Any) -> Any:
        self.log.append(f"{name} begins")
        await self._events.setdefault(name, asyncio.Event()).wait()
        self.log.append(f"{name} ends")
        return name


async def test_one_at_a_time_in_order_of_arrival() -> None:
    gate = Gate()
    got: list[Any] = []

    def register(socket: Socket) -> None:
        @socket.on("slow", serialize=True)
        async def slow(name: str) -> str:
            result: str = await gate(name)
            return result

        @socket.on("plain", serialize=True)
        def plain(name: str) -> str:
            gate.log.append(name)
            return name

        socket.on("other", got.append)

    client = LocalClient(serve(register))
    client.emit("slow", "a", ack=1)
    client.emit("plain", "b", ack=2)
    client.emit("slow", "c", ack=3)
    client.emit("other", "at once")
    assert gate.log == ["a begins"]
    assert got == ["at once"], "other handlers do not wait"
    gate.open("c")
    await turns()
    assert gate.log == ["a begins"]
    gate.open("a")
    await turns()
    assert gate.log == ["a begins", "a ends", "b", "c begins", "c ends"]
    assert client.take() == ['31["a"]', '32["b"]', '33["c"]']


async def test_sockets_do_not_wait_for_each_other() -> None:
    gate = Gate()
    io = serve(lambda socket: socket.on("slow", gate, serialize=True))
    first, second = LocalClient(io), LocalClient(io)
    first.emit("slow", "a")
    second.emit("slow", "b")
    assert gate.log == ["a begins", "b begins"]
    gate.open("a")
    gate.open("b")
    await turns()


async def test_a_failure_does_not_stop_those_behind() -> None:
    gate = Gate()
    failures: list[str] = []

    def register(socket: Socket) -> None:
        @socket.on("slow", serialize=True)
        async def slow(name: str) -> None:
            await gate(name)
            raise ValueError(name)

        @socket.on("plain", serialize=True)
        def plain() -> None:
            raise ValueError("plain")

        @socket.on("cancel", serialize=True)
        async def cancel() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    io = serve(register)
    io.on("error", lambda error: failures.append(str(error)))
    client = LocalClient(io)
    client.emit("slow", "a")
    client.emit("plain")
    client.emit("cancel")
    client.emit("slow", "b")
    gate.open("a")
    await turns()
    assert failures == ["a", "plain"]
    assert gate.log[-1] == "b begins"
    gate.open("b")
    await turns()


@pytest.mark.parametrize("protocol", [4, 5])
async def test_the_limit_of_those_that_wait(protocol: int, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    errors: list[Any] = []

    def register(socket: Socket) -> None:
        socket.on("slow", gate, serialize=True)
        socket.on("error", errors.append)

    client = LocalClient(serve(register, max_serialized_events=3), protocol=protocol)
    for number in range(4):
        client.emit("slow", number, ack=number)
    assert errors == [], "one runs, three wait"
    for number in range(4, 6):
        client.emit("slow", number, ack=number)
    refusal = '[{"error":"too many events","detail":"3 wait already"}]'
    assert client.take() == [f"34{refusal}", f"35{refusal}"]
    assert [(type(error), error.event) for error in errors] == [(TooManyEvents, "slow")] * 2
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, "said once, not for every event"
    assert "option max_serialized_events" in warnings[0]
    for number in range(4):
        gate.open(number)
    await turns(20)
    assert client.take() == ["30[0]", "31[1]", "32[2]", "33[3]"]


async def test_what_waits_when_the_client_leaves_is_forgotten() -> None:
    gate = Gate()
    client = LocalClient(serve(lambda socket: socket.on("slow", gate, serialize=True)))
    client.emit("slow", "a")
    client.emit("slow", "b")
    client.leave()
    gate.open("a")
    gate.open("b")
    await turns()
    assert gate.log == ["a begins", "a ends"]


async def test_serialized_and_typed() -> None:
    got: list[int] = []

    def register(socket: Socket) -> None:
        @socket.on("add", serialize=True)
        def add(a: int) -> int:
            got.append(a)
            return a

    client = LocalClient(serve(register))
    client.emit("add", "1", ack=0)
    assert client.answer() == [{"error": "invalid arguments", "detail": "a: Expected `int`, got `str`"}]
    client.emit("add", 1, ack=1)
    assert client.answer() == [1]
    assert got == [1]


async def test_only_events_of_clients_can_be_serialized() -> None:
    def register(socket: Socket) -> None:
        with pytest.raises(ValueError, match="'disconnect' is no event of clients"):
            socket.on("disconnect", print, serialize=True)

    io = serve(register)
    with pytest.raises(TypeError, match="serialize is for events of a server's socket"):
        io.sockets.on("connection", print, serialize=True)
    LocalClient(io)


# -- wait_for


async def waiting(client: LocalClient, socket: Socket, *args: Any, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(socket.wait_for(*args, **options))
    await turns()
    return task


@pytest.fixture
async def pair() -> tuple[LocalClient, Socket]:
    sockets: list[Socket] = []
    client = LocalClient(serve(sockets.append))
    return client, sockets[0]


async def test_wait_for_gives_what_came(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    for event, result in ((["x"], None), (["x", 1], 1), (["x", 1, "b"], (1, "b"))):
        task = await waiting(client, socket, "x")
        client.emit("other", 0)
        assert not task.done()
        client.emit(*event)
        client.emit("x", "the next is for somebody else")
        assert await task == result
        assert not socket.has_listeners("x")


async def test_wait_for_acknowledges_what_it_takes(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    task = await waiting(client, socket, "x", check=lambda value: value > 1)
    client.emit("x", 1, ack=1)
    assert client.take() == []
    client.emit("x", 2, ack=2)
    client.emit("x", 3, ack=3)
    assert await task == 2
    assert client.take() == ["32[]"]


async def test_wait_for_a_check_that_fails(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    task = await waiting(client, socket, "x", check=lambda value: value["missing"])
    client.emit("x", {})
    with pytest.raises(KeyError):
        await task
    assert not socket.has_listeners("x")


async def test_wait_for_gives_up(pair: tuple[LocalClient, Socket]) -> None:
    _, socket = pair
    with pytest.raises(EventTimeout, match="no event 'x' within") as caught:
        await socket.wait_for("x", timeout=0.001)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, asyncio.TimeoutError)
    assert (caught.value.event, caught.value.timeout) == ("x", 0.001)
    assert not socket.has_listeners("x")


async def test_wait_for_a_client_that_leaves(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    task = await waiting(client, socket, "x", timeout=100)
    client.leave()
    with pytest.raises(Disconnected, match="transport close"):
        await task
    with pytest.raises(Disconnected):
        await socket.wait_for("x")


async def test_wait_for_cleans_up_when_cancelled(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    task = await waiting(client, socket, "x", timeout=100)
    assert socket.has_listeners("x")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not socket.has_listeners("x")
    client.leave()


async def test_no_acknowledgement_of_a_client_ends_a_wait(pair: tuple[LocalClient, Socket]) -> None:
    client, socket = pair
    task = await waiting(client, socket, "x")
    for number in range(3):
        client.send(f'3{number}["forged"]')
    await turns()
    assert not task.done()
    client.emit("x", "real")
    assert await task == "real"
