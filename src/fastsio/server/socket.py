"""A client in a namespace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fastsio._codec import EncodedPacket, Packet, PacketType, encode_ack, encode_event
from fastsio._emitter import Plan, annotations_of
from fastsio.adapters.base import PLAIN, Adapter, BroadcastFlags, BroadcastOptions, RecoverySession
from fastsio.adapters.delivery import Recipient
from fastsio.engine import tasks
from fastsio.engine.counters import count
from fastsio.engine.ids import generate_id
from fastsio.engine.middleware import Middleware, run_middlewares
from fastsio.engine.request import Request
from fastsio.engine.session import Session
from fastsio.exceptions import AckTimeout, Disconnected, EventRefused, InvalidArguments
from fastsio.parsers import buffers_as_json
from fastsio.server.acks import Settle, call_soon, settle_callback, settle_future
from fastsio.server.handlers import plan_handler
from fastsio.server.handshake import Handshake
from fastsio.server.operator import BroadcastOperator, FlagOperator, check_event, room_names
from fastsio.server.serial import Turns
from fastsio.server.waiting import wait_for_event
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastsio.server.client import Client
    from fastsio.server.namespace import Namespace
    from fastsio.server.server import Server

__all__ = ["Ack", "Socket", "SocketOperator"]

logger = logging.getLogger("fastsio.server")

_VOLATILE = BroadcastFlags(volatile=True)
_CONNECT = int(PacketType.CONNECT)

#: Ends of a connection after which its client may come back to what it had.
_RECOVERABLE = frozenset(
    {
        DisconnectReason.TRANSPORT_ERROR,
        DisconnectReason.TRANSPORT_CLOSE,
        DisconnectReason.FORCED_CLOSE,
        DisconnectReason.FORCED_SERVER_CLOSE,
        DisconnectReason.PING_TIMEOUT,
        DisconnectReason.SERVER_SHUTTING_DOWN,
    }
)


class _PendingAck:
    """An acknowledgement that was asked for. ``settle(error, args)`` is called once, unless the client leaves
    and nobody wants to know (``quiet``)."""

    __slots__ = ("_id", "_socket", "deadline", "quiet", "seconds", "settle", "tick")

    def __init__(
        self,
        socket: Socket,
        ack_id: int,
        settle: Settle,
        quiet: bool,
    ) -> None:
        self._socket = socket
        self._id = ack_id
        self.settle = settle
        self.quiet = quiet
        self.seconds = 0.0
        self.deadline = 0.0
        self.tick = 0

    def expire(self) -> None:
        if self._socket._take_ack(self._id) is self:
            self.settle(AckTimeout(self.seconds), [])


class Ack:
    """What a handler calls when the client asked for an acknowledgement; only its first call is sent."""

    def __init__(self, socket: Socket, ack_id: int) -> None:
        self._socket: Socket | None = socket
        self._id = ack_id

    def __call__(self, *args: Any) -> None:
        socket = self._socket
        if socket is not None:
            self._socket = None
            socket._acknowledge(args, self._id)


class Socket(Recipient):
    """One client in one namespace.

    Events: those the client emits; ``disconnecting(reason, description)`` while the rooms are still there;
    ``disconnect(reason, description)``; ``error(exception)`` for what the client sent and nobody understands.
    A handler's annotations are what its arguments are converted to (option ``typed_events``).
    """

    def __init__(self, namespace: Namespace, client: Client, sid: str, handshake: Handshake) -> None:
        self.nsp = namespace
        self._name = namespace.name
        self.client = client
        self.id = sid
        self.handshake = handshake
        self.connected = False
        self._ending = False
        # Whether events take another way than straight to the session.
        self._special = namespace.server.wire is not None
        self._session = client.conn
        #: What connection state recovery knows of the socket; None without.
        self.recovery: RecoverySession | None = None
        # Made when first needed: most sockets of a large server need few of these.
        self._data: Any = None
        self._acks: dict[int, _PendingAck] | None = None
        self._any: list[Callable[..., Any]] | None = None
        self._outgoing: list[Callable[..., Any]] | None = None
        self._middlewares: list[Middleware] | None = None
        if namespace.shared_handlers is not None:
            self._share(namespace.shared_handlers)

    # -- facts ----------------------------------------------------------------------------------------

    @property
    def disconnected(self) -> bool:
        """The opposite of ``connected``."""
        return not self.connected

    @property
    def pid(self) -> str | None:
        """The private id by which the client gets this socket back after a lost connection; None without
        connection state recovery."""
        return None if self.recovery is None else self.recovery.pid

    @property
    def recovered(self) -> bool:
        """Whether the socket's id, rooms and data are those of a connection that was lost."""
        return self.recovery is not None and self.recovery.recovered

    @property
    def data(self) -> Any:
        """Anything the application wants to keep with the socket; a dict until replaced."""
        if self._data is None:
            self._data = {}
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value

    @property
    def rooms(self) -> set[str]:
        """The rooms the socket is in, its own id among them (a copy)."""
        return set(self.nsp.adapter.sids.get(self.id, ()))

    @property
    def conn(self) -> Session:
        """The Engine.IO session."""
        return self._session

    @property
    def request(self) -> Request:
        """The request the session began with."""
        return self._session.request

    @property
    def server(self) -> Server:
        """The server."""
        return self.nsp.server

    @property
    def adapter(self) -> Adapter:
        """The adapter of the namespace."""
        return self.nsp.adapter

    def __repr__(self) -> str:
        return f"<Socket {self.id} of {self.nsp.name}>"

    # -- sending --------------------------------------------------------------------------------------

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event to the client. True.

        A callable as the last argument is called with the client's acknowledgement.

        :raises TypeError: without an event name.
        :raises ValueError: for a reserved event name.
        :raises PacketError: for a value that cannot be sent.
        """
        self._send_event(args, PLAIN)
        return True

    async def emit_with_ack(self, *args: Any) -> Any:
        """``await emit_with_ack(event, *args)``: send an event and wait for the client's acknowledgement.

        Gives its argument; None if it has none, a tuple if it has several. Use ``socket.timeout(seconds)`` to
        bound the wait.

        :raises Disconnected: if the client leaves first.
        """
        return await self._emit_with_ack(args, PLAIN)

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self._send_event(("message", *args), PLAIN)
        return self

    def write(self, *args: Any) -> Self:
        """The same as :meth:`send`."""
        return self.send(*args)

    @property
    def volatile(self) -> SocketOperator:
        """For the next packet: drop it if it cannot leave at once."""
        return SocketOperator(self, _VOLATILE)

    @property
    def json(self) -> SocketOperator:
        """Nothing, as in v2: everything is JSON."""
        return SocketOperator(self, PLAIN)

    def binary(self, binary: bool) -> SocketOperator:
        """As in v2: see :meth:`BroadcastOperator.binary`."""
        return SocketOperator(self, PLAIN).binary(binary)

    def compress(self, compress: bool) -> SocketOperator:
        """For the next packet: whether it may be compressed."""
        return SocketOperator(self, PLAIN).compress(compress)

    def timeout(self, seconds: float) -> SocketOperator:
        """For the next packet: how long its acknowledgement is awaited. The callback then gets
        ``(error, *args)``."""
        return SocketOperator(self, PLAIN).timeout(seconds)

    def _emit(self, args: tuple[Any, ...], flags: BroadcastFlags) -> None:
        self._send_event(args, flags)

    def _send_event(self, args: tuple[Any, ...], flags: BroadcastFlags) -> None:
        check_event(args)
        if flags is not PLAIN and flags.binary is False:
            args = tuple(map(buffers_as_json, args))
        if callable(args[-1]):
            limited = flags.timeout is not None
            self._emit_for_ack(args[:-1], flags, settle_callback(args[-1], limited, self), not limited)
        elif self.connected:
            if self._special:
                self.nsp.adapter.send_event(self, args, flags)
            else:
                self._take(encode_event(args, self._name), flags)

    async def _emit_with_ack(self, args: tuple[Any, ...], flags: BroadcastFlags) -> Any:
        check_event(args)
        if flags is not PLAIN and flags.binary is False:
            args = tuple(map(buffers_as_json, args))
        if not self.connected:
            raise Disconnected("the socket is not connected")
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        ack_id = self._emit_for_ack(args, flags, settle_future(future), False)
        try:
            answer = await future
        finally:
            self._take_ack(ack_id)
        return _one_or_all(answer)

    def _emit_for_ack(
        self,
        args: tuple[Any, ...],
        flags: BroadcastFlags,
        settle: Settle,
        quiet: bool,
    ) -> int:
        ack_id = self.nsp.next_ack_id()
        if self._special:
            packet = self.nsp.encode_event(args, ack_id)
        else:
            packet = encode_event(args, self.nsp.name, ack_id)
        pending = _PendingAck(self, ack_id, settle, quiet)
        if self._acks is None:
            self._acks = {}
        self._acks[ack_id] = pending
        if flags.timeout is not None:
            pending.seconds = flags.timeout
            self.server.engine.timers.arm(pending, flags.timeout)
        if self.connected:
            self._take(packet, flags)
        return ack_id

    def _acknowledge(self, args: tuple[Any, ...], ack_id: int) -> None:
        if self.connected:
            self._session.counters.acks_sent += 1
            if self._special:
                packet = self.nsp.encode_ack(args, ack_id)
            else:
                packet = encode_ack(args, self._name, ack_id)
            self._session.send_encoded(packet)

    # -- broadcasting, to everyone but this socket ----------------------------------------------------

    def _operator(self, flags: BroadcastFlags = PLAIN) -> BroadcastOperator:
        options = BroadcastOptions(except_=frozenset((self.id,)), flags=flags)
        return BroadcastOperator(self.nsp.adapter, options)

    def to(self, room: str | Iterable[str]) -> BroadcastOperator:
        """Target the other members of ``room``, a name or several."""
        return self._operator().to(room)

    def in_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """The same as :meth:`to`."""
        return self._operator().to(room)

    def except_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """Target everyone else but members of ``room``."""
        return self._operator().except_(room)

    @property
    def broadcast(self) -> BroadcastOperator:
        """Target everyone else in the namespace."""
        return self._operator()

    @property
    def local(self) -> BroadcastOperator:
        """Target everyone else connected to this process."""
        return self._operator().local

    # -- rooms ----------------------------------------------------------------------------------------

    def join(self, room: str | Iterable[str], callback: Callable[..., Any] | None = None) -> None:
        """Join a room, or several; nothing happens after the socket has disconnected.

        :param callback: as in v2: ``callback(None)`` follows.
        """
        if self._session.ready_state == "open":
            self.nsp.adapter.add_all(self.id, room_names(room))
        if callback is not None:
            call_soon(self.server.engine.clock, callback, self, None)

    def leave(self, room: str, callback: Callable[..., Any] | None = None) -> None:
        """Leave a room.

        :param callback: as in v2: ``callback(None)`` follows.
        """
        self.nsp.adapter.del_(self.id, room)
        if callback is not None:
            call_soon(self.server.engine.clock, callback, self, None)

    def leave_all(self) -> None:
        """Leave every room, its own among them."""
        self.nsp.adapter.del_all(self.id)

    # -- receiving ------------------------------------------------------------------------------------

    def use(self, fn: Callable[..., Any]) -> Self:
        """Look at every incoming event first: ``fn(event, next)`` or ``fn(event)``, plain or async.

        ``event`` is the list ``[name, *args]`` and may be changed. Raising, or ``next(error)``, drops the
        event and fires ``error`` on this socket; a v2 client is sent the error too.
        """
        if self._middlewares is None:
            self._middlewares = []
        self._middlewares.append(Middleware(fn))
        return self

    def on_any(self, fn: Callable[..., Any]) -> Self:
        """Call ``fn(event, *args)`` for every incoming event, before its own listeners."""
        self._any = [*(self._any or ()), fn]
        return self

    def prepend_any(self, fn: Callable[..., Any]) -> Self:
        """As :meth:`on_any`, before the catch-all listeners already there."""
        self._any = [fn, *(self._any or ())]
        return self

    def off_any(self, fn: Callable[..., Any] | None = None) -> Self:
        """Remove one catch-all listener, or all."""
        self._any = [] if fn is None else [entry for entry in self._any or () if entry != fn]
        return self

    def listeners_any(self) -> list[Callable[..., Any]]:
        """The catch-all listeners (a new list)."""
        return list(self._any or ())

    def on_any_outgoing(self, fn: Callable[..., Any]) -> Self:
        """Call ``fn(event, *args)`` for every event sent to the client, by this socket or by a broadcast.
        Acknowledgements do not count."""
        self._outgoing = [*(self._outgoing or ()), fn]
        return self

    def prepend_any_outgoing(self, fn: Callable[..., Any]) -> Self:
        """As :meth:`on_any_outgoing`, before the listeners already there."""
        self._outgoing = [fn, *(self._outgoing or ())]
        return self

    def off_any_outgoing(self, fn: Callable[..., Any] | None = None) -> Self:
        """Remove one listener of :meth:`on_any_outgoing`, or all."""
        left = [] if fn is None else [entry for entry in self._outgoing or () if entry != fn]
        self._outgoing = left or None
        return self

    def listeners_any_outgoing(self) -> list[Callable[..., Any]]:
        """The listeners of :meth:`on_any_outgoing` (a new list)."""
        return list(self._outgoing or ())

    def _show_outgoing(self, packet: EncodedPacket) -> None:
        event = packet.event
        if event is not None:
            self._call_all(self._outgoing or (), event)

    async def wait_for(
        self, event: str, timeout: float | None = None, check: Callable[..., Any] | None = None
    ) -> Any:
        """Wait for the next ``event`` of the client.

        Gives its argument; None if it has none, a tuple if it has several. An acknowledgement that the client
        asks for is sent at once, empty. Listeners of the event are called all the same.

        :param timeout: seconds to wait.
        :param check: ``check(*args)`` says whether an event is the one; others are let pass.
        :raises EventTimeout: when the time is over.
        :raises Disconnected: when the client leaves first.
        """
        if not self.connected:
            raise Disconnected("the socket is not connected")
        return _one_or_all(await wait_for_event(self, event, timeout, check))

    def _expect_end(self, settle: Settle) -> int:
        """Have ``settle`` told when the client leaves; gives the key to forget it with ``_take_ack``."""
        # Among the acknowledgements: no client can send a negative id.
        key = -1 - self.nsp.next_ack_id()
        if self._acks is None:
            self._acks = {}
        self._acks[key] = _PendingAck(self, key, settle, False)
        return key

    def on_event(self, packet: Packet) -> None:
        """An EVENT of the client."""
        self._session.counters.events_received += 1
        ack = None if packet.id is None else Ack(self, packet.id)
        if self._any or self._middlewares:
            self._inspect(packet.data, ack)
        else:
            self._dispatch(packet.data, ack)

    def _inspect(self, event: list[Any], ack: Ack | None) -> None:
        """Show an event to the catch-all listeners and the middlewares first."""
        self._call_all(self._any or (), tuple(event) if ack is None else (*event, ack))
        if self._middlewares:
            tasks.start(
                run_middlewares(self._middlewares, event),
                lambda _: self._dispatch(event, ack),
                self._on_refused_event,
            )
        else:
            self._dispatch(event, ack)

    def _call_all(self, listeners: Iterable[Callable[..., Any]], event: tuple[Any, ...]) -> None:
        for fn in listeners:
            try:
                result = fn(*event)
                if hasattr(result, "__await__"):
                    tasks.start(result, None, partial(self._listener_failed, event[0], fn))
            except Exception as error:
                self._listener_failed(event[0], fn, error)

    def _dispatch(self, event: list[Any], ack: Ack | None) -> None:
        if self.connected:
            self._fire_event(event, ack)

    def _on_refused_event(self, error: BaseException) -> None:
        self._fire("error", (error,), None, True, False)
        if self._session.protocol == 3:
            data = getattr(error, "data", None)
            packet = Packet(PacketType.CONNECT_ERROR, self.nsp.name, str(error) if data is None else data)
            self._session.send_encoded(self.server.encode_packet(packet, 4))

    def on_ack(self, packet: Packet) -> None:
        """An ACK of the client; one nobody waits for is ignored."""
        if packet.id is None:
            return
        self._session.counters.acks_received += 1
        pending = self._take_ack(packet.id)
        if pending is not None:
            pending.settle(None, packet.data or [])
        else:
            self.nsp.on_answer(self.id, packet.id, packet.data or [])

    def on_error(self, error: BaseException) -> None:
        """Something the client sent cannot be understood."""
        self._fire("error", (error,), None, True, False)

    def _take_ack(self, ack_id: int) -> _PendingAck | None:
        pending = None if self._acks is None else self._acks.pop(ack_id, None)
        if pending is not None:
            self.server.engine.timers.cancel(pending)
        return pending

    def _plan(self, event: str, fn: Callable[..., Any], serialize: bool) -> Plan | None:
        server = self.nsp.server
        if not serialize and server.slow_handlers is None and annotations_of(fn) is None:
            return None  # as most are: closures that are registered for every connection
        return plan_handler(server, event, fn, serialize)

    def _call_in_turn(
        self,
        event: str,
        fn: Callable[..., Any],
        call: Callable[..., Any],
        given: tuple[Any, ...],
        ack: Callable[..., Any] | None,
    ) -> None:
        # In the socket's dict: most sockets never need one.
        if not hasattr(self, "_turns"):
            self._turns = Turns(self.nsp.server.options.max_serialized_events)
        self._turns.take(self, event, fn, call, given, ack)

    def _listener_failed(self, event: str, fn: Callable[..., Any], error: BaseException) -> None:
        if isinstance(error, EventRefused):
            self._session.counters.events_refused += 1
            if isinstance(error, InvalidArguments):
                logger.warning("%r: %s", self, error)
            self.on_error(error)
            return
        name = getattr(fn, "__qualname__", fn)
        self.server.report(error, f"handler {name} of {event!r} failed, {self!r}", self, event)

    # -- connecting and disconnecting -----------------------------------------------------------------

    def restore(self, session: RecoverySession) -> None:
        """Before the socket is accepted: it takes up one whose connection was lost."""
        session.recovered = True
        self.recovery = session
        self.id = session.sid
        self._data = session.data

    def begin(self, missed: Sequence[EncodedPacket] = ()) -> None:
        """The namespace accepted the socket: join its own room, or those it had, and tell the client, which
        gets what it ``missed`` first."""
        self.connected = True
        self._session.counters.sockets_connected += 1
        protocol = self.client.protocol
        adapter = self.nsp.adapter
        session = self.recovery
        for event in missed:
            self._session.send_encoded(event)
        adapter.add_all(self.id, (self.id,) if session is None else {self.id, *session.rooms})
        data = None if protocol == 4 else {"sid": self.id}
        if data is not None and self.nsp.recovery is not None:
            if session is None:
                session = self.recovery = RecoverySession(generate_id(), self.id)
            adapter.open_session(session)
            self.nsp.pids[session.pid] = self
            self._special = True
            data["pid"] = session.pid
        packet = Packet(_CONNECT, self.nsp.name, data)
        self._session.send_encoded(self.server.encode_packet(packet, protocol))

    def disconnect(self, close: bool = False) -> Self:
        """Disconnect the client from the namespace, or, with ``close``, from all of them and the connection.

        Nothing happens if it is not connected.
        """
        if not self.connected or self._ending:
            return self
        if close:
            self.client.disconnect()
        else:
            self.send_disconnect()
            self.end(DisconnectReason.SERVER_NAMESPACE_DISCONNECT)
        return self

    def error(self, data: Any) -> None:
        """As in v2: tell the client that something went wrong; its socket fires ``error`` with ``data``.

        To a v2 client that is a packet of its own; later protocols have none that would leave the socket
        connected, so their clients get an event of that name.
        """
        if not self.connected:
            return
        if self.client.protocol == 4:
            packet = Packet(PacketType.CONNECT_ERROR, self.nsp.name, data)
            self._session.send_encoded(self.server.encode_packet(packet, 4))
        else:
            self._send_event(("error", data), PLAIN)

    def send_disconnect(self) -> None:
        """Tell the client that it has left the namespace."""
        packet = Packet(PacketType.DISCONNECT, self.nsp.name)
        self._session.send_encoded(self.server.encode_packet(packet, self.client.protocol))

    def end(self, reason: DisconnectReason, description: Any = None) -> None:
        """The socket is over: its listeners are told, once, and it is forgotten."""
        if not self.connected or self._ending:
            return
        self._ending = True
        count(self._session.counters.sockets_disconnected, str(reason))
        self._fire("disconnecting", (reason, description), None, True, False)
        if self.recovery is not None:
            self._leave_session(self.recovery, reason)
        self.nsp.adapter.del_all(self.id)
        self.client.remove(self)
        self.connected = False
        self.nsp.remove(self)
        acks, self._acks = self._acks, None
        for pending in (acks or {}).values():
            self.server.engine.timers.cancel(pending)
            if not pending.quiet:
                pending.settle(Disconnected(reason), [])
        self._fire("disconnect", (reason, description), None, True, False)
        # Handlers are closures over the socket: without them, reference counting frees both.
        self.remove_all_listeners()

    def _leave_session(self, session: RecoverySession, reason: DisconnectReason) -> None:
        del self.nsp.pids[session.pid]
        if reason in _RECOVERABLE:
            session.rooms = frozenset(self.nsp.adapter.sids.get(self.id, ()))
            session.data = self._data
            self.nsp.adapter.persist_session(session)


def _one_or_all(args: list[Any]) -> Any:
    if len(args) == 1:
        return args[0]
    return tuple(args) if args else None


class SocketOperator(FlagOperator):
    """A socket with flags for the next packet. Every method that sets a flag gives a new operator."""

    __slots__ = ()

    if TYPE_CHECKING:
        _flags: BroadcastFlags
        _socket: Socket

    @property
    def json(self) -> Self:
        """Nothing, as in v2: everything is JSON."""
        return self

    def binary(self, binary: bool) -> Self:
        """As in v2: see :meth:`BroadcastOperator.binary`."""
        return type(self)(self._socket, self._flags._replace(binary=binary))

    def write(self, *args: Any) -> Self:
        """The same as :meth:`send`."""
        return self.send(*args)

    def to(self, room: str | Iterable[str]) -> BroadcastOperator:
        """As :meth:`Socket.to`, with these flags."""
        return self._socket._operator(self._flags).to(room)

    def in_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """The same as :meth:`to`."""
        return self.to(room)

    def except_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """As :meth:`Socket.except_`, with these flags."""
        return self._socket._operator(self._flags).except_(room)

    @property
    def broadcast(self) -> BroadcastOperator:
        """As :attr:`Socket.broadcast`, with these flags."""
        return self._socket._operator(self._flags)

    @property
    def local(self) -> BroadcastOperator:
        """As :attr:`Socket.local`, with these flags."""
        return self._socket._operator(self._flags).local
