"""A bare client for tests: speaks Engine.IO over a socket, shows every packet as it came."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections import deque
from typing import Any

from fastsio._frames import OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, FrameParser, build_frame

TIMEOUT = 5.0

_writers: list[asyncio.StreamWriter] = []


async def open_connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection that :func:`close_connections` closes if the test does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _writers.append(writer)
    return reader, writer


async def close_connections() -> None:
    """Close what the test left open."""
    while _writers:
        writer = _writers.pop()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class HttpResponse:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def read_response(reader: asyncio.StreamReader, *, head: bool = False) -> HttpResponse:
    raw = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = raw.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    status = int(status_line.split()[1])
    body = b""
    if not head and status not in (101, 204, 304):
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return HttpResponse(status, headers, body)


async def http(
    port: int,
    target: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """One request on a connection of its own."""
    reader, writer = await open_connection(port)
    try:
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await asyncio.wait_for(read_response(reader, head=method == "HEAD"), TIMEOUT)
    finally:
        writer.close()


class WebSocketClient:
    """A WebSocket connection; ``recv`` gives text as str, binary as bytes, None when the server closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = FrameParser(client=True, max_message_size=1 << 28)
        self._ready: deque[tuple[int, bytes]] = deque()
        self.close_code: int | None = None
        self.handshake: HttpResponse | None = None

    @classmethod
    async def connect(cls, port: int, target: str, headers: dict[str, str] | None = None) -> WebSocketClient:
        reader, writer = await open_connection(port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *[f"{name}: {value}" for name, value in (headers or {}).items()],
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        client = cls(reader, writer)
        client.handshake = await asyncio.wait_for(read_response(reader), TIMEOUT)
        return client

    def send(self, data: str | bytes) -> None:
        opcode = OP_TEXT if isinstance(data, str) else OP_BINARY
        payload = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self._writer.write(build_frame(opcode, payload, mask=os.urandom(4)))

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    async def recv(self, timeout: float = TIMEOUT) -> str | bytes | None:
        while True:
            while self._ready:
                opcode, payload = self._ready.popleft()
                if opcode == OP_TEXT:
                    return payload.decode()
                if opcode == OP_BINARY:
                    return payload
                if opcode == OP_PING:
                    self._writer.write(build_frame(OP_PONG, payload, mask=os.urandom(4)))
                elif opcode == OP_CLOSE:
                    self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            if self.close_code is not None:
                return None
            data = await asyncio.wait_for(self._reader.read(1 << 16), timeout)
            if not data:
                self.close_code = 1006
                return None
            self._ready.extend(self._parser.feed(data))

    async def expect_closed(self, timeout: float = TIMEOUT) -> int:
        """Read to the end; the close code, 1005 for an empty close frame, 1006 for none."""
        while await self.recv(timeout) is not None:
            pass
        assert self.close_code is not None
        return self.close_code

    def close(self) -> None:
        self._writer.write(build_frame(OP_CLOSE, b"", mask=os.urandom(4)))

    def abort(self) -> None:
        self._writer.transport.abort()


class SocketIOClient:
    """A Socket.IO client over one WebSocket: packets without the Engine.IO digit, pings answered."""

    def __init__(self, websocket: WebSocketClient, protocol: int, opened: dict[str, Any]) -> None:
        self.websocket = websocket
        self.protocol = protocol
        self.opened = opened
        self.sid = ""

    @classmethod
    async def connect(
        cls,
        port: int,
        namespace: str = "/",
        auth: Any = None,
        *,
        protocol: int = 5,
        query: str = "",
        headers: dict[str, str] | None = None,
    ) -> SocketIOClient:
        """Connect and join ``namespace``; a protocol 4 client takes part in ``/`` without asking."""
        engine = 4 if protocol == 5 else 3
        target = f"/socket.io/?EIO={engine}&transport=websocket{query}"
        websocket = await WebSocketClient.connect(port, target, headers)
        opened = await websocket.recv()
        assert isinstance(opened, str), "no open packet"
        assert opened[0] == "0", opened
        client = cls(websocket, protocol, json.loads(opened[1:]))
        if protocol == 4:
            assert await client.recv() == "0"
        if protocol == 5 or namespace != "/":
            reply = await client.join(namespace, auth)
            assert reply.startswith("0"), reply
            if protocol == 5:
                client.sid = json.loads(reply[reply.index("{") :])["sid"]
        return client

    async def join(self, namespace: str, auth: Any = None) -> str:
        """Send CONNECT; the server's answer."""
        prefix = "" if namespace == "/" else namespace + ","
        self.send("0" + prefix + ("" if auth is None else json.dumps(auth)))
        reply = await self.recv()
        assert isinstance(reply, str)
        return reply

    def send(self, packet: str | bytes) -> None:
        if isinstance(packet, str):
            self.websocket.send("4" + packet)
        else:
            self.websocket.send(packet if self.protocol == 5 else b"\x04" + packet)

    def emit(self, *event: Any, ack: int | None = None, namespace: str = "/") -> None:
        prefix = "" if namespace == "/" else namespace + ","
        self.send(f"2{prefix}{'' if ack is None else ack}{json.dumps(event)}")

    async def recv(self, timeout: float = TIMEOUT) -> str | bytes | None:
        while True:
            data = await self.websocket.recv(timeout)
            if data == "2":
                self.websocket.send("3")
            elif isinstance(data, str):
                assert data[0] == "4", data
                return data[1:]
            elif data is not None and self.protocol == 4:
                assert data[0] == 4
                return data[1:]
            else:
                return data

    async def event(self, timeout: float = TIMEOUT) -> list[Any]:
        """The next packet, which must be an event without attachments, as a list."""
        packet = await self.recv(timeout)
        assert isinstance(packet, str), f"not an event: {packet!r}"
        assert packet[0] == "2", f"not an event: {packet!r}"
        decoded: list[Any] = json.loads(packet[packet.index("[") :])
        return decoded
