"""The least a WebSocket client can do: send a ready-made frame, wait for anything, again; see common.py.

It parses nothing, so it can only have one message in flight. Its figure is the share of kernel and loop.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop
from common import Count, arguments, memory, report, window


class Echo(asyncio.Protocol):
    def __init__(self, args: argparse.Namespace, count: Count) -> None:
        self._count = count
        payload = f'42["echo","{count.payload(0)}"]'.encode()
        assert len(payload) < 126
        # Masked with zeros.
        self._frame = bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload
        self._request = (
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        # The HTTP response and the handshake, CONNECT's answer, then echoes.
        self._greeted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._greeted == 2:
            self._count.messages += 1
            self._transport.write(self._frame)
        elif self._greeted == 1 and b"40{" in data:
            self._greeted = 2
            self._transport.write(self._frame)
        elif b'0{"sid"' in data:
            self._greeted = 1
            self._transport.write(b"\x81\x82\0\0\0\x0040")


async def main() -> None:
    args = arguments()
    host, port = args.url.removeprefix("http://").split(":")
    count = Count(args)
    before = memory()
    loop = asyncio.get_running_loop()
    for _ in range(args.clients):
        await loop.create_connection(lambda: Echo(args, count), host, int(port))
    report(await window(args, count, before))


uvloop.run(main())
