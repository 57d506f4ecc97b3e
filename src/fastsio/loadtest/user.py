"""A user's own scenario: a Python file with ``async def client(socket)``, run once for each client."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import itertools
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fastsio._codec import Packet, PacketType, encode_ack, encode_event
from fastsio.exceptions import AckTimeout, Disconnected, OptionError
from fastsio.loadtest import errors
from fastsio.loadtest.clients import Client
from fastsio.loadtest.clock import clock

if TYPE_CHECKING:
    from fastsio.loadtest.worker import Worker

__all__ = ["LoadSocket", "UserClient", "load_scenario"]

Scenario = Callable[["LoadSocket"], Awaitable[Any]]
Handler = Callable[..., Any]

#: Events that came before anybody waited for them, per event.
_MOST_WAITING = 1000


def load_scenario(path: str) -> Scenario:
    """The ``client`` function of a scenario file.

    :raises OptionError: if there is none, or the file cannot be run.
    """
    file = Path(path).resolve()
    spec = importlib.util.spec_from_file_location("fastsio_load_scenario", file)
    if spec is None or spec.loader is None:
        raise OptionError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # A scenario may import its neighbours, and pickle or dataclasses look modules up.
    sys.path.insert(0, str(file.parent))
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OptionError(f"{path} cannot be run: {describe_exception(error, file)}") from error
    scenario = getattr(module, "client", None)
    if scenario is None or not inspect.iscoroutinefunction(scenario):
        raise OptionError(f"{path} has no `async def client(socket)`")
    result: Scenario = scenario
    return result


def describe_exception(error: BaseException, file: Path | None = None) -> str:
    """Type, message, and the last line of the scenario file that was being run."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if file is None or Path(frame.filename) == file:
            return f"{text} ({Path(frame.filename).name}, line {frame.lineno})"
    return text


class LoadSocket:
    """What a scenario's ``client`` gets: a connected socket.

    ``emit`` is a plain call; what waits is awaited. Each acknowledgement's delay goes into the report's
    latency, and so does what :meth:`record` is given. When the connection is lost every wait raises
    :class:`fastsio.exceptions.Disconnected`.
    """

    __slots__ = ("_acks", "_client", "_handlers", "_ids", "_inbox", "_waiters", "index")

    def __init__(self, client: UserClient) -> None:
        self._client = client
        #: The client's number, from 0.
        self.index = client.index
        self._ids = itertools.count(1)
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._handlers: dict[str, list[Handler]] = {}
        self._inbox: dict[str, deque[Any]] = {}
        self._waiters: dict[str, deque[asyncio.Future[Any]]] = {}

    @property
    def connected(self) -> bool:
        """Whether the connection still stands."""
        return self._client.connected

    def emit(self, event: str, *args: Any) -> None:
        """Send an event.

        :raises Disconnected: when the connection is lost.
        :raises PacketError: for arguments that cannot be sent.
        """
        self._send((event, *args), None)

    async def emit_with_ack(self, event: str, *args: Any, timeout: float | None = 10.0) -> Any:
        """Send an event and wait for its acknowledgement, at most ``timeout`` seconds.

        Returns the acknowledgement's first argument, or None.

        :raises AckTimeout: when it does not come in time; counted as an error of kind ``ack_timeout``.
        :raises Disconnected: when the connection is lost.
        """
        id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._acks[id] = future
        sent = clock()
        try:
            self._send((event, *args), id)
            args_back, arrived = await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            self._client.worker.stats.error(errors.ACK_TIMEOUT, f"{event}, {timeout:g} s")
            raise AckTimeout(timeout or 0.0) from None
        finally:
            self._acks.pop(id, None)
        self._client.worker.stats.latencies.append(arrived - sent)
        return args_back[0] if args_back else None

    @overload
    def on(self, event: str) -> Callable[[Handler], Handler]: ...
    @overload
    def on(self, event: str, handler: Handler) -> Handler: ...
    def on(self, event: str, handler: Handler | None = None) -> Handler | Callable[[Handler], Handler]:
        """Call ``handler`` (a plain function) with each such event's arguments; also a decorator.

        When the server asks for an acknowledgement, what the first handler returns is it.

        :raises TypeError: for an ``async def`` function: ``wait_for`` is what awaits.
        """
        if handler is None:
            return lambda function: self.on(event, function)
        if inspect.iscoroutinefunction(handler):
            raise TypeError("a handler is a plain function; await socket.wait_for(...) instead")
        self._handlers.setdefault(event, []).append(handler)
        return handler

    async def wait_for(self, event: str, timeout: float | None = 10.0) -> Any:
        """The next such event: its argument, or a tuple of several.

        It may have come before, if no handler took it.

        :raises TimeoutError: after ``timeout`` seconds; counted as an error of kind ``event_timeout``.
        :raises Disconnected: when the connection is lost.
        """
        inbox = self._inbox.get(event)
        if inbox:
            return inbox.popleft()
        if not self.connected:
            raise Disconnected("connection lost")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(event, deque()).append(future)
        try:
            return await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            self._client.worker.stats.error(errors.EVENT_TIMEOUT, f"{event}, {timeout:g} s")
            raise TimeoutError(f"no {event!r} within {timeout} s") from None

    async def sleep(self, seconds: float) -> None:
        """Do nothing for a while.

        :raises Disconnected: when the connection is lost meanwhile.
        """
        await asyncio.sleep(seconds)
        if not self.connected:
            raise Disconnected("connection lost")

    def record(self, seconds: float) -> None:
        """Count a duration of the scenario's own in the report's latency."""
        self._client.worker.stats.latencies.append(int(seconds * 1e9))

    def error(self, kind: str, detail: str = "") -> None:
        """Count an error of the scenario's own, under any short name."""
        self._client.worker.stats.error(kind, detail)

    def disconnect(self) -> None:
        """Leave; the scenario may run on, but its socket is done."""
        if self._client.link is not None:
            self._client.link.close()

    def _send(self, args: tuple[Any, ...], id: int | None) -> None:
        link = self._client.link
        if link is None or link.closing:
            raise Disconnected("connection lost")
        link.send(encode_event(args, self._client.worker.target.namespace, id))
        self._client.worker.stats.sent += 1

    def deliver(self, packet: Packet, now: int) -> None:
        """A packet arrived."""
        data = packet.data or []
        self._client.worker.stats.received += 1
        if packet.type in (PacketType.ACK, PacketType.BINARY_ACK):
            future = self._acks.get(packet.id) if packet.id is not None else None
            if future is not None and not future.done():
                future.set_result((data, now))
            return
        event, args = data[0] if data else None, data[1:]
        if not isinstance(event, str):
            return
        answers = [handler(*args) for handler in self._handlers.get(event, ())]
        if packet.id is not None and answers and self._client.link is not None:
            answer = answers[0]
            reply = list(answer) if isinstance(answer, tuple) else [] if answer is None else [answer]
            self._client.link.send(encode_ack(reply, self._client.worker.target.namespace, packet.id))
        if answers:
            return
        value = args[0] if len(args) == 1 else tuple(args)
        waiters = self._waiters.get(event, ())
        while waiters:
            future = waiters.popleft()
            if not future.done():
                future.set_result(value)
                return
        self._inbox.setdefault(event, deque(maxlen=_MOST_WAITING)).append(value)

    def end(self) -> None:
        """The connection is over: so is every wait."""
        for future in (*self._acks.values(), *itertools.chain(*self._waiters.values())):
            if not future.done():
                future.set_exception(Disconnected("connection lost"))


