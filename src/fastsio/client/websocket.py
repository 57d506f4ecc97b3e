"""The WebSocket transport: asyncio's protocol on one side, the compiled frame parser in between."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterable
from typing import cast

import httptools
from wsproto.utilities import generate_accept_token

from fastsio import deflate
from fastsio._codec import EncodedPacket
from fastsio._frames import (
    COMPRESSED,
    OP_BINARY,
    OP_CLOSE,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    FrameParser,
    build_close,
    build_frame,
    check_utf8,
    parse_close,
)
from fastsio._payload import encode_engine_packet
from fastsio.client.address import Address
from fastsio.client.base import Message, Owner, transport_error
from fastsio.client.http import MAX_HEAD, ResponseReader, describe
from fastsio.deflate import Deflate, InflateTooLarge
from fastsio.exceptions import PacketError

__all__ = ["WebSocket"]

# Seconds the server may take to answer a close frame.
_CLOSE_TIMEOUT = 1.0
# Random bytes for masks are fetched in lots: one system call per frame would cost more than the frame.
_MASK_LOT = 4096
# Bytes that may wait in the kernel's and the loop's buffers before the transport is not writable.
_HIGH_WATER = 262_144


class WebSocket(ResponseReader):
    """One WebSocket connection that carries Engine.IO packets.

    :param sid: the session to upgrade; None begins a new one.
    :param headers: further header lines of the handshake.
    """

    name = "websocket"

    def __init__(self, owner: Owner, address: Address, sid: str | None, headers: str = "") -> None:
        super().__init__()
        self._owner = owner
        self._address = address
        self._resource = address.resource("websocket", sid)
        self._headers = headers
        self._loop = asyncio.get_running_loop()
        self._prefix = b"\x04" if address.options.protocol == 3 else b""
        self._protocol = address.options.protocol
        self._socket: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._key = b""
        self._limit = address.options.max_message_size
        self._as_text = address.options.force_base64
        self._parser = FrameParser(client=True, max_message_size=self._limit)
        self._deflate: Deflate | None = None
        self._masks = b""
        self._mask_at = 0
        self._out: list[bytes] = []
        self._flush_planned = False
        self._reading = False
        self._paused = False
        self._upgraded = False
        self._closing = False
        self._over = False
        self._closer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def writable(self) -> bool:
        """Whether a packet would leave at once."""
        return self._upgraded and not self._paused and not self._closing

    # -- opening ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect."""
        self._dialling = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            await self._address.dial(self)
        except Exception as error:
            self._fail(f"cannot connect: {error}", error)
            self._settle_lost()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._socket = cast(asyncio.Transport, transport)
        if self._over:
            self._socket.abort()
            return
        self._socket.set_write_buffer_limits(high=_HIGH_WATER)
        self._key = base64.b64encode(os.urandom(16))
        options = self._address.options
        offers = ""
        if options.deflate is not None:
            offers += f"Sec-WebSocket-Extensions: {deflate.offer(options.deflate)}\r\n"
        if options.protocols:
            offers += f"Sec-WebSocket-Protocol: {', '.join(options.protocols)}\r\n"
        stamp = self._address.stamped if options.timestamp_requests else ""
        self._socket.write(
            f"GET {self._resource}{stamp} HTTP/1.1\r\n{self._address.headers}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {self._key.decode()}\r\n{offers}{self._headers}\r\n".encode(
                "utf-8", "surrogateescape"
            )
        )

    def _feed_handshake(self, data: bytes) -> None:
        try:
            self.feed(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._finish_handshake(data[upgrade.args[0] :])
        except (httptools.HttpParserError, ValueError) as error:
            self._fail(f"no HTTP response: {data[:40]!r}", error)

    def on_body(self, body: bytes) -> None:
        """Of httptools: a piece of a refusal's text."""
        self._response.body += body
        if len(self._response.body) > MAX_HEAD:
            self.on_message_complete()  # enough to tell

    def on_message_complete(self) -> None:
        """Of httptools: the response is there. An accepted upgrade is reported by an exception instead."""
        status = self._http.get_status_code()
        if status == 101 or self._over:
            return
        self._response.status = status
        self._fail(describe(self._response), None, status)

    def _finish_handshake(self, rest: bytes) -> None:
        headers = self._response.headers
        if headers.get("upgrade", "").lower() != "websocket":
            self._fail("the server switched to another protocol", None, 101)
        elif headers.get("sec-websocket-accept", "").strip() != generate_accept_token(self._key).decode():
            self._fail("the server's Sec-WebSocket-Accept is wrong", None, 101)
        elif headers.get("sec-websocket-protocol") not in (None, *self._address.options.protocols):
            self._fail("the server chose a subprotocol that was not offered", None, 101)
        elif self._agree_on_compression(headers.get("sec-websocket-extensions")):
            del self._http
            self._upgraded = True
            self._owner.transport_open()
            if rest and not self._over:
                self._feed_frames(rest)

    def _agree_on_compression(self, answer: str | None) -> bool:
        """Whether the server's answer is one to what was offered; else the connection has failed."""
        if answer is None:
            return True
        offered = self._address.options.deflate
        if offered is None:
            self._fail("the server chose an extension that was not offered", None, 101)
            return False
        try:
            self._deflate = deflate.accept(answer, offered, self._limit)
        except PacketError as error:
            self._fail(str(error), error, 101)
            return False
        self._parser = FrameParser(client=True, max_message_size=self._limit, compression=True)
        return True

    # -- reading ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._upgraded:
            self._feed_frames(data)
        else:
            self._feed_handshake(data)

    def _feed_frames(self, data: bytes) -> None:
        parser = self._parser
        owner = self._owner
        # What handlers write while this batch is read leaves in one write behind it.
        self._reading = True
        try:
            for opcode, payload in parser.feed(data):
                if self._over or (self._closing and opcode != OP_CLOSE):
                    continue
                if opcode == OP_TEXT:
                    owner.transport_text(payload)
                elif opcode == OP_BINARY:
                    owner.transport_binary(payload)
                elif opcode == OP_PING:
                    # A server that pings without reading must not fill memory with pongs.
                    if not self._paused:
                        self._frame(OP_PONG, payload)
                elif opcode == OP_CLOSE:
                    self._on_close_frame(payload)
                elif opcode & COMPRESSED:
                    self._on_compressed(opcode, payload)
        finally:
            self._reading = False
        if parser.close_code and not self._over:
            self._refuse(parser.close_code, parser.close_reason)
        elif self._out:
            self._flush()

    def _on_compressed(self, opcode: int, payload: bytes) -> None:
        assert self._deflate is not None
        try:
            message = self._deflate.inflate(payload)
        except InflateTooLarge:
            self._refuse(1009, f"a message inflates to more than {self._limit} bytes")
            return
        except PacketError as error:
            self._refuse(1007, str(error))
            return
        if opcode == OP_BINARY | COMPRESSED:
            self._owner.transport_binary(message)
        elif check_utf8(message):
            self._owner.transport_text(message)
        else:
            self._refuse(1007, "invalid UTF-8")

    def _refuse(self, code: int, reason: str) -> None:
        """Close over something that the server may not send."""
        self._out.append(self._masked(OP_CLOSE, build_close(code, reason)))
        self._flush()
        option = " (option max_message_size)" if code == 1009 else ""
        self._fail(f"the server broke RFC 6455: {reason}{option}", None)

    def _on_close_frame(self, payload: bytes) -> None:
        code, reason = parse_close(payload)
        if not self._closing:
            self._out.append(self._masked(OP_CLOSE, payload[:2]))
            self._flush()
        if self._closing or code in (1000, 1001, 1005):
            self._end(None)
        else:
            text = f"closed by the server: {code} {reason}".rstrip()
            self._end(transport_error(text, None, self.name, self._address.url))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle_lost()
        if self._over:
            return
        if not self._upgraded:
            self._fail(f"connection lost in the handshake: {exc or 'closed by the server'}", exc)
        elif exc is None:
            self._end(None)
        else:
            self._fail(f"connection lost: {exc}", exc)

    # -- writing ----------------------------------------------------------------------------------------

    def send_packet(self, packet: EncodedPacket, compress: bool = True) -> None:
        """Send a Socket.IO packet: its text, then its attachments."""
        if self._deflate is not None or self._as_text or not packet.text_first:
            self.send(packet.messages(), compress)
            return
        text = packet.text
        if text:
            self._out.append(self._masked(OP_TEXT, b"4" + text))
        for attachment in packet.attachments:
            self._out.append(self._masked(OP_BINARY, self._prefix + attachment))
        self._plan_flush()

    def send(self, messages: Iterable[Message], compress: bool = True) -> None:
        """Send Engine.IO packets."""
        for type, data in messages:
            encoded = encode_engine_packet(type, data, self._protocol, not self._as_text)
            opcode = OP_BINARY
            if isinstance(encoded, str):
                opcode, encoded = OP_TEXT, encoded.encode()
            smaller = self._deflate.deflate(encoded) if self._deflate is not None and compress else None
            if smaller is None:
                self._out.append(self._masked(opcode, encoded))
            else:
                self._out.append(self._masked(opcode, smaller, True))
        self._plan_flush()

    def _frame(self, opcode: int, payload: bytes) -> None:
        self._out.append(self._masked(opcode, payload))
        self._plan_flush()

    def _masked(self, opcode: int, payload: bytes, compressed: bool = False) -> bytes:
        at = self._mask_at
        if at >= len(self._masks):
            self._masks = os.urandom(_MASK_LOT)
            at = 0
        self._mask_at = at + 4
        return build_frame(opcode, payload, rsv1=compressed, mask=self._masks[at : at + 4])

    def _plan_flush(self) -> None:
        if not self._flush_planned and not self._reading:
            self._flush_planned = True
            self._loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_planned = False
        if self._out:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if self._socket is not None and not self._socket.is_closing():
            self._socket.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._over:
            self._owner.transport_drained()

    # -- closing ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close in order: what was sent leaves, then a close frame, then the connection."""
        if self._closing or self._over:
            return
        if not self._upgraded:
            self.abort()
            return
        self._out.append(self._masked(OP_CLOSE, build_close(1000)))
        self._flush()
        self._closing = True
        self._closer = self._loop.call_later(_CLOSE_TIMEOUT, self.abort)

    def abort(self) -> None:
        """Drop the connection; the owner is not told."""
        self._over = True
        self._out.clear()
        self._stop_closer()
        if self._dialling is not None:
            self._dialling.cancel()
        if self._socket is not None:
            self._socket.abort()
        else:
            self._settle_lost()

    def _fail(self, message: str, cause: BaseException | None, status: int | None = None) -> None:
        error = transport_error(message, cause, self.name, self._address.url)
        error.status = status
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        told = self._closing
        self._over = True
        self._stop_closer()
        if self._socket is not None:
            self._socket.close()
        if not told:
            self._owner.transport_closed(error)

    def _stop_closer(self) -> None:
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None

    def _settle_lost(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
