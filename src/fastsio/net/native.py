"""The network ring as the rings above it see it; they may not import this one, so it installs itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from os import PathLike
from typing import Any

from fastsio.engine.request import App
from fastsio.engine.serving import Owner, Served, set_network
from fastsio.net import run as runner
from fastsio.net.asgi.app import AsgiApp
from fastsio.net.asgi.types import ASGIApplication
from fastsio.net.listener import Listener
from fastsio.net.static import StaticFiles
from fastsio.options import ListenerOptions

__all__ = ["install"]


class NativeNetwork:
    """Listeners on sockets of this process; implements ``engine.serving.Network``."""

    def listener(self, app: App, options: ListenerOptions) -> Listener:
        """A listener that hands its requests to ``app``."""
        return Listener(app, options)

    def static_files(self, files: Mapping[str, str | PathLike[str]]) -> StaticFiles:
        """Serves files by the paths of their URLs."""
        return StaticFiles(files)

    def asgi(self, app: Served, other: ASGIApplication | None) -> AsgiApp:
        """An ASGI application of ``app``, in front of ``other``."""
        return AsgiApp(app, other)

    def uvicorn_protocol(self, app: Owner, options: ListenerOptions) -> type[asyncio.Protocol]:
        """What uvicorn can serve the WebSockets of ``app`` with."""
        from fastsio.net.asgi.uvicorn import make_protocol

        return make_protocol(app, options)

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run ``main`` to its end, or to a signal."""
        runner.run(main)


def install() -> None:
    """Let servers listen through this ring."""
    set_network(NativeNetwork())
