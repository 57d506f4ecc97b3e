"""``Client`` and ``SimpleClient``: the asyncio clients behind blocking calls, with handlers in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fastsio.client.sync import BackgroundLoop
from fastsio.compat.socketio.client import AsyncClient
from fastsio.compat.socketio.handlers import NOT_HANDLED
from fastsio.compat.socketio.namespace import ClientNamespace
from fastsio.compat.socketio.simple_client import AsyncSimpleClient

__all__ = ["Client", "SimpleClient"]

#: Handlers at work at once; further ones wait.
_MAX_THREADS = 32


class _Threaded(AsyncClient):
    """An asyncio client whose handlers run in threads, so they may block."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.threads = ThreadPoolExecutor(_MAX_THREADS, "fastsio handlers")

    async def trigger(self, event: str, namespace: str, *args: Any) -> Any:
        """Call whoever handles an event, in a thread."""
        handler, given = self.find_any(event, namespace, args)
        if handler is None:
            return NOT_HANDLED
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(handler, *given))


class _Blocking:
    """Runs coroutines on a loop of its own, which is made when first needed."""

    _loop: BackgroundLoop | None = None

    def _run(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Have a coroutine method run on the loop, and wait for it."""
        if self._loop is None:
            self._loop = BackgroundLoop()
        return self._loop.call(method(*args, **options))


class Client(_Blocking):
    """A client with the interface of python-socketio's ``Client``, whose calls block.

    Handlers run in threads, several at a time; every method may be called from any thread. Takes the
    arguments of :class:`AsyncClient`.
    """

    reserved_events = AsyncClient.reserved_events
    reason = AsyncClient.reason

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = _Threaded(*args, **options)
        # Registration, and look-up, are those of the client below.
        self.on = self._client.on
        self.event = self._client.event
        self.handlers = self._client.handlers
        self.namespace_handlers = self._client.namespace_handlers
        self.logger = self._client.logger

    def is_asyncio_based(self) -> bool:
        """False."""
        return False

    def register_namespace(self, namespace_handler: ClientNamespace) -> None:
        """Add a class-based namespace.

        :raises ValueError: for anything that is no :class:`ClientNamespace`.
        """
        if not isinstance(namespace_handler, ClientNamespace):
            raise ValueError("register_namespace() takes a ClientNamespace")
        namespace_handler._set_client(self)
        self._client.add_namespace(namespace_handler)

    # -- facts ----------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the client is connected."""
        return self._client.connected

    @property
    def sid(self) -> str | None:
        """The id of the connection."""
        return self._client.sid

    @property
    def namespaces(self) -> dict[str, str | None]:
        """The namespaces it is in, and its id in each."""
        return self._client.namespaces

    def get_sid(self, namespace: str | None = None) -> str | None:
        """The client's id in a namespace; None if it is not connected."""
        return self._client.get_sid(namespace)

    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``; empty without a connection."""
        return self._client.transport()

    # -- calls ----------------------------------------------------------------------------------------

    def connect(self, url: Any, *args: Any, **options: Any) -> None:
        """As :meth:`AsyncClient.connect`; functions among the arguments are plain ones."""
        self._run(self._client.connect, url, *args, **options)

    def wait(self) -> None:
        """Wait until the client is disconnected and will not connect again."""
        self._run(self._client.wait)

    def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """As :meth:`AsyncClient.emit`; ``callback`` is called in a thread."""
        if callback is not None:
            answered = callback

            def in_thread(*args: Any) -> None:
                self._client.threads.submit(answered, *args)

            callback = in_thread
        self._run(self._client.emit, event, data, namespace, callback)

    def send(
        self, data: Any, namespace: str | None = None, callback: Callable[..., Any] | None = None
    ) -> None:
        """Send the event ``message``; see :meth:`emit`."""
        self.emit("message", data, namespace, callback)

    def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = 60
    ) -> Any:
        """As :meth:`AsyncClient.call`."""
        return self._run(self._client.call, event, data, namespace, timeout)

    def disconnect(self) -> None:
        """Disconnect from all namespaces and close the connection."""
        if self._loop is not None and not self._loop.stopped:
            self._run(self._client.disconnect)

    def shutdown(self) -> None:
        """Disconnect, or stop trying to connect, and end the client's threads; it cannot be used again."""
        self.disconnect()
        self._client.threads.shutdown(wait=False)
        if self._loop is not None:
            self._loop.stop()

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **options: Any
    ) -> threading.Thread:
        """Start ``target(*args, **options)`` in a thread."""
        thread = threading.Thread(target=target, args=args, kwargs=options, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float = 0) -> None:
        """``time.sleep``."""
        time.sleep(seconds)


class SimpleClient(_Blocking):
    """A client with the interface of python-socketio's ``SimpleClient``: calls block, events are asked for.

    ::

        with SimpleClient() as sio:
            sio.connect("http://localhost:3000")
            event, *args = sio.receive()

    Takes the arguments of :class:`AsyncClient`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncSimpleClient(*args, **options)

    @property
    def connected(self) -> bool:
        """Whether the client is connected, or about to be again."""
        return self._client.connected

    @property
    def sid(self) -> str | None:
        """The client's id; None while not connected."""
        return self._client.sid

    @property
    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``; empty without a connection."""
        return self._client.transport

    def connect(self, url: str, *args: Any, **options: Any) -> None:
        """As :meth:`AsyncSimpleClient.connect`."""
        self._run(self._client.connect, url, *args, **options)

    def emit(self, event: str, data: Any = None) -> None:
        """As :meth:`AsyncSimpleClient.emit`."""
        self._run(self._client.emit, event, data)

    def call(self, event: str, data: Any = None, timeout: float | None = 60) -> Any:
        """As :meth:`AsyncSimpleClient.call`."""
        return self._run(self._client.call, event, data, timeout)

    def receive(self, timeout: float | None = None) -> list[Any]:
        """As :meth:`AsyncSimpleClient.receive`."""
        received = self._run(self._client.receive, timeout)
        assert isinstance(received, list)
        return received

    def disconnect(self) -> None:
        """Disconnect, and end the client's threads until it connects again."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call(self._client.disconnect())
            loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.disconnect()
