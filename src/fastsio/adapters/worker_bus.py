"""The servers of one machine as one: adapters on stream sockets between its workers.

Each worker connects to each other one and says there what it has for it; it begins with the namespaces it
has, each with the id of its adapter. A message is a frame of msgpack.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from functools import partial
from typing import Any

from fastsio.adapters.base import NamespaceLike
from fastsio.adapters.bus import BusError, MessageType, pack, read_message, read_text, unpack
from fastsio.adapters.cluster import ClusterAdapter
from fastsio.engine.workers import Frames, WorkerPlace, frame
from fastsio.exceptions import PacketError

__all__ = ["WorkerAdapter", "WorkerBus"]

logger = logging.getLogger("fastsio.adapters")

#: Seconds between two attempts to reach a worker: it is starting, or being started again.
_PAUSES = (0.02, 0.2)
#: Seconds a worker that starts waits for the others before it goes on without.
_PATIENCE = 5.0
#: Bytes that may wait for one worker; one that takes no more is given up, and found again.
_MAX_WAITING = 64_000_000
#: Seconds in which other workers have to answer.
_REQUESTS_TIMEOUT = 5.0


class WorkerBus:
    """This worker's links to the others."""

    def __init__(self, place: WorkerPlace) -> None:
        self._place = place
        self._adapters: dict[str, WorkerAdapter] = {}
        #: Where messages to each worker go.
        self._links: dict[int, asyncio.Transport] = {}
        #: The namespaces of each worker, with their adapters' ids.
        self.peers: dict[int, dict[str, str]] = {}
        self._server: asyncio.AbstractServer | None = None
        self._incoming: set[_Incoming] = set()
        #: Set when there is a link to and from each other worker.
        self._complete = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def create_adapter(self, namespace: NamespaceLike) -> WorkerAdapter:
        """What the option ``adapter`` takes."""
        return WorkerAdapter(namespace, self)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        place = self._place
        path = place.socket_of(place.number, "bus")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._server = await loop.create_unix_server(lambda: _Incoming(self, self._incoming), path)
        self._tasks = [
            loop.create_task(self._keep(number)) for number in range(place.count) if number != place.number
        ]
        self.check_complete()
        try:
            await asyncio.wait_for(self._complete.wait(), _PATIENCE)
        except asyncio.TimeoutError:
            logger.warning("some worker is not there yet: worker %d goes on without", place.number)

    def check_complete(self) -> None:
        """A link has come, or gone."""
        others = self._place.count - 1
        if len(self._links) == len(self.peers) == others:
            self._complete.set()
        else:
            self._complete.clear()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for incoming in list(self._incoming):
            incoming.close()

    async def _keep(self, number: int) -> None:
        """Keep a link to another worker."""
        loop = asyncio.get_running_loop()
        path = self._place.socket_of(number, "bus")
        pause = _PAUSES[0]
        while True:
            lost = loop.create_future()
            try:
                transport, _ = await loop.create_unix_connection(partial(_Outgoing, lost), path)
            except OSError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])
                continue
            pause = _PAUSES[0]
            self._links[number] = transport
            self.check_complete()
            try:
                self._write(transport, pack({"worker": self._place.number}))
                for name, adapter in self._adapters.items():
                    self._write(transport, pack({"join": name, "uid": adapter.uid}))
                await lost
            finally:
                del self._links[number]
                self.check_complete()
                transport.abort()

    def _write(self, transport: asyncio.Transport, payload: bytes) -> None:
        if transport.is_closing():
            return  # that worker is going, and its clients with it
        transport.write(frame(payload))
        if transport.get_write_buffer_size() > _MAX_WAITING:
            logger.warning("a worker takes no messages: %d bytes waited for it", _MAX_WAITING)
            transport.abort()

    # -- of the adapters ----------------------------------------------------------------------------------

    async def join(self, adapter: WorkerAdapter) -> None:
        """An adapter is there."""
        name = adapter.namespace.name
        self._adapters[name] = adapter
        if self._server is None:
            await self._start()
        self._tell_all({"join": name, "uid": adapter.uid})

    async def leave(self, adapter: WorkerAdapter) -> None:
        """An adapter goes; with the last one, the links."""
        name = adapter.namespace.name
        if self._adapters.get(name) is adapter:
            del self._adapters[name]
            self._tell_all({"leave": name})
            if not self._adapters:
                await self._stop()

    def _tell_all(self, message: dict[str, Any]) -> None:
        payload = pack(message)
        for transport in list(self._links.values()):
            self._write(transport, payload)

    def others(self, namespace: str) -> list[asyncio.Transport]:
        """The links to the workers that have a namespace."""
        return [
            transport for number, transport in self._links.items() if namespace in self.peers.get(number, ())
        ]

    def publish(self, namespace: str, message: dict[str, Any]) -> None:
        """Send a message to all that have the namespace."""
        others = self.others(namespace)
        if others:
            payload = pack(message)
            for transport in others:
                self._write(transport, payload)

    def respond(self, uid: str, message: dict[str, Any]) -> None:
        """Send a message to the worker that has an adapter."""
        payload = pack(message)
        for number, namespaces in self.peers.items():
            if uid in namespaces.values() and number in self._links:
                self._write(self._links[number], payload)

    # -- from others --------------------------------------------------------------------------------------

    def on_greeting(self, namespaces: dict[str, str], value: Any) -> int:
        """The first message of a link: which worker it is, whose namespaces these will be.

        :raises BusError: if it does not say that.
        """
        number = value.get("worker") if isinstance(value, dict) else None
        if type(number) is not int or not 0 <= number < self._place.count or number == self._place.number:
            raise BusError("no worker's greeting")
        self.peers[number] = namespaces
        self.check_complete()
        return number

    def on_message(self, namespaces: dict[str, str], value: Any) -> None:
        """A message of a worker, which has these namespaces.

        :raises BusError: if it is malformed.
        """
        if not isinstance(value, dict):
            raise BusError("not a mapping")
        if "join" in value:
            namespaces[read_text(value, "join")] = read_text(value, "uid")
        elif "leave" in value:
            namespaces.pop(read_text(value, "leave"), None)
        else:
            message = read_message(value)
            adapter = self._adapters.get(message.namespace)
            if adapter is not None:
                adapter.on_message(message)


