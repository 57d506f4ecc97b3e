"""Connection state recovery within one process: what clients missed, and who they were."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import Any

from fastsio._codec import EncodedPacket
from fastsio.adapters.base import BroadcastFlags, BroadcastOptions, NamespaceLike, RecoverySession, SocketLike
from fastsio.adapters.delivery import deliver
from fastsio.adapters.memory import MemoryAdapter
from fastsio.engine.timers import TimerWheel
from fastsio.options import RecoveryOptions

__all__ = ["RecoveryStore", "SessionAwareAdapter", "concerns", "note_joined", "send_with_offset"]

logger = logging.getLogger("fastsio.adapters")

#: Bytes that a kept packet counts besides what is sent.
PACKET_COST = 300

# Digits of an offset's number; more than a server lives to send.
_MAX_DIGITS = 15


class _KeptPacket:
    """A packet that was sent, for those who may not have got it: one socket (``sid``), or rooms."""

    __slots__ = ("adapter", "except_", "number", "packet", "rooms", "sid", "size", "time")

    def __init__(
        self,
        adapter: SessionAwareAdapter,
        number: int,
        packet: EncodedPacket,
        sid: str | None,
        options: BroadcastOptions,
        time: float,
    ) -> None:
        self.adapter = adapter
        self.number = number
        self.packet = packet
        self.sid = sid
        self.rooms = options.rooms
        self.except_ = options.except_
        self.size = packet.size + PACKET_COST
        self.time = time

    def concerns(self, session: RecoverySession) -> bool:
        """Whether it was sent to the socket: to a room it was in by then, and to none that was left out."""
        if self.sid is not None:
            return self.sid == session.sid
        return concerns(session, self.number, self.rooms, self.except_)


def concerns(session: RecoverySession, number: Any, rooms: frozenset[str], except_: frozenset[str]) -> bool:
    """Whether packet ``number`` was for a socket: to a room it was in by then, to none that was left out."""
    joined = session.joined
    if not joined:
        return (not rooms or not rooms.isdisjoint(session.rooms)) and except_.isdisjoint(session.rooms)

    def was_in(room: str) -> bool:
        since = joined.get(room)
        return since is None or since < number

    if rooms and not any(map(was_in, rooms & session.rooms)):
        return False
    return not any(map(was_in, except_ & session.rooms))


def note_joined(session: RecoverySession, rooms: Iterable[str], present: Container[str], number: Any) -> None:
    """The socket of ``session`` joins ``rooms``, and is in those ``present``: in the others, no packet up to
    ``number``, the newest, was for it."""
    if number > session.start:
        for room in rooms:
            if room not in present:
                if session.joined is None:
                    session.joined = {}
                session.joined[room] = number


def send_with_offset(
    sockets: list[SocketLike],
    packet: EncodedPacket,
    plain: Callable[[], EncodedPacket],
    present: Container[str],
    flags: BroadcastFlags,
) -> None:
    """Send a packet with its offset to those of ``sockets`` that are ``present``, which can use one, and what
    ``plain`` makes to the others."""
    able: list[SocketLike] = []
    others: list[SocketLike] = []
    for socket in sockets:
        (able if socket.id in present else others).append(socket)
    deliver(able, packet, flags)
    if others:
        deliver(others, plain(), flags)


class RecoveryStore:
    """What a server keeps for clients whose connections were lost: packets and sessions, oldest first.

    Both go by time and by the limits of the options, which are for all namespaces together.

    :param heartbeat: the longest a dead connection may go unnoticed, in seconds: so much longer than its
        session a packet is kept, since it may have been sent to a peer that was gone already.
    :param timers: gives the timers of the server.
    """

    def __init__(self, options: RecoveryOptions, heartbeat: float, timers: Callable[[], TimerWheel]) -> None:
        self.options = options
        self.sessions: OrderedDict[str, RecoverySession] = OrderedDict()
        self.packets: deque[_KeptPacket] = deque()
        #: Bytes that the kept packets count.
        self.size = 0
        self.deadline = 0.0
        self.tick = 0
        self._keep = options.max_disconnection_duration + heartbeat
        self._timers = timers
        self._wheel: TimerWheel | None = None
        self._warned: set[str] = set()

    def now(self) -> float:
        """The time by the server's clock; what is kept is looked after from then on."""
        wheel = self._timers()
        if wheel is not self._wheel:
            # The first use, or the server goes on in another loop.
            self._wheel = wheel
            self.tick = 0
        if not self.tick:
            wheel.arm(self, self.options.max_disconnection_duration / 4)
        return wheel.now()

    def expire(self) -> None:
        """Of the timers: drop what has had its time; come back as long as something is left."""
        assert self._wheel is not None
        now = self._wheel.now()
        self._warned.clear()
        while self.packets and self.packets[0].time + self._keep < now:
            self._drop_packet()
        while self.sessions:
            session = next(iter(self.sessions.values()))
            if session.expires >= now:
                break
            self._drop_session(session)
        if self.packets or self.sessions:
            self._wheel.arm(self, self.options.max_disconnection_duration / 4)

    def is_needed(self, since: float, now: float) -> bool:
        """Whether somebody may still miss a packet sent at ``since``."""
        return since + self._keep >= now

    def keep(self, packet: _KeptPacket) -> None:
        """Keep a packet; the oldest go if there are too many."""
        self.packets.append(packet)
        packet.adapter.log.append(packet)
        self.size += packet.size
        options = self.options
        while self.packets and (len(self.packets) > options.max_packets or self.size > options.max_bytes):
            self._warn("max_packets" if len(self.packets) > options.max_packets else "max_bytes")
            oldest = self.packets[0]
            oldest.adapter.lost = (oldest.number, oldest.time)
            self._drop_packet()

    def _drop_packet(self) -> None:
        packet = self.packets.popleft()
        # Both queues are in the order of sending, so it is the first of its adapter's too.
        packet.adapter.log.popleft()
        self.size -= packet.size

    def add_session(self, session: RecoverySession, adapter: SessionAwareAdapter) -> None:
        """A connection was lost."""
        session.owner = adapter
        self.sessions[session.pid] = session
        if len(self.sessions) > self.options.max_sessions:
            self._warn("max_sessions")
            self._drop_session(next(iter(self.sessions.values())))

    def _drop_session(self, session: RecoverySession) -> None:
        del self.sessions[session.pid]
        session.owner.forget(session)

    def _warn(self, option: str) -> None:
        """Once in a while."""
        if option not in self._warned:
            self._warned.add(option)
            logger.warning(
                "connection_state_recovery: dropping what clients may still come back for (option %s is %d)",
                option,
                getattr(self.options, option),
            )


