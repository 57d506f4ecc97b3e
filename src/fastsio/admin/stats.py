"""What goes on below Socket.IO, counted by the second while somebody watches."""

from __future__ import annotations

import time
from typing import Any

from fastsio.engine.server import EngineCore
from fastsio.engine.session import Session
from fastsio.engine.tap import EnginePacket

__all__ = ["Traffic"]


class Traffic:
    """Connections, packets and bytes of one engine. Costs nothing while it is off."""

    def __init__(self, engine: EngineCore) -> None:
        self._engine = engine
        self._on = False
        # By second, type and subtype; emptied by every `take`, and small between two.
        self._counts: dict[tuple[int, str, str | None], int] = {}
        engine.on("connection", self._on_connection)

    def start(self) -> None:
        """Count from now on."""
        if not self._on:
            self._on = True
            for session in list(self._engine.sessions.values()):
                self._attach(session)

    def stop(self) -> None:
        """Stop counting, and forget what was counted."""
        if self._on:
            self._on = False
            self._counts.clear()
            for session in list(self._engine.sessions.values()):
                session.off("packet", self._on_packet)
                session.off("packet_create", self._on_packet_create)
                session.off("close", self._on_close)

    def take(self) -> list[dict[str, Any]]:
        """What was counted since the last time, in the UI's terms."""
        counts, self._counts = self._counts, {}
        return [
            {"timestamp": second * 1000, "type": kind, "count": count}
            | ({} if subtype is None else {"subType": subtype})
            for (second, kind, subtype), count in counts.items()
        ]

    def _count(self, kind: str, subtype: str | None = None, count: int = 1) -> None:
        key = (int(time.time()), kind, subtype)
        self._counts[key] = self._counts.get(key, 0) + count

    def _attach(self, session: Session) -> None:
        session.on("packet", self._on_packet)
        session.on("packet_create", self._on_packet_create)
        session.on("close", self._on_close)

    def _on_connection(self, session: Session) -> None:
        if self._on:
            self._count("rawConnection")
            self._attach(session)

    def _on_packet(self, packet: EnginePacket) -> None:
        if packet.data:
            self._count("packetsIn")
            self._count("bytesIn", None, _size(packet.data))

    def _on_packet_create(self, packet: EnginePacket) -> None:
        if packet.data:
            self._count("packetsOut")
            self._count("bytesOut", None, _size(packet.data))

    def _on_close(self, reason: str) -> None:
        self._count("rawDisconnection", str(reason))


def _size(data: str | bytes) -> int:
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode("utf-8", "replace"))
