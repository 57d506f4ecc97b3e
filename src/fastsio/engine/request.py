"""What passes between the engine and whatever speaks HTTP: requests, responses, WebSocket connections.

The engine never sees a socket. A listener (``fastsio.net``) hands it a :class:`Request`; the engine answers
through the request's exchange, or turns it into a :class:`WebSocket`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol
from urllib.parse import unquote_plus

from fastsio.options import DeflateOptions

__all__ = ["App", "Exchange", "Headers", "Request", "Response", "WebSocket", "WebSocketReceiver"]

Headers = list[tuple[str, str]]


class Response:
    """A status, headers and a body; the listener adds ``Content-Length``, ``Date`` and ``Connection``.

    ``body`` is bytes, or an async iterator of bytes with a ``Content-Length`` among ``headers``.
    """

    def __init__(
        self, status: int, headers: Headers | None = None, body: bytes | AsyncIterator[bytes] = b""
    ) -> None:
        self.status = status
        self.headers: Headers = [] if headers is None else headers
        self.body = body


class WebSocketReceiver(Protocol):
    """What a WebSocket connection reports to."""

    def on_text(self, payload: bytes) -> None:
        """A whole text message, valid UTF-8."""

    def on_binary(self, payload: bytes) -> None:
        """A whole binary message."""

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        """The connection is gone; called once. ``error`` says what broke it, None if it just closed."""

    def on_writable(self) -> None:
        """The peer reads again after :attr:`WebSocket.writable` was False."""


class WebSocket(Protocol):
    """One accepted WebSocket connection. Writes of one read callback or loop turn leave together."""

    receiver: WebSocketReceiver

    @property
    def writable(self) -> bool:
        """False while the peer reads slower than we write."""
        ...

    @property
    def compressed(self) -> bool:
        """Whether permessage-deflate was negotiated: frames made elsewhere cannot be used then."""
        ...

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        """Send one text message; ``payload`` is UTF-8."""

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        """Send one binary message."""

    def write_frames(self, frames: bytes) -> None:
        """Send ready-made unmasked frames as they are (not with :attr:`compressed`)."""

    def close(self, code: int = 0, reason: str = "") -> None:
        """Send what is queued, then a close frame (empty with code 0), then end the connection."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Exchange(Protocol):
    """The way back from a request, which ends with ``respond``, ``accept_websocket`` or ``abort``."""

    #: Set by whoever handles the request: called if the peer goes away before the response is sent.
    on_abort: Callable[[], None] | None

    def respond(self, response: Response) -> None:
        """Answer; a later answer, or one to a peer that is gone, is dropped."""

    def read_body(
        self, max_size: int, on_body: Callable[[bytes], None], on_too_large: Callable[[], None]
    ) -> None:
        """Collect the body, then call ``on_body``.

        ``on_too_large`` is called instead when it passes ``max_size`` bytes, declared or streamed; the rest
        is not kept then and the connection ends with the response.
        """

    def accept_websocket(
        self,
        receiver: WebSocketReceiver,
        *,
        headers: Headers,
        max_message_size: int,
        max_buffered_bytes: int,
        per_message_deflate: DeflateOptions | None,
    ) -> WebSocket | None:
        """Complete the opening handshake of RFC 6455 §4.2. A malformed handshake is answered (400, or 426 for
        another version) and gives None."""

    def abort(self) -> None:
        """Destroy the connection without an answer."""


class Request:
    """One HTTP request, as the engine and user hooks see it.

    :param method: upper case.
    :param target: path and query as sent, e.g. ``/socket.io/?EIO=4``.
    :param headers: names in lower case; repeated headers joined by ``", "`` (cookies by ``"; "``).
    :param remote_address: host of the peer, ``""`` on a Unix socket.
    :param scheme: ``http`` or ``https``.
    :param upgrade: whether it asks for a WebSocket.
    """

    def __init__(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        *,
        exchange: Exchange,
        remote_address: str = "",
        scheme: str = "http",
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query_string = target.partition("?")
        self.headers = headers
        self.exchange = exchange
        self.remote_address = remote_address
        self.scheme = scheme
        self.upgrade = upgrade
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated name the last value counts, as in engine.io ≥ 6.6.5."""
        if self._query is None:
            self._query = parse_query(self.query_string)
        return self._query

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


class App(Protocol):
    """Whatever a listener serves."""

    def handle(self, request: Request) -> None:
        """Answer ``request``, whose headers are complete, now or later through ``request.exchange``."""


def parse_query(text: str) -> dict[str, str]:
    """A query string as a dict. ``+`` is a space, bad escapes stay as they are.

    >>> parse_query("EIO=4&sid=a%20b&sid=c")
    {'EIO': '4', 'sid': 'c'}
    """
    query: dict[str, str] = {}
    for part in text.partition("#")[0].split("&"):
        if part:
            name, _, value = part.partition("=")
            if "%" in name or "+" in name:
                name = unquote_plus(name)
            if "%" in value or "+" in value:
                value = unquote_plus(value)
            query[name] = value
    return query
