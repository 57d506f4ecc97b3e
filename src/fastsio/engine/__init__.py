"""Engine.IO: sessions over long-polling and WebSocket, usable without Socket.IO."""

from __future__ import annotations

from typing import Any

from fastsio.engine.errors import Refusal
from fastsio.engine.request import Request, Response
from fastsio.engine.server import EngineCore
from fastsio.engine.serving import Lifespan, ListenerLike, Serving
from fastsio.engine.session import Session
from fastsio.engine.tap import EnginePacket
from fastsio.engine.workers import WorkerPlace
from fastsio.options import EngineOptions, ListenerOptions, split_options

__all__ = ["EnginePacket", "EngineServer", "Refusal", "Request", "Response", "Session"]


class EngineServer(EngineCore, Serving):
    """An Engine.IO server of its own.

    >>> engine = EngineServer(ping_interval=10)
    >>> @engine.on("connection")
    ... def connection(session):
    ...     session.on("message", session.send)

    Takes the options of :class:`~fastsio.options.EngineOptions` and
    :class:`~fastsio.options.ListenerOptions`.
    """

    def __init__(self, **options: Any) -> None:
        engine_options, self._listener_options = split_options(options, EngineOptions, ListenerOptions)
        super().__init__(engine_options)
        self._listeners: list[ListenerLike] = []
        self._lifespan = Lifespan()

    def serve(self, request: Request) -> bool:
        """Serve a request below ``path``; whether it is."""
        if not self.matches(request):
            return False
        super().handle(request)
        return True

    def handle(self, request: Request) -> None:
        """Serve a request; those outside ``path`` are not found."""
        Serving.handle(self, request)

    def join_workers(self, place: WorkerPlace) -> None:
        """Be one of several processes that share a port."""
        super().join_workers(place)
        self.mark_ids(place.mark)

    async def _close_all(self) -> None:
        self.close_sessions()
