"""WebSocket connections (RFC 6455): the opening handshake, and the protocol that takes over the transport."""

from __future__ import annotations

import asyncio
import logging
import sys
from binascii import a2b_base64, b2a_base64
from hashlib import sha1
from typing import Final

from wsproto.utilities import ACCEPT_GUID, split_comma_header

from fastsio._frames import (
    COMPRESSED,
    OP_BINARY,
    OP_CLOSE,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    FrameChain,
    FrameParser,
    build_close,
    build_frame,
    chain_frames,
    check_utf8,
    parse_close,
)
from fastsio.deflate import Deflate, InflateError, InflateTooLarge, negotiate
from fastsio.engine.request import NOBODY, Request, WebSocket, WebSocketReceiver
from fastsio.engine.session import Session
from fastsio.engine.timers import Deadline
from fastsio.net.hub import Hub
from fastsio.net.streams import StreamTransport
from fastsio.options import DeflateOptions

__all__ = ["BadHandshake", "WebSocketConnection", "check_handshake"]

logger = logging.getLogger("fastsio.net")

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)

_TEXT: Final = OP_TEXT
_BINARY: Final = OP_BINARY

# States of a connection. CLOSING: our close frame is out, the peer's is awaited. DONE: on_close was called.
_OPEN: Final = 0
_CLOSING: Final = 1
_DONE: Final = 2


