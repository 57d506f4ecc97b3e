"""Namespaces: named groups of sockets with their own middlewares, rooms and events."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fastsio._codec import EncodedPacket, encode_ack, encode_event
from fastsio._emitter import EventEmitter, Plan, positional_limit
from fastsio.adapters.base import Adapter, BroadcastFlags, SocketLike
from fastsio.engine.middleware import Middleware, Next
from fastsio.engine.timers import TimerWheel
from fastsio.options import RecoveryOptions
from fastsio.server.acks import AskedSockets, call_soon, settle_callback, settle_future
from fastsio.server.children import ChildrenAdapter
from fastsio.server.handlers import SharedHandlers
from fastsio.server.operator import BroadcastOperator
from fastsio.server.remote import RemoteSocket
from fastsio.server.router import CONNECTION_EVENTS, Route, Router
from fastsio.server.socket import Socket

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastsio.server.server import Server

__all__ = ["Namespace", "ParentNamespace"]

logger = logging.getLogger("fastsio.server")

#: Events that a namespace fires itself.
_OF_NAMESPACES = frozenset(("connect", "connection", "new_namespace"))


class _Broadcaster:
    """The members that a namespace and the server have in common: they start a broadcast to everyone."""

    __slots__ = ()

    def _everyone(self) -> BroadcastOperator:
        raise NotImplementedError

    def to(self, room: str | Iterable[str]) -> BroadcastOperator:
        """Target members of ``room``, a name or several."""
        return self._everyone().to(room)

    def in_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """The same as :meth:`to`."""
        return self._everyone().to(room)

    def except_(self, room: str | Iterable[str]) -> BroadcastOperator:
        """Target everyone but members of ``room``."""
        return self._everyone().except_(room)

    @property
    def volatile(self) -> BroadcastOperator:
        """Drop the packet for clients that cannot take it at once."""
        return self._everyone().volatile

    @property
    def local(self) -> BroadcastOperator:
        """Reach only clients of this process."""
        return self._everyone().local

    def compress(self, compress: bool) -> BroadcastOperator:
        """Whether the packet may be compressed where compression is on."""
        return self._everyone().compress(compress)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """How long acknowledgements are awaited: ``await io.timeout(5).emit_with_ack(event, *args)``."""
        return self._everyone().timeout(seconds)

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event to everyone. True.

        :raises TypeError: without an event name.
        :raises ValueError: for a reserved event name; for a callable as the last argument, which takes
            acknowledgements and needs :meth:`timeout` first.
        :raises PacketError: for a value that cannot be sent.
        """
        return self._everyone().emit(*args)

    async def emit_with_ack(self, *args: Any) -> list[Any]:
        """As :meth:`BroadcastOperator.emit_with_ack`, which needs a timeout: ``io.timeout(5)`` has one.

        :raises ValueError: always, without a timeout.
        """
        return await self._everyone().emit_with_ack(*args)

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self.emit("message", *args)
        return self

    def write(self, *args: Any) -> Self:
        """The same as :meth:`send`."""
        return self.send(*args)

    async def fetch_sockets(self) -> list[Socket | RemoteSocket]:
        """All sockets; those of other processes as :class:`~fastsio.server.remote.RemoteSocket`."""
        return await self._everyone().fetch_sockets()

    async def all_sockets(self) -> set[str]:
        """The ids of all sockets."""
        return await self._everyone().all_sockets()

    def clients(self, callback: Callable[..., Any]) -> Self:
        """As in v2: ``callback(None, ids)`` with the ids of all sockets."""
        self._everyone().clients(callback)
        return self

    @property
    def json(self) -> Self:
        """Nothing, as in v2: everything is JSON."""
        return self

    def binary(self, binary: bool) -> BroadcastOperator:
        """As in v2: see :meth:`BroadcastOperator.binary`."""
        return self._everyone().binary(binary)

    def sockets_join(self, room: str | Iterable[str]) -> None:
        """Make every socket join ``room``, a name or several."""
        self._everyone().sockets_join(room)

    def sockets_leave(self, room: str | Iterable[str]) -> None:
        """Make every socket leave ``room``, a name or several."""
        self._everyone().sockets_leave(room)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnect every socket; with ``close`` its connection too."""
        self._everyone().disconnect_sockets(close)

    def server_side_emit(self, *args: Any) -> bool:
        """``server_side_emit(event, *args)``: fire an event on this namespace of the other processes of the
        cluster. True.

        A callable as the last argument is called once, as ``callback(error, responses)``, with what the
        listeners there acknowledge, one response for each process.

        :raises TypeError: without an event name.
        :raises ValueError: for the events ``connect``, ``connection`` and ``new_namespace``.
        """
        _check_server_side(args)
        adapter = self._everyone().adapter
        if callable(args[-1]):
            settle = settle_callback(args[-1], True, cast(EventEmitter, adapter.namespace))
            adapter.server_side_emit(args[:-1], lambda error, responses: settle(error, [responses]))
        else:
            adapter.server_side_emit(args, None)
        return True

    async def server_side_emit_with_ack(self, *args: Any) -> list[Any]:
        """As :meth:`server_side_emit`; the responses, one for each process.

        :raises AckTimeout: if not every process has answered in time; ``responses`` are those that did.
        """
        _check_server_side(args)
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._everyone().adapter.server_side_emit(args, settle_future(future))
        return await future


def _check_server_side(args: tuple[Any, ...]) -> None:
    if not args or not isinstance(args[0], str):
        raise TypeError("server_side_emit() takes an event name (str) and its arguments")
    if args[0] in _OF_NAMESPACES:
        raise ValueError(f'"{args[0]}" is a reserved event name')


class Namespace(_Broadcaster, EventEmitter):
    """A namespace. Events: ``connection(socket)``, also under the name ``connect``."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        #: Connected sockets by id.
        self.sockets: dict[str, Socket] = {}
        self.middlewares: list[Middleware] = []
        #: The handlers that all sockets share; None if no router was included.
        self.shared_handlers: SharedHandlers | None = None
        self._routes: list[Route] = []
        self._next_ack_id = 0
        # What broadcasts ask for, by acknowledgement id.
        self._asked: dict[int, AskedSockets] = {}
        self.adapter: Adapter = self._make_adapter()
        #: How lost connections are recovered; None: not at all.
        self.recovery: RecoveryOptions | None = server.recovery if self.adapter.recovers else None
        #: Sockets that could be recovered, by private id.
        self.pids: dict[str, Socket] = {}

    def __repr__(self) -> str:
        return f"<Namespace {self.name}>"

    def _make_adapter(self) -> Adapter:
        return self.server.create_adapter(self)

    def renew_adapter(self) -> None:
        """Make the adapter anew; the sockets keep their rooms."""
        before = self.adapter
        self.adapter = self._make_adapter()
        self.recovery = self.server.recovery if self.adapter.recovers else None
        for sid, rooms in before.sids.items():
            self.adapter.add_all(sid, list(rooms))

    def use(self, fn: Callable[..., Any]) -> Self:
        """Look at every connecting socket first: ``fn(socket, next)`` or ``fn(socket)``, plain or async.

        Raising (:class:`~fastsio.exceptions.ConnectionRefused` carries data), or ``next(error)``, refuses.
        """
        self.middlewares.append(Middleware(fn))
        return self

    def include(self, router: Router) -> Self:
        """Have the handlers, connection handlers and middlewares of ``router``, as they are now.

        Sockets that are connected already get none of them.
        """
        for route in router.routes():
            if route.event is None:
                self.use(route.fn)
            elif route.event in CONNECTION_EVENTS:
                self.on(route.event, route.fn)
            else:
                self._routes.append(route)
        # Sockets hold on to the table they began with, so it is made anew.
        shared = SharedHandlers(self.server)
        for event, fn, serialize in self._routes:
            assert event is not None
            shared.on(event, fn, serialize=serialize)
        self.shared_handlers = shared
        return self

    def _everyone(self) -> BroadcastOperator:
        return BroadcastOperator(self.adapter)

    def next_ack_id(self) -> int:
        """A fresh acknowledgement id; one counter serves all sockets."""
        ack_id = self._next_ack_id
        self._next_ack_id += 1
        return ack_id

    @property
    def connected(self) -> dict[str, Socket]:
        """As in v2: the connected sockets by id."""
        return self.sockets

    def on_server_side_emit(self, args: tuple[Any, ...], ack: Callable[..., None] | None = None) -> None:
        """``server_side_emit(*args)`` of another process."""
        self._fire(args[0], args[1:], ack, False, False)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call a user's callback on the next turn of the loop; what it raises is reported."""
        call_soon(self.server.engine.clock, callback, self, *args)

    @property
    def timers(self) -> TimerWheel:
        """The timers of the server."""
        return self.server.engine.timers

    def ask(
        self,
        sockets: Sequence[SocketLike],
        args: tuple[Any, ...],
        flags: BroadcastFlags,
        on_answer: Callable[[Any], None],
    ) -> None:
        """Send an event to each of ``sockets`` and pass on what they acknowledge within ``flags.timeout``."""
        ack_id = self.next_ack_id()
        packet = self.encode_event(args, ack_id)
        if not sockets:
            return
        asked = AskedSockets({socket.id for socket in sockets}, on_answer, partial(self._forget, ack_id))
        self._asked[ack_id] = asked
        self.timers.arm(asked, flags.timeout or 0.0)
        for socket in sockets:
            socket.send_encoded(packet, flags)

    def on_answer(self, sid: str, ack_id: int, args: list[Any]) -> None:
        """An acknowledgement that the socket itself has not asked for: a broadcast may have."""
        asked = self._asked.get(ack_id)
        if asked is not None:
            asked.answer(sid, args)

    def _forget(self, ack_id: int) -> None:
        asked = self._asked.pop(ack_id, None)
        if asked is not None:
            self.timers.cancel(asked)

    def encode_event(self, args: tuple[Any, ...], ack_id: int | None = None) -> EncodedPacket:
        """``(event, *args)`` as it goes out to any number of sockets; with ``ack_id``, they answer.

        :raises PacketError: for a value that cannot be sent.
        """
        wire = self.server.wire
        return (encode_event if wire is None else wire.event)(args, self.name, ack_id)

    def encode_ack(self, args: tuple[Any, ...], ack_id: int) -> EncodedPacket:
        """The answer to event ``ack_id`` of a client as it goes out.

        :raises PacketError: for a value that cannot be sent.
        """
        wire = self.server.wire
        return (encode_ack if wire is None else wire.ack)(args, self.name, ack_id)

    def add(self, socket: Socket, missed: Sequence[EncodedPacket] = ()) -> None:
        """An admitted socket: it learns so, and what it missed, before the connection handlers run."""
        self.sockets[socket.id] = socket
        socket.begin(missed)
        self._fire("connect", (socket,), None, False, False)
        self._fire("connection", (socket,), None, False, False)

    def remove(self, socket: Socket) -> None:
        """A socket is over."""
        if self.sockets.get(socket.id) is socket:
            del self.sockets[socket.id]
        self.release()

    def release(self) -> None:
        """Nobody may be left; a dynamic namespace goes away then if it is to."""

    def hold(self) -> None:
        """A socket is on its way: middlewares think about it."""

    def let_go(self) -> None:
        """It has come, or has been refused."""

    def _plan(self, event: str, fn: Callable[..., Any], serialize: bool) -> Plan | None:
        if self.server.slow_handlers is None or serialize:
            return super()._plan(event, fn, serialize)
        return Plan(call=self.server.slow_handlers.watch(event, fn))

    def _listener_failed(self, event: str, fn: Callable[..., Any], error: BaseException) -> None:
        name = getattr(fn, "__qualname__", fn)
        self.server.report(error, f"handler {name} of {event!r} failed, {self!r}", None, event)


