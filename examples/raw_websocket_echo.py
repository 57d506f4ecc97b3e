"""Echo text and binary messages over the WebSocket layer alone, without Engine.IO on top.

Point a WebSocket fuzzing client at it::

    PORT=9001 DEFLATE=1 python examples/raw_websocket_echo.py
"""

import asyncio
import logging
import os

from fastsio.engine.request import Request, Response
from fastsio.net.listener import Listener
from fastsio.net.run import run
from fastsio.options import DeflateOptions

PORT = int(os.environ.get("PORT", "9001"))
DEFLATE = DeflateOptions(threshold=0) if os.environ.get("DEFLATE") == "1" else None
MAX_MESSAGE = 32 * 1024 * 1024


class Echo:
    """Sends every message back."""

    websocket = None

    def on_text(self, payload):
        self.websocket.send_text(payload)

    def on_binary(self, payload):
        self.websocket.send_binary(payload)

    def on_close(self, code, reason, error):
        logging.info("closed: %s %r %s", code, reason, error or "")

    def on_writable(self):
        pass


class App:
    """Accepts every WebSocket."""

    def handle(self, request: Request) -> None:
        if not request.upgrade:
            request.exchange.respond(Response(426, [("Upgrade", "websocket")], b"a WebSocket is expected"))
            return
        echo = Echo()
        echo.websocket = request.exchange.accept_websocket(
            echo,
            headers=[],
            max_message_size=MAX_MESSAGE,
            max_buffered_bytes=8 * MAX_MESSAGE,
            per_message_deflate=DEFLATE,
        )


async def main() -> None:
    listener = Listener(App())
    await listener.listen(PORT)
    print(f"ws://localhost:{listener.port}/", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await listener.close(grace=2)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    run(main)