class _Outgoing(asyncio.Protocol):
    """A link to another worker, which says nothing on it."""

    def __init__(self, lost: asyncio.Future[None]) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(None)


class _Incoming(asyncio.Protocol):
    """What another worker says."""

    def __init__(self, bus: WorkerBus, present: set[_Incoming]) -> None:
        self._bus = bus
        self._present = present
        self._frames = Frames()
        self._number = -1
        self._namespaces: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._present.add(self)

    def data_received(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            try:
                value = unpack(payload)
                if self._number < 0:
                    self._number = self._bus.on_greeting(self._namespaces, value)
                else:
                    self._bus.on_message(self._namespaces, value)
            except (BusError, PacketError) as error:
                logger.warning("ignored a message of worker %d: %s", self._number, error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._present.discard(self)
        if self._bus.peers.get(self._number) is self._namespaces:
            del self._bus.peers[self._number]
            self._bus.check_complete()

    def close(self) -> None:
        """End it."""
        self._transport.close()


class WorkerAdapter(ClusterAdapter):
    """The adapter of a namespace; :meth:`WorkerBus.create_adapter` makes it."""

    def __init__(self, namespace: NamespaceLike, bus: WorkerBus) -> None:
        super().__init__(namespace, _REQUESTS_TIMEOUT)
        self._bus = bus

    async def init(self) -> None:
        """Tell the other workers of the namespace."""
        await self._bus.join(self)

    async def close(self) -> None:
        """Tell them that it is gone."""
        await self._bus.leave(self)

    async def server_count(self) -> int:
        """How many workers have the namespace, this one among them."""
        return 1 + len(self._bus.others(self.namespace.name))

    def publish(self, type_: MessageType, data: dict[str, Any]) -> None:
        """Tell the other workers."""
        self._bus.publish(self.namespace.name, self.write_message(type_, data))

    def respond(self, uid: str, type_: MessageType, data: dict[str, Any]) -> None:
        """Answer one of them."""
        self._bus.respond(uid, self.write_message(type_, data))
