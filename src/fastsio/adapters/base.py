"""What a namespace asks of its adapter: who is in which room, and how a packet reaches them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fastsio._codec import EncodedPacket
from fastsio._emitter import EventEmitter
from fastsio.engine.timers import TimerWheel
from fastsio.options import RecoveryOptions

__all__ = [
    "PLAIN",
    "Adapter",
    "BroadcastFlags",
    "BroadcastOptions",
    "NamespaceLike",
    "RecoverySession",
    "SocketDetails",
    "SocketLike",
]

logger = logging.getLogger("fastsio.server")

#: Takes the answers to ``server_side_emit``: an error or None, and the responses there are.
Answers = Callable[[BaseException | None, list[Any]], None]


class BroadcastFlags(NamedTuple):
    """How a packet is to be sent. ``timeout`` is in seconds; ``binary=False`` sends bytes in the form that
    JSON has for Node's buffers."""

    volatile: bool = False
    compress: bool = True
    local: bool = False
    timeout: float | None = None
    binary: bool | None = None


#: The flags of a packet that nobody set any for; known by identity where that saves looking at each.
PLAIN = BroadcastFlags()


class BroadcastOptions(NamedTuple):
    """Who gets a packet: members of any of ``rooms`` (all, if empty) that are in none of ``except_``."""

    rooms: frozenset[str] = frozenset()
    except_: frozenset[str] = frozenset()
    flags: BroadcastFlags = PLAIN


class RecoverySession:
    """What recovery knows of a socket, from its first connection until nobody may come back to it.

    :ivar pid: the private id by which the client asks for it.
    :ivar sid: the socket's id.
    :ivar rooms: the rooms it was in when the connection was lost.
    :ivar data: the socket's data.
    :ivar recovered: whether it was taken up again at least once.
    :ivar start: what the client has got for certain, in the adapter's own way of counting; below 0: unknown.
    :ivar joined: the same for rooms that were joined later: what they were sent before was not for it.
    :ivar expires: when it is forgotten, by the server's clock.
    :ivar owner: the adapter that keeps it.
    """

    __slots__ = ("data", "expires", "joined", "owner", "pid", "recovered", "rooms", "sid", "start")

    def __init__(self, pid: str, sid: str) -> None:
        self.pid = pid
        self.sid = sid
        self.rooms: frozenset[str] = frozenset()
        self.data: Any = None
        self.recovered = False
        self.start: Any = -1
        self.joined: dict[str, Any] | None = None
        self.expires = 0.0
        self.owner: Any = None


class SocketDetails(NamedTuple):
    """A socket of another process, as its adapter describes it.

    ``handshake`` is the mapping that :meth:`fastsio.server.handshake.Handshake.as_dict` makes, which is also
    what Node's adapters send.
    """

    id: str
    handshake: Mapping[str, Any]
    rooms: frozenset[str]
    data: Any


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
    @property
    def recovery(self) -> RecoveryOptions | None: ...
    def on_server_side_emit(self, args: tuple[Any, ...], ack: Callable[..., None] | None = None) -> None: ...
    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None: ...
    def ask(
        self,
        sockets: Sequence[SocketLike],
        args: tuple[Any, ...],
        flags: BroadcastFlags,
        on_answer: Callable[[Any], None],
    ) -> None: ...
    def encode_event(self, args: tuple[Any, ...]) -> EncodedPacket: ...
    def release(self) -> None: ...


