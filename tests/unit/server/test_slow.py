"""The warning about handlers that block the loop."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any

import pytest

from fastsio import Router, Server, Socket
from tests.unit.server.in_process import LocalClient


def block(seconds: float = 0.02) -> None:
    time.sleep(seconds)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "blocked" in record.message]


async def test_it_names_the_function(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    io = Server(slow_handler=0.01)
    router = Router()

    @router.on("routed")
    def routed(socket: Socket, value: int) -> int:
        block()
        return value

    @io.on("connection")
    def connection(socket: Socket) -> None:
        @socket.on("plain")
        def plain(value: int) -> int:
            block()
            return value

        @socket.on("fails")
        def fails() -> None:
            block()
            raise ValueError

        @socket.on("later")
        async def later() -> str:
            await asyncio.sleep(0)
            block()
            await asyncio.sleep(0)
            return "done"

        @socket.on("patient")
        async def patient() -> str:
            await asyncio.sleep(0.02)
            return "patient"

    io.include(router)
    client = LocalClient(io)
    events = (["plain", 1], ["routed", 2], ["fails"], ["later"], ["patient"])
    for number, event in enumerate(events):
        client.emit(*event, ack=number)
    answers = client.take()
    while '34["patient"]' not in answers:
        await asyncio.sleep(0.005)
        answers += client.take()
    said = warnings(caplog)
    assert [re.search(r"of '(\w+)' blocked", line)[1] for line in said] == [  # type: ignore[index]
        "plain",
        "routed",
        "fails",
        "later",
    ]
    assert "test_it_names_the_function.<locals>.connection.<locals>.plain" in said[0]
    assert "test_slow.py:" in said[0] and "of 'plain'" in said[0] and "option slow_handler" in said[0]
    assert io.slow_handlers is not None and io.slow_handlers.count == 4


async def test_connection_handlers_count(caplog: pytest.LogCaptureFixture) -> None:
    io = Server(slow_handler=0.01)

    @io.on("connection")
    def connection(socket: Socket) -> None:
        block()

    LocalClient(io)
    assert len(warnings(caplog)) == 1


async def test_off_by_default() -> None:
    io = Server()
    assert io.slow_handlers is None

    def plain(*args: Any) -> None: ...

    io.on("connection", lambda socket: socket.on("x", plain))
    LocalClient(io)
