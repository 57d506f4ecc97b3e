"""Where the connections of a load test go, and what they say alike."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from fastsio._codec import Packet, PacketType, encode_packet
from fastsio._frames import OP_CLOSE, build_frame
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.wire import Wire
from fastsio.net.listener import open_poller

__all__ = ["Target"]


class Target:
    """Where and how to connect: one per process."""

    def __init__(self, options: LoadOptions, addresses: list[str]) -> None:
        self.options = options
        #: The numeric addresses of the host; connections take the first.
        self.address = addresses[0]
        self.wire = Wire(options.transport, options.protocol)
        self.protocol = options.protocol
        self.namespace, _, _ = options.namespace.partition("?")
        joins = options.namespace != "/" or options.protocol == 4
        self.connect_packet = (
            encode_packet(
                Packet(
                    PacketType.CONNECT,
                    options.namespace,
                    None if options.auth is None else dict(options.auth),
                ),
                options.socketio_protocol,
            )
            if joins
            else None
        )
        self.disconnect_packet = encode_packet(Packet(PacketType.DISCONNECT, self.namespace), 5)
        # As WebSocket frames, made once: they are the same for every connection.
        self.connect_frames = b"" if self.connect_packet is None else self.wire.frames(self.connect_packet)
        self.goodbye_frames = self.wire.frames(self.disconnect_packet) + build_frame(
            OP_CLOSE, b"\x03\xe8", mask=os.urandom(4)
        )
        # Reads and writes the sockets without TLS, as it does those of a server.
        self._poller = None if options.secure else open_poller(asyncio.get_running_loop())
        self.ssl: ssl.SSLContext | None = None
        if options.secure:
            self.ssl = ssl.create_default_context()
            if options.insecure:
                self.ssl.check_hostname = False
                self.ssl.verify_mode = ssl.CERT_NONE
        query = f"EIO={options.protocol}&transport={options.transport}"
        if options.query:
            query = f"{options.query}&{query}"
        self.resource = f"{options.path}?{query}"
        self.common_headers = "".join(
            [f"Host: {options.authority}\r\n", *[f"{name}: {value}\r\n" for name, value in options.headers]]
        )
        self.upgrade_head = (
            f"GET {self.resource} HTTP/1.1\r\n{self.common_headers}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        ).encode()

    async def open(self, protocol: asyncio.Protocol) -> None:
        """Open one TCP (and TLS) connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._poller is None:
            await loop.create_connection(
                lambda: protocol,
                self.address,
                self.options.port,
                ssl=self.ssl,
                server_hostname=self.options.host if self.ssl else None,
            )
            return
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        # Closed here unless it was taken over.
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (self.address, self.options.port))
            self._poller.adopt(sock, protocol)

    def close(self) -> None:
        """The connections are closed: stop watching them."""
        if self._poller is not None:
            self._poller.close()
