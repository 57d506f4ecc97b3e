"""One WebSocket of an ASGI server, from the handshake to the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from fastsio.engine.request import NOBODY, Headers, Request, Response, WebSocket, WebSocketReceiver
from fastsio.net.asgi.requests import encode_pairs, send_response
from fastsio.net.asgi.types import Message, Receive, Scope, Send
from fastsio.options import DeflateOptions

__all__ = ["AsgiWebSocket", "WebSocketCall"]

logger = logging.getLogger("fastsio.net")

# Bytes that wait above which the peer counts as slow, and below which it no longer does.
_HIGH_WATER: Final = 65_536
_LOW_WATER: Final = 16_384
# Seconds that a peer may take over what was sent before the end.
_LINGER: Final = 10.0


class WebSocketCall:
    """Serves one WebSocket inside the coroutine that the ASGI server has for it.

    It is its own exchange.
    """

    def __init__(self, scope: Scope) -> None:
        self.on_abort: Callable[[], None] | None = None
        self.scope = scope
        self.request: Request | None = None
        self._response: Response | None = None
        self._websocket: AsgiWebSocket | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._answered = self._loop.create_future()

    @property
    def exchange(self) -> WebSocketCall:
        """Itself."""
        return self

    async def run(self, receive: Receive, send: Send) -> None:
        """Answer the handshake, then carry messages to the end. The application has the request already."""
        if not self._answered.done():
            # The peer may leave while hooks are at work.
            leaving = self._loop.create_task(self._wait_for_leaving(receive))
            try:
                await self._answered
            except asyncio.CancelledError:
                self._gone()
                raise
            finally:
                leaving.cancel()
        if self._websocket is not None:
            await self._websocket.run(receive, send)
        elif self._response is not None:
            await self._deny(send, self._response)

    async def _wait_for_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self._gone()

    def _gone(self) -> None:
        self._over = True
        on_abort, self.on_abort = self.on_abort, None
        if on_abort is not None:
            on_abort()
        self._wake()

    async def _deny(self, send: Send, response: Response) -> None:
        if "websocket.http.response" in (self.scope.get("extensions") or {}):
            await send_response(send, response, "websocket.http")
        else:
            await send({"type": "websocket.close"})

    def _wake(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)

    # -- for the application --------------------------------------------------------------------------

    def respond(self, response: Response) -> None:
        """Refuse the handshake; where the ASGI server cannot send ``response``, it is a 403."""
        if not self._over:
            self._over = True
            self._response = response
            self._wake()

    def read_body(
        self, max_size: int, on_body: Callable[[bytes], None], on_too_large: Callable[[], None]
    ) -> None:
        """A handshake has none."""
        on_body(b"")

    def accept_websocket(
        self,
        receiver: WebSocketReceiver,
        *,
        headers: Headers,
        max_message_size: int,
        max_buffered_bytes: int,
        per_message_deflate: DeflateOptions | None,
    ) -> WebSocket | None:
        """Accept it; None if the peer is gone. Compression is between the ASGI server and the peer."""
        if self._over:
            return None
        self._over = True
        accept: dict[str, Any] = {"type": "websocket.accept", "headers": encode_pairs(headers)}
        offered = self.scope.get("subprotocols")
        if offered:
            # As the reference does.
            accept["subprotocol"] = offered[0]
        self._websocket = AsgiWebSocket(receiver, accept, max_message_size, max_buffered_bytes)
        self._wake()
        return self._websocket

    def abort(self) -> None:
        """End it without a word."""
        self.respond(Response(400))


class AsgiWebSocket(WebSocket):
    """What was written since the coroutine that sends looked last, and the two coroutines at work.

    It passes for compressed: ready-made frames cannot go through an ASGI server.
    """

    __slots__ = (
        "_deadline",
        "_done",
        "_ending",
        "_error",
        "_loop",
        "_max_buffered",
        "_max_message",
        "_out",
        "_queued",
        "_waker",
    )

    def __init__(
        self,
        receiver: WebSocketReceiver,
        accept: Message,
        max_message_size: int,
        max_buffered_bytes: int,
    ) -> None:
        super().__init__(receiver, True)
        self._loop = asyncio.get_running_loop()
        self._max_message = max_message_size
        self._max_buffered = max_buffered_bytes
        self._out: list[tuple[Message, int]] = [(accept, 0)]
        self._queued = 0
        self._ending = False
        self._error: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        #: Done when nothing more is to be sent or read.
        self._done: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._waker: asyncio.Future[None] | None = None

    async def run(self, receive: Receive, send: Send) -> None:
        """Carry messages in both directions until one side ends it."""
        tasks = [self._loop.create_task(self._read(receive)), self._loop.create_task(self._write(send))]
        code, reason = 1006, ""
        try:
            code, reason = await self._done
        finally:
            self._ending = True
            for task in tasks:
                task.cancel()
            if self._deadline is not None:
                self._deadline.cancel()
            self._report(code, reason)

    # -- in -------------------------------------------------------------------------------------------

    async def _read(self, receive: Receive) -> None:
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.receive":
                    self._on_message(message)
                elif message["type"] == "websocket.disconnect":
                    self._finish(message.get("code", 1005), message.get("reason") or "")
                    return
        except Exception:
            logger.exception("receiver of a WebSocket failed")
            self._fail(1011, "internal error")

    def _on_message(self, message: Message) -> None:
        text = message.get("text")
        payload: bytes = message["bytes"] if text is None else text.encode()
        if self._ending:
            return
        if len(payload) > self._max_message:
            self._fail(1009, f"message of {len(payload)} bytes, the limit is {self._max_message}")
        elif text is None:
            self.receiver.on_binary(payload)
        else:
            self.receiver.on_text(payload)

    # -- out ------------------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer."""
        return self._queued

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        """Send one text message; ``payload`` is UTF-8."""
        self._send({"type": "websocket.send", "text": payload.decode()}, len(payload))

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        """Send one binary message."""
        self._send({"type": "websocket.send", "bytes": payload}, len(payload))

    def write_frames(self, frames: bytes) -> None:
        """Not for a WebSocket that passes for compressed."""
        raise NotImplementedError

    def flush(self) -> None:
        """What is queued leaves as fast as the ASGI server takes it."""

    def _send(self, message: Message, size: int) -> None:
        if self._ending:
            return
        self._out.append((message, size))
        self._queued += size
        if self._queued > _HIGH_WATER:
            self.writable = False
            if self._queued > self._max_buffered:
                self._overflow()
                return
        self._wake()

    def _wake(self) -> None:
        waker, self._waker = self._waker, None
        if waker is not None and not waker.done():
            waker.set_result(None)

    async def _write(self, send: Send) -> None:
        try:
            while True:
                while self._out:
                    out, self._out = self._out, []
                    for message, size in out:
                        await send(message)
                        self._sent(size)
                    if out[-1][0]["type"] == "websocket.close":
                        self._finish(1005, "")
                        return
                self._waker = self._loop.create_future()
                await self._waker
        except Exception as error:
            # Servers raise what they like when the peer is gone; some stay silent.
            logger.debug("the ASGI server cannot send: %r", error)
            self._finish(1006, "")

    def _sent(self, size: int) -> None:
        self._queued -= size
        if not self.writable and self._queued <= _LOW_WATER:
            self.writable = True
            if not self._ending:
                try:
                    self.receiver.on_writable()
                except Exception:
                    logger.exception("receiver of a WebSocket failed")
                    self._fail(1011, "internal error")

    def _overflow(self) -> None:
        self._error = (
            f"{self._queued} bytes wait for a peer that does not read, "
            f"the limit is {self._max_buffered} (option max_buffered_bytes)"
        )
        logger.warning("WebSocket dropped: %s", self._error)
        self.abort()

    # -- the end --------------------------------------------------------------------------------------

    def close(self, code: int = 0, reason: str = "") -> None:
        """Send what is queued, then end the connection."""
        if not self._ending:
            self._ending = True
            self._out.append(({"type": "websocket.close", "code": code or 1000, "reason": reason}, 0))
            self._wake()
            self._deadline = self._loop.call_later(_LINGER, self._finish, 1006, "")

    def abort(self) -> None:
        """Drop what is queued and end the connection; ``on_close`` follows on the next turn of the loop."""
        self._ending = True
        self._finish(1006, "")

    def _fail(self, code: int, reason: str) -> None:
        """End a connection that cannot go on."""
        self.close(code, reason)
        self._error = f"{reason} (close code {code})"
        self._report(code, reason)

    def _finish(self, code: int, reason: str) -> None:
        if not self._done.done():
            self._done.set_result((code, reason))

    def _report(self, code: int, reason: str) -> None:
        receiver, self.receiver = self.receiver, NOBODY
        try:
            receiver.on_close(code, reason, self._error)
        except Exception:
            logger.exception("receiver of a WebSocket failed")
