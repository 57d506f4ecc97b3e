"""What the admin UI can have the server do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastsio.server import Namespace, Server, Socket
from fastsio.server.operator import BroadcastOperator

__all__ = ["FEATURES", "obey"]

logger = logging.getLogger("fastsio.admin")

#: The commands in the UI's words; those with an M go to all sockets of a namespace or room.
FEATURES = ("EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")


def obey(io: Server, admin: Socket) -> None:
    """Carry out the commands of one admin. Each names a namespace and a room or an id, or none for all."""

    def on(name: str, act: Callable[..., None]) -> None:
        def command(*args: Any) -> None:
            ack = args[-1] if args and callable(args[-1]) else None
            args = args if ack is None else args[:-1]
            try:
                act(*args)
            except (TypeError, ValueError) as error:
                logger.warning("%r: command %s%r is refused: %s", admin, name, args, error)
            else:
                logger.info("%r: command %s%r", admin, name, args)
            if ack is not None:
                ack()

        admin.on(name, command)

    def targets(namespace: Any, room: Any) -> Namespace | BroadcastOperator:
        found = io.find(namespace) if isinstance(namespace, str) else None
        if found is None:
            raise ValueError(f"there is no namespace {namespace!r}")
        return found.in_(_name(room)) if room else found

    def emit(namespace: Any, room: Any, *event: Any) -> None:
        targets(namespace, room).emit(*event)

    def join(namespace: Any, room: Any, member: Any = None) -> None:
        targets(namespace, member).sockets_join(_name(room))

    def leave(namespace: Any, room: Any, member: Any = None) -> None:
        targets(namespace, member).sockets_leave(_name(room))

    def disconnect(namespace: Any, close: Any = False, room: Any = None) -> None:
        targets(namespace, room).disconnect_sockets(bool(close))

    on("emit", emit)
    on("join", join)
    on("leave", leave)
    on("_disconnect", disconnect)


def _name(room: Any) -> str:
    if not isinstance(room, str):
        raise TypeError(f"a room is named by a string, not {room!r}")
    return room
