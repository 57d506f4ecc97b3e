"""The blocking client: the asyncio client on a thread of its own, behind blocking calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar, overload

from typing_extensions import Self

from fastsio._emitter import answer, positional_limit
from fastsio.client.client import Client
from fastsio.client.socket import Ack, Socket
from fastsio.exceptions import Disconnected, FastSIOError

__all__ = ["BackgroundLoop", "SyncClient", "SyncSocket"]

logger = logging.getLogger("fastsio.client")

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

#: Events that may wait for ``receive``.
_LIMIT = 10_000
# Events of the socket itself, whose details a listener need not take.
_LIFECYCLE = {"connect", "connect_error", "disconnect"}


class BackgroundLoop:
    """An event loop on a background thread, and a second thread on which handlers run, one at a time."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fastsio client", daemon=True)
        self._worker = threading.Thread(target=self._work, name="fastsio handlers", daemon=True)
        self._stopped = False
        self._thread.start()
        self._worker.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except Exception:
                logger.exception("a handler failed")

    def post(self, job: Callable[[], object]) -> None:
        """Run ``job`` on the handlers' thread, behind those before it."""
        self._jobs.put(job)

    def call(self, coroutine: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        """Run a coroutine on the loop and wait for its result.

        :raises TimeoutError: if it takes longer than ``timeout`` seconds; it is cancelled then.
        """
        if self._stopped:
            coroutine.close()
            raise FastSIOError("the client is closed")
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise FastSIOError("a blocking call on the client's own loop would never return")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise TimeoutError(f"not done within {timeout:g} s") from None
        except BaseException:
            future.cancel()
            raise

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """End both threads; what was posted before is still run."""
        if self._stopped:
            return
        self._stopped = True
        self._jobs.put(None)
        if threading.current_thread() is not self._worker:
            self._worker.join()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


class SyncSocket:
    """One namespace of a blocking client. Every method may be called from any thread.

    Handlers run on one thread that belongs to the client, one at a time and in order, so they may use the
    client's blocking calls themselves.
    """

    def __init__(self, loop: BackgroundLoop, socket: Socket) -> None:
        self._loop = loop
        self._socket = socket
        self._handlers: dict[str, list[tuple[Callable[..., Any], int, Callable[..., None]]]] = {}
        self._lock = threading.Condition()
        self._received: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._overrun = False
        self._ended: Exception | None = None
        socket.on_any(self._on_any)
        socket.on("connect", self._on_connect)
        socket.on("disconnect", self._on_disconnect)
        socket.on("connect_error", self._on_connect_error)
        socket.manager.on("reconnect_failed", self._on_reconnect_failed)

    # -- facts ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The id the server gave; None while not connected."""
        return self._socket.id

    @property
    def connected(self) -> bool:
        """Whether the namespace is joined."""
        return self._socket.connected

    @property
    def active(self) -> bool:
        """Whether the socket will be connected again when the connection is lost."""
        return self._socket.active

    @property
    def recovered(self) -> bool:
        """Whether the last connect restored the state of the connection before it."""
        return self._socket.recovered

    @property
    def nsp(self) -> str:
        """The namespace."""
        return self._socket.nsp

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._socket!r}>"

    # -- sending ----------------------------------------------------------------------------------------

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event. A callable as the last argument gets the acknowledgement.

        :raises ValueError: for a reserved event name.
        :raises PacketError: for a value that cannot be sent.
        """
        if len(args) > 1 and callable(args[-1]):
            callback = args[-1]
            args = (*args[:-1], lambda *answer: self._loop.post(lambda: callback(*answer)))
        return self._loop.call(_in_loop(self._socket.emit, *args))

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self.emit("message", *args)
        return self

    def call(self, *args: Any, timeout: float | None = None) -> Any:
        """``call(event, *args)``: send an event and wait for its acknowledgement.

        Gives its argument; None if it has none, a tuple if it has several.

        :param timeout: seconds to wait; None: as long as the connection lives.
        :raises AckTimeout: when the timeout passes first.
        :raises Disconnected: if the connection is lost first.
        """
        if timeout is None:
            return self._loop.call(self._socket.emit_with_ack(*args))
        return self._loop.call(self._socket.timeout(timeout).emit_with_ack(*args))

    def emit_with_ack(self, *args: Any) -> Any:
        """The same as :meth:`call` without a timeout."""
        return self.call(*args)

    # -- receiving --------------------------------------------------------------------------------------

    @overload
    def on(self, event: str) -> Callable[[_F], _F]: ...

    @overload
    def on(self, event: str, fn: Callable[..., Any]) -> Self: ...

    def on(self, event: str, fn: Callable[..., Any] | None = None) -> Any:
        """Call ``fn`` for each ``event``, on the handlers' thread; without ``fn``, a decorator.

        What ``fn`` returns is the acknowledgement if the server asked for one, unless ``fn`` can take one
        more argument than the event carries: then it gets a callable for it.
        """
        if fn is None:

            def register(given: _F) -> _F:
                self.on(event, given)
                return given

            return register
        limit = positional_limit(fn)

        def listener(*args: Any) -> None:
            self._loop.post(lambda: self._handle(event, fn, limit, args))

        self._handlers.setdefault(event, []).append((fn, limit, listener))
        self._loop.call(_in_loop(self._socket.on, event, listener))
        return self

    def off(self, event: str, fn: Callable[..., Any]) -> Self:
        """Remove the most recently added listener ``fn`` of ``event``."""
        entries = self._handlers.get(event, [])
        for entry in reversed(entries):
            if entry[0] == fn:
                entries.remove(entry)
                self._loop.call(_in_loop(self._socket.off, event, entry[2]))
                break
        return self

    def _handle(self, event: str, fn: Callable[..., Any], limit: int, args: tuple[Any, ...]) -> None:
        ack = None
        if event in _LIFECYCLE:
            args = args[:limit]
        elif args and isinstance(args[-1], Ack):
            ack = self._thread_safe(args[-1])
            args = (*args[:-1], ack) if limit >= len(args) else args[:-1]
        try:
            result = fn(*args)
            if ack is not None and ack not in args:
                answer(ack, result)
        except Exception:
            name = getattr(fn, "__qualname__", fn)
            logger.exception("handler %s of %r failed, %r", name, event, self)

    def _thread_safe(self, ack: Callable[..., None]) -> Callable[..., None]:
        return lambda *args: self._loop.call(_in_loop(ack, *args))

    def receive(self, timeout: float | None = None) -> tuple[str, tuple[Any, ...]]:
        """Wait for the next event that has no listener: ``(event, args)``.

        If the server asked for an acknowledgement, the last of ``args`` is a callable for it. Events stay for
        :meth:`receive` across reconnections, up to 10,000.

        :param timeout: seconds to wait; None: as long as the socket is active.
        :raises TimeoutError: when the timeout passes first.
        :raises Disconnected: when the socket has been disconnected for good and all events are read.
        :raises FastSIOError: when more events came than could wait.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while not self._received:
                if self._overrun:
                    self._overrun = False
                    raise FastSIOError(f"events were lost: {_LIMIT} waited for receive()")
                if self._ended is not None:
                    raise self._ended
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"no event within {timeout:g} s")
                self._lock.wait(left)
            return self._received.popleft()

    def _on_any(self, event: str, *args: Any) -> None:
        if self._handlers.get(event):
            return
        if args and isinstance(args[-1], Ack):
            args = (*args[:-1], self._thread_safe(args[-1]))
        with self._lock:
            if len(self._received) < _LIMIT:
                self._received.append((event, args))
            else:
                self._overrun = True
            self._lock.notify()

    def _on_connect(self) -> None:
        with self._lock:
            self._ended = None

    def _on_disconnect(self, reason: str) -> None:
        if not self._socket.active or not self._socket.manager.reconnection:
            self._end(Disconnected(reason))

    def _on_connect_error(self, error: Exception) -> None:
        if not self._socket.active:
            self._end(Disconnected(str(error)))

    def _on_reconnect_failed(self) -> None:
        self._end(Disconnected("all attempts to reconnect failed"))

    def _end(self, error: Exception) -> None:
        with self._lock:
            self._ended = error
            self._lock.notify_all()

    def __iter__(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The events that :meth:`receive` gives, until the socket is disconnected for good."""
        while True:
            try:
                event = self.receive()
            except Disconnected:
                return
            yield event

    def disconnect(self) -> None:
        """Leave the namespace for good; the last one closes the connection."""
        self._loop.call(_in_loop(self._socket.disconnect))


class SyncClient(SyncSocket):
    """A Socket.IO client with blocking calls: a :class:`Client` on a background thread.

    ::

        with fastsio.SyncClient("http://localhost:3000") as client:
            print(client.call("sum", 1, 2, timeout=5))

    :param url: ``http``, ``https``, ``ws`` or ``wss``; its path is the namespace.
    :param options: those of :class:`Client`; nothing connects before :meth:`connect`.
    :raises OptionError: for an unknown or impossible option, or a URL that leads nowhere.
    """

    def __init__(self, url: str, **options: Any) -> None:
        # A connection belongs to one loop, and each blocking client has one of its own.
        self._client = Client(url, **{**options, "auto_connect": False, "multiplex": False})
        self._namespaces: dict[str, SyncSocket] = {self._client.nsp: self}
        super().__init__(BackgroundLoop(), self._client)

    def of(self, namespace: str, auth: Any = None) -> SyncSocket:
        """The socket of another namespace on the same connection; the same one each time."""
        socket = self._loop.call(_in_loop(self._client.of, namespace, auth))
        if socket.nsp not in self._namespaces:
            self._namespaces[socket.nsp] = SyncSocket(self._loop, socket)
        return self._namespaces[socket.nsp]

    def connect(self, *namespaces: str, retry: bool = False, timeout: float | None = None) -> Self:
        """Connect; return once this namespace, and each named by :meth:`of` or here, is joined.

        :param retry: whether to keep trying as after a lost connection; else the first failure is raised.
        :param timeout: seconds to wait in all; None: as the option ``timeout`` has it, per attempt.
        :raises ConnectError: ``refused`` says for each namespace that was not joined what happened.
        :raises TimeoutError: when the timeout passes first.
        """
        for namespace in namespaces:
            self.of(namespace)
        self._loop.call(self._client.connect(retry=retry), timeout)
        return self

    def close(self) -> None:
        """Disconnect and end the client's threads; it cannot be used again."""
        if not self._loop.stopped:
            self._loop.call(self._client.close())
            self._loop.stop()

    def __enter__(self) -> Self:
        if not self.connected:
            try:
                self.connect()
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


async def _in_loop(fn: Callable[..., _T], *args: Any) -> _T:
    return fn(*args)
