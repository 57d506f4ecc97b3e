"""Mode ``development``: every connection, event and room, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from fastsio.adapters.memory import MemoryAdapter
from fastsio.admin.serialize import client_id, now, serialize, serialize_data
from fastsio.server import Namespace, Server, Socket

__all__ = ["Development"]


class Development:
    """Tells the admins what the sockets of a server do.

    :param tell: ``tell(event, *args)`` sends to all admins.
    :param watched: whether there is any.
    """

    def __init__(
        self, io: Server, admin: Namespace, tell: Callable[..., None], watched: Callable[[], bool]
    ) -> None:
        self._io = io
        self._admin = admin
        self._tell = tell
        self._watched = watched
        # The data of each socket as it was told last, by namespace and id.
        self._data: dict[tuple[str, str], bytes] = {}
        for namespace in io.namespaces.values():
            self._follow(namespace)
        io.sockets.on("new_namespace", self._follow)

    async def all_sockets(self) -> list[dict[str, Any]]:
        """Every socket of every namespace, of the whole cluster."""
        found = []
        for namespace in self._io.namespaces.values():
            for socket in await namespace.fetch_sockets():
                found.append(serialize(socket, namespace.name))
                self._data[namespace.name, socket.id] = _fingerprint(socket)
        return found

    def forget(self) -> None:
        """Nobody watches any more."""
        self._data.clear()

    def look_for_changes(self) -> None:
        """Tell of data that has changed in ways nothing announces: a coroutine, a value inside a value."""
        for namespace in self._io.namespaces.values():
            for socket in list(namespace.sockets.values()):
                self._compare(socket)

    def _compare(self, socket: Socket) -> None:
        key = (socket.nsp.name, socket.id)
        if not self._watched() or not socket.connected:
            return
        fingerprint = _fingerprint(socket)
        if self._data.setdefault(key, fingerprint) != fingerprint:
            self._data[key] = fingerprint
            change = {"id": socket.id, "nsp": socket.nsp.name, "data": serialize_data(socket.data)}
            self._tell("socket_updated", change)

    # -- namespaces -----------------------------------------------------------------------------------

    def _follow(self, namespace: Namespace) -> None:
        # Before the program's own handlers: what they do comes after.
        namespace.prepend_listener("connect", self._on_connect)
        namespace.adapter.on("join-room", partial(self._on_room, "room_joined", namespace))
        namespace.adapter.on("leave-room", partial(self._on_leave_room, namespace))
        for socket in namespace.sockets.values():
            self._attach(socket)

    def _on_connect(self, socket: Socket) -> None:
        self._attach(socket)
        if self._watched():
            name = socket.nsp.name
            self._data[name, socket.id] = _fingerprint(socket)
            self._tell("socket_connected", serialize(socket, name), now())

    def _on_leave_room(self, namespace: Namespace, room: str, sid: str) -> None:
        # After the end of the socket, if that is the reason.
        self._io.engine.clock.call_soon(partial(self._on_room, "room_left", namespace, room, sid))

    def _on_room(self, event: str, namespace: Namespace, room: str, sid: str) -> None:
        if self._watched():
            self._tell(event, namespace.name, room, sid, now())

    # -- sockets --------------------------------------------------------------------------------------

    def _attach(self, socket: Socket) -> None:
        _tell_cluster(socket)
        on_upgrade = partial(self._on_upgrade, socket)
        socket.conn.on("upgrade", on_upgrade)

        @socket.on("disconnect")
        def disconnect(reason: str) -> None:
            # The connection may outlive many sockets.
            socket.conn.off("upgrade", on_upgrade)
            self._on_disconnect(socket, reason)

        if socket.nsp is not self._admin:
            socket.on_any(partial(self._on_event, "event_received", socket))
            socket.on_any_outgoing(partial(self._on_event, "event_sent", socket))

    def _on_upgrade(self, socket: Socket, transport: str) -> None:
        _tell_cluster(socket)
        if self._watched():
            change = {"id": socket.id, "nsp": socket.nsp.name, "transport": str(transport)}
            self._tell("socket_updated", change)

    def _on_event(self, kind: str, socket: Socket, *event: Any) -> None:
        if self._watched():
            if callable(event[-1]):
                event = event[:-1]
            self._tell(kind, socket.nsp.name, socket.id, list(event), now())
            # When its handlers have run.
            self._io.engine.clock.call_soon(partial(self._compare, socket))

    def _on_disconnect(self, socket: Socket, reason: str) -> None:
        name = socket.nsp.name
        self._data.pop((name, socket.id), None)
        if self._watched():
            self._tell("socket_disconnected", name, socket.id, str(reason), now())


def _tell_cluster(socket: Socket) -> None:
    """Put into a socket's data what its server alone knows, where other servers can fetch it."""
    if not isinstance(socket.nsp.adapter, MemoryAdapter) and isinstance(socket.data, dict):
        session = socket.conn
        socket.data["_admin"] = {"clientId": client_id(session.id), "transport": str(session.transport)}


def _fingerprint(socket: Any) -> bytes:
    return orjson.dumps(serialize_data(socket.data))
