"""The adapter of a single process."""

from __future__ import annotations

from collections.abc import Iterable

from fastsio._codec import EncodedPacket
from fastsio.adapters.base import Adapter, BroadcastOptions, NamespaceLike, SocketLike
from fastsio.adapters.delivery import deliver

__all__ = ["MemoryAdapter"]


class MemoryAdapter(Adapter):
    """Rooms in two dicts; a broadcast is one loop over encoded bytes."""

    def __init__(self, namespace: NamespaceLike) -> None:
        super().__init__(namespace)
        self._rooms: dict[str, set[str]] = {}
        self._sids: dict[str, set[str]] = {}

    @property
    def rooms(self) -> dict[str, set[str]]:
        """Ids by room; a room goes away with its last member."""
        return self._rooms

    @property
    def sids(self) -> dict[str, set[str]]:
        """Rooms by id."""
        return self._sids

    def add_all(self, sid: str, rooms: Iterable[str]) -> None:
        """Put a socket in rooms; those it is in already do not count."""
        joined = self._sids.setdefault(sid, set())
        for room in rooms:
            if room in joined:
                continue
            joined.add(room)
            members = self._rooms.get(room)
            if members is None:
                self._rooms[room] = {sid}
                self._fire("create-room", (room,), None, True, False)
            else:
                members.add(sid)
            self._fire("join-room", (room, sid), None, True, False)

    def del_(self, sid: str, room: str) -> None:
        """Take a socket out of one room, if it is there."""
        joined = self._sids.get(sid)
        if joined is not None and room in joined:
            joined.discard(room)
            self._leave(sid, room)

    def del_all(self, sid: str) -> None:
        """Take a socket out of every room and forget it."""
        for room in self._sids.pop(sid, ()):
            self._leave(sid, room)

    def _leave(self, sid: str, room: str) -> None:
        members = self._rooms.get(room)
        if members is None or sid not in members:
            return
        members.discard(sid)
        self._fire("leave-room", (room, sid), None, True, False)
        if not members and self._rooms.get(room) is members:
            del self._rooms[room]
            self._fire("delete-room", (room,), None, True, False)

    def broadcast(self, packet: EncodedPacket, options: BroadcastOptions) -> None:
        """Send a packet to every socket that ``options`` names, once each."""
        deliver(self.local_sockets(options), packet, options.flags)

    def local_sockets(self, options: BroadcastOptions) -> list[SocketLike]:
        """The sockets that ``options`` names (a new list)."""
        sockets = self.namespace.sockets
        rooms, except_, _ = options
        if not rooms and not except_:
            return list(sockets.values())
        excluded: set[str] = set()
        for room in except_:
            excluded |= self._rooms.get(room, _EMPTY)
        if rooms:
            chosen: set[str] = set()
            for room in rooms:
                chosen |= self._rooms.get(room, _EMPTY)
            ids: Iterable[str] = chosen - excluded
        else:
            ids = [sid for sid in sockets if sid not in excluded]
        return [sockets[sid] for sid in ids if sid in sockets]


_EMPTY: frozenset[str] = frozenset()
