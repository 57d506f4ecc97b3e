"""Client managers: what python-socketio calls that which fastsio calls adapters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastsio import OptionError, Server

__all__ = ["AsyncManager", "AsyncRedisManager", "Reason"]


class Reason:
    """What handlers of ``disconnect`` get."""

    CLIENT_DISCONNECT = "client disconnect"
    SERVER_DISCONNECT = "server disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"


class AsyncManager:
    """The clients of one process, to look at."""

    #: Whether there may be clients in other processes.
    distributed = False

    def __init__(self) -> None:
        self._io: Server | None = None

    def server_options(self) -> dict[str, Any]:
        """What the server below must be given."""
        return {}

    def set_server(self, io: Server) -> None:
        """Belong to a server."""
        self._io = io

    def _rooms(self, namespace: str) -> dict[str, set[str]]:
        found = None if self._io is None else self._io.find(namespace)
        return {} if found is None else {room: set(sids) for room, sids in found.adapter.rooms.items()}

    @property
    def rooms(self) -> dict[str, dict[str, set[str]]]:
        """Ids by namespace and room (a copy)."""
        return {namespace: self._rooms(namespace) for namespace in self.get_namespaces()}

    def get_namespaces(self) -> list[str]:
        """The namespaces there are."""
        return [] if self._io is None else list(self._io.namespaces)

    def get_participants(self, namespace: str, room: str | list[str] | None) -> Iterator[tuple[str, str]]:
        """Each client of a room, or of several, as its id in the namespace and that of its connection."""
        found = None if self._io is None else self._io.find(namespace)
        if found is None:
            return
        rooms = self._rooms(namespace)
        names = [room] if isinstance(room, str) else room
        members = (
            set(found.sockets) if names is None else set().union(*(rooms.get(name, ()) for name in names))
        )
        for sid in members:
            socket = found.sockets.get(sid)
            if socket is not None:
                yield sid, socket.conn.id

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """The rooms of a client."""
        return [room for room, sids in self._rooms(namespace).items() if sid in sids]

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Whether a client of this process is connected to a namespace."""
        found = None if self._io is None else self._io.find(namespace)
        return found is not None and sid in found.sockets


class AsyncRedisManager(AsyncManager):
    """Several servers as one, over Redis streams: see :mod:`fastsio.adapters.redis_streams`.

    All of them must be fastsio's or Node's: python-socketio's have messages of their own.

    :param url: of the Redis server, version 6.2 or newer.
    :param channel: names the stream.
    :param options: those of :func:`fastsio.adapters.redis_streams.create_adapter`.
    :raises OptionError: for ``write_only``: a server of its own is what can send from outside.
    """

    distributed = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        channel: str = "socketio",
        write_only: bool = False,
        logger: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if write_only:
            raise OptionError("write_only is not there: a manager belongs to a server")
        from fastsio.adapters.redis_streams import create_adapter

        self._adapter = create_adapter(url, stream_name=channel, **options)

    def server_options(self) -> dict[str, Any]:
        """The adapter."""
        return {"adapter": self._adapter}
