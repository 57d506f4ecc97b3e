"""HTTP/1.1 of the native listener: requests in, responses out in order, and the way to a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from fastsio._http import KnownHeads, encode_headers
from fastsio.deflate import Deflate
from fastsio.engine.request import Request, Response, WebSocket, WebSocketReceiver, known_request
from fastsio.net.exchange import Channel, HttpExchange, plain_response
from fastsio.net.headers import header_name, header_value
from fastsio.net.hub import Hub
from fastsio.net.websocket import WebSocketConnection

__all__ = ["HttpProtocol"]

logger = logging.getLogger("fastsio.net")

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# What is parsed between two looks at whether the connection may go on: bounds the requests of one slice.
_SLICE: Final = 4096
# Heads of its own that a connection keeps: those with a secret in them, which it does not share.
_OWN_HEADS: Final = 4

# Where reading stands. BETWEEN: no byte of the next request is here. UPGRADING: a WebSocket handshake awaits
# its answer, what follows it is not HTTP. RESUMING: see _skip_upgrade. DROPPING: nothing more is read, what
# comes is dropped. CLOSED: the transport is closing, or belongs to a WebSocket.
_BETWEEN: Final = 0
_HEAD: Final = 1
_BODY: Final = 2
_UPGRADING: Final = 3
_RESUMING: Final = 4
_DROPPING: Final = 5
_CLOSED: Final = 6

# What the armed deadline is for.
_FOR_NOTHING: Final = 0
_FOR_HEAD: Final = 1
_FOR_BODY: Final = 2
_FOR_REQUEST: Final = 3
_FOR_WRITE: Final = 4
_FOR_LINGER: Final = 5


class _Refused(Exception):
    """Leaves a parser callback: the request is answered with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpProtocol(Channel):
    """One connection, until it ends or becomes a WebSocket."""

    _transport: asyncio.Transport

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # Made for the first head that is not known.
        self._parser: Any = None
        # Input that begins with a request, until its head is read; and the heads known of this connection.
        self._fresh: bytes | None = None
        self._heads: KnownHeads | None = None
        self._phase = _BETWEEN
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_size = 0
        self._header_count = 0
        #: Bytes parsed since the request, then since its body began.
        self._fed = 0
        self._feeding = False
        #: Input that is not parsed yet.
        self._held = b""
        #: Among workers: the beginning of a request's first line.
        self._early = b""
        self._current: HttpExchange | None = None
        #: Requests whose responses are not sent, in order.
        self._queue: list[HttpExchange] = []
        self._websocket: WebSocketConnection | None = None
        self._read_paused = False
        self._write_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._address: str | None = None
        self._scheme = "http"
        self._deadline_for = _FOR_NOTHING
        self._unsent = 0
        self.deadline = 0.0
        self.tick = 0

    # -- the transport's callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if not self._hub.add(self):
            self._transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self._close()
        elif self._hub.closing:
            self._close()
        else:
            self._arm(_FOR_HEAD)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._phase = _CLOSED
        self._hub.wheel.cancel(self)
        self._hub.discard(self)
        self._parser = None
        self._held = b""
        self._drop_queue()
        self._wake()

    def eof_received(self) -> None:
        # As in Node's http server, half a connection is none. The transport closes itself after this.
        self._phase = _CLOSED
        self._drop_queue()
        self._arm_write()

    def data_received(self, data: bytes) -> None:
        if self._phase >= _DROPPING:
            return
        try:
            if self._hub.handover is not None:
                data = self._route(data)
                if not data:
                    return
            if self._held or self._phase == _UPGRADING:
                self._hold(data)
            elif self._phase != _BETWEEN or self._blocked() or not self._take_known(data):
                self._feed(data)
        except Exception:
            logger.exception("connection dropped")
            self.abort()

    def _route(self, data: bytes) -> bytes:
        """Give the connection to the worker that its next request is for, once the request's first line is
        here; what there is to do here."""
        if self._phase != _BETWEEN or self._queue or self._held:
            return data
        data = self._early + data
        self._early = b""
        handover = self._hub.handover
        assert handover is not None
        if b"\n" not in data and len(data) < self._hub.limits.max_target_size:
            self._early = data
            return b""
        if self._transport.get_write_buffer_size() or not handover.take(self._transport, data):
            return data
        # The other process has the connection as well, so this only closes what is here.
        self.abort()
        return b""

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._phase != _CLOSED:
            self._arm_write()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()
        self._unblock()
        self._update_deadline()

    # -- reading --------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Parse ``data`` as far as the connection's limits let it, and hold the rest."""
        position, end = 0, len(data)
        rest = b""
        self._feeding = True
        if self._parser is None:
            self._parser = HttpRequestParser(self)
        self._fresh = data if self._phase == _BETWEEN else None
        while position < end and self._phase < _DROPPING:
            if self._blocked():
                self._hold(data[position:])
                break
            current = self._current
            stop = end
            if end - position > _SLICE and (current is None or current.remaining < end - position):
                stop = position + _SLICE
            part = data if stop - position == end else memoryview(data)[position:stop]
            try:
                self._parser.feed_data(part)
            except HttpParserUpgrade as upgrade:
                stop = position + upgrade.args[0]
                if self._websocket is not None:
                    rest = data[stop:]
                    break
                if self._phase == _UPGRADING:
                    if stop < end:
                        self._hold(data[stop:])
                    break
                self._skip_upgrade()
            except HttpParserError as error:
                self._on_parser_error(error)
                break
            self._fed += stop - position
            position = stop
            if self._phase == _HEAD or self._phase == _BODY:
                self._check_fed()
        self._fresh = None
        self._fed_all(rest)

    def _fed_all(self, rest: bytes) -> None:
        """The input is read: let a WebSocket have the rest, or see how reading goes on."""
        self._feeding = False
        websocket = self._websocket
        if websocket is not None:
            self._websocket = self._parser = None
            websocket.begin(rest)
            return
        if self._phase < _DROPPING and self._blocked():
            self._pause_reading()
        self._update_deadline()

    def _take_known(self, data: bytes) -> bool:
        """Whether ``data`` is one whole request with a head that is known. It is handled as if parsed."""
        hub = self._hub
        heads = hub.heads
        head = heads.find(data)
        if head is None:
            if self._heads is None:
                return False
            heads = self._heads
            head = heads.find(data)
            if head is None:
                return False
        body = heads.body
        varying = None if head.varying is None else heads.value(data)
        exchange = HttpExchange(self)
        exchange.close = head.close
        request = known_request(
            head.method,
            heads.path(data),
            heads.query_string(data),
            head,
            varying,
            exchange,
            self._peer(),
            self._scheme,
        )
        exchange.request = request
        self._feeding = True
        if head.upgrade:
            self._phase = _UPGRADING
            exchange.close = True
            self._handle(request, exchange)
        else:
            self._phase = _BODY
            size = len(data) - body
            exchange.remaining = size
            exchange.complete = size == 0
            self._handle(request, exchange)
            if size:
                self.on_body(data[body:])
            self.on_message_complete()
        self._fed_all(b"")
        return True

    def _handle(self, request: Request, exchange: HttpExchange) -> None:
        """Hand a request whose head is complete to the application."""
        self._current = exchange
        self._queue.append(exchange)
        try:
            self._hub.app.handle(request)
        except Exception:
            logger.exception("%r failed", request)
            exchange.respond(plain_response(500))

    def _learn(self, data: bytes, exchange: HttpExchange, upgrade: bool) -> None:
        """Know the head next time, if it is of a request like those of sessions."""
        headers = self._headers
        limit = self._hub.limits.max_header_size
        # The value that varies may get longer by some digits.
        if exchange.version_1_0 or exchange.remaining < 0 or self._header_size + 16 > limit:
            return
        if "expect" in headers:
            return
        own = "cookie" in headers or "authorization" in headers
        heads = self._hub.heads
        if own:
            if self._heads is None:
                self._heads = KnownHeads(_OWN_HEADS, self._hub.limits.max_target_size)
            heads = self._heads
        heads.learn(data, self._header_count, headers, exchange.close, upgrade)

    def _check_fed(self) -> None:
        """Bound what makes no progress: half a header, or a chunked body that is all framing."""
        limits = self._hub.limits
        if self._phase == _HEAD:
            if self._fed > limits.max_header_size + limits.max_target_size + _SLICE:
                self._refuse(431 if self._header_count else 414)
        elif self._phase == _BODY:
            current = self._current
            if (
                current is not None
                and current.remaining < 0
                and self._fed > limits.max_header_size + _SLICE + 8 * current.size
            ):
                self._refuse(400)

    def _on_parser_error(self, error: HttpParserError) -> None:
        if self._phase >= _DROPPING:
            return
        cause = error.__context__
        if isinstance(cause, _Refused):
            self._refuse(cause.status)
        elif isinstance(error, HttpParserCallbackError):
            raise error
        else:
            logger.debug("malformed request: %s", error)
            self._refuse(400)

    def _skip_upgrade(self) -> None:
        """Go on after a request that asks for a protocol we do not speak, such as ``h2c``.

        The parser takes every upgrade for granted and skips the body; so a head of our own that announces the
        body takes it there.
        """
        current = self._current
        if self._phase == _RESUMING and current is not None:
            length = f"Content-Length: {current.remaining}"
            if current.remaining < 0:
                length = "Transfer-Encoding: chunked"
            self._parser.feed_data(f"POST * HTTP/1.1\r\n{length}\r\n\r\n".encode())

    def _blocked(self) -> bool:
        current = self._current
        return (
            self._write_paused
            or len(self._queue) >= self._hub.max_pipelined
            or (current is not None and current.is_unread())
        )

    def _hold(self, data: bytes) -> None:
        self._held += data
        self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _unblock(self) -> None:
        if self._read_paused and not self._feeding and not self._blocked():
            # Not at once: an application that answers must not find the next request inside of that call.
            self._hub.loop.call_soon(self._continue)

    def _continue(self) -> None:
        if self._phase < _DROPPING:
            if self._phase == _UPGRADING or self._blocked():
                return
            held, self._held = self._held, b""
            if held:
                self.data_received(held)
        if not self._held and self._phase != _CLOSED and not self._blocked():
            self._resume_reading()

    # -- the parser's callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase == _RESUMING:
            return
        if self._phase != _BETWEEN:
            raise _Refused(400)
        self._phase = _HEAD
        self._target = b""
        self._headers = {}
        self._header_size = self._header_count = self._fed = 0

    def on_url(self, url: bytes) -> None:
        if self._phase == _RESUMING:
            return
        self._target += url
        if len(self._target) > self._hub.limits.max_target_size:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == _RESUMING:
            return
        self._header_count += 1
        self._header_size += len(name) + len(value) + 4
        limits = self._hub.limits
        if self._header_size > limits.max_header_size or self._header_count > limits.max_headers:
            raise _Refused(431)
        if self._phase != _HEAD:
            return  # a trailer of a chunked body
        key = header_name(name)
        text = header_value(key, value)
        headers = self._headers
        if key not in headers:
            headers[key] = text
        elif key == "host":
            raise _Refused(400)
        else:
            headers[key] += ("; " if key == "cookie" else ", ") + text

    def on_headers_complete(self) -> None:
        if self._phase == _RESUMING:
            self._phase = _BODY
            return
        parser = self._parser
        headers = self._headers
        version = parser.get_http_version()
        if version == "1.1":
            if "host" not in headers:
                raise _Refused(400)
        elif version != "1.0":
            raise _Refused(505)
        method = parser.get_method().decode()
        if method == "CONNECT":
            raise _Refused(501)
        fresh, self._fresh = self._fresh, None
        exchange = HttpExchange(self)
        exchange.is_head = method == "HEAD"
        exchange.version_1_0 = version == "1.0"
        exchange.close = not parser.should_keep_alive()
        if "transfer-encoding" in headers:
            if version == "1.0":
                raise _Refused(400)
            exchange.remaining = -1
        elif "content-length" in headers:
            exchange.remaining = int(headers["content-length"])
        if exchange.remaining:
            exchange.complete = False
            if "expect" in headers and version == "1.1":
                if headers["expect"].lower() != "100-continue":
                    raise _Refused(417)
                exchange.expect_continue()
        self._fed = 0
        self._phase = _BODY
        upgrade = parser.should_upgrade()
        if upgrade:
            upgrade = "websocket" in headers.get("upgrade", "").lower()
            if upgrade:
                # What follows a refused handshake could be frames, so the connection ends with the refusal.
                self._phase = _UPGRADING
                exchange.complete = exchange.close = True
            elif exchange.remaining:
                self._phase = _RESUMING
            if not upgrade:
                fresh = None
        if fresh is not None:
            self._learn(fresh, exchange, upgrade)
        request = Request(
            method,
            _origin_form(self._target.decode("latin-1")),
            headers,
            exchange=exchange,
            remote_address=self._peer(),
            scheme=self._scheme,
            upgrade=upgrade,
        )
        exchange.request = request
        self._headers = {}
        self._handle(request, exchange)

    def on_body(self, data: bytes) -> None:
        current = self._current
        if current is not None and self._phase < _DROPPING:
            current.receive(data)

    def on_message_complete(self) -> None:
        current = self._current
        if current is None or self._phase != _BODY:
            return
        self._current = None
        self._phase = _DROPPING if current.close else _BETWEEN
        current.finish()

    # -- writing --------------------------------------------------------------------------------------

    def is_next(self, exchange: HttpExchange) -> bool:
        """Whether ``exchange`` is the first of those not answered."""
        return bool(self._queue) and self._queue[0] is exchange

    def want_body(self) -> None:
        """The application asks for the body of an incomplete request."""
        if self._queue and self._queue[0].take_continue():
            self._transport.write(_CONTINUE)
        self._unblock()

    def send_responses(self) -> None:
        """Send what is answered, in the order of the requests."""
        queue = self._queue
        while queue and self._phase != _CLOSED:
            exchange = queue[0]
            if exchange.task is not None:
                break
            response = exchange.response
            if response is None:
                if exchange.take_continue():
                    self._transport.write(_CONTINUE)
                break
            if not exchange.complete and not exchange.is_drainable():
                exchange.close = True
            if self._hub.closing and len(queue) == 1:
                exchange.close = True
            whole = response.encode(self._hub.common_headers(exchange.close), not exchange.is_head)
            if whole is not None:
                self._transport.write(whole)
                self._finish(exchange)
                continue
            try:
                head, body = self._head(exchange, response)
            except ValueError:
                logger.exception("response to %r refused", exchange.request)
                exchange.response = plain_response(500)
                continue
            if isinstance(body, bytes):
                self._transport.write(head + body)
                self._finish(exchange)
            else:
                self._transport.write(head)
                exchange.task = self._hub.loop.create_task(self._stream(exchange, body))
        if not self._feeding:
            self._unblock()
            self._update_deadline()

    def _head(
        self, exchange: HttpExchange, response: Response
    ) -> tuple[bytes, bytes | tuple[AsyncIterator[bytes], int]]:
        """The head of a response, and what is to follow it.

        :raises ValueError: for a header that would break out of its line, or a wrong ``Content-Length``.
        """
        status = response.status
        body = response.body
        headers = response.headers
        length = -1
        for name, value in response.headers:
            if len(name) == 14 and name.lower() == "content-length":
                length = int(value)
            elif len(name) == 10 and name.lower() == "connection":
                exchange.close = exchange.close or value.lower() == "close"
                headers = [header for header in headers if header[0].lower() != "connection"]
        text = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        if isinstance(body, bytes):
            if length < 0:
                if status >= 200 and status != 204 and status != 304:
                    text += f"Content-Length: {len(body)}\r\n"
            elif length != len(body) and not exchange.is_head and status != 304:
                raise ValueError(f"Content-Length is {length}, the body has {len(body)} bytes")
        elif length < 0:
            raise ValueError("a body in parts needs a Content-Length")
        head = text.encode() + self._hub.common_headers(exchange.close) + encode_headers(headers) + b"\r\n"
        if exchange.is_head or status == 204 or status == 304:
            return head, b""
        return head, body if isinstance(body, bytes) else (body, length)

    async def _stream(self, exchange: HttpExchange, body: tuple[AsyncIterator[bytes], int]) -> None:
        parts, remaining = body
        try:
            async with aclosing(cast("Any", parts)):
                async for part in parts:
                    remaining -= len(part)
                    if remaining < 0:
                        break
                    self._transport.write(part)
                    if self._write_paused:
                        self._waiter = self._hub.loop.create_future()
                        await self._waiter
            if remaining:
                raise ValueError("the body has not as many bytes as its Content-Length says")
        except Exception:
            # The head is out: the only way left to say that the body is not whole.
            logger.exception("response to %r broken off", exchange.request)
            self.abort()
            return
        exchange.task = None
        self._finish(exchange)
        self.send_responses()

    def _finish(self, exchange: HttpExchange) -> None:
        """The response is written: forget the request, close if the response said so."""
        del self._queue[0]
        exchange.done()
        if exchange.close:
            if exchange.complete:
                self._close()
            else:
                self._linger()

    def hand_over(
        self,
        receiver: WebSocketReceiver,
        head: bytes,
        deflate: Deflate | None,
        max_message_size: int,
        max_buffered_bytes: int,
    ) -> WebSocket:
        """Let a WebSocket have the transport."""
        hub, transport = self._hub, self._transport
        websocket = WebSocketConnection(
            hub,
            transport,
            receiver,
            head,
            deflate=deflate,
            max_message_size=max_message_size,
            max_buffered_bytes=max_buffered_bytes,
            reading=self._feeding,
            secure=self._scheme == "https",
        )
        websocket.writable = not self._write_paused
        self._phase = _CLOSED
        self._queue.pop().done()
        self._current = None
        hub.wheel.cancel(self)
        hub.replace(self, websocket)
        transport.set_protocol(websocket)  # type: ignore[arg-type]
        if self._feeding:
            self._websocket = websocket
        else:
            self._parser = None
            if self._read_paused:
                hub.loop.call_soon(_begin, websocket, transport, self._held)
                self._held = b""
        return websocket

    # -- ends -----------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """The listener closes: so does this connection, unless a request is under way."""
        if self._phase == _BETWEEN and not self._queue:
            self._close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._phase = _CLOSED
        self._transport.abort()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be read with ``status``, behind what is still to be answered, and end."""
        current, self._current = self._current, None
        self._phase = _DROPPING
        if current is not None and current.answered:
            # Its own answer is out, or will be; nothing can follow it.
            current.close = True
            if current not in self._queue:
                self._linger()
            return
        if current is not None:
            self._queue.remove(current)
            current.gone()
        refusal = HttpExchange(self)
        refusal.close = True
        refusal.complete = False
        self._queue.append(refusal)
        refusal.respond(plain_response(status))

    def _linger(self) -> None:
        """Let the peer read the answer: closed over unread input, the kernel resets the connection."""
        self._phase = _DROPPING
        self._held = b""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume_reading()
        self._update_deadline()

    def _close(self) -> None:
        """Close once what is written is sent."""
        self._phase = _CLOSED
        self._transport.close()
        self._arm_write()

    def _drop_queue(self) -> None:
        self._current = None
        while self._queue:
            self._queue.pop(0).gone()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- deadlines ------------------------------------------------------------------------------------

    def _update_deadline(self) -> None:
        phase = self._phase
        if phase == _CLOSED or self._write_paused:
            return
        if phase == _HEAD:
            purpose = _FOR_HEAD
        elif phase == _BODY:
            purpose = _FOR_BODY
        elif self._queue or phase == _UPGRADING:
            purpose = _FOR_NOTHING
        else:
            purpose = _FOR_REQUEST if phase == _BETWEEN else _FOR_LINGER
        if purpose != self._deadline_for or purpose == _FOR_REQUEST:
            self._arm(purpose)

    def _arm(self, purpose: int) -> None:
        self._deadline_for = purpose
        hub = self._hub
        if purpose == _FOR_NOTHING:
            hub.wheel.cancel(self)
            return
        if purpose == _FOR_REQUEST:
            deadline = hub.wheel.due(hub.keep_alive_timeout)
            if hub.wheel.can_wait(self.tick, deadline):
                self.deadline = deadline
            else:
                hub.wheel.arm(self, hub.keep_alive_timeout)
            return
        limits = hub.limits
        if purpose == _FOR_HEAD:
            self._hub.wheel.arm(self, limits.header_timeout)
        elif purpose == _FOR_BODY:
            self._hub.wheel.arm(self, limits.body_timeout)
        elif purpose == _FOR_WRITE:
            self._hub.wheel.arm(self, limits.write_timeout)
        else:
            self._hub.wheel.arm(self, limits.linger_timeout)

    def _arm_write(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._arm(_FOR_WRITE if self._unsent else _FOR_NOTHING)

    def expire(self) -> None:
        """What the deadline was for has not happened."""
        purpose, self._deadline_for = self._deadline_for, _FOR_NOTHING
        if purpose == _FOR_WRITE:
            unsent = self._unsent
            self._arm_write()
            if 0 < unsent <= self._unsent:
                logger.debug("connection dropped: its peer does not read")
                self.abort()
        elif purpose == _FOR_LINGER:
            self.abort()
        elif self._phase == _BETWEEN:
            self._close()
        elif self._phase in (_HEAD, _BODY):
            self._refuse(408)

    def _peer(self) -> str:
        """The host of the peer; looked up once per connection."""
        address = self._address
        if address is None:
            peer = self._transport.get_extra_info("peername")
            address = peer[0] if isinstance(peer, tuple) else ""
            if address.startswith("::ffff:"):
                address = address[7:]  # an IPv4 peer of a dual-stack socket
            self._address = address
            if self._transport.get_extra_info("sslcontext") is not None:
                self._scheme = "https"
        return address


def _begin(websocket: WebSocketConnection, transport: asyncio.Transport, held: bytes) -> None:
    websocket.begin(held)
    if not transport.is_closing():
        transport.resume_reading()


def _origin_form(target: str) -> str:
    """Path and query of a request target, which may come as a whole URL (RFC 9112 §3.2.2)."""
    if target.startswith("/") or target == "*":
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise _Refused(400)
    start = min((rest.index(mark) for mark in "/?" if mark in rest), default=len(rest))
    path = rest[start:]
    return path if path.startswith("/") else "/" + path
