"""What passes between the engine and whatever speaks HTTP: requests, responses, WebSocket connections.

The engine never sees a socket. A listener (``fastsio.net``) hands it a :class:`Request`; the engine answers
through the request's exchange, or turns it into a :class:`WebSocket`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

from fastsio._http import FixedHeaders, KnownHead, SessionQuery, build_response, read_session_query
from fastsio.options import DeflateOptions

__all__ = ["NOBODY", "App", "Exchange", "Headers", "Request", "Response", "WebSocket", "WebSocketReceiver"]

Headers = list[tuple[str, str]]

_OK = b"HTTP/1.1 200 OK\r\n"


class Response:
    """A status, headers and a body; the listener adds ``Content-Length``, ``Date`` and ``Connection``.

    ``body`` is bytes, or an async iterator of bytes with a ``Content-Length`` among ``headers``.
    """

    def __init__(
        self, status: int, headers: Headers | None = None, body: bytes | AsyncIterator[bytes] = b""
    ) -> None:
        self.status = status
        self.body = body
        self._headers: Headers | None = [] if headers is None else headers
        self._first: FixedHeaders | None = None
        self._second: FixedHeaders | None = None

    @property
    def headers(self) -> Headers:
        """The headers, to look at and to add to."""
        if self._headers is None:
            first, second = self._first, self._second
            self._headers = []
            if first is not None:
                self._headers += first.pairs
            if second is not None:
                self._headers += second.pairs
            self._first = self._second = None
        return self._headers

    def add_fixed(self, headers: FixedHeaders | None) -> None:
        """Add headers that are encoded already, if there are any."""
        if headers is None:
            return
        if self._headers is None and self._second is None:
            self._second = headers
        else:
            self.headers.extend(headers.pairs)

    def encode(self, common: bytes, with_body: bool) -> bytes | None:
        """The whole response on the wire, or None if that takes more than putting together what is encoded.

        :param common: the header lines that the connection adds.
        :param with_body: whether the body follows its head.
        """
        if self._headers is not None or self.status != 200 or not isinstance(self.body, bytes):
            return None
        return build_response(_OK, common, self._first, self._second, self.body, with_body)


def fixed_response(status: int, headers: FixedHeaders, body: bytes) -> Response:
    """A response with headers that others have too; those stay encoded as long as nobody looks at them."""
    response: Response = Response.__new__(Response)
    response.status = status
    response.body = body
    response._headers = None
    response._first = headers
    response._second = None
    return response


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


class Nobody:
    """Takes the place of a receiver that was told the end."""

    __slots__ = ()

    def on_text(self, payload: bytes) -> None: ...

    def on_binary(self, payload: bytes) -> None: ...

    def on_close(self, code: int, reason: str, error: str | None) -> None: ...

    def on_writable(self) -> None: ...


NOBODY: Final = Nobody()


class WebSocket:
    """One accepted WebSocket connection. Writes of one read callback or loop turn leave together.

    A base class rather than a protocol: what a session does per message is a call of C then.
    """

    def __init__(self, receiver: WebSocketReceiver, compressed: bool) -> None:
        self.receiver = receiver
        #: False while the peer reads slower than we write.
        self.writable = True
        #: Whether permessage-deflate was negotiated: frames made elsewhere cannot be used then.
        self.compressed = compressed

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer."""
        raise NotImplementedError

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        """Send one text message; ``payload`` is UTF-8."""
        raise NotImplementedError

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        """Send one binary message."""
        raise NotImplementedError

    def write_frames(self, frames: bytes) -> None:
        """Send ready-made unmasked frames as they are (not with :attr:`compressed`)."""
        raise NotImplementedError

    def is_writable(self) -> bool:
        """Whether the peer keeps up with what we write."""
        return self.writable

    def flush(self) -> None:
        """Hand what is queued to the transport."""
        raise NotImplementedError

    def close(self, code: int = 0, reason: str = "") -> None:
        """Send what is queued, then a close frame (empty with code 0), then end the connection."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection at once."""
        raise NotImplementedError


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
    :param scope: what an ASGI server told of it, with what other applications have added; None behind
        :meth:`~fastsio.Server.listen`.
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
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self._target: str | None = target
        self.path, _, self.query_string = target.partition("?")
        self._headers: dict[str, str] | None = headers
        self._head: KnownHead | None = None
        self._varying: str | None = None
        self.exchange = exchange
        self.remote_address = remote_address
        self.scheme = scheme
        self.upgrade = upgrade
        self.scope = scope
        self._query: dict[str, str] | None = None
        self._session_query: SessionQuery | None = None

    @property
    def target(self) -> str:
        """Path and query as sent."""
        if self._target is None:
            self._target = f"{self.path}?{self.query_string}"
        return self._target

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lower-case name."""
        headers, head = self._headers, self._head
        if headers is None:
            assert head is not None
            headers = self._headers = head.headers.copy()
            if head.varying is not None and self._varying is not None:
                headers[head.varying] = self._varying
        return headers

    def header(self, name: str) -> str | None:
        """One header, None if it was not sent."""
        headers, head = self._headers, self._head
        if headers is None:
            assert head is not None
            if name == head.varying:
                return self._varying
            headers = head.headers
        return headers.get(name)

    def session_query(self) -> SessionQuery:
        """The parameters that concern the session."""
        found = self._session_query
        if found is None:
            if self._query is None:
                found = read_session_query(self.query_string)
            if found is None:
                get = self.query.get
                found = SessionQuery(
                    get("transport", ""), get("sid", ""), get("EIO", ""), get("b64", ""), get("j")
                )
            self._session_query = found
        return found

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated name the last value counts, as in engine.io ≥ 6.6.5."""
        if self._query is None:
            self._query = parse_query(self.query_string)
        return self._query

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


def known_request(
    method: str,
    path: str,
    query_string: str | None,
    head: KnownHead,
    varying: str | None,
    exchange: Exchange,
    remote_address: str,
    scheme: str,
) -> Request:
    """The request of a head that is known; what it shares with others is copied when somebody looks at it.

    :param query_string: None if the target has no question mark.
    :param varying: the value of the header that ``head`` leaves open.
    """
    request: Request = Request.__new__(Request)
    request.method = method
    request.path = path
    request._target = path if query_string is None else None
    request.query_string = "" if query_string is None else query_string
    request._query = None
    request._session_query = None
    request._headers = None
    request._head = head
    request._varying = varying
    request.exchange = exchange
    request.remote_address = remote_address
    request.scheme = scheme
    request.upgrade = head.upgrade
    request.scope = None
    return request


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
