"""``AsyncClient``: python-socketio's interface on :class:`fastsio.Client`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import fastsio
from fastsio import ConnectionRefused, DisconnectReason
from fastsio.client.socket import Ack, Socket
from fastsio.compat.socketio import exceptions
from fastsio.compat.socketio.handlers import NOT_HANDLED, Handlers, event_arguments
from fastsio.compat.socketio.manager import Reason
from fastsio.compat.socketio.namespace import AsyncClientNamespace
from fastsio.compat.socketio.options import parser_options
from fastsio.engine import tasks

__all__ = ["AsyncClient"]

_REASONS = {
    DisconnectReason.IO_SERVER_DISCONNECT: Reason.SERVER_DISCONNECT,
    DisconnectReason.IO_CLIENT_DISCONNECT: Reason.CLIENT_DISCONNECT,
    DisconnectReason.FORCED_CLOSE: Reason.CLIENT_DISCONNECT,
    DisconnectReason.PARSE_ERROR: Reason.TRANSPORT_ERROR,
}

_FAILED = "One or more namespaces failed to connect"


class AsyncClient(Handlers):
    """A client with the interface of python-socketio's ``AsyncClient``.

    :param reconnection: whether a lost connection is made again.
    :param reconnection_attempts: attempts before giving up; 0: no limit.
    :param reconnection_delay: seconds before the first; doubled for each further one.
    :param reconnection_delay_max: seconds between two at most.
    :param randomization_factor: share of a delay that is random.
    :param logger: a logger, or True to have the package's at ``INFO``.
    :param serializer: ``"default"`` or ``"msgpack"``.
    :param json: a module with ``dumps`` and ``loads``; None: orjson.
    :param handle_sigint: nothing: a client here leaves signals alone.
    :param request_timeout: seconds an attempt to connect may take.
    :param ssl_verify: False accepts any certificate.
    :param options: those of :class:`fastsio.Client`.
    """

    reserved_events = ("connect", "connect_error", "disconnect", "__disconnect_final")
    reason = Reason

    def __init__(
        self,
        reconnection: bool = True,
        reconnection_attempts: int = 0,
        reconnection_delay: float = 1,
        reconnection_delay_max: float = 5,
        randomization_factor: float = 0.5,
        logger: bool | logging.Logger = False,
        serializer: str = "default",
        json: Any = None,
        handle_sigint: bool = True,
        *,
        request_timeout: float = 5,
        ssl_verify: bool = True,
        engineio_logger: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(self.reserved_events, logger)
        options.update(parser_options(json, serializer))
        if not ssl_verify:
            options.setdefault("ssl", False)
        self._options = {
            "reconnection": reconnection,
            "reconnection_attempts": reconnection_attempts,
            "reconnection_delay": reconnection_delay,
            "reconnection_delay_max": reconnection_delay_max,
            "randomization_factor": randomization_factor,
            "force_new": True,
            "auto_connect": False,
            **options,
        }
        self.request_timeout = request_timeout
        self._client: fastsio.Client | None = None
        self._sockets: dict[str, Socket] = {}
        self._over = asyncio.Event()
        #: The id of the connection.
        self.sid: str | None = None
        #: Whether the client is connected.
        self.connected = False
        #: The namespaces it is in, and its id in each.
        self.namespaces: dict[str, str | None] = {}
        self.connection_namespaces: list[str] = []

    def register_namespace(self, namespace_handler: AsyncClientNamespace) -> None:
        """Add a class-based namespace.

        :raises ValueError: for anything that is no :class:`AsyncClientNamespace`.
        """
        if not isinstance(namespace_handler, AsyncClientNamespace):
            raise ValueError("register_namespace() takes an AsyncClientNamespace")
        namespace_handler._set_client(self)
        self.add_namespace(namespace_handler)

    # -- connecting -----------------------------------------------------------------------------------

    async def connect(
        self,
        url: str | Callable[[], Any],
        headers: Mapping[str, str] | Callable[[], Any] | None = None,
        auth: Any = None,
        transports: str | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
        socketio_path: str = "socket.io",
        wait: bool = True,
        wait_timeout: float = 1,
        retry: bool = False,
    ) -> None:
        """Connect to a server.

        :param url: the server's, or a function, plain or async, that gives it.
        :param headers: further HTTP headers, or such a function.
        :param auth: what the server's ``connect`` handler gets, or such a function.
        :param transports: ``"polling"``, ``"websocket"`` or both.
        :param namespaces: those to join; None: all that have handlers, or ``/``.
        :param wait: return when all are joined, instead of when there is a connection.
        :param wait_timeout: seconds that may take.
        :param retry: keep trying instead of raising.
        :raises ConnectionError: if it cannot connect.
        """
        if self.connected:
            raise exceptions.ConnectionError("Already connected")
        names = self._names(namespaces)
        self.connection_namespaces = names
        self.namespaces = {}
        self._over.clear()
        client = self._client = self._make(
            await _value(url), await _value(headers), auth, transports, socketio_path
        )
        self._sockets = {name: client if name == names[0] else client.of(name) for name in names}
        for name, socket in self._sockets.items():
            socket.on("connect", partial(self._on_connect, name))
            socket.on("connect_error", partial(self._on_connect_error, name))
            socket.on("disconnect", partial(self._on_disconnect, name))
            socket.on_any(partial(self._on_event, name))
        client.manager.on("reconnect_failed", partial(self._end, names))
        joining = client.connect(retry=retry)
        try:
            if wait:
                await asyncio.wait_for(joining, None if retry else self.request_timeout + wait_timeout)
            else:
                await self._until_open(client, joining)
        except fastsio.ConnectError as error:
            await self._give_up()
            refused = [
                name for name, reason in error.refused.items() if isinstance(reason, ConnectionRefused)
            ]
            if refused:
                raise exceptions.ConnectionError(f"{_FAILED}: {', '.join(refused)}") from error
            raise exceptions.ConnectionError("Connection error") from error
        except asyncio.TimeoutError as error:
            await self._give_up()
            raise exceptions.ConnectionError(_FAILED) from error
        self.connected = True

    def _names(self, namespaces: str | Iterable[str] | None) -> list[str]:
        if isinstance(namespaces, str):
            return [namespaces]
        if namespaces is not None:
            return list(namespaces)
        found = {*self.handlers, *self.namespace_handlers} - {"*"}
        return sorted(found) or ["/"]

    def _make(
        self, url: str, headers: Any, auth: Any, transports: str | Iterable[str] | None, path: str
    ) -> fastsio.Client:
        parts = urlsplit(url)
        if isinstance(transports, str):
            transports = (transports,)
        options = {
            "path": "/" + path.strip("/"),
            "auth": auth,
            "extra_headers": dict(headers or {}),
            "timeout": self.request_timeout,
            **({} if transports is None else {"transports": tuple(transports)}),
            **self._options,
        }
        query = f"?{parts.query}" if parts.query else ""
        first = self.connection_namespaces[0]
        return fastsio.Client(f"{parts.scheme}://{parts.netloc}{first}{query}", **options)

    async def _until_open(self, client: fastsio.Client, joining: Coroutine[Any, Any, None]) -> None:
        """Let the namespaces be joined later; return when there is a connection."""
        opened = asyncio.get_running_loop().create_future()

        def settle(error: BaseException | None = None) -> None:
            if not opened.done():
                opened.set_exception(error) if error is not None else opened.set_result(None)

        client.manager.once("open", settle)
        tasks.start(joining, lambda _: settle(), settle)
        await opened

    async def _give_up(self) -> None:
        client, self._client = self._client, None
        self.connected = False
        self.namespaces = {}
        if client is not None:
            await client.close()

    def _on_connect(self, namespace: str) -> Awaitable[Any]:
        assert self._client is not None
        engine = self._client.manager.engine
        self.sid = None if engine is None else engine.id
        self.namespaces[namespace] = self._sockets[namespace].id
        if self.namespaces.keys() >= set(self.connection_namespaces):
            self.connected = True
        return self.trigger("connect", namespace)

    def _on_connect_error(self, namespace: str, error: Exception) -> Awaitable[Any]:
        told: Any = str(error)
        if isinstance(error, ConnectionRefused):
            told = {"message": error.message}
            if error.data is not None:
                told["data"] = error.data
        return self.trigger("connect_error", namespace, told)

    async def _on_disconnect(self, namespace: str, reason: DisconnectReason) -> None:
        client = self._client
        self.namespaces.pop(namespace, None)
        comes_back = self._sockets[namespace].active and client is not None and client.manager.reconnection
        if not self.namespaces:
            self.connected = False
            self.sid = None
        await self.trigger("disconnect", namespace, _REASONS.get(reason, str(reason)))
        if not comes_back:
            await self._end([namespace])

    async def _end(self, namespaces: Iterable[str]) -> None:
        for name in namespaces:
            await self.trigger("__disconnect_final", name)
        if not self.namespaces:
            self._over.set()

    async def wait(self) -> None:
        """Wait until the client is disconnected and will not connect again."""
        if self._client is not None:
            await self._over.wait()

    async def disconnect(self) -> None:
        """Disconnect from all namespaces and close the connection."""
        client = self._client
        if client is not None:
            await client.close()
            self.connected = False
            self._over.set()

    async def shutdown(self) -> None:
        """Disconnect, or stop trying to connect."""
        await self.disconnect()

    # -- events ---------------------------------------------------------------------------------------

    def _on_event(self, namespace: str, event: str, *args: Any) -> Awaitable[None]:
        ack: Ack | None = None
        if args and isinstance(args[-1], Ack):
            ack, args = args[-1], args[:-1]
        return self._answer(self.trigger(event, namespace, *args), ack)

    async def _answer(self, handled: Awaitable[Any], ack: Ack | None) -> None:
        result = await handled
        if ack is not None:
            ack(*event_arguments(None if result is NOT_HANDLED else result))

    async def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Send an event.

        :param data: its argument; a tuple is several, None is none.
        :param callback: called with the server's acknowledgement, plain or async.
        :raises BadNamespaceError: if the namespace is not connected.
        """
        args = (event, *event_arguments(data))
        self._socket(namespace).emit(*args, *(() if callback is None else (callback,)))

    def _socket(self, namespace: str | None) -> Socket:
        name = namespace or "/"
        if name not in self.namespaces:
            raise exceptions.BadNamespaceError(f"{name} is not a connected namespace.")
        return self._sockets[name]

    async def send(
        self, data: Any, namespace: str | None = None, callback: Callable[..., Any] | None = None
    ) -> None:
        """Send the event ``message``; see :meth:`emit`."""
        await self.emit("message", data, namespace, callback)

    async def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = 60
    ) -> Any:
        """Send an event and wait for the acknowledgement: its argument, a tuple of several.

        :raises TimeoutError: if it does not come within ``timeout`` seconds.
        :raises BadNamespaceError: if the namespace is not connected.
        :raises DisconnectedError: if the connection is lost first.
        """
        socket = self._socket(namespace)
        args = (event, *event_arguments(data))
        try:
            return await (socket if timeout is None else socket.timeout(timeout)).emit_with_ack(*args)
        except fastsio.AckTimeout:
            raise exceptions.TimeoutError(f"no acknowledgement of {event!r} within {timeout} s") from None
        except fastsio.Disconnected as error:
            raise exceptions.DisconnectedError(str(error)) from error

    # -- the rest -------------------------------------------------------------------------------------

    def get_sid(self, namespace: str | None = None) -> str | None:
        """The client's id in a namespace; None if it is not connected."""
        return self.namespaces.get(namespace or "/")

    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``; empty without a connection."""
        engine = None if self._client is None else self._client.manager.engine
        return "" if engine is None else str(engine.transport)


async def _value(given: Any) -> Any:
    """What was given, or what the function that was given gives."""
    result = given() if callable(given) else given
    return await result if inspect.isawaitable(result) else result