class Adapter(EventEmitter, ABC):
    """The rooms of one namespace. Every socket is in a room named by its own id.

    Events: ``create-room(room)``, ``delete-room(room)``, ``join-room(room, id)``, ``leave-room(room, id)``.
    """

    #: Whether the adapter keeps sessions: without, the option ``connection_state_recovery`` has no effect.
    recovers = False

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

    def broadcast_event(self, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Send ``(event, *args)`` to every socket that ``options`` names, encoded once.

        :raises PacketError: for a value that cannot be sent.
        """
        self.broadcast(self.namespace.encode_event(args), options)

    def send_event(self, socket: SocketLike, args: tuple[Any, ...], flags: BroadcastFlags) -> None:
        """Send ``(event, *args)`` to one socket that may be recovered.

        :raises PacketError: for a value that cannot be sent.
        """
        socket.send_encoded(self.namespace.encode_event(args), flags)

    @abstractmethod
    def local_sockets(self, options: BroadcastOptions) -> list[SocketLike]:
        """The sockets of this process that ``options`` names."""

    async def fetch_sockets(self, options: BroadcastOptions) -> list[SocketLike | SocketDetails]:
        """The sockets that ``options`` names, of the whole cluster: those of other processes as
        :class:`SocketDetails`."""
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

    # -- connection state recovery, for adapters that have it ------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nobody may come back to the namespace."""
        return True

    def open_session(self, session: RecoverySession) -> None:
        """A socket has joined its rooms, for the first time or again."""

    def persist_session(self, session: RecoverySession) -> None:
        """A socket's connection is lost: keep its session, whose ``rooms`` and ``data`` are set."""

    async def restore_session(self, pid: str, offset: str | None) -> RecoverySession | None:
        """Hand out the session with that private id, once, if all that the client missed can be given too.

        :param offset: that of the last event the client has got; None if it got none.
        """
        return None

    def resume_session(self, session: RecoverySession, max_size: int) -> list[EncodedPacket] | None:
        """What the client of a restored session has missed, in order; None if not all of it is there any
        more, or if it is more than ``max_size`` bytes: the session is forgotten then. Called once, at the
        moment the socket joins its rooms again."""
        return []

    def release_session(self, session: RecoverySession) -> None:
        """Take a restored session back, whose client did not get as far as to join its rooms."""

    def server_side_emit(self, args: tuple[Any, ...], answers: Answers | None) -> None:
        """Have ``on_server_side_emit`` called on the namespace of every other process of the cluster.

        :param args: ``(event, *args)``.
        :param answers: called once, with what the listeners there acknowledge, if that is asked for.
        """
        logger.warning(
            "server_side_emit(%r) reaches nobody: %s knows no other process", args[0], type(self).__name__
        )
        if answers is not None:
            self.namespace.call_soon(answers, None, [])

    async def init(self) -> None:
        """Called once, before the namespace is used and when a loop runs: connect to the cluster."""

    async def close(self) -> None:
        """The namespace is going away."""

    # -- who is where -----------------------------------------------------------------------------------

    async def sockets(self, rooms: Iterable[str] = ()) -> set[str]:
        """The ids in any of ``rooms``, or all, of this process."""
        return {socket.id for socket in self.local_sockets(BroadcastOptions(rooms=frozenset(rooms)))}

    def socket_rooms(self, sid: str) -> set[str] | None:
        """The rooms of a socket of this process (a copy), None if there is no such socket."""
        rooms = self.sids.get(sid)
        return None if rooms is None else set(rooms)

    # -- as in v2 ---------------------------------------------------------------------------------------

    def add(self, sid: str, room: str, callback: Callable[..., Any] | None = None) -> None:
        """Put a socket in one room; ``callback(None)`` follows."""
        self.add_all(sid, (room,))
        if callback is not None:
            self.namespace.call_soon(callback, None)

    def clients(self, rooms: Iterable[str], callback: Callable[..., Any]) -> None:
        """``callback(None, ids)`` with the ids in any of ``rooms``, or all, of this process."""
        sockets = self.local_sockets(BroadcastOptions(rooms=frozenset(rooms)))
        self.namespace.call_soon(callback, None, [socket.id for socket in sockets])

    def client_rooms(self, sid: str, callback: Callable[..., Any]) -> None:
        """``callback(None, rooms)`` with the names of a socket's rooms, None if there is no such socket."""
        rooms = self.socket_rooms(sid)
        self.namespace.call_soon(callback, None, None if rooms is None else list(rooms))
