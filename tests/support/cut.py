"""A way to a server that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Wire", "wire_to"]


class Wire:
    """A TCP relay. ``port`` is where clients connect to, ``target`` where it leads."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._clients: set[asyncio.StreamWriter] = set()
        self._servers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._down = False
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self._down:
            writer.transport.abort()
            return
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        self._clients.add(writer)
        self._servers.add(to_server)
        await asyncio.gather(self._relay(reader, to_server), self._relay(upstream, writer))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                if writer.is_closing():
                    return
                writer.write(data)
        # A side that is held open after a cut is closed with the wire.
        if self._flows.is_set():
            writer.close()

    def freeze(self) -> None:
        """Take what is sent, and pass nothing on."""
        self._flows.clear()

    def cut(self, unnoticed: bool = False) -> None:
        """Break every connection and let none through; ``unnoticed`` by the server, which goes on."""
        self._down = True
        for writer in self._clients:
            writer.transport.abort()
        self._clients.clear()
        if not unnoticed:
            self.drop_servers()

    def drop_servers(self) -> None:
        """Let the server notice."""
        for writer in self._servers:
            writer.transport.abort()
        self._servers.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._down = False
        self._flows.set()


@contextlib.asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A relay to a port of this machine."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.handle, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        wire.cut()
        wire.mend()
        server.close()
        await asyncio.sleep(0.05)
