"""The Socket.IO server: options, namespaces, and the engine they ride on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fastsio.adapters.base import Adapter, NamespaceLike
from fastsio.adapters.memory import MemoryAdapter
from fastsio.adapters.recovery import RecoveryStore, SessionAwareAdapter
from fastsio.engine.ids import generate_id
from fastsio.engine.request import Request, Response
from fastsio.engine.server import EngineCore
from fastsio.engine.serving import ListenerLike, Serving, network
from fastsio.engine.session import Session
from fastsio.exceptions import NamespaceNotFound
from fastsio.options import EngineOptions, ListenerOptions, RecoveryOptions, ServerOptions, split_options
from fastsio.server.client import Client
from fastsio.server.client_files import ClientFiles
from fastsio.server.namespace import ChildNamespace, Namespace, ParentNamespace, _Broadcaster
from fastsio.server.operator import BroadcastOperator
from fastsio.server.socket import Socket
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Server"]

logger = logging.getLogger("fastsio.server")

_F = TypeVar("_F", bound=Callable[..., Any])


class Server(_Broadcaster, Serving):
    """A Socket.IO server; clients of v2, v3 and v4 connect to it unchanged.

    >>> io = Server(cors="*")
    >>> @io.on("connection")
    ... def connection(socket):
    ...     socket.emit("greetings", "Hey!")

    Takes the options of :class:`~fastsio.options.ServerOptions`, :class:`~fastsio.options.EngineOptions` and
    :class:`~fastsio.options.ListenerOptions`. What concerns sockets, ``on``, ``emit``, ``to``, ``use`` and
    their like, acts on the namespace ``/``. ``on("error", fn)`` gets ``(exception, socket, event)`` for what
    a handler of any namespace raised.

    :raises OptionError: for an unknown option, or a value it cannot take.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("path", "/socket.io")
        engine_options, listener_options, server_options = split_options(
            options, EngineOptions, ListenerOptions, ServerOptions
        )
        self.options: ServerOptions = server_options
        self._listener_options: ListenerOptions = listener_options
        #: The Engine.IO server below.
        self.engine = EngineCore(engine_options)
        self.engine.on("connection", self.on_connection)
        #: The option ``connection_state_recovery``; None: off.
        self.recovery = RecoveryOptions.read(server_options.connection_state_recovery)
        self._recovery_store: RecoveryStore | None = None
        self._listeners: list[ListenerLike] = []
        self._namespaces: dict[str, Namespace] = {}
        self._parents: list[tuple[Any, ParentNamespace]] = []
        self._client_files = ClientFiles(self.options.client) if self.options.serve_client else None
        static_files = listener_options.static_files
        self._static_files = network().static_files(static_files) if static_files else None
        #: The namespace ``/``.
        self.sockets = self.of("/")

    # -- requests -------------------------------------------------------------------------------------

    def handle(self, request: Request) -> None:
        """Serve one HTTP request: the client's files, the engine, the files the user named."""
        if self.engine.matches(request):
            name = request.path[len(self.engine.path) :]
            if self._client_files is not None and self._client_files.matches(name):
                self.engine.respond(request, self._client_files.serve(request, name))
            else:
                self.engine.handle(request)
        elif self._static_files is None or not self._static_files.handle(request):
            request.exchange.respond(Response(404))

    def on_connection(self, session: Session) -> Self:
        """Take over an Engine.IO session."""
        Client(self, session)
        return self

    def socket_id(self, namespace: Namespace, session: Session) -> str:
        """The id of a new socket: fresh for v3 and v4 clients; those of v2 work it out from the session's."""
        if session.protocol == 4:
            return generate_id()
        return session.id if namespace.name == "/" else f"{namespace.name}#{session.id}"

    # -- namespaces -----------------------------------------------------------------------------------

    @overload
    def of(self, name: str, fn: Callable[[Socket], Any] | None = None) -> Namespace: ...
    @overload
    def of(
        self, name: re.Pattern[str] | Callable[..., Any], fn: Callable[[Socket], Any] | None = None
    ) -> ParentNamespace: ...
    def of(
        self,
        name: str | re.Pattern[str] | Callable[..., Any],
        fn: Callable[[Socket], Any] | None = None,
    ) -> Namespace:
        """The namespace of that name, made if it is new.

        A pattern or a function gives a parent namespace: every name it accepts becomes a namespace with the
        parent's middlewares and connection handlers. ``fn`` is added as a ``connection`` handler.
        """
        if isinstance(name, str):
            namespace = self._named(name)
        else:
            namespace = ParentNamespace(self, name)
            self._parents.append((name, namespace))
        if fn is not None:
            namespace.on("connection", fn)
        return namespace

    def _named(self, name: str) -> Namespace:
        if not name.startswith("/"):
            name = "/" + name
        namespace = self._namespaces.get(name)
        if namespace is not None:
            return namespace
        for matcher, parent in self._parents:
            if isinstance(matcher, re.Pattern) and matcher.search(name):
                return parent.create_child(name)
        namespace = Namespace(self, name)
        self.add_namespace(namespace)
        return namespace

    def add_namespace(self, namespace: Namespace) -> None:
        """Register a namespace; ``/`` fires ``new_namespace`` for every other one."""
        self._namespaces[namespace.name] = namespace
        if namespace.name != "/":
            self.sockets._fire("new_namespace", (namespace,), None, True, False)

    def create_adapter(self, namespace: NamespaceLike) -> Adapter:
        """The adapter of a new namespace."""
        if self.options.adapter is not None:
            adapter: Adapter = self.options.adapter(namespace)
            if self.recovery is not None and not adapter.recovers:
                logger.warning(
                    "option connection_state_recovery has no effect in %s: %s does not keep sessions",
                    namespace.name,
                    type(adapter).__name__,
                )
            return adapter
        if self.recovery is None:
            return MemoryAdapter(namespace)
        if self._recovery_store is None:
            engine = self.engine.options
            # A pong after a ping behind a packet says that the packet has come; each may be late twice.
            heartbeat = engine.ping_interval + 4 * engine.ping_timeout
            self._recovery_store = RecoveryStore(self.recovery, heartbeat, lambda: self.engine.timers)
        return SessionAwareAdapter(namespace, self._recovery_store)

    def find(self, name: str) -> Namespace | None:
        """The namespace a client asks for, if it exists by now."""
        return self._namespaces.get(name)

    async def find_dynamic(self, name: str, auth: Any) -> Namespace:
        """The namespace a client asks for, made by the first parent that accepts it.

        :raises NamespaceNotFound: if none does.
        """
        for _, parent in self._parents:
            if await parent.accepts(name, auth):
                # The parent may have been asked for the same name twice at once.
                return self._namespaces.get(name) or parent.create_child(name)
        raise NamespaceNotFound(name)

    def drop_child(self, child: ChildNamespace) -> None:
        """Forget a dynamic namespace."""
        if self._namespaces.get(child.name) is child:
            del self._namespaces[child.name]
            child.parent.children.pop(child.name, None)

    # -- the namespace "/" ----------------------------------------------------------------------------

    def _everyone(self) -> BroadcastOperator:
        return BroadcastOperator(self.sockets.adapter)

    @property
    def adapter(self) -> Adapter:
        """The adapter of ``/``."""
        return self.sockets.adapter

    @overload
    def on(self, event: str) -> Callable[[_F], _F]: ...
    @overload
    def on(self, event: str, fn: Callable[..., Any]) -> Self: ...
    def on(self, event: str, fn: Callable[..., Any] | None = None) -> Any:
        """Listen to an event of the namespace ``/``; without ``fn``, a decorator."""
        if fn is None:
            return self.sockets.on(event)
        self.sockets.on(event, fn)
        return self

    @overload
    def once(self, event: str) -> Callable[[_F], _F]: ...
    @overload
    def once(self, event: str, fn: Callable[..., Any]) -> Self: ...
    def once(self, event: str, fn: Callable[..., Any] | None = None) -> Any:
        """As :meth:`on`, for the next occurrence only."""
        if fn is None:
            return self.sockets.once(event)
        self.sockets.once(event, fn)
        return self

    def off(self, event: str, fn: Callable[..., Any]) -> Self:
        """Remove a listener of the namespace ``/``."""
        self.sockets.off(event, fn)
        return self

    def remove_listener(self, event: str, fn: Callable[..., Any]) -> Self:
        """The same as :meth:`off`."""
        return self.off(event, fn)

    def remove_all_listeners(self, event: str | None = None) -> Self:
        """Remove every listener of ``event``, or of all events, of the namespace ``/``."""
        self.sockets.remove_all_listeners(event)
        return self

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """The listeners of ``event`` of the namespace ``/`` (a new list)."""
        return self.sockets.listeners(event)

    def use(self, fn: Callable[..., Any]) -> Self:
        """Add a middleware to the namespace ``/``; see :meth:`Namespace.use`."""
        self.sockets.use(fn)
        return self

    # -- errors and the end ---------------------------------------------------------------------------

    def report(self, error: BaseException, what: str, socket: Socket | None, event: str) -> None:
        """Log what a handler raised and pass it to the ``error`` listeners."""
        logger.error("%s", what, exc_info=error)
        if event != "error":  # else a failing error listener would call itself
            self.sockets._fire("error", (error, socket, event), None, True, False)

    async def _close_all(self) -> None:
        for namespace in list(self._namespaces.values()):
            for socket in list(namespace.sockets.values()):
                socket.end(DisconnectReason.SERVER_SHUTTING_DOWN)
            await namespace.adapter.close()
        self.engine.close_sessions()
