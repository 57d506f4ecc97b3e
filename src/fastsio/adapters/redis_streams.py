"""Servers on many machines over a Redis stream, in one cluster with Node's.

The wire is that of npm's ``@socket.io/redis-streams-adapter`` 0.3: what must not be lost goes through a
stream, questions and their answers through channels. A stream outlives its readers, so the state of lost
connections does too: a client may come back to any server of the cluster (option
``connection_state_recovery``). With it, every server gives its clients what went through the stream in the
stream's order, its own events included, so that what a client missed is what stands behind the last entry it
has got.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fastsio._codec import EncodedPacket
from fastsio.adapters.base import (
    BroadcastFlags,
    BroadcastOptions,
    NamespaceLike,
    RecoverySession,
    SocketLike,
)
from fastsio.adapters.bus import (
    BusError,
    Message,
    MessageType,
    from_json,
    pack,
    read_event,
    read_message,
    read_names,
    read_options,
    read_text,
    to_json,
    unpack,
    write_event,
    write_options,
)
from fastsio.adapters.cluster import ClusterAdapter
from fastsio.adapters.recovery import PACKET_COST, concerns, note_joined, send_with_offset
from fastsio.adapters.redis_link import Fields, RedisLink, Stream, StreamId, Value, format_id, parse_id
from fastsio.exceptions import PacketError
from fastsio.parsers import buffers_as_json

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisStreamsAdapter", "create_adapter"]

logger = logging.getLogger("fastsio.adapters")

#: What is published, with its answers, to who is there; everything else goes through the stream.
_EPHEMERAL = frozenset((MessageType.FETCH_SOCKETS, MessageType.SERVER_SIDE_EMIT))
#: Seconds a server that starts waits for Redis before it goes on without.
_PATIENCE = 5.0
#: Entries read at once of what a client missed.
_PAGE = 1000
#: The start of a session that another implementation has kept, or that began without Redis.
_UNKNOWN: StreamId = (-1, -1)
#: Adapters whose last message is remembered, so that none counts twice.
_MAX_PEERS = 10_000


@dataclass(frozen=True)
class _Options:
    stream_name: str
    stream_count: int
    channel_prefix: str
    max_len: int
    session_key_prefix: str
    only_plaintext: bool
    requests_timeout: float


def create_adapter(
    redis: str | Redis,
    *,
    stream_name: str = "socket.io",
    stream_count: int = 1,
    channel_prefix: str = "socket.io",
    max_len: int = 10_000,
    read_count: int = 100,
    block_time: float = 5.0,
    session_key_prefix: str = "sio:session:",
    only_plaintext: bool = False,
    requests_timeout: float = 5.0,
    max_pending: int = 10_000,
) -> Callable[[NamespaceLike], RedisStreamsAdapter]:
    """What the option ``adapter`` of a server takes: adapters over one Redis, version 6.2 or newer.

    Defaults are those of Node's adapter; names, prefixes, ``stream_count`` and ``max_len`` must be the same
    on all servers.

    :param redis: a URL such as ``redis://localhost:6379``, or a ``redis.asyncio.Redis`` that gives bytes.
    :param stream_name: key of the stream; with several, ``-0``, ``-1``, … follow.
    :param stream_count: how many streams; a namespace always goes through the same.
    :param channel_prefix: begins the names of the channels.
    :param max_len: entries a stream keeps, about: as far back clients can be given what they missed.
    :param read_count: entries read at once.
    :param block_time: seconds a read waits for something new.
    :param session_key_prefix: begins the keys of lost connections' sessions.
    :param only_plaintext: send everything as JSON, bytes as Node's ``{"type": "Buffer"}``.
    :param requests_timeout: seconds other servers have to answer.
    :param max_pending: messages that wait while Redis is away; more are dropped, with a warning.
    :raises ValueError: for numbers that cannot be, and a client that decodes responses.
    """
    whole = {"stream_count": stream_count, "max_len": max_len, "read_count": read_count}
    for name, value in {**whole, "max_pending": max_pending}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, not {value!r}")
    for name, seconds in (("block_time", block_time), ("requests_timeout", requests_timeout)):
        if not seconds > 0:
            raise ValueError(f"{name} must be a number of seconds above 0, not {seconds!r}")
    options = _Options(
        stream_name,
        stream_count,
        channel_prefix,
        max_len,
        session_key_prefix,
        only_plaintext,
        requests_timeout,
    )
    link = RedisLink(redis, block_time=block_time, read_count=read_count, max_pending=max_pending)
    cluster = _Cluster(link, options)
    return lambda namespace: RedisStreamsAdapter(namespace, cluster)


class _Cluster:
    """What the adapters of one server share."""

    def __init__(self, link: RedisLink, options: _Options) -> None:
        self.link = link
        self.options = options
        self._adapters: dict[str, RedisStreamsAdapter] = {}
        count = options.stream_count
        names = [f"{options.stream_name}-{at}" for at in range(count)] if count > 1 else [options.stream_name]
        self._streams = [Stream(name, self._on_entry) for name in names]

    def stream_of(self, namespace: str) -> Stream:
        """The stream of a namespace, as Node's adapter chooses it."""
        hashed = 0
        for at in memoryview(namespace.encode("utf-16-le", "surrogatepass")).cast("H"):
            hashed = (hashed * 31 + at) & 0xFFFF_FFFF
        if hashed >= 0x8000_0000:
            hashed -= 0x1_0000_0000
        return self._streams[hashed % len(self._streams)]

    async def join(self, adapter: RedisStreamsAdapter) -> None:
        """An adapter is there."""
        if not self.link.running:
            self.link.start(self._streams)
        self._adapters[adapter.namespace.name] = adapter
        ready = asyncio.gather(
            adapter.stream.ready.wait(), self.link.subscribe(adapter.channels, adapter.on_published)
        )
        try:
            await asyncio.wait_for(ready, _PATIENCE)
        except asyncio.TimeoutError:
            logger.warning("Redis is not there yet: %s goes on without other servers", adapter.namespace.name)

    async def leave(self, adapter: RedisStreamsAdapter) -> None:
        """An adapter goes; with the last one, the connections."""
        name = adapter.namespace.name
        if self._adapters.get(name) is not adapter:
            return
        del self._adapters[name]
        await self.link.unsubscribe(adapter.channels)
        if not self._adapters:
            await self.link.stop()

    def _on_entry(self, id_: StreamId, fields: Fields) -> None:
        adapter = self._adapters.get(fields.get(b"nsp", b"").decode("utf-8", "replace"))
        if adapter is None:
            return
        try:
            adapter.on_entry(id_, fields)
        except (BusError, PacketError) as error:
            logger.warning("ignored entry %s of the stream: %s", format_id(id_), error)


