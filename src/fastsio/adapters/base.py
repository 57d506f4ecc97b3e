"""What a namespace asks of its adapter: who is in which room, and how a packet reaches them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fastsio._codec import EncodedPacket
from fastsio._emitter import EventEmitter
from fastsio.engine.timers import TimerWheel

__all__ = ["Adapter", "BroadcastFlags", "BroadcastOptions", "NamespaceLike", "SocketLike"]


class BroadcastFlags(NamedTuple):
    """How a packet is to be sent. ``timeout`` is in seconds."""

    volatile: bool = False
    compress: bool = True
    local: bool = False
    timeout: float | None = None


class BroadcastOptions(NamedTuple):
    """Who gets a packet: members of any of ``rooms`` (all, if empty) that are in none of ``except_``."""

    rooms: frozenset[str] = frozenset()
    except_: frozenset[str] = frozenset()
    flags: BroadcastFlags = BroadcastFlags()


class SocketLike(Protocol):
    """The part of a socket that an adapter uses."""

    @property
    def id(self) -> str: ...
    def send_encoded(self, packet: EncodedPacket, flags: BroadcastFlags) -> None: ...
    def disconnect(self, close: bool = False) -> Any: ...


class NamespaceLike(Protocol):
    """The part of a namespace that an adapter uses."""

    @property
    def name(self) -> str: ...
    @property
    def sockets(self) -> Mapping[str, SocketLike]: ...
    @property
    def timers(self) -> TimerWheel: ...
    def ask(
        self,
        sockets: Sequence[SocketLike],
        args: tuple[Any, ...],
        flags: BroadcastFlags,
        on_answer: Callable[[Any], None],
    ) -> None: ...


class Adapter(EventEmitter, ABC):
    """The rooms of one namespace. Every socket is in a room named by its own id.

    Events: ``create-room(room)``, ``delete-room(room)``, ``join-room(room, id)``, ``leave-room(room, id)``.
    """

    def __init__(self, namespace: NamespaceLike) -> None:
        self.namespace = namespace

    @property
    @abstractmethod
    def rooms(self) -> Mapping[str, set[str]]:
        """Ids by room."""

    @property
    @abstractmethod
    def sids(self) -> Mapping[str, set[str]]:
        """Rooms by id."""

    @abstractmethod
    def add_all(self, sid: str, rooms: Iterable[str]) -> None:
        """Put a socket in rooms."""

    @abstractmethod
    def del_(self, sid: str, room: str) -> None:
        """Take a socket out of one room."""

    @abstractmethod
    def del_all(self, sid: str) -> None:
        """Take a socket out of every room."""

    @abstractmethod
    def broadcast(self, packet: EncodedPacket, options: BroadcastOptions) -> None:
        """Send a packet to every socket that ``options`` names, once each."""

    def broadcast_with_ack(
        self,
        args: tuple[Any, ...],
        options: BroadcastOptions,
        on_clients: Callable[[int], None],
        on_answer: Callable[[Any], None],
    ) -> None:
        """Send an event to every socket that ``options`` names, and ask each for an acknowledgement.

        :param args: ``(event, *args)``; not encoded, since each process gives it an id of its own.
        :param on_clients: called once for every process of the cluster, with how many sockets it asked.
        :param on_answer: called with the first argument of each acknowledgement, None without one; no longer
            after ``options.flags.timeout`` seconds.
        :raises PacketError: for a value that cannot be sent.
        """
        sockets = self.local_sockets(options)
        self.namespace.ask(sockets, args, options.flags, on_answer)
        on_clients(len(sockets))

    async def server_count(self) -> int:
        """How many processes the cluster has, this one among them."""
        return 1

    @abstractmethod
    def local_sockets(self, options: BroadcastOptions) -> list[SocketLike]:
        """The sockets of this process that ``options`` names."""

    async def fetch_sockets(self, options: BroadcastOptions) -> list[Any]:
        """The sockets that ``options`` names, of the whole cluster."""
        return list(self.local_sockets(options))

    def add_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Put the sockets that ``options`` names in ``rooms``."""
        wanted = list(rooms)
        for socket in self.local_sockets(options):
            self.add_all(socket.id, wanted)

    def del_sockets(self, options: BroadcastOptions, rooms: Iterable[str]) -> None:
        """Take the sockets that ``options`` names out of ``rooms``."""
        wanted = list(rooms)
        for socket in self.local_sockets(options):
            for room in wanted:
                self.del_(socket.id, room)

    def disconnect_sockets(self, options: BroadcastOptions, close: bool) -> None:
        """Disconnect the sockets that ``options`` names; with ``close`` their connections too."""
        for socket in self.local_sockets(options):
            socket.disconnect(close)

    async def close(self) -> None:
        """The namespace is going away."""
