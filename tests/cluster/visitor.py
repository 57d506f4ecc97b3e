"""A client that remembers what it got, and can be lost and come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from tests.support.wire import SocketIOClient, WebSocketClient

__all__ = ["Visitor"]


class Visitor(SocketIOClient):
    """Events come without the offset, which the visitor keeps as real clients do."""

    def __init__(self, websocket: WebSocketClient, namespace: str) -> None:
        super().__init__(websocket, 5, {})
        self.namespace = namespace
        self.pid = ""
        self.offset: str | None = None
        self.events: list[list[Any]] = []

    @classmethod
    async def come(cls, port: int, *rooms: str, namespace: str = "/", back: Visitor | None = None) -> Visitor:
        """Connect, ``back`` as one that was lost; the events that it missed may have come by then."""
        websocket = await WebSocketClient.connect(port, "/socket.io/?EIO=4&transport=websocket")
        await websocket.recv()
        visitor = cls(websocket, namespace)
        auth: dict[str, Any] = {"rooms": rooms}
        if back is not None:
            auth["pid"] = back.pid
            if back.offset is not None:
                auth["offset"] = back.offset
        visitor.send(f"0{visitor._prefix}{json.dumps(auth)}")
        while not visitor.sid:
            await visitor._read(5.0)
        return visitor

    @property
    def _prefix(self) -> str:
        return "" if self.namespace == "/" else self.namespace + ","

    async def _read(self, timeout: float) -> None:
        packet = await self.recv(timeout)
        assert packet is not None, f"closed with {self.websocket.close_code}"
        if isinstance(packet, bytes):
            self.events[-1].append(packet)
        elif packet[0] == "0":
            reply = json.loads(packet[packet.index("{") :])
            self.sid, self.pid = reply["sid"], reply.get("pid", "")
        elif packet[0] in "25":
            event = json.loads(packet[packet.index("[") :])
            if packet.startswith("2" + self._prefix + "[") or packet[0] == "5":
                last = event[-1]
                if isinstance(last, str) and last.partition("-")[0].isdigit():
                    self.offset = event.pop()
            else:
                # It wants an acknowledgement: everybody echoes.
                number = packet[1 + len(self._prefix) : packet.index("[")]
                self.send(f"3{self._prefix}{number}{json.dumps([event[1:]])}")
            if event[0] != "state" or event[1]:
                self.events.append(event)
        else:
            raise AssertionError(f"unexpected: {packet!r}")

    async def until(self, last: list[Any], timeout: float = 10.0) -> list[list[Any]]:
        """All events so far, when ``last`` has come."""
        end = time.monotonic() + timeout
        while last not in self.events:
            # Not asyncio.wait_for around the loop: it can lose the cancellation of one within it.
            await self._read(max(0.0, end - time.monotonic()))
        return self.events

    async def answer(self, seconds: float) -> None:
        """Read for a while, which answers questions."""
        end = time.monotonic() + seconds
        with contextlib.suppress(asyncio.TimeoutError):
            while (left := end - time.monotonic()) > 0:
                await self._read(left)

    def lose(self) -> None:
        """The connection breaks."""
        self.websocket.abort()

    async def lost(self) -> None:
        """The server has broken the connection."""
        with contextlib.suppress(OSError):
            await self.websocket.expect_closed()
