"""Long-polling: one GET that waits, POSTs that bring packets (Engine.IO protocol, "HTTP long-polling")."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastsio._http import FixedHeaders
from fastsio._jsonp import decode_jsonp_body, encode_jsonp
from fastsio._payload import EnginePacketType, decode_payload, encode_payload
from fastsio.engine.request import Headers, Request, Response, fixed_response
from fastsio.exceptions import PacketError
from fastsio.types import DisconnectReason

if TYPE_CHECKING:
    from fastsio.engine.session import Session

__all__ = ["PollingTransport"]

logger = logging.getLogger("fastsio.engine")

Packets = Sequence[tuple[int, str | bytes | None]]

_NO_STORE = ("Cache-Control", "no-store")
_TEXT = FixedHeaders([("Content-Type", "text/plain; charset=UTF-8"), _NO_STORE])
_BINARY = FixedHeaders([("Content-Type", "application/octet-stream"), _NO_STORE])
_OK = FixedHeaders([("Content-Type", "text/html"), _NO_STORE])
_NOOP = (int(EnginePacketType.NOOP), None)
_CLOSE = (int(EnginePacketType.CLOSE), None)


class PollingTransport:
    """Long-polling for one session. ``poll`` is the GET that waits for packets, if one does."""

    def __init__(self, session: Session, request: Request, headers: Headers) -> None:
        """``request`` is the handshake: the first GET that waits. ``headers`` go with its answer."""
        self.session = session
        self.poll: Request | None = request
        request.exchange.on_abort = self._on_poll_aborted
        self._handshake_headers: Headers | None = headers
        self._post: Request | None = None
        self._jsonp: str | None = request.session_query().jsonp
        # The client's name, once it is known to be none that needs care.
        self._agent: str | None = ""

    def on_request(self, request: Request) -> None:
        """A request of the session, after all checks that need no session."""
        if request.method == "GET":
            self._on_get(request)
        elif request.method == "POST":
            self._on_post(request)
        else:
            self._respond(request, Response(500))

    # -- GET ------------------------------------------------------------------------------------------

    def _on_get(self, request: Request) -> None:
        session = self.session
        if self.poll is not None:
            self._overlap(request)
            return
        self.poll = request
        if session.ready_state == "closing":
            session.closing_poll(self)
        else:
            session.flush()
        if self.poll is request:
            request.exchange.on_abort = self._on_poll_aborted

    def send(self, packets: Packets, compress: bool) -> None:
        """Answer the open poll with ``packets``."""
        request = self.poll
        assert request is not None
        self.poll = None
        session = self.session
        # A script tag cannot take bytes, so JSONP gets binary in its text form whatever was agreed.
        binary = session.protocol == 3 and session.supports_binary and self._jsonp is None
        body = encode_payload(packets, session.protocol, binary)
        session.counters.packets_sent += len(packets)
        session.counters.bytes_sent += len(body)
        if self._jsonp is not None:
            body = encode_jsonp(self._jsonp, body)
        encoding = None
        if compress:
            accept = request.header("accept-encoding")
            if accept is not None:
                body, encoding = session.server.http_compression.apply(body, accept)
        response = fixed_response(200, _BINARY if binary and _holds_bytes(packets) else _TEXT, body)
        initial = self._handshake_headers is not None
        if self._handshake_headers:
            response.headers.extend(self._handshake_headers)
        self._handshake_headers = None
        if encoding is not None:
            response.headers.append(("Content-Encoding", encoding))
        self._respond(request, response, initial)

    def release(self) -> None:
        """Answer the open poll, if any: with what waits for it, else with a noop."""
        self.session.flush()
        if self.poll is not None:
            self.send([_NOOP], False)

    def finish(self) -> None:
        """The session has another transport, or none: end the open poll with a close packet."""
        if self.poll is not None:
            self.send([_CLOSE], False)

    def close(self) -> None:
        """The session is over, whatever a request body in progress may bring."""
        self.finish()
        if self._post is not None:
            self._post.exchange.abort()
            self._post = None

    def _on_poll_aborted(self) -> None:
        self.poll = None
        self.session.end(DisconnectReason.TRANSPORT_ERROR, "poll connection closed prematurely")

    # -- POST -----------------------------------------------------------------------------------------

    def _on_post(self, request: Request) -> None:
        session = self.session
        if self._post is not None:
            self._overlap(request)
            return
        if session.protocol == 4 and _is_binary(request):
            session.end(DisconnectReason.TRANSPORT_ERROR, "binary body on a protocol 4 session")
            self._respond(request, Response(400))
            return
        self._post = request
        request.exchange.read_body(
            session.server.options.max_http_buffer_size, self._on_body, self._on_too_large
        )
        if self._post is request:
            request.exchange.on_abort = self._on_post_aborted

    def _on_body(self, body: bytes) -> None:
        request, self._post = self._post, None
        assert request is not None
        session = self.session
        packets, error = self._decode(request, body)
        session.counters.packets_received += len(packets)
        session.counters.bytes_received += len(body)
        for kind, data in packets:
            session.on_polled_packet(kind, data)
        if error is not None:
            logger.info("session %s: %s; closing it", session.id, error)
            self._fail(DisconnectReason.PARSE_ERROR, error)
        self._respond(request, fixed_response(200, _OK, b"ok"))

    def _on_post_aborted(self) -> None:
        self._post = None
        self._fail(DisconnectReason.TRANSPORT_ERROR, "data request connection closed prematurely")

    def _decode(
        self, request: Request, body: bytes
    ) -> tuple[Sequence[tuple[int | None, str | bytes | None]], PacketError | None]:
        """The packets of a body, and what is wrong with what follows them."""
        session = self.session
        if self._jsonp is not None:
            unescaped = decode_jsonp_body(body)
            if unescaped is None:
                return (), None
            body = unescaped
        binary = session.protocol == 3 and _is_binary(request)
        limit = session.server.options.max_packets_per_payload
        try:
            return decode_payload(body, session.protocol, binary, limit), None
        except PacketError as error:
            # It is kept by the frames of the callers, which its traceback would keep in turn.
            return error.packets, error.with_traceback(None)

    def _on_too_large(self) -> None:
        request, self._post = self._post, None
        assert request is not None
        session = self.session
        logger.warning(
            "session %s: request body above %d bytes refused (option max_http_buffer_size)",
            session.id,
            session.server.options.max_http_buffer_size,
        )
        if session.protocol == 3:
            self._fail(DisconnectReason.TRANSPORT_ERROR, "request body too large")
            request.exchange.abort()
        else:
            self._respond(request, Response(413))

    # -- both -----------------------------------------------------------------------------------------

    def _fail(self, reason: DisconnectReason, description: object) -> None:
        """End the session, unless an upgrade has left this transport behind."""
        if self.session.polling is self:
            self.session.end(reason, description)

    def _overlap(self, request: Request) -> None:
        self.session.end(DisconnectReason.TRANSPORT_ERROR, "overlap from client")
        self._respond(request, Response(500 if self.session.protocol == 3 else 400))

    def _respond(self, request: Request, response: Response, initial: bool = False) -> None:
        agent = request.header("user-agent")
        if agent is not None and agent is not self._agent:
            if ";MSIE" in agent or "Trident/" in agent:
                response.headers.append(("X-XSS-Protection", "0"))
            else:
                self._agent = agent
        request.exchange.on_abort = None
        self.session.server.respond(request, response, initial)


def _is_binary(request: Request) -> bool:
    return request.header("content-type") == "application/octet-stream"


def _holds_bytes(packets: Packets) -> bool:
    return any(isinstance(data, bytes) for _, data in packets)
