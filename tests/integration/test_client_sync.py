"""The blocking client over real connections, against fastsio's server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.clients import address, always, behave, hostile

from fastsio import (
    AckTimeout,
    ConnectError,
    Disconnected,
    SyncClient,
)

Make = Callable[..., Any]


def in_thread(fn: Callable[[], Any]) -> Awaitable[Any]:
    return asyncio.get_running_loop().run_in_executor(None, fn)


class TestSyncClient:
    async def test_calls(self, make_server: Make) -> None:
        io = await make_server(behave)

        def use() -> None:
            with SyncClient(address(io)) as client:
                assert client.connected and client.id
                assert client.call("echo", {"a": b"1"}, timeout=3) == {"a": b"1"}
                with pytest.raises(AckTimeout):
                    client.call("silent", timeout=0.05)
                assert client.receive(2) == ("welcome", ("/", b"\x00\xff"))
                client.emit("back", 5)
                assert client.receive(timeout=2) == ("back", (5,))
                with pytest.raises(TimeoutError):
                    client.receive(timeout=0.02)
                client.emit("kick", False)
                with pytest.raises(Disconnected, match="io server disconnect"):
                    client.receive(timeout=2)
            assert not client.connected
            with pytest.raises(Exception, match="closed"):
                client.emit("x")

        await in_thread(use)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastsio")]

    async def test_handlers_may_block_and_call(self, make_server: Make) -> None:
        io = await make_server(behave)

        def use() -> None:
            client = SyncClient(address(io))
            done = threading.Event()
            results: list[Any] = []

            @client.on("back")
            def back(value: int) -> None:
                results.append(client.call("echo", value + 1, timeout=2))
                if len(results) == 3:
                    done.set()

            client.on("question", lambda value: value * 2)
            client.on("disconnect", lambda reason: results.append(str(reason)))
            client.connect(timeout=5)
            for number in range(3):
                client.emit("back", number)
            assert done.wait(3)
            client.emit("ask", 21)
            assert [event for event in (client.receive(2), client.receive(2))][-1] == ("answered", (42,))
            acked: list[Any] = []
            heard = threading.Event()
            client.emit("echo", 9, lambda value: (acked.append(value), heard.set()))
            assert heard.wait(2) and acked == [9]
            client.close()
            client.close()
            assert results == [1, 2, 3, "io client disconnect"]

        await in_thread(use)

    async def test_from_many_threads(self, make_server: Make) -> None:
        io = await make_server(behave)

        def use() -> None:
            with SyncClient(address(io), transports=["websocket"]) as client:
                results: list[int] = []

                def work(number: int) -> None:
                    for turn in range(25):
                        results.append(client.call("echo", number * 100 + turn, timeout=5))

                threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert sorted(results) == sorted(n * 100 + turn for n in range(8) for turn in range(25))

        await in_thread(use)

    async def test_refused_and_namespaces(self, make_server: Make) -> None:
        io = await make_server(behave)

        def use() -> None:
            client = SyncClient(address(io))
            try:
                chat = client.of("/chat")
                with pytest.raises(ConnectError, match="/guarded: nope"):
                    client.connect("/guarded")
                assert chat.call("echo", 1, timeout=2) == 1
                chat.disconnect()
                assert not chat.connected and client.connected
            finally:
                client.close()

        await in_thread(use)

    async def test_failure_to_connect(self) -> None:
        async with hostile(always(b"")) as url:

            def use() -> None:
                client = SyncClient(url)
                with pytest.raises(TimeoutError):
                    client.connect(timeout=0.05)
                client.close()
                with pytest.raises(ConnectError):
                    SyncClient(url, timeout=0.05).__enter__()

            await in_thread(use)
