"""Clients that write down what they see: tests/clients/recorder.js, and the same of fastsio's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fastsio import Client
from tests.interop.harness import CLIENTS, Program, Record, node_package

__all__ = ["Recorder", "make_client"]

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class Recorder:
    """What a client has seen, in order: the lines that recorder.js describes."""

    lines: list[Record]

    async def until(self, found: Callable[[list[Record]], Any], seconds: float = 10.0) -> Any:
        """What ``found`` gives for the lines so far, once that is true."""
        end = asyncio.get_running_loop().time() + seconds
        while not (result := found(self.lines)):
            assert asyncio.get_running_loop().time() < end, f"it did not come: {self.lines[-20:]}"
            await asyncio.sleep(0.01)
        return result

    async def see(self, **wanted: Any) -> Record:
        """A line with these fields; what came up to it is forgotten."""

        def found(lines: list[Record]) -> int:
            matches = (
                number
                for number, line in enumerate(lines, 1)
                if all(key in line and (value is ... or line[key] == value) for key, value in wanted.items())
            )
            return next(matches, 0)

        number = await self.until(found)
        line: Record = self.lines[number - 1]
        del self.lines[:number]
        return line

    def emit(self, *event: Any) -> None:
        """Have the client emit an event."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the client."""
        raise NotImplementedError


class JavaScriptClient(Program, Recorder):
    """A client in Node. ``library`` is an npm package, or ``own``: the browser client of this project."""

    def __init__(self, library: str, url: str, options: dict[str, Any]) -> None:
        preload = ["--require", "./own_client.js"] if library == "own" else []
        package = "sio-client-4" if library == "own" else library
        command = [node_package(package), *preload, "recorder.js", package, url, json.dumps(options)]
        super().__init__(command, CLIENTS)

    def emit(self, *event: Any) -> None:
        self.write(json.dumps(event))

    async def close(self) -> None:
        await asyncio.to_thread(self.stop)


class PythonClient(Recorder):
    """fastsio's client, in this process."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.lines = []
        self.client = Client(url, **options)
        say = self.lines.append
        client = self.client
        client.on("connect", self._connected)
        client.on("disconnect", lambda reason: say({"disconnect": str(reason)}))
        client.on("connect_error", lambda error: say({"refused": str(error)}))
        client.on_any(lambda event, *args: say({"event": event, "args": describe(args)}))
        client.manager.on("upgrade", lambda name: say({"upgrade": name}))
        client.on("question", lambda *args: args[-1](*args[:-1]))

    def _connected(self) -> None:
        self.lines.append({"connect": self.client.id, "recovered": self.client.recovered})
        engine = self.client.manager.engine
        if engine is not None and engine.transport == "websocket":
            self.lines.append({"upgrade": "websocket"})

    def emit(self, *event: Any) -> None:
        self.client.emit(*event)

    async def close(self) -> None:
        await self.client.close()


def describe(value: Any) -> Any:
    """As recorder.js does."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value


def make_client(name: str, mode: str, url: str, **options: Any) -> Recorder:
    """A client that reconnects at once; ``name`` is ``python``, ``own`` or an npm package."""
    if name == "python":
        return PythonClient(
            url,
            {
                "transports": TRANSPORTS[mode],
                "reconnection_delay": 0.03,
                "reconnection_delay_max": 0.1,
                **options,
            },
        )
    return JavaScriptClient(
        name,
        url,
        {"transports": TRANSPORTS[mode], "reconnectionDelay": 30, "reconnectionDelayMax": 100, **options},
    )
