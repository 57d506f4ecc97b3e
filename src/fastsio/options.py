"""Every option and its default. Names are Node's in snake_case; times are seconds, sizes bytes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, TypeVar

from fastsio.exceptions import OptionError

__all__ = ["CorsOption", "EngineOptions", "ListenerOptions", "ServerOptions", "split_options"]

CorsOption = str | Sequence[str] | re.Pattern[str] | Callable[[str], bool] | Mapping[str, Any] | bool | None

_T = TypeVar("_T")


@dataclass(kw_only=True)
class EngineOptions:
    """Options of the Engine.IO server."""

    #: URL path served; a trailing slash makes no difference.
    path: str = "/engine.io"
    #: Transports a client may use.
    transports: Sequence[str] = ("polling", "websocket")
    #: Whether a polling session may upgrade to WebSocket.
    allow_upgrades: bool = True
    #: Engine.IO protocols served: 3 (clients of v2) and 4 (clients of v3 and v4).
    protocols: Sequence[int] = (3, 4)
    #: Seconds between two heartbeats.
    ping_interval: float = 25.0
    #: Seconds a peer may take to answer one.
    ping_timeout: float = 20.0
    #: Seconds an upgrade may take before its WebSocket is closed.
    upgrade_timeout: float = 10.0
    #: Seconds a closing polling session waits for the poll that takes the close packet.
    close_timeout: float = 30.0
    #: Bytes of one message, or of one polling request body, that a client may send.
    max_http_buffer_size: int = 1_000_000
    #: Packets one polling request body may hold.
    max_packets_per_payload: int = 1000
    #: Bytes queued for one client before it is dropped as too slow.
    max_buffered_bytes: int = 16_000_000
    #: Sessions open at once; None: as many as file descriptors allow.
    max_connections: int | None = None
    #: permessage-deflate: False, True, or a mapping (threshold, server_no_context_takeover, …).
    per_message_deflate: bool | Mapping[str, Any] = False
    #: gzip and deflate of polling responses: True, False, or ``{"threshold": 1024}``.
    http_compression: bool | Mapping[str, Any] = True
    #: Cookie with the session id on the polling handshake: None, True, a name, or a mapping of attributes.
    cookie: bool | str | Mapping[str, Any] | None = None
    #: Origins that may connect: None (same origin), "*", a string, a list, a pattern, a callable, or a
    #: mapping (origin, methods, allowed_headers, exposed_headers, credentials, max_age).
    cors: CorsOption = None
    #: ``fn(request)``, plain or async: False or an exception refuses the handshake (403).
    allow_request: Callable[[Any], Any] | None = None
    #: ``fn(request)``, plain or async, giving the id of a new session instead of 120 random bits.
    generate_id: Callable[[Any], Any] | None = None
    #: A message sent right behind the handshake.
    initial_packet: str | bytes | None = None
    #: Addresses or networks whose X-Forwarded-* headers count.
    trusted_proxies: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("ping_interval", "ping_timeout", "upgrade_timeout", "close_timeout"):
            _require(self, name, getattr(self, name) > 0, "a number of seconds above 0")
        for name in ("max_http_buffer_size", "max_packets_per_payload", "max_buffered_bytes"):
            _require(self, name, getattr(self, name) > 0, "a number above 0")
        _require(
            self,
            "transports",
            not isinstance(self.transports, str)
            and bool(self.transports)
            and set(self.transports) <= {"polling", "websocket"},
            'a sequence of "polling" and "websocket"',
        )
        _require(
            self,
            "protocols",
            bool(self.protocols) and set(self.protocols) <= {3, 4},
            "a sequence of 3 and 4",
        )
        _require(self, "path", self.path.startswith("/"), 'a path that starts with "/"')


@dataclass(kw_only=True)
class ListenerOptions:
    """Options of the native HTTP and WebSocket listener."""

    #: Files to serve: ``{"/": "index.html", "/assets": "dir"}``, paths of URLs to paths of files or folders.
    static_files: Mapping[str, str | PathLike[str]] | None = None


@dataclass(kw_only=True)
class ServerOptions:
    """Options of the Socket.IO server itself; it takes those of the engine and the listener too."""

    #: Seconds a connection may last without joining a namespace.
    connect_timeout: float = 45.0
    #: Binary attachments one packet may hold.
    max_attachments: int = 10
    #: Whether the browser client is served below ``path``.
    serve_client: bool = True
    #: The client file to serve, or a folder of them; None: the one that comes with the package, if any.
    client: str | PathLike[str] | None = None
    #: Called with each namespace, gives its adapter; None: the in-memory adapter.
    adapter: Callable[[Any], Any] | None = None
    #: Whether a dynamic namespace goes away with its last socket.
    cleanup_empty_child_namespaces: bool = False

    def __post_init__(self) -> None:
        _require(self, "connect_timeout", self.connect_timeout > 0, "a number of seconds above 0")
        _require(self, "max_attachments", self.max_attachments >= 0, "a number of attachments")


def _require(options: object, name: str, holds: bool, what: str) -> None:
    if not holds:
        raise OptionError(f"option {name} takes {what}, not {getattr(options, name)!r}")


def split_options(given: Mapping[str, Any], *kinds: type[Any]) -> list[Any]:
    """Distribute keyword options over option classes, one instance each.

    :raises OptionError: for a name none of them has; the message names the nearest one.
    """
    names = {kind: {field.name for field in fields(kind)} for kind in kinds}
    known = sorted(set().union(*names.values()))
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise OptionError(f"unknown option {name!r}{hint}")
    return [kind(**{name: given[name] for name in given if name in names[kind]}) for kind in kinds]
