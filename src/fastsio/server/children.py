"""The adapter of a parent namespace, which has no sockets but its children's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastsio._codec import EncodedPacket
from fastsio.adapters.base import Adapter, BroadcastOptions, NamespaceLike, SocketDetails, SocketLike

__all__ = ["ChildrenAdapter"]


class ChildrenAdapter(Adapter):
    """Hands what is asked of it to the adapters of ``children``, which changes as they come and go."""

    def __init__(self, namespace: NamespaceLike, children: Mapping[str, Any]) -> None:
        super().__init__(namespace)
        self._children = children

    def _adapters(self) -> list[Adapter]:
        return [child.adapter for child in self._children.values()]

    @property
    def rooms(self) -> dict[str, set[str]]:
        """None: the rooms are the children's."""
        return {}

    @property
    def sids(self) -> dict[str, set[str]]:
        """None: the sockets are the children's."""
        return {}

    def add_all(self, sid: str, rooms: Iterable[str]) -> None:
        """Nothing: no socket is here."""

    def del_(self, sid: str, room: str) -> None:
        """Nothing: no socket is here."""

    def del_all(self, sid: str) -> None:
        """Nothing: no socket is here."""

    def local_sockets(self, options: BroadcastOptions) -> list[SocketLike]:
        """The sockets of the children that ``options`` names."""
        return [socket for adapter in self._adapters() for socket in adapter.local_sockets(options)]

    def broadcast_event(self, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Send an event in every child; the packets differ in the namespace."""
        for adapter in self._adapters():
            adapter.broadcast_event(args, options)

    def broadcast(self, packet: EncodedPacket, options: BroadcastOptions) -> None:
        """The same for an event that is encoded, if only for this namespace."""
        if packet.event is not None:
            self.broadcast_event(packet.event, options)

    def broadcast_with_ack(
        self,
        args: tuple[Any, ...],
        options: BroadcastOptions,
        on_clients: Callable[[int], None],
        on_answer: Callable[[Any], None],
    ) -> None:
        """Ask in every child."""
        for adapter in self._adapters():
            adapter.broadcast_with_ack(args, options, on_clients, on_answer)

    async def server_count(self) -> int:
        """How often ``on_clients`` is called: by each process for each child."""
        return sum([await adapter.server_count() for adapter in self._adapters()])

    async def fetch_sockets(self, options: BroadcastOptions) -> list[SocketLike | SocketDetails]:
        """Not here, as in Node: other processes may have other children.

        :raises TypeError: always.
        """
        raise TypeError("fetch_sockets() is not supported on parent namespaces")

    def add_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Put sockets of every child in ``rooms``."""
        wanted = list(rooms)
        for adapter in self._adapters():
            adapter.add_sockets(options, wanted)

    def del_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Take sockets of every child out of ``rooms``."""
        wanted = list(rooms)
        for adapter in self._adapters():
            adapter.del_sockets(options, wanted)

    def disconnect_sockets(self, options: BroadcastOptions, close: bool) -> None:
        """Disconnect sockets of every child."""
        for adapter in self._adapters():
            adapter.disconnect_sockets(options, close)
