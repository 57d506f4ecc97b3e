"""Every option and its default. Names are Node's in snake_case; times are seconds, sizes bytes."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, TypeVar

from fastsio.exceptions import OptionError

__all__ = [
    "CorsOption",
    "DeflateOptions",
    "EngineOptions",
    "ListenerOptions",
    "RecoveryOptions",
    "ServerOptions",
    "split_options",
]

CorsOption = str | Sequence[str] | re.Pattern[str] | Callable[[str], bool] | Mapping[str, Any] | bool | None

_T = TypeVar("_T")


@dataclass(kw_only=True, frozen=True)
class DeflateOptions:
    """The option ``per_message_deflate``. Less context and smaller windows cost ratio and save memory."""

    #: Messages of fewer bytes are sent as they are.
    threshold: int = 1024
    #: Whether each message of the server is compressed without reference to those before.
    server_no_context_takeover: bool = False
    #: Whether the client is told to do the same.
    client_no_context_takeover: bool = False
    #: Largest window of the server, as a power of two from 9 to 15; None: what the client allows.
    server_max_window_bits: int | None = None
    #: Largest window of the client; clients that cannot limit theirs then get no compression.
    client_max_window_bits: int | None = None
    #: zlib's compression level, 0 to 9; -1: zlib's default.
    level: int = -1
    #: zlib's memory level, 1 to 9.
    mem_level: int = 8

    def __post_init__(self) -> None:
        self._require("threshold", 0, sys.maxsize)
        self._require("level", -1, 9)
        self._require("mem_level", 1, 9)
        for name in ("server_max_window_bits", "client_max_window_bits"):
            if getattr(self, name) is not None:
                self._require(name, 9, 15)

    @classmethod
    def read(cls, option: bool | Mapping[str, Any]) -> DeflateOptions | None:
        """The option as the user gave it; None if compression is off.

        :raises OptionError: for names that do not exist and values that cannot be.
        """
        if option is False:
            return None
        options: DeflateOptions
        (options,) = split_options({} if option is True else option, cls)
        return options

    def _require(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise OptionError(
                f"per_message_deflate: {name} takes a number from {low} to {high}, not {value!r}"
            )


@dataclass(kw_only=True)
class RecoveryOptions:
    """The option ``connection_state_recovery``. The limits are the server's, for all its namespaces together;
    a client that needs what they made the server drop connects afresh."""

    #: Seconds after the loss of a connection in which its client may take it up again.
    max_disconnection_duration: float = 120.0
    #: Whether middlewares are left out for a socket whose state is restored.
    skip_middlewares: bool = True
    #: Packets kept for clients that may have missed them.
    max_packets: int = 100_000
    #: Bytes of those packets, as they are sent and 300 more for each.
    max_bytes: int = 64_000_000
    #: Lost connections whose rooms and data are kept.
    max_sessions: int = 100_000

    def __post_init__(self) -> None:
        _require_seconds(self, "max_disconnection_duration")
        for name in ("max_packets", "max_bytes", "max_sessions"):
            _require_whole(self, name, 1)

    @classmethod
    def read(cls, option: bool | Mapping[str, Any] | None) -> RecoveryOptions | None:
        """The option as the user gave it; None if recovery is off.

        :raises OptionError: for names that do not exist and values that cannot be.
        """
        if option is None or option is False:
            return None
        options: RecoveryOptions
        (options,) = split_options({} if option is True else option, cls)
        return options


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
    max_packets_per_payload: int = 10_000
    #: Bytes queued for one client before it is dropped as too slow. A packet that waits for a poll counts
    #: 64 more than its data.
    max_buffered_bytes: int = 16_000_000
    #: Sessions open at once; None: as many as file descriptors allow.
    max_connections: int | None = None
    #: permessage-deflate: False, True, or a mapping (threshold, server_no_context_takeover, …).
    per_message_deflate: bool | Mapping[str, Any] = False
    #: gzip and deflate of polling responses: True, False, or a mapping (threshold in bytes, level of zlib).
    http_compression: bool | Mapping[str, Any] = True
    #: Cookie with the session id on the polling handshake: None, True, a name, or a mapping of attributes.
    cookie: bool | str | Mapping[str, Any] | None = None
    #: Origins that may connect: None (same origin), "*", a string, a list, a pattern, a callable, or a
    #: mapping (origin, methods, allowed_headers, exposed_headers, credentials, max_age).
    cors: CorsOption = None
    #: ``fn(request)``, plain or async: False, a message or an exception refuses the handshake (403).
    allow_request: Callable[[Any], Any] | None = None
    #: ``fn(request)``, plain or async, giving the id of a new session; None: 96 random bits and a counter.
    generate_id: Callable[[Any], Any] | None = None
    #: A message sent right behind the handshake.
    initial_packet: str | bytes | None = None
    #: Addresses or networks whose X-Forwarded-* headers count.
    trusted_proxies: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("ping_interval", "ping_timeout", "upgrade_timeout", "close_timeout"):
            _require_seconds(self, name)
        for name in ("max_http_buffer_size", "max_packets_per_payload", "max_buffered_bytes"):
            _require_whole(self, name, 1)
        if self.max_connections is not None:
            _require_whole(self, "max_connections", 1)
        _require_members(self, "transports", ("polling", "websocket"))
        _require_members(self, "protocols", (3, 4))
        _require(
            self,
            "path",
            isinstance(self.path, str) and self.path.startswith("/"),
            'a path that starts with "/"',
        )
        for name in ("allow_request", "generate_id"):
            value = getattr(self, name)
            _require(self, name, value is None or callable(value), "a function")
        _require(
            self,
            "initial_packet",
            self.initial_packet is None or isinstance(self.initial_packet, str | bytes),
            "text or bytes",
        )
        for name in ("per_message_deflate", "http_compression"):
            _require(self, name, isinstance(getattr(self, name), bool | Mapping), "a bool or a mapping")
        _require(
            self,
            "trusted_proxies",
            isinstance(self.trusted_proxies, Sequence) and not isinstance(self.trusted_proxies, str),
            "a sequence of addresses and networks",
        )


@dataclass(kw_only=True)
class ListenerOptions:
    """Options of the native HTTP and WebSocket listener."""

    #: Files to serve: ``{"/": "index.html", "/assets": "dir"}``, paths of URLs to paths of files or folders.
    static_files: Mapping[str, str | PathLike[str]] | None = None
    #: TCP connections open at once; None: as many as file descriptors allow. One more is answered 503.
    max_tcp_connections: int | None = None
    #: Bytes of a request's headers, and of a chunked body's trailers (431).
    max_header_size: int = 65_536
    #: Headers of one request (431).
    max_headers: int = 128
    #: Bytes of path and query (414).
    max_target_size: int = 16_384
    #: Requests of one connection that wait for their answers before reading pauses.
    max_pipelined: int = 16
    #: Seconds an idle connection is kept for another request.
    keep_alive_timeout: float = 5.0
    #: Seconds until a request's headers are complete (408).
    header_timeout: float = 60.0
    #: Seconds until a request's body is complete (408).
    body_timeout: float = 300.0
    #: Seconds in which a peer must take some of what waits for it.
    write_timeout: float = 60.0
    #: Seconds a peer may take to answer a WebSocket's close frame, or to read the answer to a bad request.
    linger_timeout: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith("_timeout"):
                _require_seconds(self, field.name)
            elif field.name.startswith("max_") and getattr(self, field.name) is not None:
                _require_whole(self, field.name, 1)


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
    #: How packets are written: None (JSON), "msgpack", a :class:`~fastsio.codec.JSONParser`, or any object
    #: with ``Encoder`` and ``Decoder``.
    parser: Any = None
    #: Whether a dynamic namespace goes away with its last socket.
    cleanup_empty_child_namespaces: bool = False
    #: Whether a client whose connection was lost gets its id, rooms, data and missed events back: True, or a
    #: mapping (max_disconnection_duration, skip_middlewares, max_packets, max_bytes, max_sessions).
    connection_state_recovery: bool | Mapping[str, Any] | None = None
    #: Whether a handler's annotations are what the arguments of its events are converted to.
    typed_events: bool = True
    #: Events of one socket that may wait for handlers registered with ``serialize=True``.
    max_serialized_events: int = 100
    #: Seconds a handler may block the event loop before a warning names it; None: nobody looks.
    slow_handler: float | None = None
    #: URL path on which the server's metrics are served to Prometheus, and to anybody else; None: nowhere.
    metrics_path: str | None = None

    def __post_init__(self) -> None:
        recovery = self.connection_state_recovery
        _require(
            self,
            "connection_state_recovery",
            recovery is None or isinstance(recovery, bool | Mapping),
            "a bool or a mapping",
        )
        _require_seconds(self, "connect_timeout")
        _require_whole(self, "max_attachments", 0)
        _require_whole(self, "max_serialized_events", 1)
        if self.slow_handler is not None:
            _require_seconds(self, "slow_handler")
        path = self.metrics_path
        _require(
            self,
            "metrics_path",
            path is None or (isinstance(path, str) and path.startswith("/")),
            'a path that starts with "/"',
        )


def _require(options: object, name: str, holds: bool, what: str) -> None:
    if not holds:
        raise OptionError(f"option {name} takes {what}, not {getattr(options, name)!r}")


def _require_seconds(options: object, name: str) -> None:
    value = getattr(options, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    _require(options, name, number and 0 < value < math.inf, "a number of seconds above 0")


def _require_whole(options: object, name: str, least: int) -> None:
    """Sizes like ``1e6`` are fine, and become the integer they are."""
    value = getattr(options, name)
    number = isinstance(value, int) and not isinstance(value, bool)
    whole = number or (isinstance(value, float) and value.is_integer())
    _require(options, name, whole and value >= least, f"a whole number, {least} or more")
    setattr(options, name, int(value))


def _require_members(options: object, name: str, members: tuple[object, ...]) -> None:
    given = getattr(options, name)
    sequence = isinstance(given, Sequence) and not isinstance(given, str)
    holds = sequence and len(given) > 0 and all(member in members for member in given)
    _require(options, name, holds, f"a sequence of {' and '.join(map(repr, members))}")


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
