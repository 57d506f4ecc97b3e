"""The admin namespace."""

from __future__ import annotations

import multiprocessing
import os
import socket as sockets
import time
from collections.abc import Mapping
from typing import Any, Literal

from fastsio.adapters.memory import MemoryAdapter
from fastsio.admin.auth import BasicAuth, MemoryStore, SessionStore, guard
from fastsio.admin.commands import FEATURES, obey
from fastsio.admin.development import Development
from fastsio.admin.serialize import plain
from fastsio.admin.stats import Traffic
from fastsio.engine.session import Session
from fastsio.engine.timers import TimerWheel
from fastsio.exceptions import OptionError, PacketError
from fastsio.server import Server, Socket

__all__ = ["instrument"]

#: Seconds between two `server_stats`.
INTERVAL = 2.0

_STARTED = time.monotonic()


def instrument(
    io: Server,
    *,
    auth: Literal[False] | BasicAuth | Mapping[str, Any],
    mode: Literal["development", "production"] = "development",
    namespace_name: str = "/admin",
    readonly: bool = False,
    server_id: str | None = None,
    store: SessionStore | None = None,
) -> None:
    """Let the Socket.IO admin UI watch and control a server, through a namespace of its own.

    >>> instrument(io, auth={"type": "basic", "username": "admin", "password": "$2b$12$..."})

    :param auth: False lets everybody in; else who may, as a :class:`BasicAuth`. Needs the extra ``admin``.
    :param mode: ``"development"`` shows each socket, event and room; ``"production"`` counts.
    :param readonly: offer no commands.
    :param server_id: what the UI calls this server; None: the host's name, in a child process with its pid.
    :param store: keeps the ids of those who logged in; None: a :class:`MemoryStore`.
    :raises OptionError: for a value that cannot be.
    """
    if mode not in ("development", "production"):
        raise OptionError(f'mode takes "development" or "production", not {mode!r}')
    admin = io.of(namespace_name)
    guard(admin, auth, MemoryStore() if store is None else store)
    _Admin(io, admin.name, mode == "development", readonly, server_id or _server_id())


def _server_id() -> str:
    host = sockets.gethostname()
    return host if multiprocessing.parent_process() is None else f"{host}#{os.getpid()}"


class _Admin:
    """What the admins of one server see. An entry of the engine's timers while there is one."""

    def __init__(
        self, io: Server, namespace_name: str, development: bool, readonly: bool, server_id: str
    ) -> None:
        self.deadline = 0.0
        self.tick = 0
        self._timers: TimerWheel | None = None
        self._io = io
        self._namespace = io.of(namespace_name)
        self._about = {"serverId": server_id, "hostname": sockets.gethostname(), "pid": os.getpid()}
        self._readonly = readonly
        self._features = [
            *(() if readonly else FEATURES),
            "AGGREGATED_EVENTS",
            *(("ALL_EVENTS",) if development else ()),
        ]
        self._traffic = Traffic(io.engine)
        self._development = (
            Development(io, self._namespace, self._tell, self._watched) if development else None
        )
        self._namespace.on("connection", self._on_connection)
        io.engine.on("connection", self._on_session)

    def _watched(self) -> bool:
        """Whether an admin is here, or could be on another server of a cluster."""
        return bool(self._namespace.sockets) or not isinstance(self._namespace.adapter, MemoryAdapter)

    def _tell(self, event: str, *args: Any) -> None:
        try:
            self._namespace.emit(event, *args)
        except PacketError:
            # Something a handler could be given cannot be sent, or not as deep as this.
            self._namespace.emit(event, *map(plain, args))

    def _on_session(self, session: Session) -> None:
        if self.tick == 0 and self._watched():
            self._start()

    async def _on_connection(self, socket: Socket) -> None:
        if not self._readonly:
            obey(self._io, socket)
        socket.on("disconnect", self._on_disconnect)
        self._start()
        socket.emit("config", {"supportedFeatures": self._features})
        if self._development is not None:
            socket.emit("all_sockets", await self._development.all_sockets())
        self._tell_stats()

    def _on_disconnect(self) -> None:
        if not self._watched():
            if self._timers is not None:
                self._timers.cancel(self)
            self._traffic.stop()
            if self._development is not None:
                self._development.forget()

    def _start(self) -> None:
        self._traffic.start()
        timers = self._io.engine.timers
        if self._timers is not timers:
            # The first time, or that on another event loop, where the engine begins anew.
            self._timers = timers
            self.tick = 0
        if self.tick == 0:
            timers.arm(self, INTERVAL)

    def expire(self) -> None:
        """Tell how the server is, every two seconds."""
        if self._watched():
            self._io.engine.timers.arm(self, INTERVAL)
            if self._development is not None:
                self._development.look_for_changes()
            self._tell_stats()

    def _tell_stats(self) -> None:
        engine = self._io.engine
        sessions = engine.sessions.values()
        self._tell(
            "server_stats",
            self._about
            | {
                "uptime": time.monotonic() - _STARTED,
                "clientsCount": engine.clients_count,
                "pollingClientsCount": sum(session.transport == "polling" for session in sessions),
                "aggregatedEvents": self._traffic.take(),
                "namespaces": [
                    {"name": name, "socketsCount": len(namespace.sockets)}
                    for name, namespace in self._io.namespaces.items()
                ],
            },
        )
