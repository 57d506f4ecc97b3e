"""One namespace of a client's connection."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import Self

from fastsio._codec import EncodedPacket, Packet, PacketType, is_reserved
from fastsio._emitter import EventEmitter
from fastsio._sockets import FlagOperator, Settle, settle_callback, settle_future
from fastsio.client.events import EventStream
from fastsio.engine import tasks
from fastsio.exceptions import (
    AckTimeout,
    ConnectionRefused,
    Disconnected,
    FastSIOError,
    TransportError,
)
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from fastsio.client.manager import Manager
    from fastsio.client.options import ClientOptions

__all__ = ["Ack", "Socket", "SocketOperator"]

logger = logging.getLogger("fastsio.client")

#: Events that the client itself fires: they cannot be sent. What v2 has is fired locally, as there.
_RESERVED_V2 = {
    *("connect", "connect_error", "connect_timeout", "connecting", "disconnect", "error", "ping", "pong"),
    *("reconnect", "reconnect_attempt", "reconnect_failed", "reconnect_error", "reconnecting"),
}


# Events that may come before the server has accepted the namespace.
_MOST_EARLY = 10_000


class _Flags(NamedTuple):
    volatile: bool = False
    timeout: float | None = None
    compress: bool = True
    from_queue: bool = False


_PLAIN = _Flags()
_VOLATILE = _Flags(volatile=True)


class _PendingAck:
    """An acknowledgement that was asked for. ``quiet``: whoever asked takes no error."""

    __slots__ = ("_id", "_socket", "deadline", "quiet", "seconds", "settle", "tick")

    def __init__(self, socket: Socket, ack_id: int, settle: Settle, quiet: bool) -> None:
        self._socket = socket
        self._id = ack_id
        self.settle = settle
        self.quiet = quiet
        self.seconds = 0.0
        self.deadline = 0.0
        self.tick = 0

    def expire(self) -> None:
        if self._socket._take_ack(self._id) is self:
            self._socket._drop_buffered(self._id)
            self.settle(AckTimeout(self.seconds), [])


class Ack:
    """What a handler calls when the server asked for an acknowledgement; only its first call is sent."""

    __slots__ = ("_id", "_socket")

    def __init__(self, socket: Socket, ack_id: int) -> None:
        self._socket: Socket | None = socket
        self._id = ack_id

    def __call__(self, *args: Any) -> None:
        socket = self._socket
        if socket is not None:
            self._socket = None
            if socket.connected:
                socket.manager.send_encoded(socket.manager.encode_ack(args, socket.nsp, self._id))


class _Buffered(NamedTuple):
    """An event that waits for the connection."""

    packet: EncodedPacket
    ack_id: int | None
    args: tuple[Any, ...]
    compress: bool


class _Queued:
    """An event that is sent until it is acknowledged (option ``retries``)."""

    __slots__ = ("args", "flags", "pending", "settle", "tries")

    def __init__(self, args: tuple[Any, ...], flags: _Flags, settle: Settle) -> None:
        self.args = args
        self.flags = flags
        self.settle = settle
        self.pending = False
        self.tries = 0


class Socket(EventEmitter):
    """A client in one namespace.

    Events: those the server emits; ``connect``; ``connect_error(error)``; ``disconnect(reason, error)``.
    Made by ``client.of(namespace)``; the :class:`Client` itself is the socket of its URL's namespace.

    :ivar id: the id the server gave; None while not connected.
    :ivar connected: whether the namespace is joined.
    :ivar recovered: whether the last connect restored the state of the connection before it.
    :ivar nsp: the namespace.
    :ivar auth: what CONNECT carries: a mapping, or a function, plain or async; None: nothing.
    :ivar retries: times an event is sent again until it is acknowledged; 0: sent once, nothing awaited.
    :ivar ack_timeout: seconds an acknowledgement is awaited without ``timeout(seconds)``; None: for ever.
    """

    def __init__(
        self, manager: Manager, namespace: str, auth: Any, query: str, options: ClientOptions
    ) -> None:
        self.manager = manager
        self.nsp = namespace
        self.auth = auth
        self.retries = options.retries
        self.ack_timeout = options.ack_timeout
        self.id: str | None = None
        self.connected = False
        self.recovered = False
        self._query = query
        self._active = False
        self._joining = 0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._waiter: tuple[asyncio.Future[None], bool] | None = None
        self._pid: str | None = None
        self._offset: str | None = None
        self._ids = 0
        self._acks: dict[int, _PendingAck] = {}
        self._send_buffer: list[_Buffered] = []
        self._receive_buffer: list[Packet] = []
        self._queue: deque[_Queued] = deque()
        self._any: tuple[Callable[..., Any], ...] = ()
        self._any_outgoing: tuple[Callable[..., Any], ...] = ()
        self._streams: tuple[EventStream, ...] = ()

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<{type(self).__name__} {self.nsp} of {self.manager.address.url} {state}>"

    # -- facts ------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the socket wants to be connected, and will be again when the connection is lost."""
        return self._active

    @property
    def disconnected(self) -> bool:
        """The opposite of ``connected``."""
        return not self.connected

    @property
    def io(self) -> Manager:
        """The same as ``manager``, by Node's name."""
        return self.manager

    # -- connecting -------------------------------------------------------------------------------------

    async def connect(self, *, retry: bool = False) -> None:
        """Join the namespace; return once the server has accepted.

        :param retry: whether to keep trying as after a lost connection; else the first failure is raised.
        :raises ConnectError: with the reason in ``refused``; the socket is inactive then.
        """
        await self.manager.join([self], retry)

    def open(self) -> Self:
        """Begin to connect, and keep trying; the events ``connect`` and ``connect_error`` say how it went."""
        if not self._active:
            self.activate()
            if not self.manager.reconnecting:
                self.manager.open()
            if self.manager.state == "open":
                self.on_manager_open()
        return self

    def activate(self) -> None:
        """Of the manager: the socket wants to be connected."""
        if not self._active:
            self._active = True
            if self.manager.protocol == 3:
                self._fire("connecting", (), None, True, False)

    def wait_joined(self, retry: bool) -> asyncio.Future[None]:
        """Of the manager: settled once the namespace is joined, or when it will not be."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future(), retry
        return self._waiter[0]

    def give_up(self, error: BaseException) -> None:
        """Of the manager: the namespace will not be joined for now; whoever waits is told."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter[0].done():
            waiter[0].set_exception(error)

    def on_manager_open(self) -> None:
        """Of the manager: there is a session; ask for the namespace."""
        if not self._active or self.connected or self._joining:
            return
        self._joining = joining = id(self.manager.engine)
        if self.manager.protocol == 3:
            # The root namespace is joined unasked.
            if self.nsp != "/":
                query = f"?{self._query}" if self._query else ""
                self.manager.send_packet(Packet(PacketType.CONNECT, self.nsp + query))
        elif callable(self.auth):
            try:
                given: Any = self.auth()
            except Exception as error:
                self._auth_failed(joining, error)
                return
            if hasattr(given, "__await__"):
                tasks.start(given, partial(self._send_connect, joining), partial(self._auth_failed, joining))
                return
            self._send_connect(joining, given)
        else:
            self._send_connect(joining, self.auth)
        self._await_answer()

    def _send_connect(self, joining: int, auth: Any) -> None:
        # An async auth function may take longer than the session lives.
        if joining != self._joining or not self._active or self.connected:
            return
        if auth is not None and not isinstance(auth, Mapping):
            self._auth_failed(joining, TypeError(f"auth must be a mapping, not {type(auth).__name__}"))
            return
        data = dict(auth or {})
        if self._pid is not None:
            data = {"pid": self._pid, "offset": self._offset, **data}
            if data["offset"] is None:
                del data["offset"]
        try:
            self.manager.send_packet(Packet(PacketType.CONNECT, self.nsp, data or None))
        except Exception as error:
            self._auth_failed(joining, error)
            return
        self._await_answer()

    def _auth_failed(self, joining: int, error: BaseException) -> None:
        if joining == self._joining and self._active:
            failure = FastSIOError(f"{self.nsp}: auth failed: {error!r}")
            failure.__cause__ = error
            self._refused(failure)

    def _await_answer(self) -> None:
        seconds = self.manager.timeout
        if seconds is not None and self._answer_timer is None and self._joining:
            loop = asyncio.get_running_loop()
            self._answer_timer = loop.call_later(seconds, self._no_answer, seconds)

    def _no_answer(self, seconds: float) -> None:
        self._answer_timer = None
        message = f"timeout: the server has not accepted {self.nsp} within {seconds:g} s (option timeout)"
        error = TransportError(message)
        self.give_up(error)
        self._fire("connect_error", (error,), None, True, False)

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def on_connect_failed(self, error: Exception, final: bool) -> None:
        """Of the manager: an attempt to connect failed; ``final``: no other follows."""
        if self.connected or not self._active:
            return
        if self._waiter is not None and (final or not self._waiter[1]):
            self.give_up(error)
        self._fire("connect_error", (error,), None, True, False)

    def on_reconnect_failed(self) -> None:
        """Of the manager: there will be no further attempt."""
        self._end_streams()

    def on_engine_close(self, reason: DisconnectReason, error: Exception | None) -> None:
        """Of the manager: the session is over."""
        if not self._active:
            return
        joining, self._joining = self._joining, 0
        # What came ahead of the server's answer will come again.
        self._receive_buffer.clear()
        self._stop_answer_timer()
        if self.connected:
            self._on_close(reason, error)
        elif joining:
            cause = error or Disconnected(reason)
            if self._waiter is not None and not (self._waiter[1] and self.manager.reconnection):
                self.give_up(cause)

    def _refused(self, error: Exception) -> None:
        self._joining = 0
        self._stop_answer_timer()
        self._active = False
        self.give_up(error)
        self._fire("connect_error", (error,), None, True, False)
        if not self._active:
            self._end_streams()
            self.manager.socket_left()

    # -- disconnecting ----------------------------------------------------------------------------------

    def disconnect(self) -> Self:
        """Leave the namespace for good, or until the next connect; the last socket closes the connection."""
        was_connected = self.connected
        if was_connected:
            self.manager.send_packet(Packet(PacketType.DISCONNECT, self.nsp))
        self._joining = 0
        self._stop_answer_timer()
        was_active, self._active = self._active, False
        self.give_up(Disconnected(DisconnectReason.IO_CLIENT_DISCONNECT))
        if was_active:
            self.manager.socket_left()
        if was_connected:
            self._on_close(DisconnectReason.IO_CLIENT_DISCONNECT, None)
        else:
            self._end_streams()
        return self

    def _on_close(self, reason: DisconnectReason, error: Exception | None) -> None:
        if not self.connected:
            return
        self.connected = False
        self.id = None
        self._receive_buffer.clear()
        self._drop_acks(reason)
        self._fire("disconnect", (reason, error), None, True, False)
        if not self._active or not self.manager.reconnection:
            self._end_streams()

    def _drop_acks(self, reason: DisconnectReason) -> None:
        """Acknowledgements of what was sent will not come any more."""
        buffered = {entry.ack_id for entry in self._send_buffer}
        for ack_id in [ack_id for ack_id in self._acks if ack_id not in buffered]:
            pending = self._take_ack(ack_id)
            if pending is not None and not pending.quiet:
                pending.settle(Disconnected(reason), [])

    # -- sending ----------------------------------------------------------------------------------------

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event; while not connected it waits for the connection. True.

        A callable as the last argument is called with the server's acknowledgement (with the option
        ``retries`` or ``ack_timeout``: ``callback(error, *args)``).

        :raises TypeError: without an event name.
        :raises ValueError: for a reserved event name.
        :raises PacketError: for a value that cannot be sent.
        """
        self._emit(args, _PLAIN)
        return True

    async def emit_with_ack(self, *args: Any) -> Any:
        """``await emit_with_ack(event, *args)``: send an event and wait for the server's acknowledgement.

        Gives its argument; None if it has none, a tuple if it has several. ``timeout(seconds)`` bounds the
        wait.

        :raises Disconnected: if the connection is lost first.
        :raises AckTimeout: after the option ``ack_timeout``, if set.
        """
        return await self._emit_with_ack(args, _PLAIN)

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self._emit(("message", *args), _PLAIN)
        return self

    @property
    def volatile(self) -> SocketOperator:
        """For the next event: drop it if it cannot leave at once."""
        return SocketOperator(self, _VOLATILE)

    def timeout(self, seconds: float) -> SocketOperator:
        """For the next event: how long its acknowledgement is awaited; callbacks get ``(error, *args)``."""
        return SocketOperator(self, _PLAIN._replace(timeout=seconds))

    def compress(self, compress: bool) -> SocketOperator:
        """For the next event: whether it may be compressed (option ``per_message_deflate``)."""
        return SocketOperator(self, _PLAIN._replace(compress=compress))

    def _emit(self, args: tuple[Any, ...], flags: _Flags) -> None:
        if not args:
            raise TypeError("emit() takes an event name and its arguments")
        callback = args[-1] if len(args) > 1 and callable(args[-1]) else None
        if callback is None:
            self._emit_settled(args, flags, None, True)
        else:
            with_error = bool(flags.timeout or self.ack_timeout or self.retries)
            settle = settle_callback(callback, with_error, self)
            self._emit_settled(args[:-1], flags, settle, not with_error)

    async def _emit_with_ack(self, args: tuple[Any, ...], flags: _Flags) -> Any:
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        ack_id = self._emit_settled(args, flags, settle_future(future), False)
        try:
            answer = await future
        finally:
            if ack_id is not None:
                self._take_ack(ack_id)
        if len(answer) == 1:
            return answer[0]
        return tuple(answer) if answer else None

    def _emit_settled(
        self, args: tuple[Any, ...], flags: _Flags, settle: Settle | None, quiet: bool
    ) -> int | None:
        """Send an event; ``settle`` is called with the acknowledgement, whose id is returned."""
        if not args or not isinstance(args[0], str):
            raise TypeError("emit() takes an event name, which is a string, and its arguments")
        manager = self.manager
        if manager.protocol == 4:
            if is_reserved(args[0]):
                raise ValueError(f"{args[0]!r} is a reserved event name")
        elif args[0] in _RESERVED_V2:
            self._fire(args[0], args[1:], None, True, False)
            return None
        if self.retries and not flags.from_queue and not flags.volatile:
            # Encoded for the sake of the error only, which belongs to this caller.
            manager.encode_event(args, self.nsp, None)
            self._enqueue(args, flags, settle)
            return None
        ack_id = None
        if settle is not None:
            ack_id = self._ids
        packet = manager.encode_event(args, self.nsp, ack_id)
        if settle is not None and ack_id is not None:
            self._ids += 1
            pending = _PendingAck(self, ack_id, settle, quiet)
            self._acks[ack_id] = pending
            seconds = flags.timeout or self.ack_timeout
            if seconds is not None:
                pending.seconds = seconds
                manager.timers.arm(pending, seconds)
        engine = manager.engine
        connected = self.connected and engine is not None and not engine.expired
        if flags.volatile and not (connected and engine is not None and engine.writable):
            return ack_id
        if connected:
            self._send_event(packet, args, flags.compress)
        else:
            self._send_buffer.append(_Buffered(packet, ack_id, args, flags.compress))
        return ack_id

    def _send_event(self, packet: EncodedPacket, args: tuple[Any, ...], compress: bool) -> None:
        for fn in self._any_outgoing:
            self._call(args[0], fn, args)
        self.manager.send_encoded(packet, compress)

    def _call(self, event: str, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            result = fn(*args)
            if hasattr(result, "__await__"):
                tasks.start(result, None, partial(self._listener_failed, event, fn))
        except Exception as failure:
            self._listener_failed(event, fn, failure)

    def _listener_failed(self, event: str, fn: Callable[..., Any], error: BaseException) -> None:
        name = getattr(fn, "__qualname__", fn)
        logger.error("handler %s of %r failed, %r", name, event, self, exc_info=error)

    def _take_ack(self, ack_id: int) -> _PendingAck | None:
        pending = self._acks.pop(ack_id, None)
        if pending is not None and pending.tick:
            self.manager.timers.cancel(pending)
        return pending

    def _drop_buffered(self, ack_id: int) -> None:
        """What was not sent in time is not sent at all."""
        self._send_buffer = [entry for entry in self._send_buffer if entry.ack_id != ack_id]

    # -- sending until acknowledged ---------------------------------------------------------------------

    def _enqueue(self, args: tuple[Any, ...], flags: _Flags, settle: Settle | None) -> None:
        self._queue.append(_Queued(args, flags._replace(from_queue=True), settle or _ignore))
        self._drain_queue(False)

    def _drain_queue(self, force: bool) -> None:
        """Send the head of the queue, unless its acknowledgement is awaited."""
        if not self.connected or not self._queue:
            return
        head = self._queue[0]
        if head.pending and not force:
            return
        head.pending = True
        head.tries += 1
        self._emit_settled(head.args, head.flags, partial(self._on_queued, head), False)

    def _on_queued(self, entry: _Queued, error: BaseException | None, args: list[Any]) -> None:
        if not self._queue or self._queue[0] is not entry:
            return
        entry.pending = False
        if error is None or entry.tries > self.retries:
            self._queue.popleft()
            entry.settle(error, args)
        self._drain_queue(False)

    # -- receiving --------------------------------------------------------------------------------------

    def on_packet(self, packet: Packet) -> None:
        """Of the manager: a packet for this namespace."""
        type = packet.type
        if type == 2 or type == 5:
            self._on_event(packet)
        elif type == 3 or type == 6:
            pending = None if packet.id is None else self._take_ack(packet.id)
            if pending is not None:
                pending.settle(None, packet.data or [])
        elif type == PacketType.CONNECT:
            self._on_connect(packet.data)
        elif type == PacketType.DISCONNECT:
            self._on_server_disconnect()
        else:
            self._on_error(packet.data)

    def _on_connect(self, data: Any) -> None:
        if self.connected:
            return
        if self.manager.protocol == 3:
            engine = self.manager.engine
            assert engine is not None
            sid = engine.id if self.nsp == "/" else f"{self.nsp}#{engine.id}"
            pid = None
        else:
            sid = data.get("sid") if isinstance(data, dict) else None
            pid = data.get("pid") if isinstance(data, dict) else None
            if not isinstance(sid, str):
                self._refused(
                    FastSIOError(
                        f"{self.nsp}: the server accepted without an id: it speaks the protocol of v2, "
                        "which the option protocol=3 selects"
                    )
                )
                return
        self._joining = 0
        self._stop_answer_timer()
        self.id = sid
        self.recovered = isinstance(pid, str) and pid == self._pid
        self._pid = pid if isinstance(pid, str) else None
        self.connected = True
        received, self._receive_buffer = self._receive_buffer, []
        for packet in received:
            self._on_event(packet)
        buffered, self._send_buffer = self._send_buffer, []
        for entry in buffered:
            self._send_event(entry.packet, entry.args, entry.compress)
        self._drain_queue(True)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter[0].done():
            waiter[0].set_result(None)
        self._fire("connect", (), None, True, False)

    def _on_error(self, data: Any) -> None:
        if self.manager.protocol == 3:
            message = data if isinstance(data, str) else str(data)
            if isinstance(data, dict) and isinstance(data.get("message"), str):
                message = data["message"]
            self.give_up(ConnectionRefused(message, data))
            self._fire("error", (data,), None, True, False)
            return
        if self.connected:
            return
        if isinstance(data, dict):
            error = ConnectionRefused(str(data.get("message", "connection refused")), data.get("data"))
        else:
            error = ConnectionRefused(str(data))
        self._refused(error)

    def _on_server_disconnect(self) -> None:
        if not self.connected:
            # It left while joining: nobody may wait for it for ever.
            if self._joining:
                self._refused(Disconnected(DisconnectReason.IO_SERVER_DISCONNECT))
            return
        self._active = False
        self._on_close(DisconnectReason.IO_SERVER_DISCONNECT, None)
        # A listener may have connected again.
        if not self._active:
            self.manager.socket_left()

    def _on_event(self, packet: Packet) -> None:
        if not self.connected:
            if self._joining and len(self._receive_buffer) < _MOST_EARLY:
                self._receive_buffer.append(packet)
            elif self._joining:
                self._receive_buffer.clear()
                self._refused(FastSIOError(f"{self.nsp}: {_MOST_EARLY} events came before it was accepted"))
            return
        args = packet.data
        if not args:
            return
        ack = None if packet.id is None else Ack(self, packet.id)
        name = args[0]
        if type(name) is not str:
            name = str(name)
        event = tuple(args[1:])
        if self._any or self._streams:
            given = event if ack is None else (*event, ack)
            for fn in self._any:
                self._call(name, fn, (name, *given))
            for stream in self._streams:
                stream.put(name, given)
        self._fire(name, event, ack, False, False)
        if self._pid is not None and type(args[-1]) is str:
            self._offset = args[-1]

    # -- catch-all listeners ----------------------------------------------------------------------------

    def on_any(self, fn: Callable[..., Any]) -> Self:
        """Call ``fn(event, *args)`` for every event of the server, before its own listeners."""
        self._any = (*self._any, fn)
        return self

    def prepend_any(self, fn: Callable[..., Any]) -> Self:
        """As :meth:`on_any`, before the catch-all listeners already there."""
        self._any = (fn, *self._any)
        return self

    def off_any(self, fn: Callable[..., Any] | None = None) -> Self:
        """Remove one catch-all listener, or all."""
        self._any = () if fn is None else tuple(entry for entry in self._any if entry != fn)
        return self

    def listeners_any(self) -> list[Callable[..., Any]]:
        """The catch-all listeners (a new list)."""
        return list(self._any)

    def on_any_outgoing(self, fn: Callable[..., Any]) -> Self:
        """Call ``fn(event, *args)`` for every event that is sent."""
        self._any_outgoing = (*self._any_outgoing, fn)
        return self

    def prepend_any_outgoing(self, fn: Callable[..., Any]) -> Self:
        """As :meth:`on_any_outgoing`, before those already there."""
        self._any_outgoing = (fn, *self._any_outgoing)
        return self

    def off_any_outgoing(self, fn: Callable[..., Any] | None = None) -> Self:
        """Remove one catch-all listener of what is sent, or all."""
        self._any_outgoing = () if fn is None else tuple(e for e in self._any_outgoing if e != fn)
        return self

    def listeners_any_outgoing(self) -> list[Callable[..., Any]]:
        """The catch-all listeners of what is sent (a new list)."""
        return list(self._any_outgoing)

    def events(self, limit: int = 10_000) -> EventStream:
        """``async for event, args in socket.events()``: every event of the server from now on.

        ``args`` is a tuple; its last element is a callable if the server asked for an acknowledgement. The
        loop goes on across reconnections, and ends when the socket is disconnected for good.

        :param limit: events that may wait for the loop; one more ends it with an error.
        """
        stream = EventStream(limit, self._leave_stream)
        self._streams = (*self._streams, stream)
        return stream

    def _leave_stream(self, stream: EventStream) -> None:
        self._streams = tuple(entry for entry in self._streams if entry is not stream)

    def _end_streams(self) -> None:
        streams, self._streams = self._streams, ()
        for stream in streams:
            stream.end()


def _ignore(error: BaseException | None, args: list[Any]) -> None:
    """For whoever did not ask."""


class SocketOperator(FlagOperator):
    """A socket with flags for the next event. Every method that sets a flag gives a new operator."""

    __slots__ = ()
