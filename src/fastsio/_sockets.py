"""What the sockets of servers and of clients share: acknowledgements, and flags for one packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastsio._emitter import EventEmitter
from fastsio.engine import tasks

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FlagOperator", "Settle", "settle_callback", "settle_future"]

Settle = Callable[[BaseException | None, list[Any]], None]


def settle_callback(callback: Callable[..., Any], takes_error: bool, owner: EventEmitter) -> Settle:
    """A user's callback as a settle function; ``takes_error`` puts the error, or None, before the answer.

    What it raises is reported by ``owner``.
    """

    def settle(error: BaseException | None, args: list[Any]) -> None:
        try:
            result = callback(error, *args) if takes_error else callback(*args)
            if hasattr(result, "__await__"):
                tasks.start(result, None, partial(owner._listener_failed, "ack", callback))
        except Exception as failure:
            owner._listener_failed("ack", callback, failure)

    return settle


def settle_future(future: asyncio.Future[list[Any]]) -> Settle:
    """A settle function for somebody who awaits the answer."""

    def settle(error: BaseException | None, answer: list[Any]) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    return settle


class FlagOperator:
    """A socket with flags for the next packet. Every method that sets a flag gives a new operator."""

    __slots__ = ("_flags", "_socket")

    def __init__(self, socket: Any, flags: Any) -> None:
        self._socket = socket
        self._flags = flags

    @property
    def volatile(self) -> Self:
        """Drop the packet if it cannot leave at once."""
        return type(self)(self._socket, self._flags._replace(volatile=True))

    def compress(self, compress: bool) -> Self:
        """Whether the packet may be compressed."""
        return type(self)(self._socket, self._flags._replace(compress=compress))

    def timeout(self, seconds: float) -> Self:
        """How long the acknowledgement is awaited."""
        return type(self)(self._socket, self._flags._replace(timeout=seconds))

    def emit(self, *args: Any) -> bool:
        """As the socket's ``emit``; with a timeout the callback gets ``(error, *args)``."""
        self._socket._emit(args, self._flags)
        return True

    async def emit_with_ack(self, *args: Any) -> Any:
        """As the socket's ``emit_with_ack``.

        :raises AckTimeout: when the timeout passes first.
        """
        return await self._socket._emit_with_ack(args, self._flags)

    def send(self, *args: Any) -> Self:
        """Emit the event ``message``."""
        self._socket._emit(("message", *args), self._flags)
        return self