class ChildNamespace(Namespace):
    """A namespace that a :class:`ParentNamespace` made."""

    def __init__(self, server: Server, name: str, parent: ParentNamespace) -> None:
        super().__init__(server, name)
        self.parent = parent
        # Sockets that middlewares think about.
        self._coming = 0
        self.middlewares = list(parent.middlewares)
        self.shared_handlers = parent.shared_handlers
        for event in ("connect", "connection"):
            for fn in parent.listeners(event):
                self.on(event, fn)

    def release(self) -> None:
        """Go away with the last socket, if option ``cleanup_empty_child_namespaces`` says so, and none is on
        its way or may come back."""
        options = self.server.options
        needed = self.sockets or self._coming or not self.adapter.idle
        if not needed and options.cleanup_empty_child_namespaces:
            self.server.drop_child(self)

    def hold(self) -> None:
        """Stay for a socket that is on its way."""
        self._coming += 1

    def let_go(self) -> None:
        """It has come, or has been refused."""
        self._coming -= 1
        self.release()


class ParentNamespace(Namespace):
    """A pattern or a function that decides which namespaces exist; each gets its middlewares and handlers.

    ``matcher`` is a compiled pattern searched in the name, or ``fn(name, auth)`` giving a bool, plain or
    async, or Node's ``fn(name, auth, next)`` with ``next(error, allow)``.
    """

    _count = 0

    def __init__(self, server: Server, matcher: re.Pattern[str] | Callable[..., Any]) -> None:
        self.children: dict[str, ChildNamespace] = {}
        super().__init__(server, f"/_{ParentNamespace._count}")
        ParentNamespace._count += 1
        self._matcher = matcher
        self._takes_next = not isinstance(matcher, re.Pattern) and positional_limit(matcher) >= 3

    def _make_adapter(self) -> Adapter:
        return ChildrenAdapter(self, self.children)

    async def accepts(self, name: str, auth: Any) -> bool:
        """Whether a namespace of that name may exist; an error counts as no."""
        matcher = self._matcher
        if isinstance(matcher, re.Pattern):
            return matcher.search(name) is not None
        try:
            if self._takes_next:
                answer = _Allow()
                result = matcher(name, auth, answer)
                if inspect.isawaitable(result):
                    await result
                await answer.wait()
                return answer.allowed
            result = matcher(name, auth)
            return bool(await result) if inspect.isawaitable(result) else bool(result)
        except Exception:
            logger.exception("the function that decides on namespace %r failed", name)
            return False

    def create_child(self, name: str) -> ChildNamespace:
        """The namespace of that name."""
        child = ChildNamespace(self.server, name, self)
        self.children[name] = child
        self.server.add_namespace(child)
        return child


class _Allow(Next):
    """``next(error, allow)`` of a dynamic namespace's function."""

    __slots__ = ("allowed",)

    def __init__(self) -> None:
        super().__init__()
        self.allowed = False

    def __call__(self, error: Any = None, allow: Any = False) -> None:
        self.allowed = self.allowed or (error is None and bool(allow))
        super().__call__(None)
