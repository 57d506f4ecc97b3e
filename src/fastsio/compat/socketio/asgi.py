"""``ASGIApp``: a server, files and another application on one port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastsio.compat.socketio.server import AsyncServer
from fastsio.engine import Request
from fastsio.net.asgi.app import AsgiApp
from fastsio.net.static import StaticFiles

__all__ = ["ASGIApp"]


class _Site:
    """A server, and files beside it."""

    def __init__(self, server: AsyncServer, files: StaticFiles | None) -> None:
        self._io = server.io
        self._files = files

    def serve(self, request: Request) -> bool:
        """Answer a request for either; whether it was one."""
        return self._io.serve(request) or (self._files is not None and self._files.handle(request))

    async def startup(self) -> None:
        """Start the server."""
        await self._io.startup()

    async def close(self) -> None:
        """Stop the server."""
        await self._io.close()


class ASGIApp(AsgiApp):
    """An ASGI application.

    :param socketio_server: gets what comes below ``socketio_path``.
    :param other_asgi_app: gets what nobody else does.
    :param static_files: ``{"/": "index.html", "/static": "folder"}``: files and folders by URL path; instead
        of a file's name, ``{"filename": ..., "content_type": ...}``, whose type is taken from the name.
    :param socketio_path: where clients look for the server.
    :param on_startup: called when the ASGI server starts, plain or async.
    :param on_shutdown: called when it stops, plain or async.
    """

    def __init__(
        self,
        socketio_server: AsyncServer,
        other_asgi_app: Callable[..., Any] | None = None,
        static_files: Mapping[str, Any] | None = None,
        socketio_path: str | None = "socket.io",
        on_startup: Callable[[], Any] | None = None,
        on_shutdown: Callable[[], Any] | None = None,
    ) -> None:
        self.engineio_server = socketio_server
        io = socketio_server.io
        io.path("/" + (socketio_path or "").strip("/"))
        if on_startup is not None:
            io.on_startup(on_startup)
        if on_shutdown is not None:
            io.on_shutdown(on_shutdown)
        files = {
            path or "/": file["filename"] if isinstance(file, Mapping) else file
            for path, file in (static_files or {}).items()
        }
        super().__init__(_Site(socketio_server, StaticFiles(files) if files else None), other_asgi_app)
