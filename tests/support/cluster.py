"""Servers of one process as if they were several: an adapter on a bus that carries JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from fastsio._codec import EncodedPacket
from fastsio.adapters import BroadcastFlags, BroadcastOptions, MemoryAdapter, SocketDetails
from fastsio.exceptions import AckTimeout
from fastsio.server import Socket

__all__ = ["Bus"]


class Bus:
    """What connects the adapters: ``Server(adapter=bus.adapter)`` on each server of the cluster."""

    def __init__(self) -> None:
        self.adapters: list[ClusterAdapter] = []
        #: Names of namespaces, as their adapters were connected and disconnected.
        self.log: list[tuple[str, str]] = []
        #: Seconds until a process that does not answer is given up.
        self.patience = 0.2

    def adapter(self, namespace: Any) -> ClusterAdapter:
        return ClusterAdapter(namespace, self)

    def others(self, adapter: ClusterAdapter) -> list[ClusterAdapter]:
        name = adapter.namespace.name
        return [other for other in self.adapters if other is not adapter and other.namespace.name == name]


def over_the_wire(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def read_options(options: Any) -> BroadcastOptions:
    rooms, except_, flags = options
    return BroadcastOptions(frozenset(rooms), frozenset(except_), BroadcastFlags(*flags))


def write_options(options: BroadcastOptions) -> Any:
    return over_the_wire([list(options.rooms), list(options.except_), list(options.flags)])


class ClusterAdapter(MemoryAdapter):
    def __init__(self, namespace: Any, bus: Bus) -> None:
        super().__init__(namespace)
        self.bus = bus

    async def init(self) -> None:
        await asyncio.sleep(0)
        self.bus.adapters.append(self)
        self.bus.log.append(("init", self.namespace.name))

    async def close(self) -> None:
        self.bus.adapters.remove(self)
        self.bus.log.append(("close", self.namespace.name))

    def _elsewhere(self, options: BroadcastOptions) -> list[tuple[ClusterAdapter, BroadcastOptions]]:
        if options.flags.local:
            return []
        return [(other, read_options(write_options(options))) for other in self.bus.others(self)]

    async def server_count(self) -> int:
        return 1 + len(self.bus.others(self))

    def broadcast(self, packet: EncodedPacket, options: BroadcastOptions) -> None:
        super().broadcast(packet, options)
        for other, there in self._elsewhere(options):
            super(ClusterAdapter, other).broadcast(packet, there)

    def broadcast_with_ack(
        self,
        args: tuple[Any, ...],
        options: BroadcastOptions,
        on_clients: Callable[[int], None],
        on_answer: Callable[[Any], None],
    ) -> None:
        super().broadcast_with_ack(args, options, on_clients, on_answer)
        for other, there in self._elsewhere(options):
            super(ClusterAdapter, other).broadcast_with_ack(
                tuple(over_the_wire(args)),
                there,
                on_clients,
                lambda response: on_answer(over_the_wire(response)),
            )

    async def fetch_sockets(self, options: BroadcastOptions) -> list[Any]:
        found: list[Any] = list(await super().fetch_sockets(options))
        for other, there in self._elsewhere(options):
            for socket in other.local_sockets(there):
                assert isinstance(socket, Socket)
                details = over_the_wire(
                    [socket.id, socket.handshake.as_dict(), list(socket.rooms), socket.data]
                )
                found.append(SocketDetails(details[0], details[1], frozenset(details[2]), details[3]))
        return found

    def add_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        wanted = list(rooms)
        super().add_sockets(options, wanted)
        for other, there in self._elsewhere(options):
            super(ClusterAdapter, other).add_sockets(there, wanted)

    def del_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        wanted = list(rooms)
        super().del_sockets(options, wanted)
        for other, there in self._elsewhere(options):
            super(ClusterAdapter, other).del_sockets(there, wanted)

    def disconnect_sockets(self, options: BroadcastOptions, close: bool) -> None:
        super().disconnect_sockets(options, close)
        for other, there in self._elsewhere(options):
            super(ClusterAdapter, other).disconnect_sockets(there, close)

    def server_side_emit(self, args: tuple[Any, ...], answers: Any) -> None:
        others = self.bus.others(self)
        responses: list[Any] = []

        def answer(*given: Any) -> None:
            responses.append(over_the_wire(given[0] if given else None))

        for other in others:
            other.namespace.on_server_side_emit(
                tuple(over_the_wire(args)), None if answers is None else answer
            )
        if answers is not None:
            asyncio.get_running_loop().call_later(self.bus.patience, self._answer, answers, others, responses)

    def _answer(self, answers: Any, others: list[ClusterAdapter], responses: list[Any]) -> None:
        complete = len(responses) == len(others)
        answers(None if complete else AckTimeout(self.bus.patience, responses), responses)