class UserClient(Client):
    """Runs the scenario's ``client`` on each connection it gets."""

    __slots__ = ("_path", "_runs", "_scenario", "_socket", "_task")

    def __init__(self, worker: Worker, index: int, scenario: Scenario, path: str) -> None:
        super().__init__(worker, index)
        self._scenario = scenario
        self._path = Path(path).resolve()
        self._socket: LoadSocket | None = None
        self._task: asyncio.Task[None] | None = None
        self._runs = 0

    def ready(self, now: int) -> None:
        self._socket = LoadSocket(self)
        if self.worker.sending:
            self.go(now)

    def go(self, now: int) -> None:
        if self._socket is not None and self._task is None:
            self._task = self.worker.loop.create_task(self._run(self._socket))

    async def _run(self, socket: LoadSocket) -> None:
        failed = False
        try:
            await self._scenario(socket)
        except (AckTimeout, TimeoutError, asyncio.TimeoutError):
            # Counted where it was raised, unless it is the scenario's own.
            failed = True
        except Disconnected:
            # The connection's end is counted already.
            failed = True
        except Exception as error:
            failed = True
            self.worker.stats.error(errors.SCENARIO, describe_exception(error, self._path))
        finally:
            self._task = None
        self._runs += 1
        link = self.link
        if failed and link is not None:
            # Not as fast as the machine can: a scenario that fails at once would only measure that.
            await asyncio.sleep(0.5)
        if self.link is not None and self.link is link:
            self.link.close()

    def gone(self, kind: str | None) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.end()
        limit = self.worker.options.iterations
        if kind is None and self.worker.sending and (limit == 0 or self._runs < limit):
            self.worker.loop.call_soon(self._again)
        elif kind is None and limit and self._runs >= limit:
            self.worker.finished(self)

    def unanswered(self) -> int:
        return 0 if self._task is None else 1

    def cancel(self) -> None:
        """Stop the scenario; what it had begun is nobody's fault."""
        if self._task is not None:
            self._task.cancel()

    def receive(self, messages: Sequence[Any], now: int) -> None:
        for message in messages:
            if self.link is None:
                return
            self.link.take(message, now)

    def packet(self, packet: Packet, now: int) -> None:
        if self._socket is None:
            return
        try:
            self._socket.deliver(packet, now)
        except Exception as error:
            self.worker.stats.error(errors.SCENARIO, describe_exception(error, self._path))
