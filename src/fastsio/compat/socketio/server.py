"""``AsyncServer``: python-socketio's interface on a :class:`fastsio.Server`."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Literal

import fastsio
from fastsio import Ack, ConnectionRefused, DisconnectReason, Namespace, Socket
from fastsio.adapters.base import BroadcastOptions
from fastsio.admin import instrument
from fastsio.compat.socketio import exceptions
from fastsio.compat.socketio.admin import admin_auth
from fastsio.compat.socketio.environ import make_environ
from fastsio.compat.socketio.handlers import NOT_HANDLED, Handlers, event_arguments
from fastsio.compat.socketio.manager import AsyncManager, Reason
from fastsio.compat.socketio.namespace import AsyncNamespace
from fastsio.compat.socketio.options import server_options

__all__ = ["AsyncServer"]

# The reasons that handlers of ``disconnect`` get, by those of Node.
_REASONS = {
    DisconnectReason.CLIENT_NAMESPACE_DISCONNECT: Reason.CLIENT_DISCONNECT,
    DisconnectReason.SERVER_NAMESPACE_DISCONNECT: Reason.SERVER_DISCONNECT,
    DisconnectReason.FORCED_SERVER_CLOSE: Reason.SERVER_DISCONNECT,
    DisconnectReason.FORCED_CLOSE: Reason.SERVER_DISCONNECT,
    DisconnectReason.SERVER_SHUTTING_DOWN: Reason.SERVER_DISCONNECT,
    DisconnectReason.PARSE_ERROR: Reason.TRANSPORT_ERROR,
}

# Seconds that a call without a limit waits for a client of another process.
_LONGEST = 86_400.0


class _Peer:
    """A client in a namespace, from its ``connect`` handler to the end of its ``disconnect`` handler."""

    __slots__ = ("environ", "farewell", "pending", "rooms", "session", "socket", "turn")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.environ = make_environ(socket.request)
        self.session: dict[str, Any] = {}
        #: Events for it that wait until it is accepted; None once it is.
        self.pending: list[tuple[Any, ...]] | None = []
        #: Its rooms, once it is in none any more.
        self.rooms: set[str] | None = None
        #: The ``disconnect`` handler at work.
        self.farewell: asyncio.Future[Any] | None = None
        #: With ``async_handlers=False``: held by the handler at work.
        self.turn: asyncio.Lock | None = None


class AsyncServer(Handlers):
    """A server with the interface of python-socketio's ``AsyncServer``.

    >>> sio = AsyncServer(cors_allowed_origins="*")
    >>> @sio.event
    ... async def question(sid, text):
    ...     await sio.emit("asked", text, room="lobby", skip_sid=sid)

    :param client_manager: an ``AsyncRedisManager`` for several servers as one.
    :param logger: a logger, or True to have the package's at ``INFO``.
    :param json: a module with ``dumps`` and ``loads``; None: orjson.
    :param async_handlers: False: a client's events wait for the handlers of those before.
    :param namespaces: those that clients may join without a handler there; ``"*"``: all.
    :param always_connect: accept clients before the ``connect`` handler has answered.
    :param serializer: ``"default"`` or ``"msgpack"``.
    :param options: python-socketio's, and those of :class:`fastsio.Server`.
    :raises OptionError: for an unknown option, or one that fastsio has nothing for.
    """

    reserved_events = ("connect", "disconnect")
    reason = Reason

    def __init__(
        self,
        client_manager: AsyncManager | None = None,
        logger: bool | logging.Logger = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: str | Iterable[str] | None = None,
        *,
        always_connect: bool = False,
        serializer: str = "default",
        **options: Any,
    ) -> None:
        super().__init__(self.reserved_events, logger)
        self.manager = AsyncManager() if client_manager is None else client_manager
        given = {**self.manager.server_options(), **server_options(json, serializer, options)}
        #: The server below, with all that fastsio can do.
        self.io = fastsio.Server(**given)
        self.manager.set_server(self.io)
        self.async_handlers = async_handlers
        self.always_connect = always_connect
        self.async_mode = "asgi"
        # Clients that are not accepted yet, or on their way out, by namespace and id.
        self._aside: dict[tuple[str, str], _Peer] = {}
        self._prepared: set[str] = set()
        if namespaces == "*":
            self._prepare(self.io.of(lambda name, auth: True))
            namespaces = None
        for name in _names(namespaces) or ("/",):
            self._handles(name)
        if "/" not in self._prepared:
            self.io.use(self._refuse_unprepared)

    # -- registration ---------------------------------------------------------------------------------

    def register_namespace(self, namespace_handler: AsyncNamespace) -> None:
        """Add a class-based namespace.

        :raises ValueError: for anything that is no :class:`AsyncNamespace`.
        """
        if not isinstance(namespace_handler, AsyncNamespace):
            raise ValueError("register_namespace() takes an AsyncNamespace")
        namespace_handler._set_server(self)
        self.add_namespace(namespace_handler)

    def _handles(self, namespace: str) -> None:
        if namespace != "*" and namespace not in self._prepared:
            self._prepared.add(namespace)
            self._prepare(self.io.of(namespace))

    def _refuse_unprepared(self, socket: Socket) -> None:
        # "/" is always there, and perhaps not for clients.
        if "/" not in self._prepared:
            raise ConnectionRefused("Unable to connect")

    def _prepare(self, namespace: Namespace) -> None:
        if self.always_connect:
            namespace.on("connection", self._connect_late)
        else:
            namespace.use(self._admit)
            namespace.on("connection", self._welcome)

    # -- clients that come ----------------------------------------------------------------------------

    async def _admit(self, socket: Socket) -> None:
        """A middleware: the ``connect`` handler decides."""
        peer = _Peer(socket)
        socket._peer = peer  # type: ignore[attr-defined]
        key = (socket.nsp.name, socket.id)
        self._aside[key] = peer
        try:
            await self._ask(peer)
        finally:
            del self._aside[key]

    async def _ask(self, peer: _Peer) -> None:
        """Call the ``connect`` handler.

        :raises ConnectionRefused: if it refuses, or fails.
        """
        socket = peer.socket
        auth = socket.handshake.auth or None
        rejected = exceptions.ConnectionRefusedError().error_args["message"]
        try:
            answer = await self.trigger("connect", socket.nsp.name, socket.id, peer.environ, auth)
        except exceptions.ConnectionRefusedError as error:
            raise ConnectionRefused(**error.error_args) from error
        except builtins.ConnectionRefusedError as error:
            raise ConnectionRefused("Connection refused by server") from error
        except Exception as error:
            # What went wrong is nothing that a client need know.
            self.io.report(error, f"handler of 'connect' failed, {socket!r}", socket, "connect")
            raise ConnectionRefused(rejected) from error
        if answer is False:
            raise ConnectionRefused(rejected)

    def _welcome(self, socket: Socket) -> None:
        """It is accepted: it gets what the ``connect`` handler had for it."""
        peer: _Peer = socket._peer  # type: ignore[attr-defined]
        waiting, peer.pending = peer.pending, None
        socket.on_any(partial(self._on_event, peer))
        socket.on("disconnecting", partial(self._on_disconnecting, peer))
        socket.on("disconnect", partial(self._on_disconnect, peer))
        for args in waiting or ():
            socket.emit(*args)

    async def _connect_late(self, socket: Socket) -> None:
        socket._peer = _Peer(socket)  # type: ignore[attr-defined]
        self._welcome(socket)
        try:
            await self._ask(socket._peer)  # type: ignore[attr-defined]
        except ConnectionRefused:
            socket.disconnect()

    # -- events ---------------------------------------------------------------------------------------

    def _on_event(self, peer: _Peer, event: str, *args: Any) -> Awaitable[None] | None:
        """An event of a client; what has to be awaited, if anything has."""
        ack: Ack | None = None
        if args and isinstance(args[-1], Ack):
            ack, args = args[-1], args[:-1]
        socket = peer.socket
        args = (socket.id, *args)
        if not self.async_handlers:
            return self._in_turn(peer, event, args, ack)
        handler, given = self.find(event, socket.nsp.name, args)
        if handler is None or event in self.reserved_events:
            return self._answer(self.trigger(event, socket.nsp.name, *args), ack)
        # A plain function needs no coroutine.
        result = handler(*given)
        if inspect.isawaitable(result):
            return result if ack is None else self._answer(result, ack)
        if ack is not None:
            ack(*event_arguments(result))
        return None

    async def _in_turn(self, peer: _Peer, event: str, args: tuple[Any, ...], ack: Ack | None) -> None:
        if peer.turn is None:
            peer.turn = asyncio.Lock()
        async with peer.turn:
            await self._answer(self.trigger(event, peer.socket.nsp.name, *args), ack)

    async def _answer(self, handled: Awaitable[Any], ack: Ack | None) -> None:
        result = await handled
        if ack is not None and result is not NOT_HANDLED:
            ack(*event_arguments(result))

    def _on_disconnecting(self, peer: _Peer, reason: DisconnectReason) -> None:
        peer.rooms = peer.socket.rooms

    async def _on_disconnect(self, peer: _Peer, reason: DisconnectReason) -> None:
        socket = peer.socket
        key = (socket.nsp.name, socket.id)
        self._aside[key] = peer
        peer.farewell = asyncio.get_running_loop().create_future()
        try:
            told = _REASONS.get(reason, str(reason))
            await self.trigger("disconnect", socket.nsp.name, socket.id, told)
        finally:
            del self._aside[key]
            peer.farewell.set_result(None)

    # -- sending --------------------------------------------------------------------------------------

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: str | Iterable[str] | None = None,
        room: str | Iterable[str] | None = None,
        skip_sid: str | Iterable[str] | None = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send an event.

        :param data: its argument; a tuple is several, None is none.
        :param to: the client, the room, or several of them, that get it; None: all. The same as ``room``.
        :param skip_sid: clients that do not.
        :param callback: called with the acknowledgement of each client of this process, plain or async.
        :param ignore_queue: reach only clients of this process.
        """
        args = (event, *event_arguments(data))
        target = to or room
        found = self.io.find(namespace or "/")
        if found is None:
            return
        skipped = _names(skip_sid)
        if isinstance(target, str) and not skipped:
            socket = found.sockets.get(target)
            if socket is not None:
                socket.emit(*args) if callback is None else socket.emit(*args, callback)
                return
        rooms = _names(target)
        if callback is None:
            everyone = found.to(rooms).except_(skipped)
            (everyone.local if ignore_queue else everyone).emit(*args)
        else:
            options = BroadcastOptions(rooms=rooms, except_=skipped)
            for recipient in found.adapter.local_sockets(options):
                found.sockets[recipient.id].emit(*args, callback)
        for peer in self._coming(found.name, rooms, skipped):
            assert peer.pending is not None
            peer.pending.append(args if callback is None else (*args, callback))

    def _coming(self, namespace: str, rooms: frozenset[str], skipped: frozenset[str]) -> Iterable[_Peer]:
        """Clients that a broadcast is for, and that are not accepted yet."""
        for (name, sid), peer in list(self._aside.items()):
            if name == namespace and peer.pending is not None:
                names = {sid, *peer.socket.rooms}
                if (not rooms or names & rooms) and not names & skipped:
                    yield peer

    async def send(
        self,
        data: Any,
        to: str | Iterable[str] | None = None,
        room: str | Iterable[str] | None = None,
        skip_sid: str | Iterable[str] | None = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send the event ``message``; see :meth:`emit`."""
        await self.emit("message", data, to, room, skip_sid, namespace, callback, ignore_queue)

    async def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Send an event to one client and wait for its acknowledgement: its argument, a tuple of several.

        :raises TimeoutError: if it does not come within ``timeout`` seconds.
        :raises ValueError: without a client.
        """
        target = to or sid
        if target is None:
            raise ValueError("Cannot use call() to broadcast.")
        found = self.io.find(namespace or "/")
        if found is not None and self._peer(target, namespace) is None and self.manager.distributed:
            return await _call_elsewhere(found, target, (event, *event_arguments(data)), timeout)
        answered: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def settle(*args: Any) -> None:
            if not answered.done():
                answered.set_result(args)

        await self.emit(
            event, data, to=target, namespace=namespace, callback=settle, ignore_queue=ignore_queue
        )
        try:
            args = await asyncio.wait_for(answered, timeout)
        except asyncio.TimeoutError:
            raise exceptions.TimeoutError(f"no acknowledgement of {event!r} within {timeout} s") from None
        return args[0] if len(args) == 1 else args or None

    # -- rooms ----------------------------------------------------------------------------------------

    async def enter_room(self, sid: str, room: str, namespace: str | None = None) -> None:
        """Have a client enter a room.

        :raises ValueError: if it is not connected to the namespace, of this server or, with a manager, any.
        """
        peer = self._peer(sid, namespace)
        found = self.io.find(namespace or "/")
        if peer is not None:
            peer.socket.join(room)
        elif found is not None and self.manager.distributed:
            found.in_(sid).sockets_join(room)
        else:
            raise ValueError(f"{sid!r} is not connected to {namespace or '/'}")

    async def leave_room(self, sid: str, room: str, namespace: str | None = None) -> None:
        """Have a client leave a room."""
        found = self.io.find(namespace or "/")
        peer = self._peer(sid, namespace)
        if peer is not None:
            peer.socket.leave(room)
        elif found is not None:
            found.in_(sid).sockets_leave(room)

    async def close_room(self, room: str, namespace: str | None = None) -> None:
        """Have everybody leave a room."""
        found = self.io.find(namespace or "/")
        if found is not None:
            found.in_(room).sockets_leave(room)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        """The rooms a client of this process is in, that of its own id among them."""
        peer = self._peer(sid, namespace)
        if peer is None:
            return []
        return list({sid, *peer.socket.rooms} if peer.rooms is None else peer.rooms)

    def _peer(self, sid: str, namespace: str | None) -> _Peer | None:
        name = namespace or "/"
        found = self.io.find(name)
        socket = None if found is None else found.sockets.get(sid)
        if socket is not None:
            peer: _Peer = socket._peer  # type: ignore[attr-defined]
            return peer
        return self._aside.get((name, sid))

    def _known(self, sid: str, namespace: str | None) -> _Peer:
        peer = self._peer(sid, namespace)
        if peer is None:
            raise KeyError(f"{sid!r} is not connected to {namespace or '/'}")
        return peer

    # -- one client -----------------------------------------------------------------------------------

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """What the application keeps with a client.

        :raises KeyError: if it is not connected to the namespace.
        """
        return self._known(sid, namespace).session

    async def save_session(self, sid: str, session: dict[str, Any], namespace: str | None = None) -> None:
        """Replace what the application keeps with a client.

        :raises KeyError: if it is not connected to the namespace.
        """
        self._known(sid, namespace).session = session

    def session(self, sid: str, namespace: str | None = None) -> AbstractAsyncContextManager[dict[str, Any]]:
        """``async with sio.session(sid) as session``: the session, saved at the end."""
        return self._session(sid, namespace)

    @asynccontextmanager
    async def _session(self, sid: str, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
        session = await self.get_session(sid, namespace)
        yield session
        await self.save_session(sid, session, namespace)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Disconnect a client from a namespace; its ``disconnect`` handler is done then."""
        found = self.io.find(namespace or "/")
        if found is None:
            return
        socket = found.sockets.get(sid)
        if socket is None:
            if not ignore_queue:
                found.in_(sid).disconnect_sockets()
            return
        peer: _Peer = socket._peer  # type: ignore[attr-defined]
        socket.disconnect()
        if peer.farewell is not None:
            await peer.farewell

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The environ that the ``connect`` handler got; None for a client that is not connected."""
        peer = self._peer(sid, namespace)
        return None if peer is None else peer.environ

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """``"polling"`` or ``"websocket"``.

        :raises KeyError: if the client is not connected to the namespace.
        """
        return str(self._known(sid, namespace).socket.conn.transport)

    # -- the rest -------------------------------------------------------------------------------------

    async def shutdown(self) -> None:
        """Disconnect everybody and stop."""
        await self.io.close()

    def attach(self, app: Any, socketio_path: str = "socket.io") -> None:
        """Not there: an ASGI server serves :class:`ASGIApp`, and ``server.io.run()`` needs none.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("attach() is not there: use ASGIApp, or server.io.run(port=...)")

    def instrument(
        self,
        auth: Any = None,
        mode: Literal["development", "production"] = "development",
        read_only: bool = False,
        server_id: str | None = None,
        namespace: str = "/admin",
        server_stats_interval: float = 2,
    ) -> None:
        """Let the Socket.IO admin UI watch and control the server.

        :param auth: False lets everybody in; else ``{"username": ..., "password": ...}``, or with a bcrypt
            hash and ``"type": "basic"`` as :func:`fastsio.admin.instrument` takes it.
        :raises OptionError: for anything else.
        """
        instrument(
            self.io,
            auth=admin_auth(auth),
            mode=mode,
            readonly=read_only,
            server_id=server_id,
            namespace_name=namespace,
        )


async def _call_elsewhere(
    namespace: Namespace, sid: str, args: tuple[Any, ...], timeout: float | None
) -> Any:
    """Ask a client of another process, of whose acknowledgement the first argument comes."""
    try:
        answers = await namespace.to(sid).timeout(timeout or _LONGEST).emit_with_ack(*args)
    except fastsio.AckTimeout:
        answers = []
    if not answers:
        raise exceptions.TimeoutError(f"no acknowledgement of {args[0]!r} within {timeout} s")
    return answers[0]


def _names(given: str | Iterable[str] | None) -> frozenset[str]:
    """One name, several or none, as a set."""
    if given is None:
        return frozenset()
    return frozenset((given,)) if isinstance(given, str) else frozenset(given)
