"""A socket of another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastsio.adapters.base import SocketDetails
from fastsio.exceptions import Disconnected
from fastsio.server.handshake import RemoteHandshake

if TYPE_CHECKING:
    from fastsio.server.operator import BroadcastOperator

__all__ = ["RemoteSocket", "RemoteSocketOperator"]


class RemoteSocket:
    """A socket of another process: what it was when it was fetched, and means to reach it.

    ``id``, ``handshake``, ``rooms`` and ``data`` are copies, which changes there do not reach.
    """

    def __init__(self, details: SocketDetails, operator: BroadcastOperator) -> None:
        """:param operator: targets this socket alone."""
        self.id = details.id
        self.handshake = RemoteHandshake(details.handshake)
        self.rooms = set(details.rooms)
        self.data = details.data
        self._operator = operator

    def __repr__(self) -> str:
        return f"<RemoteSocket {self.id}>"

    def emit(self, *args: Any) -> bool:
        """``emit(event, *args)``: send an event to the client. True. For an answer see :meth:`timeout`.

        :raises TypeError: without an event name.
        :raises ValueError: for a reserved event name; for a callback.
        :raises PacketError: for a value that cannot be sent.
        """
        return self._operator.emit(*args)

    def timeout(self, seconds: float) -> RemoteSocketOperator:
        """How long an acknowledgement is awaited: ``await socket.timeout(5).emit_with_ack(event, *args)``."""
        return RemoteSocketOperator(self._operator.timeout(seconds))

    async def emit_with_ack(self, *args: Any) -> Any:
        """As :meth:`RemoteSocketOperator.emit_with_ack`; needs a timeout.

        :raises ValueError: always, without a timeout.
        """
        return await RemoteSocketOperator(self._operator).emit_with_ack(*args)

    def join(self, room: str | Iterable[str]) -> None:
        """Have it join a room, or several."""
        self._operator.sockets_join(room)

    def leave(self, room: str | Iterable[str]) -> None:
        """Have it leave a room, or several."""
        self._operator.sockets_leave(room)

    def disconnect(self, close: bool = False) -> RemoteSocket:
        """Disconnect it from the namespace; with ``close`` its connection too."""
        self._operator.disconnect_sockets(close)
        return self


class RemoteSocketOperator:
    """A :class:`RemoteSocket` with a time limit for the next packet's acknowledgement."""

    __slots__ = ("_operator",)

    def __init__(self, operator: BroadcastOperator) -> None:
        self._operator = operator

    def emit(self, *args: Any) -> bool:
        """As :meth:`RemoteSocket.emit`; a callable as the last argument gets ``(error, response)``."""
        if args and callable(args[-1]):
            args = (*args[:-1], _take_single(args[-1]))
        return self._operator.emit(*args)

    async def emit_with_ack(self, *args: Any) -> Any:
        """Send an event; the first argument of the client's acknowledgement, None without one.

        :raises AckTimeout: when the timeout passes first.
        :raises Disconnected: if the socket is no longer there.
        """
        responses = await self._operator.emit_with_ack(*args)
        if not responses:
            raise Disconnected("no such socket")
        return responses[0]


def _take_single(callback: Callable[..., Any]) -> Callable[..., Any]:
    """A callback for the answers to a broadcast that hands on the one there can be."""

    def take(error: BaseException | None, responses: list[Any]) -> Any:
        if error is None and not responses:
            error = Disconnected("no such socket")
        return callback(error, responses[0] if responses else None)

    return take
