"""What handlers of client events need besides a call: found out when they are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsio._emitter import EventEmitter, Plan, annotations_of
from fastsio.server.typed import read_plan

if TYPE_CHECKING:
    from fastsio.server.server import Server

__all__ = ["SOCKET_EVENTS", "SharedHandlers", "plan_handler"]

#: Events of a socket that no client sends.
SOCKET_EVENTS = frozenset(("disconnect", "disconnecting", "error"))


def plan_handler(
    server: Server, event: str, fn: Callable[..., Any], serialize: bool, bound: bool = False
) -> Plan | None:
    """How to call ``fn`` for ``event``; None to simply call it.

    :param serialize: whether its calls are to wait for others.
    :param bound: whether it takes the socket in front of the event's arguments.
    :raises TypeError: for annotations that make no sense.
    :raises ValueError: for ``serialize`` with an event that no client sends.
    """
    typed = None
    if event in SOCKET_EVENTS:
        if serialize:
            raise ValueError(f"{event!r} is no event of clients: its handlers cannot be serialized")
    elif server.options.typed_events:
        annotations = annotations_of(fn)
        if annotations is not None:
            typed = read_plan(fn, annotations, int(bound))
    watched = None if server.slow_handlers is None else server.slow_handlers.watch(event, fn)
    if not serialize and not bound and watched is None:
        return typed
    return Plan(None if typed is None else typed.convert, bound, serialize, watched)


class SharedHandlers(EventEmitter):
    """Handlers that all sockets of a namespace share; they get the socket as their first argument."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def _plan(self, event: str, fn: Callable[..., Any], serialize: bool) -> Plan | None:
        return plan_handler(self._server, event, fn, serialize, bound=True)
