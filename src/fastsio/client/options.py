"""Every option of the clients and its default. Names are Node's in snake_case; times are seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ssl import SSLContext
from typing import Any

from fastsio.exceptions import OptionError
from fastsio.options import DeflateOptions

__all__ = ["ClientOptions"]

#: Options that ``transport_options`` may set for one transport.
_OF_A_TRANSPORT = {
    *("path", "add_trailing_slash", "query", "extra_headers", "request_timeout", "per_message_deflate"),
    *("protocols", "timestamp_requests", "timestamp_param", "ssl", "unix_socket", "proxy", "local_address"),
}
#: Options that do not concern the connection, which namespaces with different ones can share.
_OF_A_SOCKET = {"auth", "auto_connect", "retries", "ack_timeout", "force_new", "multiplex"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(kw_only=True)
class ClientOptions:
    """Options of a client."""

    #: URL path of the server's endpoint.
    path: str = "/socket.io"
    #: Whether the path is asked for with a trailing slash.
    add_trailing_slash: bool = True
    #: Transports to use; the first is tried first.
    transports: Sequence[str] = ("polling", "websocket")
    #: Whether to move from polling to WebSocket when the server offers it.
    upgrade: bool = True
    #: Begin with WebSocket when the connection before this one got that far.
    remember_upgrade: bool = False
    #: Try the other transports when the first cannot connect.
    try_all_transports: bool = False
    #: Engine.IO protocol: 4 for servers of v3 and later, 3 for v2 servers.
    protocol: int = 4
    #: Query parameters, a mapping or a string; those of the URL replace it.
    query: Mapping[str, Any] | str | None = None
    #: What CONNECT carries: a mapping, or a function, plain or async, that gives it at every connect.
    auth: Mapping[str, Any] | Callable[[], Any] | None = None
    #: Headers added to every HTTP request.
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether cookies that the server sets are sent back.
    with_credentials: bool = False
    #: Whether a client made inside a running loop connects by itself.
    auto_connect: bool = True
    #: Whether a lost connection is made again.
    reconnection: bool = True
    #: Attempts before giving up; 0 is no limit, as is infinity.
    reconnection_attempts: float = math.inf
    #: Seconds before the first attempt; doubled for each further one.
    reconnection_delay: float = 1.0
    #: Seconds between two attempts at most.
    reconnection_delay_max: float = 5.0
    #: Share of a delay that is random, 0 to 1.
    randomization_factor: float = 0.5
    #: Whether the client has a connection of its own in any case; ``multiplex=False`` says the same.
    force_new: bool = False
    #: Whether the client shares the connection of another with the same URL and options.
    multiplex: bool = True
    #: Seconds one attempt to connect, or the server's answer for a namespace, may take; None: any time.
    timeout: float | None = 20.0
    #: Times an event is sent again until it is acknowledged; 0: sent once, nothing awaited.
    retries: int = 0
    #: Seconds an acknowledgement is awaited unless ``timeout(seconds)`` says otherwise; None: for ever.
    ack_timeout: float | None = None
    #: How packets are written: None (JSON), "msgpack", a :class:`~fastsio.codec.JSONParser`, or any object
    #: with ``Encoder`` and ``Decoder``; the same as the server's.
    parser: Any = None
    #: Bytes of one message, or one polling response, that the server may send.
    max_message_size: int = 100_000_000
    #: Binary attachments one packet may hold.
    max_attachments: int = 10
    #: Seconds one polling request may take, the wait for events included; None: any time.
    request_timeout: float | None = None
    #: Whether WebSocket messages are compressed if the server agrees: True, False, or a mapping as the
    #: server's option of that name takes.
    per_message_deflate: bool | Mapping[str, Any] = True
    #: Whether binary travels as base64 in text messages, for proxies that harm binary ones.
    force_base64: bool = False
    #: Whether requests carry a time stamp against caches; None: those of polling do.
    timestamp_requests: bool | None = None
    #: The time stamp's name in the query.
    timestamp_param: str = "t"
    #: WebSocket subprotocols to offer.
    protocols: Sequence[str] = ()
    #: Options that differ for one transport, by its name.
    transport_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Address of this machine to connect from.
    local_address: str | None = None
    #: TLS settings for https and wss URLs; None: the system's certificates. False: nothing is verified.
    ssl: SSLContext | bool | None = None
    #: Path of a Unix socket to connect to; the URL then only gives the Host header and the namespace.
    unix_socket: str | None = None
    #: URL of a proxy: http://, socks4:// or socks5://, with user and password if need be; needs the extra
    #: ``proxy``.
    proxy: str | None = None

    def __post_init__(self) -> None:
        for name in ("reconnection_delay", "reconnection_delay_max"):
            self._require_seconds(name)
        for name in ("timeout", "ack_timeout", "request_timeout"):
            if getattr(self, name) is not None:
                self._require_seconds(name)
        factor = self.randomization_factor
        self._require("randomization_factor", _is_number(factor) and 0 <= factor <= 1, "a number from 0 to 1")
        attempts = self.reconnection_attempts
        self._require("reconnection_attempts", _is_number(attempts) and attempts >= 0, "a number, 0 or more")
        for name, least in (("retries", 0), ("max_attachments", 0), ("max_message_size", 1)):
            value = getattr(self, name)
            whole = _is_number(value) and float(value).is_integer()
            self._require(name, whole and value >= least, f"a whole number, {least} or more")
            setattr(self, name, int(value))
        transports = self.transports
        self._require(
            "transports",
            isinstance(transports, Sequence)
            and not isinstance(transports, str)
            and len(transports) > 0
            and all(member in ("polling", "websocket") for member in transports),
            "a sequence of 'polling' and 'websocket'",
        )
        self._require("protocol", self.protocol in (3, 4), "3 or 4")
        self._require(
            "protocols",
            not isinstance(self.protocols, str) and all(map(_TOKEN.fullmatch, self.protocols)),
            "a sequence of tokens",
        )
        self._require(
            "timestamp_param", bool(_TOKEN.fullmatch(self.timestamp_param)), "the name of a query parameter"
        )
        self._require(
            "path", isinstance(self.path, str) and self.path.startswith("/"), 'a path that starts with "/"'
        )
        self._require(
            "auth",
            self.auth is None or isinstance(self.auth, Mapping) or callable(self.auth),
            "a mapping or a function",
        )
        self._require(
            "query", self.query is None or isinstance(self.query, str | Mapping), "a string or a mapping"
        )
        self._require("extra_headers", isinstance(self.extra_headers, Mapping), "a mapping")
        self._require(
            "per_message_deflate",
            isinstance(self.per_message_deflate, bool | Mapping),
            "True, False or a mapping",
        )
        #: ``per_message_deflate`` as read; None: nothing is offered.
        self.deflate = DeflateOptions.read(self.per_message_deflate)
        for name, own in self.transport_options.items():
            if name not in ("polling", "websocket"):
                raise OptionError(f"option transport_options: {name!r} is neither 'polling' nor 'websocket'")
            wrong = own.keys() - _OF_A_TRANSPORT
            if wrong:
                raise OptionError(
                    f"option transport_options: {min(wrong)!r} cannot differ between transports"
                )
        if self.proxy is not None and self.unix_socket is not None:
            raise OptionError("options proxy and unix_socket exclude each other")

    def of_transport(self, name: str) -> ClientOptions:
        """The options as one transport has them."""
        own = self.transport_options.get(name)
        return replace(self, **own, transport_options={}) if own else self

    def same_connection(self, other: ClientOptions) -> bool:
        """Whether clients with these options and the others can share a connection."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in (member.name for member in fields(self))
            if name not in _OF_A_SOCKET
        )

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise OptionError(f"option {name} takes {what}, not {getattr(self, name)!r}")

    def _require_seconds(self, name: str) -> None:
        value = getattr(self, name)
        holds = _is_number(value) and 0 < value < math.inf
        self._require(name, holds, "a number of seconds above 0")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
