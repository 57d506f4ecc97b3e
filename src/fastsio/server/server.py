"""The Socket.IO server: options, namespaces, and the engine they ride on."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from fastsio._codec import Decoder, EncodedPacket, Packet, encode_packet
from fastsio.adapters.base import Adapter, NamespaceLike
from fastsio.adapters.memory import MemoryAdapter
from fastsio.adapters.recovery import RecoveryStore, SessionAwareAdapter
from fastsio.adapters.worker_bus import WorkerBus
from fastsio.engine import tasks
from fastsio.engine.ids import generate_id
from fastsio.engine.request import Request, Response
from fastsio.engine.server import EngineCore
from fastsio.engine.serving import Lifespan, ListenerLike, Serving, network
from fastsio.engine.session import Session
from fastsio.engine.workers import WorkerPlace
from fastsio.exceptions import NamespaceNotFound
from fastsio.options import EngineOptions, ListenerOptions, RecoveryOptions, ServerOptions, split_options
from fastsio.parsers import CustomDecoder, Wire, make_wire
from fastsio.server.client import Client
from fastsio.server.client_files import ClientFiles
from fastsio.server.facade import RootEmitter
from fastsio.server.metrics import CONTENT_TYPE, Metrics, collect, prometheus
from fastsio.server.namespace import ChildNamespace, Namespace, ParentNamespace, _Broadcaster
from fastsio.server.operator import BroadcastOperator
from fastsio.server.router import Router
from fastsio.server.slow import SlowHandlers
from fastsio.server.socket import Socket
from fastsio.server.v2 import V2Members
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Server"]

logger = logging.getLogger("fastsio.server")

AdapterFactory = Callable[[Any], Adapter]


class Server(RootEmitter, V2Members, _Broadcaster, Serving):
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
        #: How packets are written, if it is not the default.
        self.wire: Wire | None = None
        if server_options.parser is not None:
            self.wire = make_wire(server_options.parser)
        #: The option ``connection_state_recovery``; None: off.
        self.recovery = RecoveryOptions.read(server_options.connection_state_recovery)
        self._recovery_store: RecoveryStore | None = None
        #: Looks for handlers that block the loop; None: nobody looks.
        limit = server_options.slow_handler
        self.slow_handlers = None if limit is None else SlowHandlers(limit)
        self._listeners: list[ListenerLike] = []
        # Namespaces whose adapters were made before a loop ran.
        self._unstarted: list[Namespace] = []
        # Adapters that are connecting.
        self._starting: set[asyncio.Task[Any]] = set()
        self._lifespan = Lifespan()
        self._namespaces: dict[str, Namespace] = {}
        self._parents: list[tuple[Any, ParentNamespace]] = []
        self._client_files = ClientFiles(self.options.client) if self.options.serve_client else None
        static_files = listener_options.static_files
        self._static_files = network().static_files(static_files) if static_files else None
        #: The namespace ``/``.
        self.sockets = self.of("/")

    # -- requests -------------------------------------------------------------------------------------

    def serve(self, request: Request) -> bool:
        """Serve an HTTP request that is for the client's files, the engine or a file the user named; whether
        it is."""
        if self._unstarted:
            tasks.start(self._prepare())
        if self.engine.handle_own(request):
            return True
        if self.engine.matches(request):
            name = request.path[len(self.engine.path) :]
            if self._client_files is not None and self._client_files.matches(name):
                self.engine.respond(request, self._client_files.serve(request, name))
            else:
                self.engine.handle(request)
            return True
        if request.path == self.options.metrics_path:
            self._serve_metrics(request)
            return True
        return self._static_files is not None and self._static_files.handle(request)

    def join_workers(self, place: WorkerPlace) -> None:
        """Be one of several processes that share a port; without an adapter of its own, with one to the
        others."""
        super().join_workers(place)
        self.engine.mark_ids(place.mark)
        if self.options.adapter is None:
            self.adapter(WorkerBus(place).create_adapter)

    def owns(self, path: str) -> bool:
        """Whether a request with that path is the engine's."""
        return self.engine.owns(path)

    def _serve_metrics(self, request: Request) -> None:
        if request.method not in ("GET", "HEAD"):
            request.exchange.respond(Response(405, [("Allow", "GET, HEAD")]))
            return
        headers = [("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")]
        request.exchange.respond(Response(200, headers, prometheus(self).encode()))

    def metrics(self) -> Metrics:
        """What the server has counted, and what there is now."""
        return collect(self)

    def encode_packet(self, packet: Packet, protocol: int) -> EncodedPacket:
        """A packet that is no event, for Socket.IO protocol 4 or 5."""
        return encode_packet(packet, protocol) if self.wire is None else self.wire.packet(packet, protocol)

    def create_decoder(self, protocol: int) -> Decoder | CustomDecoder:
        """What reads the messages of a new client."""
        attachments = self.options.max_attachments
        size = self.engine.options.max_http_buffer_size * (attachments + 1)
        if self.wire is None:
            return Decoder(protocol, attachments, size)
        return self.wire.decoder(protocol, attachments, size)

    def on_connection(self, session: Session) -> Self:
        """Take over an Engine.IO session."""
        Client(self, session)
        return self

    def bind(self, engine: EngineCore) -> Self:
        """Use another Engine.IO server; its new sessions are this server's."""
        self.engine.off("connection", self.on_connection)
        self.engine = engine
        engine.on("connection", self.on_connection)
        return self

    @property
    def eio(self) -> EngineCore:
        """The same as :attr:`engine`."""
        return self.engine

    @property
    def http_server(self) -> ListenerLike | None:
        """The first listener; None when there is none."""
        return self._listeners[0] if self._listeners else None

    async def attach(self, port: int = 3000, host: str | None = None, **options: Any) -> Self:
        """The same as :meth:`listen`."""
        return await self.listen(port, host, **options)

    # -- options that can be changed ------------------------------------------------------------------

    @overload
    def path(self) -> str: ...
    @overload
    def path(self, value: str) -> Self: ...
    def path(self, value: str | None = None) -> Any:
        """Get or set the path of the URLs served, without a slash at its end."""
        if value is None:
            return self.engine.path.rstrip("/")
        self.engine.set_option("path", value)
        return self

    @overload
    def serve_client(self) -> bool: ...
    @overload
    def serve_client(self, value: bool) -> Self: ...
    def serve_client(self, value: bool | None = None) -> Any:
        """Get or set whether the browser client is served."""
        if value is None:
            return self.options.serve_client
        self.options.serve_client = value
        self._client_files = ClientFiles(self.options.client) if value else None
        return self

    @overload
    def connect_timeout(self) -> float: ...
    @overload
    def connect_timeout(self, value: float) -> Self: ...
    def connect_timeout(self, value: float | None = None) -> Any:
        """Get or set how many seconds a new connection may last without joining a namespace."""
        if value is None:
            return self.options.connect_timeout
        self.options.connect_timeout = value
        return self

    @overload
    def adapter(self) -> AdapterFactory: ...
    @overload
    def adapter(self, value: AdapterFactory) -> Self: ...
    def adapter(self, value: AdapterFactory | None = None) -> Any:
        """Get or set what makes the adapter of a namespace: a class, or a function of the namespace.

        Every namespace gets a new adapter when it is set; sockets keep their rooms.
        """
        if value is None:
            default = MemoryAdapter if self.recovery is None else self.create_adapter
            return self.options.adapter or default
        self.options.adapter = value
        for namespace in list(self._namespaces.values()):
            self._close_adapter(namespace)
            namespace.renew_adapter()
            self._start_adapter(namespace)
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
        self._start_adapter(namespace)
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

    def _start_adapter(self, namespace: Namespace) -> None:
        """Connect an adapter now or, where no loop runs yet, before the first request."""
        if type(namespace.adapter).init is Adapter.init:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._unstarted.append(namespace)
            return
        task = tasks.start(
            namespace.adapter.init(),
            on_error=lambda error: self.report(error, f"adapter of {namespace!r} failed", None, "init"),
        )
        if not task.done():
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _prepare(self) -> None:
        """Have all adapters connected before the first request."""
        if self._starting:
            await asyncio.wait(self._starting)
        unstarted, self._unstarted = self._unstarted, []
        for namespace in unstarted:
            await namespace.adapter.init()

    def _close_adapter(self, namespace: Namespace) -> None:
        if namespace in self._unstarted:
            self._unstarted.remove(namespace)
            return
        if type(namespace.adapter).close is Adapter.close:
            return
        tasks.start(
            namespace.adapter.close(),
            on_error=lambda error: self.report(error, f"adapter of {namespace!r} failed", None, "close"),
        )

    @property
    def namespaces(self) -> dict[str, Namespace]:
        """The namespaces there are, by name (a copy)."""
        return dict(self._namespaces)

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
            self._close_adapter(child)

    # -- the namespace "/" ----------------------------------------------------------------------------

    def _everyone(self) -> BroadcastOperator:
        return BroadcastOperator(self.sockets.adapter)

    def include(self, router: Router) -> Self:
        """Include a router into the namespace ``/``; see :meth:`Namespace.include`."""
        self.sockets.include(router)
        return self

    # -- errors and the end ---------------------------------------------------------------------------

    def report(self, error: BaseException, what: str, socket: Socket | None, event: str) -> None:
        """Log what a handler raised and pass it to the ``error`` listeners."""
        logger.error("%s", what, exc_info=error)
        self.engine.counters.handler_errors += 1
        if event != "error":  # else a failing error listener would call itself
            self.sockets._fire("error", (error, socket, event), None, True, False)

    async def _close_all(self) -> None:
        for namespace in list(self._namespaces.values()):
            for socket in list(namespace.sockets.values()):
                socket.end(DisconnectReason.SERVER_SHUTTING_DOWN)
            if namespace not in self._unstarted:
                await namespace.adapter.close()
                if type(namespace.adapter).init is not Adapter.init:
                    self._unstarted.append(namespace)  # for a server that listens again
        self.engine.close_sessions()
