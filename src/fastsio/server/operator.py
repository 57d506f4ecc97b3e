"""The immutable broadcast operator: who gets the next packet, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from fastsio._codec import is_reserved
from fastsio._emitter import EventEmitter
from fastsio._sockets import FlagOperator
from fastsio.adapters.base import Adapter, BroadcastOptions, SocketDetails
from fastsio.engine import tasks
from fastsio.parsers import buffers_as_json
from fastsio.server.acks import AckCollector, Settle, settle_callback, settle_future
from fastsio.server.remote import RemoteSocket

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastsio.adapters.base import SocketLike
    from fastsio.server.socket import Socket

__all__ = ["BroadcastOperator", "FlagOperator", "check_event", "room_names"]


def check_event(args: tuple[Any, ...]) -> None:
    """Refuse what cannot be an event: no name, a name that is not a string, a reserved one."""
    if not args or not isinstance(args[0], str):
        raise TypeError("emit() takes an event name (str) and its arguments")
    if is_reserved(args[0]):
        raise ValueError(f'"{args[0]}" is a reserved event name')


def room_names(room: str | Iterable[str]) -> frozenset[str]:
    """One room or several as a set."""
    return frozenset((room,)) if isinstance(room, str) else frozenset(room)


class BroadcastOperator:
    """Targets and flags of a broadcast. Every method that changes one gives a new operator."""

    __slots__ = ("_adapter", "_options")

    def __init__(self, adapter: Adapter, options: BroadcastOptions | None = None) -> None:
        self._adapter = adapter
        self._options = BroadcastOptions() if options is None else options

    @property
    def adapter(self) -> Adapter:
        """The adapter of the namespace."""
        return self._adapter

    def _with(self, **changes: Any) -> Self:
        return type(self)(self._adapter, self._options._replace(**changes))

    def _flagged(self, **changes: Any) -> Self:
        return self._with(flags=self._options.flags._replace(**changes))

    def to(self, room: str | Iterable[str]) -> Self:
        """Add members of ``room``, a name or several; the union of all rooms named gets the packet."""
        return self._with(rooms=self._options.rooms | room_names(room))

    def in_(self, room: str | Iterable[str]) -> Self:
        """The same as :meth:`to`."""
        return self.to(room)

    def except_(self, room: str | Iterable[str]) -> Self:
        """Leave members of ``room`` out."""
        return self._with(except_=self._options.except_ | room_names(room))

    @property
    def volatile(self) -> Self:
        """Drop the packet for clients that cannot take it at once."""
        return self._flagged(volatile=True)

    @property
    def local(self) -> Self:
        """Reach only clients of this process."""
        return self._flagged(local=True)

    def compress(self, compress: bool) -> Self:
        """Whether the packet may be compressed where compression is on."""
        return self._flagged(compress=compress)

    @property
    def json(self) -> Self:
        """Nothing, as in v2: everything is JSON."""
        return self

    def binary(self, binary: bool) -> Self:
        """As in v2, where True says that there are bytes in the packet, which is found out anyway; False
        sends them as JSON: ``{"type": "Buffer", "data": [...]}``."""
        return self._flagged(binary=binary)

    def timeout(self, seconds: float) -> Self:
        """How long acknowledgements are awaited."""
        return self._flagged(timeout=seconds)

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event to every target, encoded once. True.

        A callable as the last argument is called once, as ``callback(error, responses)``: with None and the
        first argument of each target's acknowledgement when all have answered; with an
        :class:`~fastsio.exceptions.AckTimeout` and what came until then when :meth:`timeout` passes first. A
        target that leaves without an answer is missing, so it has the timeout pass.

        :raises TypeError: without an event name.
        :raises ValueError: for a reserved event name; for a callback without a timeout.
        :raises PacketError: for a value that cannot be sent.
        """
        check_event(args)
        if self._options.flags.binary is False:
            args = tuple(map(buffers_as_json, args))
        if callable(args[-1]):
            namespace = cast(EventEmitter, self._adapter.namespace)
            settle = settle_callback(args[-1], True, namespace)
            self._collect(args[:-1], lambda error, responses: settle(error, [responses]))
        else:
            self._adapter.broadcast_event(args, self._options)
        return True

    async def emit_with_ack(self, *args: Any) -> list[Any]:
        """``await io.timeout(5).emit_with_ack(event, *args)``: the first argument of each acknowledgement.

        :raises AckTimeout: if not all targets have answered in time; ``responses`` are those that did.
        :raises ValueError: for a reserved event name; without a timeout.
        """
        check_event(args)
        if self._options.flags.binary is False:
            args = tuple(map(buffers_as_json, args))
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        collector = self._collect(args, settle_future(future))
        try:
            return await future
        finally:
            collector.cancel()

    def _collect(self, args: tuple[Any, ...], settle: Settle) -> AckCollector:
        """Send an event that every target is to acknowledge."""
        seconds = self._options.flags.timeout
        if seconds is None:
            raise ValueError(
                "acknowledgements of a broadcast need a time limit: io.timeout(seconds).emit(...)"
            )
        adapter = self._adapter
        collector = AckCollector(adapter.namespace.timers, seconds, settle)
        try:
            adapter.broadcast_with_ack(args, self._options, collector.on_clients, collector.on_answer)
        except BaseException:
            collector.cancel()
            raise
        tasks.start(_count_servers(adapter, collector), on_error=collector.fail)
        return collector

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self.emit("message", *args)
        return self

    def write(self, *args: Any) -> Self:
        """The same as :meth:`send`."""
        return self.send(*args)

    async def fetch_sockets(self) -> list[Socket | RemoteSocket]:
        """The sockets this operator targets: those of other processes as copies that can be reached."""
        return [self._found(socket) for socket in await self._adapter.fetch_sockets(self._options)]

    def _found(self, socket: SocketLike | SocketDetails) -> Socket | RemoteSocket:
        if isinstance(socket, SocketDetails):
            options = BroadcastOptions(rooms=frozenset((socket.id,)))
            return RemoteSocket(socket, BroadcastOperator(self._adapter, options))
        return cast("Socket", socket)

    async def all_sockets(self) -> set[str]:
        """The ids of the sockets this operator targets."""
        return {socket.id for socket in await self._adapter.fetch_sockets(self._options)}

    def clients(self, callback: Callable[..., Any]) -> None:
        """As in v2: ``callback(None, ids)`` with the ids of the targets, ``callback(error, None)`` if they
        cannot be had."""
        settle = settle_callback(callback, False, cast(EventEmitter, self._adapter.namespace))
        tasks.start(
            self.all_sockets(),
            lambda ids: settle(None, [None, list(ids)]),
            lambda error: settle(None, [error, None]),
        )

    def sockets_join(self, room: str | Iterable[str]) -> None:
        """Make every target join ``room``, a name or several."""
        self._adapter.add_sockets(self._options, room_names(room))

    def sockets_leave(self, room: str | Iterable[str]) -> None:
        """Make every target leave ``room``, a name or several."""
        self._adapter.del_sockets(self._options, room_names(room))

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnect every target from the namespace; with ``close`` its connection too."""
        self._adapter.disconnect_sockets(self._options, close)


async def _count_servers(adapter: Adapter, collector: AckCollector) -> None:
    count = await adapter.server_count()
    # Not from within emit(), even if there was nobody to ask.
    await asyncio.sleep(0)
    collector.on_servers(count)
