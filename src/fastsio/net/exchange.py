"""One request's way back through its connection: what the engine calls an exchange."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from fastsio._http import encode_headers
from fastsio.deflate import Deflate
from fastsio.engine.request import Headers, Request, Response, WebSocket, WebSocketReceiver
from fastsio.net.websocket import BadHandshake, check_handshake
from fastsio.options import DeflateOptions

__all__ = ["Channel", "HttpExchange", "plain_response"]

logger = logging.getLogger("fastsio.net")

# Bytes of a body that are kept before somebody asks for it, and that are read past an early answer.
_BODY_AHEAD: Final = 65_536


class Channel:
    """What an exchange asks of its connection."""

    def send_responses(self) -> None:
        """Send what is answered, in the order of the requests."""
        raise NotImplementedError

    def want_body(self) -> None:
        """The application asks for the body of an incomplete request."""
        raise NotImplementedError

    def is_next(self, exchange: HttpExchange) -> bool:
        """Whether ``exchange`` is the first of those not answered."""
        raise NotImplementedError

    def hand_over(
        self,
        receiver: WebSocketReceiver,
        head: bytes,
        deflate: Deflate | None,
        max_message_size: int,
        max_buffered_bytes: int,
    ) -> WebSocket:
        """Let a WebSocket have the transport."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection at once."""
        raise NotImplementedError


class HttpExchange:
    """One request's way back; implements ``engine.request.Exchange``."""

    def __init__(self, protocol: Channel) -> None:
        self.on_abort: Callable[[], None] | None = None
        self._protocol: Channel | None = protocol
        self._body: bytes | bytearray | None = b""
        self._limit = -1
        self._on_body: Callable[[bytes], None] | None = None
        self._on_too_large: Callable[[], None] | None = None
        self._expects_continue = False
        self.request: Request | None = None
        self.response: Response | None = None
        #: Sends a body that comes in parts.
        self.task: asyncio.Task[None] | None = None
        #: Whether the application has given its answer.
        self.answered = False
        #: Whether the request is here to its last byte.
        self.complete = True
        #: Whether the connection ends with the response.
        self.close = False
        self.is_head = False
        self.version_1_0 = False
        #: Bytes of the body still to come, -1 if nobody knows.
        self.remaining = 0
        #: Bytes of the body that came.
        self.size = 0

    # -- for the application --------------------------------------------------------------------------

    def respond(self, response: Response) -> None:
        """Answer; a later answer, or one to a peer that is gone, is dropped."""
        protocol = self._protocol
        if protocol is None or self.answered:
            return
        self.answered = True
        self.response = response
        self._body = self._on_body = self._on_too_large = None
        protocol.send_responses()

    def read_body(
        self, max_size: int, on_body: Callable[[bytes], None], on_too_large: Callable[[], None]
    ) -> None:
        """Collect the body, then call ``on_body``; or ``on_too_large`` when it passes ``max_size`` bytes."""
        protocol = self._protocol
        if protocol is None or self.answered:
            return
        self._limit = max_size
        self._on_body = on_body
        self._on_too_large = on_too_large
        announced = self.remaining if self.remaining > 0 else 0
        if self.size + announced > max_size:
            self._too_large()
        elif self.complete:
            self.finish()
        else:
            protocol.want_body()

    def accept_websocket(
        self,
        receiver: WebSocketReceiver,
        *,
        headers: Headers,
        max_message_size: int,
        max_buffered_bytes: int,
        per_message_deflate: DeflateOptions | None,
    ) -> WebSocket | None:
        """Complete the opening handshake, or answer it with 400 or 426 and give None."""
        protocol = self._protocol
        request = self.request
        if protocol is None or request is None or self.answered:
            return None
        try:
            if not request.upgrade or self.version_1_0 or not protocol.is_next(self):
                raise BadHandshake(400, "not a WebSocket handshake")
            start, deflate = check_handshake(request, max_message_size, per_message_deflate)
            head = start + encode_headers(headers) + b"\r\n"
        except BadHandshake as error:
            version: Headers = [("Sec-WebSocket-Version", "13")] if error.status == 426 else []
            self.respond(plain_response(error.status, str(error), version))
            return None
        except ValueError:
            logger.exception("response to %r refused", request)
            self.respond(plain_response(500))
            return None
        self.answered = True
        return protocol.hand_over(receiver, head, deflate, max_message_size, max_buffered_bytes)

    def abort(self) -> None:
        """Destroy the connection without an answer."""
        self.answered = True
        if self._protocol is not None:
            self._protocol.abort()

    # -- for the protocol -----------------------------------------------------------------------------

    def expect_continue(self) -> None:
        """The peer sends the body only after a ``100 Continue``, or when it loses patience."""
        self._expects_continue = True

    def take_continue(self) -> bool:
        """Whether a ``100 Continue`` is due now: the application asked for a body that is held back."""
        if self._expects_continue and self._on_body is not None:
            self._expects_continue = False
            return True
        return False

    def is_drainable(self) -> bool:
        """Whether what is left of the body is worth reading only to get to the next request."""
        return 0 <= self.remaining <= _BODY_AHEAD and not self._expects_continue

    def is_unread(self) -> bool:
        """Whether more of the body is here than is kept for an application that has not asked for it."""
        return self.size > _BODY_AHEAD and self._limit < 0 and self._body is not None

    def receive(self, data: bytes) -> None:
        """Take a part of the body."""
        self._expects_continue = False
        self.size += len(data)
        if self.remaining > 0:
            self.remaining -= len(data)
        body = self._body
        if body is None:
            return
        if 0 <= self._limit < self.size:
            self._too_large()
        elif not body:
            self._body = data
        elif isinstance(body, bytearray):
            body += data
        else:
            self._body = bytearray(body) + data

    def finish(self) -> None:
        """The request is here to its last byte."""
        self.complete = True
        self.remaining = 0
        on_body = self._on_body
        if on_body is not None:
            body = self._body or b""
            self._body = self._on_body = self._on_too_large = None
            try:
                on_body(bytes(body))
            except Exception:
                self._failed()

    def gone(self) -> None:
        """The peer is gone: nothing said from now on reaches it."""
        self._protocol = None
        self._body = self._on_body = self._on_too_large = None
        if self.task is not None:
            self.task.cancel()
        on_abort, self.on_abort = self.on_abort, None
        if not self.answered:
            self.answered = True
            if on_abort is not None:
                try:
                    on_abort()
                except Exception:
                    self._failed()

    def done(self) -> None:
        """The response is sent."""
        self._protocol = None
        self.on_abort = self.request = self.response = self.task = None

    def _too_large(self) -> None:
        on_too_large = self._on_too_large
        self._body = self._on_body = self._on_too_large = None
        self.close = True
        if on_too_large is not None:
            try:
                on_too_large()
            except Exception:
                self._failed()

    def _failed(self) -> None:
        """A callback of the application raised what is being handled."""
        logger.exception("%r failed", self.request)
        self.respond(plain_response(500))


def plain_response(status: int, text: str = "", headers: Headers | None = None) -> Response:
    """A response of the listener's own."""
    return Response(status, [("Content-Type", "text/plain"), *(headers or [])], text.encode())
