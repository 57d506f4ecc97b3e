"""A server as an ASGI application, alone or in front of another one (ASGI 3.0)."""

from __future__ import annotations

import logging

from fastsio.engine.serving import Served
from fastsio.net.asgi.http import HttpCall
from fastsio.net.asgi.requests import make_request, request_paths, send_response
from fastsio.net.asgi.types import ASGIApplication, Message, Receive, Scope, Send
from fastsio.net.asgi.websocket import WebSocketCall
from fastsio.net.exchange import plain_response

__all__ = ["AsgiApp"]

logger = logging.getLogger("fastsio.net")


class AsgiApp:
    """Serves what is ``app``'s and passes the rest on.

    :param app: is offered each request.
    :param other: gets every request that is not ``app``'s; without it they are not found.
    """

    def __init__(self, app: Served, other: ASGIApplication | None = None) -> None:
        self._app = app
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            call = HttpCall(scope)
            if self._offer(scope, call):
                await call.run(receive, send)
                return
        elif kind == "websocket":
            websocket = WebSocketCall(scope)
            if self._offer(scope, websocket):
                await receive()  # websocket.connect
                await websocket.run(receive, send)
                return
        elif kind == "lifespan":
            await _Lifespan(self._app, self._other, scope).run(receive, send)
            return
        if self._other is not None:
            await self._other(scope, receive, send)
        elif kind == "http":
            await send_response(send, plain_response(404, "Not Found"))
        elif kind == "websocket":
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"there is nothing here for a scope of type {kind!r}")

    def _offer(self, scope: Scope, call: HttpCall | WebSocketCall) -> bool:
        """Whether the request is the server's; it has it then."""
        exchange = call.exchange
        for path in request_paths(scope):
            request = make_request(scope, path, exchange)
            exchange.request = request
            if self._app.serve(request):
                return True
        return False


class _Lifespan:
    """Starts and stops the server with the ASGI server's lifespan, around that of the other application."""

    def __init__(self, app: Served, other: ASGIApplication | None, scope: Scope) -> None:
        self._app = app
        self._other = other
        self._scope = scope

    async def run(self, receive: Receive, send: Send) -> None:
        """From the message that starts it to the answer that it has stopped."""
        first = await receive()
        try:
            await self._app.startup()
        except Exception as error:
            logger.exception("startup failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        try:
            if self._other is None or not await self._run_other(self._other, first, receive, send):
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await self._app.close()
                await send({"type": "lifespan.shutdown.complete"})
        finally:
            # Once more does no harm.
            await self._app.close()

    async def _run_other(self, other: ASGIApplication, first: Message, receive: Receive, send: Send) -> bool:
        """Whether the other application knows what a lifespan is, and was there to its end."""
        waiting = [first]
        answered = False

        async def receive_next() -> Message:
            if waiting:
                return waiting.pop()
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                # Handlers may use what the other application is about to close.
                await self._app.close()
            return message

        async def send_on(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await other(self._scope, receive_next, send_on)
        except Exception:
            # That is how the specification has applications say that they know no lifespan.
            if answered:
                raise
        return answered