class RedisStreamsAdapter(ClusterAdapter):
    """The adapter of a namespace; :func:`create_adapter` makes it."""

    recovers = True

    def __init__(self, namespace: NamespaceLike, cluster: _Cluster) -> None:
        super().__init__(namespace, cluster.options.requests_timeout)
        self._cluster = cluster
        self._link = cluster.link
        self._options = cluster.options
        self.stream = cluster.stream_of(namespace.name)
        self._public = f"{cluster.options.channel_prefix}#{namespace.name}#"
        #: The channels that are listened to: of all, and of this adapter.
        self.channels = (self._public, f"{self._public}{self.uid}#")
        # Number of the last message to the stream, and those that were given to the sockets here already.
        self._number = 0
        self._delivered: OrderedDict[int, None] = OrderedDict()
        # The last number of each adapter, since a message whose reply was lost is sent again.
        self._last: OrderedDict[bytes, int] = OrderedDict()
        # Sockets that can be recovered, by id; restored ones that have not joined yet, with what they missed.
        self._present: dict[str, RecoverySession] = {}
        self._returning: dict[RecoverySession, list[_Missed]] = {}

    async def init(self) -> None:
        """Connect; returns when messages of others arrive, or after some seconds."""
        await self._cluster.join(self)

    async def close(self) -> None:
        """Disconnect."""
        await self._cluster.leave(self)

    async def server_count(self) -> int:
        """How many processes listen to the namespace's channel, this one among them."""
        return int((await self._link.ask("PUBSUB", "NUMSUB", self._public))[1])

    # -- to others ----------------------------------------------------------------------------------------

    def publish(self, type_: MessageType, data: dict[str, Any]) -> None:
        """Tell the other adapters: over the stream, or at once if nobody else should ever know."""
        if type_ in _EPHEMERAL or "requestId" in data:
            self._publish_on(self._public, type_, data)
        else:
            self._link.send(_Entry(self._add_command(type_, data)))

    def respond(self, uid: str, type_: MessageType, data: dict[str, Any]) -> None:
        """Answer one adapter."""
        self._publish_on(f"{self._public}{uid}#", type_, data)

    def _publish_on(self, channel: str, type_: MessageType, data: dict[str, Any]) -> None:
        message = pack(self.write_message(type_, data))
        self._link.send(_Publication(("PUBLISH", channel, message)))

    def _add_command(self, type_: MessageType, data: dict[str, Any]) -> tuple[Value, ...]:
        text = to_json(data)
        if text is None:
            if self._options.only_plaintext:
                text = to_json(buffers_as_json(data))
                assert text is not None
            else:
                text = base64.b64encode(pack(data))
        self._number += 1
        words = ("XADD", self.stream.name, "MAXLEN", "~", self._options.max_len, "*", "uid", self.uid)
        # Node's servers do not look at the number.
        return (*words, "nsp", self.namespace.name, "type", int(type_), "data", text, "n", self._number)

    # -- from others --------------------------------------------------------------------------------------

    def on_published(self, payload: bytes) -> None:
        """Something on a channel of the adapter."""
        try:
            message = read_message(unpack(payload))
            if message.uid != self.uid and message.namespace == self.namespace.name:
                self.on_message(message)
        except (BusError, PacketError) as error:
            logger.warning("ignored what was published on a channel of %s: %s", self.namespace.name, error)

    def on_entry(self, id_: StreamId, fields: Fields) -> None:
        """An entry of the stream that is for the namespace.

        :raises BusError: if it is malformed.
        """
        uid = fields.get(b"uid", b"")
        number = _number_of(fields)
        if number and not self._is_new(uid, number):
            return
        own = uid == self.uid.encode()
        if own and not self._gives_offsets:
            return
        message = _read_entry(fields)
        if message.type != MessageType.BROADCAST or not self._gives_offsets:
            if not own:
                self.on_message(message)
            return
        args, options = read_event(message.data), read_options(message.data)
        if options.flags.volatile:
            if not own:
                self.broadcast(self.namespace.encode_event(args), options)
            return
        for missed in self._returning.values():
            missed.append(_Missed(id_, args, options))
        if own and number in self._delivered:
            del self._delivered[number]
            return
        sockets = self.local_sockets(options)
        if sockets:
            packet = self.namespace.encode_event((*args, format_id(id_)))
            plain = partial(self.namespace.encode_event, args)
            send_with_offset(sockets, packet, plain, self._present, options.flags)

    def _is_new(self, uid: bytes, number: int) -> bool:
        """Whether a message has not been seen before; each adapter counts its own."""
        last = self._last.get(uid, 0)
        if number <= last:
            return False
        self._last[uid] = number
        self._last.move_to_end(uid)
        if len(self._last) > _MAX_PEERS:
            self._last.popitem(last=False)
        return True

    # -- events, with connection state recovery -------------------------------------------------------------

    @property
    def _gives_offsets(self) -> bool:
        return self.namespace.recovery is not None

    def broadcast_event(self, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Send an event to every socket of the cluster that ``options`` names."""
        flags = options.flags
        if not self._gives_offsets or flags.volatile or flags.local:
            super().broadcast_event(args, options)
            return
        data = {"packet": write_event(args), "opts": write_options(options)}
        words = self._add_command(MessageType.BROADCAST, data)
        number = self._number

        entry = _Entry(words, partial(self._deliver_here, number, args, options))
        if not self._link.send(entry) or self._link.down:
            entry.deliver_now()

    def _deliver_here(self, number: int, args: tuple[Any, ...], options: BroadcastOptions) -> None:
        """Redis is away, so the sockets of this process do not wait for what comes back from there."""
        self._delivered[number] = None
        if len(self._delivered) > _MAX_PEERS:
            self._delivered.popitem(last=False)
        self.broadcast(self.namespace.encode_event(args), options)

    def send_event(self, socket: SocketLike, args: tuple[Any, ...], flags: BroadcastFlags) -> None:
        """Send an event to one socket; through the stream, if it may have to be repeated."""
        if flags.volatile or socket.id not in self._present:
            super().send_event(socket, args, flags)
        else:
            self.broadcast_event(args, BroadcastOptions(frozenset((socket.id,)), frozenset(), flags))

    # -- sessions -----------------------------------------------------------------------------------------

    def add_all(self, sid: str, rooms: Iterable[str]) -> None:
        """Put a socket in rooms; what was sent to them before is not for it."""
        session = self._present.get(sid)
        if session is not None:
            rooms = list(rooms)
            note_joined(session, rooms, self._sids.get(sid, ()), self.stream.position)
        super().add_all(sid, rooms)

    def del_all(self, sid: str) -> None:
        """Take a socket out of every room and forget it."""
        self._present.pop(sid, None)
        super().del_all(sid)

    def open_session(self, session: RecoverySession) -> None:
        """A socket has joined its rooms; a new one has missed nothing so far."""
        if session.start == -1:
            session.start = self.stream.position if self.stream.ready.is_set() else _UNKNOWN
        self._present[session.sid] = session

    def persist_session(self, session: RecoverySession) -> None:
        """Keep in Redis what a socket was whose connection is lost."""
        recovery = self.namespace.recovery
        assert recovery is not None
        kept = {
            "sid": session.sid,
            "pid": session.pid,
            "rooms": list(session.rooms),
            "data": session.data,
            # Of use to this implementation only: for who has got no event yet, and rooms joined late.
            "start": format_id(session.start),
            "joined": {room: format_id(id_) for room, id_ in (session.joined or {}).items()},
        }
        try:
            value = base64.b64encode(pack(kept))
        except PacketError as error:
            logger.warning("the data of socket %s cannot be kept: %s", session.sid, error)
            return
        milliseconds = round(recovery.max_disconnection_duration * 1000)
        self._link.send(_Entry(("SET", self._key(session.pid), value, "PX", milliseconds)))

    def _key(self, pid: str) -> str:
        return self._options.session_key_prefix + pid

    async def restore_session(self, pid: str, offset: str | None) -> RecoverySession | None:
        """Hand out what is kept of a client, once, if all it missed stands in the stream still."""
        try:
            start = _UNKNOWN if offset is None else parse_id(offset)
        except ValueError:
            return None
        # It stays in Redis until everything is read, so that no failure on the way loses it.
        value = await self._link.ask("GET", self._key(pid))
        if value is None:
            return None
        try:
            session = _read_session(value, pid)
            session.start = max(session.start, start)
        except ValueError as error:
            logger.warning("session of a lost connection is not taken up: %s", error)
            return None
        if session.start < (0, 0):
            return None
        arriving = self._returning[session] = []
        taken = False
        try:
            stored = await self._read_missed(session.start)
            taken = stored is not None and await self._take(session, value)
        finally:
            if not taken:
                self._returning.pop(session, None)
        if stored is None or not taken:
            return None
        # What has come by now through both ways counts once.
        seen = stored[-1].id if stored else session.start
        arriving[:] = stored + [missed for missed in arriving if missed.id > seen]
        return session

    async def _take(self, session: RecoverySession, value: bytes) -> bool:
        """Take what is kept as ``value``; False if another server was faster."""
        try:
            taken: bytes | None = await self._link.ask("GETDEL", self._key(session.pid))
        except asyncio.CancelledError:
            # The command may have gone out; this one goes behind it.
            self.persist_session(session)
            raise
        return taken == value

    async def _read_missed(self, start: StreamId) -> list[_Missed] | None:
        """The broadcasts behind ``start``; None if that entry, and so perhaps others, is gone."""
        missed: list[_Missed] = []
        numbers: dict[bytes, int] = {}
        name, beginning = self.stream.name, start == (0, 0)
        own = self.namespace.name.encode()
        read = 0
        if beginning and not await self._link.is_whole(name):
            return None
        while read <= 2 * self._options.max_len + _PAGE:
            # From the last one on that is known: if it is still there, none behind it is missing.
            page = await self._link.range(name, start, _PAGE)
            if not beginning:
                if not page or page[0][0] != start:
                    return None
                del page[0]
            beginning = False
            for start, fields in page:
                read += 1
                if fields.get(b"nsp") != own or fields.get(b"type") != b"3":
                    continue
                uid, number = fields.get(b"uid", b""), _number_of(fields)
                if number and number <= numbers.get(uid, 0):
                    continue
                numbers[uid] = number
                try:
                    data = _read_entry(fields).data
                    missed.append(_Missed(start, read_event(data), read_options(data)))
                except BusError:
                    continue  # who read it when it came has logged it
            if len(page) < _PAGE - 1:
                return missed
        return None

    def resume_session(self, session: RecoverySession, max_size: int) -> list[EncodedPacket] | None:
        """What the client has missed up to now; None if that is too much."""
        missed: list[EncodedPacket] = []
        # What stands behind in the stream comes to the socket as to everybody.
        position = self.stream.position
        for id_, args, options in self._returning.pop(session, ()):
            if id_ > position:
                break
            if options.flags.volatile or not concerns(session, id_, options.rooms, options.except_):
                continue
            packet = self.namespace.encode_event((*args, format_id(id_)))
            missed.append(packet)
            max_size -= packet.size + PACKET_COST
            if max_size < 0:
                return None
        return missed

    def release_session(self, session: RecoverySession) -> None:
        """The client that asked for it was refused or has gone: it may try again while there is time."""
        self._returning.pop(session, None)
        self.persist_session(session)


class _Missed(NamedTuple):
    """A broadcast of the stream."""

    id: StreamId
    args: tuple[Any, ...]
    options: BroadcastOptions


class _Publication:
    """A message on a channel. If Redis is away, those who wait for answers have their time limits."""

    __slots__ = ("words",)

    def __init__(self, words: Sequence[Value]) -> None:
        self.words = words

    def settle(self, reply: Any) -> None:
        if isinstance(reply, BaseException):
            logger.warning("Redis refused a message to other servers: %s", reply)

    def postpone(self, error: BaseException) -> bool:
        return False


class _Entry:
    """A message to the stream, or a key: it waits for Redis. ``deliver`` is called once, if it has to."""

    __slots__ = ("_deliver", "words")

    def __init__(self, words: Sequence[Value], deliver: Callable[[], None] | None = None) -> None:
        self.words = words
        self._deliver = deliver

    def deliver_now(self) -> None:
        deliver, self._deliver = self._deliver, None
        if deliver is not None:
            deliver()

    def settle(self, reply: Any) -> None:
        if isinstance(reply, BaseException):
            logger.warning("Redis refused a message to other servers: %s", reply)
            self.deliver_now()

    def postpone(self, error: BaseException) -> bool:
        self.deliver_now()
        return True


def _number_of(fields: Fields) -> int:
    """The number a message has among those of its adapter; 0 without one."""
    digits = fields.get(b"n", b"")
    return int(digits) if digits.isdigit() and len(digits) <= 18 else 0


def _read_entry(fields: Fields) -> Message:
    type_, data = fields.get(b"type", b""), fields.get(b"data", b"")
    if not type_.isdigit() or len(type_) > 3:
        raise BusError("type is not a number")
    try:
        names = [fields.get(key, b"").decode() for key in (b"uid", b"nsp")]
        value: Any = {}
        if data.startswith(b"{"):
            value = from_json(data)
        elif data:
            value = unpack(base64.b64decode(data, validate=True))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BusError(str(error)) from error
    if not isinstance(value, dict):
        raise BusError("data are not a mapping")
    return Message(names[0], names[1], int(type_), value)


def _read_session(value: bytes, pid: str) -> RecoverySession:
    """What Redis has kept of a lost connection.

    :raises ValueError: if it is malformed, or somebody else's.
    """
    kept = unpack(base64.b64decode(value, validate=True))
    if not isinstance(kept, dict) or kept.get("pid") != pid:
        raise BusError("not a session")
    session = RecoverySession(pid, read_text(kept, "sid"))
    session.rooms = frozenset(read_names(kept, "rooms"))
    session.data = kept.get("data")
    start, joined = kept.get("start"), kept.get("joined")
    session.start = _UNKNOWN if not isinstance(start, str) or start == "-1--1" else parse_id(start)
    if isinstance(joined, dict) and joined:
        session.joined = {room: parse_id(id_) for room, id_ in joined.items() if isinstance(id_, str)}
    return session
