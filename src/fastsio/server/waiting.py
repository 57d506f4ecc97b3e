"""Waiting for one event of a client: :meth:`fastsio.Socket.wait_for`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsio.exceptions import EventTimeout
from fastsio.server.acks import settle_future

if TYPE_CHECKING:
    from fastsio.server.socket import Socket

__all__ = ["wait_for_event"]


async def wait_for_event(
    socket: Socket, event: str, timeout: float | None, check: Callable[..., Any] | None
) -> list[Any]:
    """The arguments of the next ``event`` that ``check`` takes; leaves nothing behind, however it ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Any]] = loop.create_future()
    settle = settle_future(future)

    def take(*args):  # type: ignore[no-untyped-def]
        if future.done():
            return
        # No value that a client sends is callable: it is the acknowledgement.
        ack = args[-1] if args and callable(args[-1]) else None
        if ack is not None:
            args = args[:-1]
        try:
            wanted = check is None or check(*args)
        except Exception as error:
            future.set_exception(error)
            return
        if wanted:
            future.set_result(list(args))
            if ack is not None:
                ack()

    key = socket._expect_end(settle)
    timer = None
    if timeout is not None:
        timer = loop.call_later(timeout, settle, EventTimeout(event, timeout), [])
    socket.on(event, take)
    try:
        return await future
    finally:
        socket.off(event, take)
        socket._take_ack(key)
        if timer is not None:
            timer.cancel()
