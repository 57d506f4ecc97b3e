"""One HTTP request of an ASGI server: its body in, its response out, and the peer's leaving."""

from __future__ import annotations

import asyncio
import logging

from fastsio.engine.request import Response
from fastsio.net.asgi.requests import send_response
from fastsio.net.asgi.types import Receive, Scope, Send
from fastsio.net.exchange import Channel, HttpExchange, plain_response

__all__ = ["HttpCall"]

logger = logging.getLogger("fastsio.net")


class HttpCall(Channel):
    """Serves one request inside the coroutine that the ASGI server has for it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.exchange = HttpExchange(self)
        self.exchange.complete = False
        self.exchange.remaining = _announced(scope)
        self._loop = asyncio.get_running_loop()
        self._answered = self._loop.create_future()
        self._wanted = asyncio.Event()

    async def run(self, receive: Receive, send: Send) -> None:
        """Wait for the answer and send it. The application has the request already."""
        exchange = self.exchange
        if not self._answered.done():
            reader = self._loop.create_task(self._read(receive))
            try:
                await self._answered
            except asyncio.CancelledError:
                exchange.gone()
                raise
            finally:
                reader.cancel()
        response = exchange.response
        if response is not None:
            await self._send(send, response)
            exchange.done()

    async def _send(self, send: Send, response: Response) -> None:
        # HTTP/2 ends streams, not connections.
        close = self.exchange.close and str(self.scope.get("http_version", "1.1")).startswith("1")
        head = self.scope["method"] == "HEAD"
        try:
            await send_response(send, response, head=head, close=close)
        except ValueError:
            logger.exception("response to %r refused", self.exchange.request)
            await send_response(send, plain_response(500), head=head, close=close)

    async def _read(self, receive: Receive) -> None:
        exchange = self.exchange
        try:
            while True:
                if exchange.is_unread():
                    await self._wanted.wait()
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                exchange.receive(message.get("body", b""))
                if not message.get("more_body", False) and not exchange.complete:
                    exchange.finish()
        except Exception:
            logger.exception("%r: the ASGI server failed", exchange.request)
        exchange.gone()
        self._wake()

    def _wake(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)

    # -- what the exchange asks for -------------------------------------------------------------------

    def send_responses(self) -> None:
        """The application has answered."""
        self._wake()

    def want_body(self) -> None:
        """The application asks for the body."""
        self._wanted.set()

    def is_next(self, exchange: HttpExchange) -> bool:
        """A request of HTTP is none for a WebSocket, so this does not matter."""
        return True

    def abort(self) -> None:
        """The application wants the connection dropped; an ASGI application can only refuse, and end it."""
        self.exchange.close = True
        self.exchange.response = plain_response(400)
        self._wake()


def _announced(scope: Scope) -> int:
    """The size of the body as announced, -1 if it was not."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length":
            return int(value) if value.isdigit() and len(value) <= 18 else -1
    return -1