class BadHandshake(Exception):
    """An opening handshake that cannot be accepted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_handshake(
    request: Request, max_message_size: int, per_message_deflate: DeflateOptions | None
) -> tuple[bytes, Deflate | None]:
    """Validate a client's opening handshake (RFC 6455 §4.2.1) and start the answer (§4.2.2).

    That ``Upgrade`` and ``Connection`` ask for a WebSocket is known. Gives the head of the 101 response,
    without its last empty line, and the compression agreed on.

    :raises BadHandshake: 426 for another version than 13, else 400.
    """
    if request.method != "GET":
        raise BadHandshake(400, "a WebSocket handshake is a GET request")
    if request.header("transfer-encoding") is not None or (request.header("content-length") or "0") != "0":
        raise BadHandshake(400, "a WebSocket handshake has no body")
    if request.header("sec-websocket-version") != "13":
        raise BadHandshake(426, "Sec-WebSocket-Version 13 is needed")
    key = (request.header("sec-websocket-key") or "").encode("latin-1")
    try:
        # Characters outside of base64 are skipped, so a key with any of them comes out too short.
        if len(key) != 24 or len(a2b_base64(key)) != 16:
            raise ValueError
    except ValueError:
        raise BadHandshake(400, "Sec-WebSocket-Key is not 16 bytes in base64") from None
    # As wsproto.utilities.generate_accept_token does it, in fewer calls.
    token = b2a_base64(sha1(key + ACCEPT_GUID, usedforsecurity=False).digest(), newline=False)
    head = _SWITCHING + token + b"\r\n"
    offered = request.header("sec-websocket-protocol")
    if offered is not None:
        head += b"Sec-WebSocket-Protocol: " + _first_protocol(offered) + b"\r\n"
    negotiated: Deflate | None = None
    if per_message_deflate is not None:
        offers = request.header("sec-websocket-extensions")
        if offers:
            result = negotiate(offers, per_message_deflate, max_message_size)
            if result is not None:
                answer, negotiated = result
                head += b"Sec-WebSocket-Extensions: " + answer.encode("latin-1") + b"\r\n"
    return head, negotiated


def _first_protocol(offered: str) -> bytes:
    """The first subprotocol of a list, which is the one the reference agrees to."""
    try:
        protocols = split_comma_header(offered.encode("latin-1"))
    except UnicodeDecodeError:
        protocols = [""]
    if not all(protocol and _TOKEN.issuperset(protocol) for protocol in protocols):
        raise BadHandshake(400, "Sec-WebSocket-Protocol is not a list of tokens")
    return protocols[0].encode()


class _CloseDeadline:
    """How long a peer may take over the closing handshake; longer as long as it takes what waits for it."""

    __slots__ = ("_connection", "_unsent", "deadline", "tick")

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._unsent = sys.maxsize
        self.deadline = 0.0
        self.tick = 0

    def expire(self) -> None:
        connection = self._connection
        unsent = connection.unsent
        if 0 < unsent < self._unsent:
            self._unsent = unsent
            connection.arm_close_deadline(self)
        else:
            connection.abort()


class WebSocketConnection(WebSocket):
    """The protocol of a transport after the opening handshake.

    What is sent during a read callback leaves at its end, anything else once per turn of the loop: each time
    in one write to the transport.
    """

    def __init__(
        self,
        hub: Hub,
        transport: asyncio.Transport,
        receiver: WebSocketReceiver,
        head: bytes,
        *,
        deflate: Deflate | None,
        max_message_size: int,
        max_buffered_bytes: int,
        reading: bool,
        secure: bool,
    ) -> None:
        """:param head: the response that completes the handshake; it leaves with the first messages.
        :param reading: whether a read callback is running, at whose end ``begin`` will be called.
        :param secure: whether the transport is TLS, which has a closing handshake of its own.
        """
        super().__init__(receiver, deflate is not None)
        self._hub = hub
        self._transport = transport
        # The same, if calling it needs no look-up.
        self._stream = transport if isinstance(transport, StreamTransport) else None
        self._parser = FrameParser(max_message_size=max_message_size, compression=deflate is not None)
        self._deflate = deflate
        self._max_buffered = max_buffered_bytes
        # Shared with every connection that waits with the same: after a broadcast those are many.
        self._out: FrameChain | None = chain_frames(None, head)
        self._ping: bytes | None = None
        self._deadline: _CloseDeadline | None = None
        self._error: str | None = None
        self._state = _OPEN
        self._reading = reading
        self._secure = secure
        if not reading:
            hub.mark_dirty(self)

    @property
    def unsent(self) -> int:
        """Bytes the transport still holds."""
        return self._transport.get_write_buffer_size()

    # -- in -------------------------------------------------------------------------------------------

    def begin(self, data: bytes) -> None:
        """The read callback of the handshake ends: flush, and read what came behind the handshake."""
        if data:
            self.data_received(data)
        else:
            self._reading = False
            self.flush()

    def data_received(self, data: bytes) -> None:
        self._reading = True
        parser = self._parser
        parser.begin(data)
        try:
            while True:
                payload = parser.next_message()
                if payload is None:
                    break
                opcode = parser.opcode
                receiver = self.receiver
                if self._state or (opcode != _TEXT and opcode != _BINARY):
                    self._on_other(opcode, payload)
                elif type(receiver) is Session:
                    # A class whose methods need no look-up.
                    session: Session = receiver
                    if opcode == _TEXT:
                        session.on_text(payload)
                    else:
                        session.on_binary(payload)
                elif opcode == _TEXT:
                    receiver.on_text(payload)
                else:
                    receiver.on_binary(payload)
            if parser.close_code:
                self._fail(parser.close_code, parser.close_reason)
        except Exception:
            logger.exception("receiver of a WebSocket failed")
            while parser.next_message() is not None:
                pass  # what came behind it in the same read has nobody to go to
            self._fail(1011, "internal error")
        self._reading = False
        if self._out is not None:
            self.flush()

    def _on_other(self, opcode: int, payload: bytes) -> None:
        """Take what is no plain message, and anything in a closing connection."""
        if self._state:
            if opcode == OP_CLOSE:
                self._on_close_frame(payload)
        elif opcode & COMPRESSED:
            self._on_compressed(opcode, payload)
        elif opcode == OP_PING:
            self._on_ping(payload)
        elif opcode == OP_CLOSE:
            self._on_close_frame(payload)

    def eof_received(self) -> None:
        # Returning None has the transport close itself, once what is queued is sent.
        self.flush()
        if self._state == _OPEN:
            self._state = _CLOSING
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._out = None
        if self._deadline is not None:
            self._hub.wheel.cancel(self._deadline)
            self._deadline = None
        self._hub.discard(self)
        self._report(1006, "", self._error)

    def _on_compressed(self, opcode: int, payload: bytes) -> None:
        assert self._deflate is not None
        try:
            message = self._deflate.inflate(payload)
        except InflateTooLarge as error:
            self._fail(1009, str(error))
            return
        except InflateError as error:
            self._fail(1007, str(error))
            return
        if opcode == OP_BINARY | COMPRESSED:
            self.receiver.on_binary(message)
        elif check_utf8(message):
            self.receiver.on_text(message)
        else:
            self._fail(1007, "invalid UTF-8")

    def _on_ping(self, payload: bytes) -> None:
        if self.writable:
            self.write_frames(build_frame(OP_PONG, payload))
        else:
            # Only the latest needs an answer (RFC 6455 §5.5.3); a flood must not fill the write queue.
            self._ping = payload

    def _on_close_frame(self, payload: bytes) -> None:
        self.write_frames(build_frame(OP_CLOSE, payload[:2]))  # not sent if ours is out already
        code, reason = parse_close(payload)
        self._end()
        self._report(code, reason, None)

    # -- out ------------------------------------------------------------------------------------------

    def write_frames(self, frames: bytes) -> None:
        """Send ready-made unmasked frames as they are."""
        if self._state:
            return
        out = self._out
        hub = self._hub
        chain = hub.newest
        if chain is None or chain.frames is not frames or chain.before is not out:
            chain = chain_frames(out, frames)
            if not self._reading:  # else it is an answer, which nobody else gets
                hub.newest = chain
        self._out = chain
        if out is None and not self._reading:
            hub.mark_dirty(self)
        if chain.size > self._max_buffered or not self.writable:
            self._check_buffered()

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        """Send one text message; ``payload`` is UTF-8."""
        if self._deflate is None:
            self.write_frames(build_frame(OP_TEXT, payload))
        else:
            self._send_compressed(OP_TEXT, payload, compress)

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        """Send one binary message."""
        if self._deflate is None:
            self.write_frames(build_frame(OP_BINARY, payload))
        else:
            self._send_compressed(OP_BINARY, payload, compress)

    def _send_compressed(self, opcode: int, payload: bytes, compress: bool) -> None:
        if self._state:
            return
        assert self._deflate is not None
        smaller = self._deflate.deflate(payload) if compress else None
        if smaller is None:
            self.write_frames(build_frame(opcode, payload))
        else:
            self.write_frames(build_frame(opcode, smaller, rsv1=True))

    def flush(self) -> None:
        """Hand what is queued to the transport."""
        out = self._out
        if out is None:
            return
        self._out = None
        data = out.data()
        if self._stream is not None:
            self._stream.write(data)
        else:
            self._transport.write(data)
        if not self.writable:
            self._check_buffered()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._ping is not None:
            self.write_frames(build_frame(OP_PONG, self._ping))
            self._ping = None
        if self._state == _OPEN:
            try:
                self.receiver.on_writable()
            except Exception:
                logger.exception("receiver of a WebSocket failed")
                self._fail(1011, "internal error")

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer."""
        return self.unsent if self._out is None else self._out.size + self.unsent

    def _check_buffered(self) -> None:
        queued = self.buffered
        if queued > self._max_buffered and self._error is None:
            self._error = (
                f"{queued} bytes wait for a peer that does not read, "
                f"the limit is {self._max_buffered} (option max_buffered_bytes)"
            )
            logger.warning("WebSocket dropped: %s", self._error)
            self.abort()

    # -- the end --------------------------------------------------------------------------------------

    def close(self, code: int = 0, reason: str = "") -> None:
        """Send what is queued, then a close frame (empty with code 0), and wait for the peer's."""
        if self._state == _OPEN:
            self.write_frames(build_frame(OP_CLOSE, build_close(code or None, reason)))
            self._state = _CLOSING
            self._arm()

    def abort(self) -> None:
        """Drop the connection at once; ``on_close`` follows on the next turn of the loop."""
        if self._state == _OPEN:
            self._state = _CLOSING
        self._out = None
        self._transport.abort()

    def shut_down(self) -> None:
        """The listener closes."""
        self.close(1001)

    def _fail(self, code: int, reason: str) -> None:
        """End a connection that cannot go on: a close frame out, then the peer's rest is read and dropped.

        Closing at once would have the kernel reset the connection over unread input, and the peer might
        never see why.
        """
        if self._state == _OPEN:
            self.write_frames(build_frame(OP_CLOSE, build_close(code, reason)))
            self.flush()
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._arm()
            self._report(code, reason, f"{reason} (close code {code})")
        elif self._state == _CLOSING:
            self._end()

    def _end(self) -> None:
        """Both close frames are sent, or no longer matter: close the transport once it is empty."""
        self.flush()
        self._transport.close()
        # A transport without anything to send closes by itself.
        if self._secure or self.unsent:
            self._arm()

    def _report(self, code: int, reason: str, error: str | None) -> None:
        if self._state == _DONE:
            return
        self._state = _DONE
        receiver, self.receiver = self.receiver, NOBODY
        try:
            receiver.on_close(code, reason, error)
        except Exception:
            logger.exception("receiver of a WebSocket failed")

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = _CloseDeadline(self)
            self.arm_close_deadline(self._deadline)

    def arm_close_deadline(self, deadline: Deadline) -> None:
        """Give the peer another ``linger_timeout``."""
        self._hub.wheel.arm(deadline, self._hub.limits.linger_timeout)
