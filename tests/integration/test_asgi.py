"""``Server.asgi`` under a real uvicorn, alone, in front of an application and mounted in one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from tests.support.asgi import serve_asgi

import fastsio
from fastsio.engine import EngineServer
from fastsio.exceptions import ConnectionRefused

#: uvicorn's settings for WebSockets; "fastsio" stands for ``Server.uvicorn_protocol()``.
WEBSOCKETS = ["websockets-sansio", "wsproto", "fastsio"]


def echo_server(**options: Any) -> fastsio.Server:
    io = fastsio.Server(**options)

    @io.on("connection")
    def connection(socket: fastsio.Socket) -> None:
        socket.on("echo", lambda text, data, deep: (text, data, deep))

    return io


def settings(io: Any, ws: str) -> dict[str, Any]:
    return {"ws": io.uvicorn_protocol() if ws == "fastsio" else ws}


async def ask(url: str, **options: Any) -> Any:
    """What the server answers to ``echo``."""
    async with fastsio.Client(url, reconnection=False, **options) as client:
        return await client.timeout(5).emit_with_ack("echo", "text", b"\x00\xff", {"deep": [b"\x01"]})


ANSWER = ("text", b"\x00\xff", {"deep": [b"\x01"]})


class Http:
    """Requests on one connection, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self, text: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        self._writer.write(text.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        size = 0 if text.startswith("HEAD") else int(headers.get("content-length", 0))
        return int(lines[0].split()[1]), headers, await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(), 5)

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def http(port: int) -> AsyncIterator[Http]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Http(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def open_polling(connection: Http, path: str = "/socket.io/") -> str:
    """Open a session; its id."""
    status, _, body = await connection.request(f"GET {path}?EIO=4&transport=polling HTTP/1.1\nHost: x")
    assert status == 200
    sid = json.loads(body[1:].split(b"\x1e")[0])["sid"]
    assert isinstance(sid, str)
    return sid


async def eventually(condition: Any) -> None:
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


# ---- where it stands


@pytest.mark.parametrize("ws", WEBSOCKETS)
@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_alone(ws: str, transports: list[str]) -> None:
    io = echo_server()
    async with serve_asgi(io.asgi(), **settings(io, ws)) as port:
        assert await ask(f"http://127.0.0.1:{port}", transports=transports) == ANSWER
        async with http(port) as connection:
            assert (await connection.request("GET / HTTP/1.1\nHost: x"))[0] == 404
        with pytest.raises(websockets.InvalidStatus, match=r"40[34]"):
            await websockets.connect(f"ws://127.0.0.1:{port}/elsewhere")


@pytest.mark.parametrize("ws", WEBSOCKETS)
async def test_in_front_of_another_application(ws: str) -> None:
    api = FastAPI()

    @api.get("/hello")
    def hello() -> str:
        return "hello"

    @api.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @api.websocket("/own")
    async def own(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("own " + await websocket.receive_text())
        await websocket.close()

    io = echo_server()
    async with serve_asgi(io.asgi(api), **settings(io, ws)) as port:
        assert await ask(f"http://127.0.0.1:{port}") == ANSWER
        async with http(port) as connection:
            assert (await connection.request("GET /hello HTTP/1.1\nHost: x"))[2] == b'"hello"'
            big = await connection.request(
                "POST /size HTTP/1.1\nHost: x\nContent-Length: 300000", b"x" * 300000
            )
            assert big[2] == b"300000"
        async with websockets.connect(f"ws://127.0.0.1:{port}/own") as websocket:
            await websocket.send("there")
            assert await websocket.recv() == "own there"


@pytest.mark.parametrize(
    ("mount", "path", "root"),
    [
        ("/", "/socket.io", ""),
        ("/socket.io", "/socket.io", ""),
        ("/chat", "/chat/socket.io", ""),
        ("/a/b", "/a/b/socket.io", ""),
        ("/chat", "/chat/socket.io", "/api"),
    ],
)
async def test_mounted(mount: str, path: str, root: str) -> None:
    io = echo_server()
    outer = FastAPI()
    outer.mount(mount, io.asgi())
    async with serve_asgi(outer, root_path=root) as port:
        for transport in ("polling", "websocket"):
            assert await ask(f"http://127.0.0.1:{port}", path=path, transports=[transport]) == ANSWER
        async with http(port) as connection:
            at = path.removesuffix("/socket.io")
            status, _, body = await connection.request(f"GET {at}/socket.io/socket.io.js HTTP/1.1\nHost: x")
            assert status == 200 and b"Socket.IO" in body[:2000]
            assert (await connection.request(f"GET {at}/other HTTP/1.1\nHost: x"))[0] == 404
    await io.close()


async def test_engine_alone() -> None:
    engine = EngineServer()
    engine.on("connection", lambda session: session.on("message", session.send))
    async with serve_asgi(engine.asgi()) as port:
        url = f"ws://127.0.0.1:{port}/engine.io/?EIO=4&transport=websocket"
        async with websockets.connect(url) as websocket:
            assert str(await websocket.recv()).startswith("0{")
            await websocket.send("4text")
            assert await websocket.recv() == "4text"
            await websocket.send(b"\x00bytes")
            assert await websocket.recv() == b"\x00bytes"


# ---- what it is told


async def test_what_handlers_see_of_the_request() -> None:
    io = fastsio.Server(trusted_proxies=["127.0.0.1"])
    seen: list[Any] = []

    @io.on("connection")
    def connection(socket: fastsio.Socket) -> None:
        handshake = socket.handshake
        assert socket.request.scope is not None
        seen.append(
            (
                handshake.address,
                handshake.secure,
                handshake.query["a"],
                handshake.headers["cookie"],
                socket.request.scope["state"]["database"],
            )
        )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"database": "opened"}

    headers = {"x-forwarded-for": "10.1.2.3", "x-forwarded-proto": "https", "cookie": "a=1"}
    async with serve_asgi(io.asgi(Starlette(lifespan=lifespan)), proxy_headers=False) as port:
        for transport in ("polling", "websocket"):
            client = fastsio.Client(
                f"http://127.0.0.1:{port}", transports=[transport], query={"a": "ä b"}, extra_headers=headers
            )
            async with client:
                pass
    assert seen == [("10.1.2.3", True, "ä b", "a=1", "opened")] * 2


async def test_files_and_metrics(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 4096)
    io = fastsio.Server(static_files={"/files": str(tmp_path)}, metrics_path="/metrics")
    async with serve_asgi(io.asgi()) as port, http(port) as connection:
        status, headers, body = await connection.request("GET /files/big.bin HTTP/1.1\nHost: x")
        assert (status, len(body), headers["content-type"]) == (200, 1 << 20, "application/octet-stream")
        status, headers, body = await connection.request("HEAD /files/big.bin HTTP/1.1\nHost: x")
        assert (status, headers["content-length"], body) == (200, str(1 << 20), b"")
        etag = headers["etag"]
        status, headers, body = await connection.request(
            f"GET /files/big.bin HTTP/1.1\nHost: x\nIf-None-Match: {etag}"
        )
        assert (status, body) == (304, b"")
        status, headers, body = await connection.request(
            "GET /files/big.bin HTTP/1.1\nHost: x\nRange: bytes=256-300000"
        )
        assert (status, len(body), body[:2]) == (206, 299745, b"\x00\x01")
        assert b"fastsio" in (await connection.request("GET /metrics HTTP/1.1\nHost: x"))[2]


# ---- beginning and end


async def test_lifespan_around_that_of_the_other_application() -> None:
    order: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        order.append("other starts")
        yield
        order.append("other stops")

    io = echo_server()
    io.on_startup(lambda: order.append("starts"))
    io.on_shutdown(lambda: order.append("stops"))
    io.on("connection", lambda socket: socket.on("disconnect", lambda reason: order.append(str(reason))))
    async with serve_asgi(io.asgi(Starlette(lifespan=lifespan))) as port:
        client = fastsio.Client(f"http://127.0.0.1:{port}", reconnection=False, transports=["websocket"])
        await client.connect()
        assert order == ["starts", "other starts"]
    assert order[2:] == ["transport close", "stops", "other stops"]
    client.disconnect()


async def test_an_application_that_knows_no_lifespan() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse("plain")(scope, receive, send)

    stopped: list[str] = []
    io = echo_server()
    io.on_shutdown(lambda: stopped.append("stopped"))
    async with serve_asgi(io.asgi(plain)) as port:
        assert await ask(f"http://127.0.0.1:{port}") == ANSWER
        async with http(port) as connection:
            assert (await connection.request("GET / HTTP/1.1\nHost: x"))[2] == b"plain"
    assert stopped == ["stopped"]


async def test_a_startup_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    io = echo_server()

    @io.on_startup
    async def fails() -> None:
        raise RuntimeError("no database")

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await io.asgi(Starlette())({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert "no database" in caplog.text


async def test_mounted_it_serves_without_a_lifespan() -> None:
    """And starts with the first request what a lifespan would have started."""
    io = echo_server()
    async with serve_asgi(Starlette(routes=[Mount("/", io.asgi())]), lifespan="off") as port:
        assert await ask(f"http://127.0.0.1:{port}") == ANSWER
    await io.close()


# ---- bad input, and peers that leave


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit(declared: bool, caplog: pytest.LogCaptureFixture) -> None:
    io = echo_server(max_http_buffer_size=1000)
    async with serve_asgi(io.asgi()) as port, http(port) as connection:
        sid = await open_polling(connection)
        head = f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\nHost: x\n"
        if declared:
            answer = await connection.request(head + "Content-Length: 1001")
        else:
            answer = await connection.request(
                head + "Transfer-Encoding: chunked", b"3e9\r\n" + b"x" * 1001 + b"\r\n"
            )
        assert answer[0] == 413
        # Nobody reads the rest.
        assert answer[1]["connection"] == "close"
        assert await connection.rest() == b""
        assert "option max_http_buffer_size" in caplog.text
        async with http(port) as other:
            assert (await other.request("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\nHost: x"))[
                0
            ] == 200


async def test_a_body_at_the_limit() -> None:
    io = echo_server(max_http_buffer_size=1000)
    async with serve_asgi(io.asgi()) as port, http(port) as connection:
        sid = await open_polling(connection)
        head = f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\nHost: x\nContent-Length: 1000"
        assert (await connection.request(head, b"4" + b"x" * 999))[0] == 200


@pytest.mark.parametrize("ws", WEBSOCKETS)
async def test_a_message_above_the_limit(ws: str) -> None:
    io = echo_server(max_http_buffer_size=1000)
    closed: list[Any] = []
    io.engine.on("connection", lambda session: session.on("close", lambda *args: closed.append(args)))
    async with serve_asgi(io.asgi(), **settings(io, ws)) as port:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        async with websockets.connect(url) as websocket:
            await websocket.recv()
            await websocket.send("4" + "x" * 1000)
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await websocket.recv()
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009
        assert [str(reason) for reason, _ in closed] == ["transport error"]
        assert "1009" in str(closed[0][1])


@pytest.mark.parametrize("ws", WEBSOCKETS)
async def test_a_peer_that_does_not_read(ws: str, caplog: pytest.LogCaptureFixture) -> None:
    io = echo_server(max_buffered_bytes=2_000_000)
    closed: list[str] = []
    writable: list[bool] = []

    @io.on("connection")
    def connection(socket: fastsio.Socket) -> None:
        socket.conn.on("close", lambda reason, description: closed.append(str(description)))

        @socket.on("flood")
        async def flood() -> None:
            while socket.connected:
                socket.emit("data", "x" * 50_000)
                writable.append(socket.conn.writable)
                await asyncio.sleep(0)

    async with serve_asgi(io.asgi(), ws_ping_interval=None, **settings(io, ws)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'\x81\x82\0\0\0\x0040\x81\x8b\0\0\0\x0042["flood"]')
        await eventually(lambda: closed)
        assert "option max_buffered_bytes" in closed[0]
        assert "option max_buffered_bytes" in caplog.text
        assert not writable[-1] and io.engine.clients_count == 0
        # It is dropped, and nobody else notices.
        assert await ask(f"http://127.0.0.1:{port}", transports=["websocket"]) == ANSWER
        writer.close()


async def test_a_poll_that_is_broken_off() -> None:
    io = echo_server()
    closed: list[tuple[str, str]] = []
    io.engine.on(
        "connection",
        lambda session: session.on("close", lambda *args: closed.append((str(args[0]), args[1]))),
    )
    async with serve_asgi(io.asgi()) as port, http(port) as connection:
        sid = await open_polling(connection)
        with contextlib.suppress(asyncio.TimeoutError):
            poll = f"GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\nHost: x"
            await asyncio.wait_for(connection.request(poll), 0.1)
        connection.close()
        await eventually(lambda: closed)
    assert closed == [("transport error", "poll connection closed prematurely")]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_peer_that_leaves_while_a_hook_is_at_work(transport: str) -> None:
    asked = asyncio.Event()
    done = asyncio.Event()

    async def allow(request: Any) -> bool:
        asked.set()
        await asyncio.sleep(0.2)
        done.set()
        return True

    io = echo_server(allow_request=allow)
    async with serve_asgi(io.asgi()) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n"
        )
        writer.write(
            f"GET /socket.io/?EIO=4&transport={transport} HTTP/1.1\r\nHost: x\r\n"
            f"{upgrade if transport == 'websocket' else ''}\r\n".encode()
        )
        await asked.wait()
        writer.close()
        await done.wait()
        await asyncio.sleep(0.05)
        assert io.engine.clients_count == 0


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto", "fastsio"])
async def test_refusals(ws: str) -> None:
    def allow(request: Any) -> bool:
        raise ConnectionRefused("not today")

    io = echo_server(allow_request=allow)
    async with serve_asgi(io.asgi(), **settings(io, ws)) as port:
        async with http(port) as connection:
            answer = await connection.request("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\nHost: x")
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket")
        response = caught.value.response
    assert (answer[0], json.loads(answer[2])) == (403, {"code": 4, "message": "not today"})
    assert response.status_code == 400
    assert response.body is not None and b"not today" in response.body


async def test_a_header_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    io = echo_server()
    io.engine.on("headers", lambda headers, request: headers.append(("X-Bad", "a\r\nb")))
    async with serve_asgi(io.asgi()) as port, http(port) as connection:
        answer = await connection.request("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\nHost: x")
        assert answer[0] == 500
    assert "line break" in caplog.text


@pytest.mark.parametrize("ws", WEBSOCKETS)
async def test_nothing_is_left_of_connections(ws: str) -> None:
    io = echo_server()
    async with serve_asgi(io.asgi(), **settings(io, ws)) as port:
        for _ in range(3):
            for transport in ("polling", "websocket"):
                assert await ask(f"http://127.0.0.1:{port}", transports=[transport]) == ANSWER
        await eventually(lambda: io.engine.clients_count == 0)
        await asyncio.sleep(0.05)
        gc.collect()
        left = [
            type(thing).__name__
            for thing in gc.get_objects()
            if type(thing).__name__ in ("AsgiWebSocket", "WebSocketCall", "HttpCall", "WebSocketConnection")
        ]
        assert left == []


async def test_logs_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    io = echo_server()
    with caplog.at_level(logging.INFO):
        async with serve_asgi(io.asgi()) as port:
            await ask(f"http://127.0.0.1:{port}")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
