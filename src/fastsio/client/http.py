"""A thin HTTP/1.1 client: what long-polling and the WebSocket handshake need, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from fastsio.client.address import Address
from fastsio.exceptions import TransportError

__all__ = ["HttpClient", "Response", "ResponseReader", "describe"]

#: Bytes of response headers that are taken.
MAX_HEAD = 65_536
# An idle connection older than this may just be being closed by the server (Node: 5 s): a POST would be lost.
_FRESH = 4.0
_EXCERPT = 200


class Response:
    """An HTTP response."""

    __slots__ = ("body", "lines", "status")

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()
        #: The headers as they came: most responses are only asked for their bodies.
        self.lines: list[tuple[bytes, bytes]] = []

    @property
    def headers(self) -> dict[str, str]:
        """By name in lower case; those that came several times are joined by commas."""
        found: dict[str, str] = {}
        for name, value in self.lines:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    @property
    def cookies(self) -> list[str]:
        """The Set-Cookie headers."""
        return [value.decode("latin-1") for name, value in self.lines if name.lower() == b"set-cookie"]


def describe(response: Response) -> str:
    """A refusal in one line, for messages."""
    text = bytes(response.body[:_EXCERPT]).decode("utf-8", "replace").strip()
    return f"HTTP {response.status}: {text}" if text else f"HTTP {response.status}"


class ResponseReader(asyncio.Protocol):
    """A connection that reads responses: collects their headers, up to a limit."""

    __slots__ = ("_head", "_http", "_kept", "_response")

    def __init__(self) -> None:
        self._http = httptools.HttpResponseParser(self)
        self._kept = 0
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        """Parse what was read.

        :raises httptools.HttpParserUpgrade: where the server switches protocols.
        :raises httptools.HttpParserError: for what is no response.
        :raises ValueError: for a header that does not end.
        """
        response, head, body = self._response, self._head, len(self._response.body)
        self._http.feed_data(data)
        if response is self._response and head == self._head and body == len(response.body):
            # The parser keeps to itself what is not complete.
            self._kept += len(data)
            if self._kept > MAX_HEAD:
                raise ValueError("header too long")
        else:
            self._kept = 0

    def on_message_begin(self) -> None:
        """Of httptools: a response."""
        self._response = Response()
        self._head = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools: one header."""
        self._head += len(name) + len(value)
        if self._head > MAX_HEAD:
            raise ValueError("header too long")
        self._response.lines.append((name, value))


class _Connection(ResponseReader):
    """One keep-alive connection; one request at a time."""

    def __init__(self, client: HttpClient) -> None:
        super().__init__()
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._done: Callable[[Response], None] | None = None
        self._failed: Callable[[Exception], None] | None = None
        self._over = False
        self.idle_since = 0.0

    # -- what the client asks ---------------------------------------------------------------------------

    def request(
        self, data: bytes, done: Callable[[Response], None], failed: Callable[[Exception], None]
    ) -> None:
        self._done, self._failed = done, failed
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        self._done = self._failed = None
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        assert self._transport is not None
        return not self._over and not self._transport.is_closing()

    # -- what the loop says -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if self._over:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._done is None:
            self._fail(TransportError("the server sent a response that nobody asked for"))
            return
        try:
            self.feed(data)
        except httptools.HttpParserUpgrade:
            self._fail(TransportError("the server switched protocols unasked"))
        except (httptools.HttpParserError, ValueError) as error:
            self._fail(_caused(TransportError(f"no HTTP response: {data[:40]!r}"), error))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._fail(_caused(TransportError(f"connection lost: {exc or 'closed by the server'}"), exc))

    # -- what the parser says ---------------------------------------------------------------------------

    def on_body(self, body: bytes) -> None:
        limit = self._client.max_body
        if len(self._response.body) + len(body) > limit:
            self._fail(TransportError(f"a response of more than {limit} bytes (option max_message_size)"))
        elif not self._over:
            self._response.body += body

    def on_message_complete(self) -> None:
        response, done = self._response, self._done
        if done is None or self._over:
            return
        response.status = self._http.get_status_code()
        if response.status < 200:  # 100 Continue, 103 Early Hints
            return
        self._done = self._failed = None
        self.idle_since = self._loop.time()
        if self._http.should_keep_alive():
            self._client.release(self)
        else:
            self._over = True
            assert self._transport is not None
            self._transport.close()
            self._client.forget(self)
        # Not from within the parser, which the next request on this connection would enter again.
        self._loop.call_soon(done, response)

    def _fail(self, error: Exception) -> None:
        failed = self._failed
        self.close()
        self._client.forget(self)
        if failed is not None:
            self._loop.call_soon(failed, error)


class HttpClient:
    """Requests to one server, on as few connections as they need.

    :param max_body: bytes of a response's body that are taken.
    """

    def __init__(self, address: Address, max_body: int) -> None:
        self._address = address
        self.max_body = max_body
        self._connections: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._dialling: set[asyncio.Task[None]] = set()
        self._closed = False

    def request(
        self,
        method: str,
        resource: str,
        headers: str,
        body: bytes | None,
        done: Callable[[Response], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Send a request; ``done(response)`` or ``failed(error)`` is called later, unless closed first.

        :param headers: further header lines, each ending in CRLF.
        """
        head = f"{method} {resource} HTTP/1.1\r\n{self._address.headers}Accept: */*\r\n{headers}"
        if body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        data = f"{head}\r\n".encode("utf-8", "surrogateescape") + (body or b"")
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < _FRESH:
                connection.request(data, done, failed)
                return
            connection.close()
            self.forget(connection)
        connection = _Connection(self)
        self._connections.add(connection)
        task = asyncio.get_running_loop().create_task(self._dial(connection, data, done, failed))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(
        self,
        connection: _Connection,
        data: bytes,
        done: Callable[[Response], None],
        failed: Callable[[Exception], None],
    ) -> None:
        try:
            await self._address.dial(connection)
        except Exception as error:
            self.forget(connection)
            if not self._closed:
                failed(_caused(TransportError(f"cannot connect: {error}"), error))
            return
        if self._closed:
            return
        if connection.usable:
            connection.request(data, done, failed)
        else:
            failed(TransportError("connection lost: closed by the server"))

    def release(self, connection: _Connection) -> None:
        """A connection's request is answered; it can take another."""
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close all connections; nothing is called any more."""
        self._closed = True
        for task in self._dialling:
            task.cancel()
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        self._idle.clear()


def _caused(error: Exception, cause: BaseException | None) -> Exception:
    error.__cause__ = cause
    return error