class SessionAwareAdapter(MemoryAdapter):
    """The adapter of a single process that remembers lost connections and what they missed.

    An event carries its offset as the last argument: a mark of this adapter and a number, which counts up.
    Volatile events and those that ask for an acknowledgement carry none and are not kept.
    """

    recovers = True

    def __init__(self, namespace: NamespaceLike, store: RecoveryStore) -> None:
        super().__init__(namespace)
        self._store = store
        # So that text which ends an event without an offset is not taken for one.
        self._mark = secrets.token_urlsafe(3) + "."
        self._number = 0
        #: What is kept of this namespace, in order.
        self.log: deque[_KeptPacket] = deque()
        #: Number and time of the newest packet that a limit has dropped.
        self.lost: tuple[int, float] = (0, 0.0)
        # Sockets that can be recovered, by id, and private ids of those that are away.
        self._present: dict[str, RecoverySession] = {}
        self._away: set[str] = set()

    @property
    def idle(self) -> bool:
        """Whether nobody may come back."""
        return not self._away

    # -- sending --------------------------------------------------------------------------------------

    def broadcast_event(self, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Send an event to every socket that ``options`` names, once each, and keep it.

        Encoded once; once more, without the offset, if clients are among them that cannot use one.
        """
        flags = options.flags
        if flags.volatile or not (self._present or self._away):
            super().broadcast_event(args, options)
            return
        packet = self._keep(args, None, options)
        plain = partial(self.namespace.encode_event, args)
        send_with_offset(self.local_sockets(options), packet, plain, self._present, flags)

    def send_event(self, socket: SocketLike, args: tuple[Any, ...], flags: BroadcastFlags) -> None:
        """Send an event to one socket, and keep it."""
        if flags.volatile or socket.id not in self._present:
            super().send_event(socket, args, flags)
        else:
            socket.send_encoded(self._keep(args, socket.id, _NOBODY), flags)

    def _keep(self, args: tuple[Any, ...], sid: str | None, options: BroadcastOptions) -> EncodedPacket:
        number = self._number + 1
        packet = self.namespace.encode_event((*args, f"{self._mark}{number}"))
        self._number = number
        self._store.keep(_KeptPacket(self, number, packet, sid, options, self._store.now()))
        return packet

    # -- rooms ----------------------------------------------------------------------------------------

    def add_all(self, sid: str, rooms: Iterable[str]) -> None:
        """Put a socket in rooms; what was sent to them before is not for it."""
        session = self._present.get(sid)
        if session is not None:
            rooms = list(rooms)
            note_joined(session, rooms, self._sids.get(sid, ()), self._number)
        super().add_all(sid, rooms)

    def del_all(self, sid: str) -> None:
        """Take a socket out of every room and forget it."""
        self._present.pop(sid, None)
        super().del_all(sid)

    # -- sessions -------------------------------------------------------------------------------------

    def open_session(self, session: RecoverySession) -> None:
        """A socket has joined its rooms; a new one has missed nothing so far."""
        if session.start < 0:
            session.start = self._number
        self._away.discard(session.pid)
        self._present[session.sid] = session

    def persist_session(self, session: RecoverySession) -> None:
        """Keep what a socket was whose connection is lost."""
        session.expires = self._store.now() + self._store.options.max_disconnection_duration
        self._away.add(session.pid)
        self._store.add_session(session, self)

    async def restore_session(self, pid: str, offset: str | None) -> RecoverySession | None:
        """Hand out what is kept of a client, if it and all that the client missed is there.

        :param offset: that of the last event the client has got; None if it got none: then it has missed
            whatever was sent since it first connected.
        """
        store = self._store
        session = store.sessions.get(pid)
        if session is None or session.owner is not self or session.expires < store.now():
            return None
        start = session.start
        if offset is not None:
            number = self._read_offset(offset)
            if number is None:
                return None
            start = max(start, number)
        if not self._has_all_since(start):
            return None
        del store.sessions[pid]
        session.start = start
        return session

    def resume_session(self, session: RecoverySession, max_size: int) -> list[EncodedPacket] | None:
        """What the client has missed up to now; None if that is too much, or not there any more."""
        missed: list[EncodedPacket] = []
        whole = self._has_all_since(session.start)
        for kept in reversed(self.log):
            if not whole or kept.number <= session.start:
                break
            if kept.concerns(session):
                missed.append(kept.packet)
                max_size -= kept.packet.size
                whole = max_size >= 0
        if not whole:
            self.forget(session)
            return None
        missed.reverse()
        return missed

    def release_session(self, session: RecoverySession) -> None:
        """The client that asked for it was refused or has gone: it may try again while there is time."""
        self._store.add_session(session, self)

    def forget(self, session: RecoverySession) -> None:
        """A session is over and was not taken up."""
        self._away.discard(session.pid)
        if not self._away:
            self.namespace.release()

    def _read_offset(self, offset: str) -> int | None:
        """The number in an offset that this adapter has given out."""
        digits = offset[len(self._mark) :]
        if not (offset.startswith(self._mark) and digits.isascii() and digits.isdigit()):
            return None
        number = int(digits) if len(digits) <= _MAX_DIGITS else 0
        return number if 0 < number <= self._number else None

    def _has_all_since(self, number: int) -> bool:
        """Whether no packet after ``number`` that somebody may have missed was dropped before its time.

        Those that have had their time do not count: a connection that outlived them has delivered them.
        """
        lost, since = self.lost
        return lost <= number or not self._store.is_needed(since, self._store.now())


_NOBODY = BroadcastOptions()
