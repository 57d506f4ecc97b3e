"""The listener on real sockets: raw bytes in, raw bytes out, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.events import Request as Handshake
from wsproto.extensions import PerMessageDeflate

from fastsio._frames import build_frame
from fastsio.engine.request import Request, Response
from fastsio.net.exchange import HttpExchange
from fastsio.net.http import HttpProtocol
from fastsio.net.listener import Listener
from fastsio.net.static import StaticFiles
from fastsio.net.websocket import WebSocketConnection
from fastsio.options import DeflateOptions, ListenerOptions

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test under asyncio and under uvloop; what reaches the loop's exception handler fails it."""

    @functools.wraps(test)
    def run(*args: Any, loop_name: str, **kwargs: Any) -> None:
        loop = LOOPS[loop_name]()
        escaped: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: escaped.append(context))
        # asyncio's own report of a failed TLS handshake, in debug mode only.
        harmless = "Error on transport creation for incoming connection"
        try:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(asyncio.wait_for(test(*args, **kwargs), 30))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            with contextlib.suppress(OSError):  # of uvloop, if a test that failed left something open
                loop.close()
        assert [context for context in escaped if context["message"] != harmless] == []

    signature = inspect.signature(test)
    parameter = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), parameter], return_annotation=None
    )
    return pytest.mark.parametrize("loop_name", LOOPS)(run)


class Echo:
    """Sends back what comes."""

    def __init__(self, app: EchoApp) -> None:
        self.app = app
        self.closed: list[tuple[int, str, str | None]] = []

    def on_text(self, payload: bytes) -> None:
        self.websocket.send_text(payload)  # type: ignore[attr-defined]

    def on_binary(self, payload: bytes) -> None:
        self.websocket.send_binary(payload)  # type: ignore[attr-defined]

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        self.closed.append((code, reason, error))

    def on_writable(self) -> None: ...


class EchoApp:
    """Echoes WebSocket messages and request bodies; ``/hold`` is answered when the test says so."""

    def __init__(self, **options: Any) -> None:
        self.options: dict[str, Any] = {
            "headers": [],
            "max_message_size": 1_000_000,
            "max_buffered_bytes": 10_000_000,
            "per_message_deflate": None,
            **options,
        }
        self.receivers: list[Echo] = []
        self.held: list[Request] = []
        self.aborted = 0
        self.addresses: set[tuple[str, str]] = set()

    def handle(self, request: Request) -> None:
        self.addresses.add((request.scheme, request.remote_address))
        exchange = request.exchange
        if request.upgrade:
            receiver = Echo(self)
            websocket = exchange.accept_websocket(receiver, **self.options)
            if websocket is not None:
                receiver.websocket = websocket  # type: ignore[attr-defined]
                self.receivers.append(receiver)
        elif request.path == "/hold":
            exchange.on_abort = self.on_abort
            self.held.append(request)
        else:
            exchange.read_body(
                1000,
                lambda body: exchange.respond(Response(200, [("X-Path", request.path)], body)),
                lambda: exchange.respond(Response(413)),
            )

    def on_abort(self) -> None:
        self.aborted += 1


@contextlib.asynccontextmanager
async def serve(app: Any, grace: float = 0.5, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener(app, ListenerOptions(**options))
    await listener.listen(0, "127.0.0.1")
    try:
        yield listener
    finally:
        await listener.close(grace)
        assert listener.connection_count == 0


async def connect(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", listener.port)


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def exchange(listener: Listener, data: bytes) -> bytes:
    """Send ``data``; everything that comes back until the end."""
    reader, writer = await connect(listener)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        await shut(writer)


async def response(reader: asyncio.StreamReader, head: bool = False) -> tuple[int, dict[str, str], bytes]:
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    body = b"" if head else await reader.readexactly(int(headers.get("content-length", "0")))
    return int(lines[0].split()[1]), headers, body


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


class Client:
    """wsproto on a stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.pending: list[Any] = []

    @classmethod
    async def open(cls, listener: Listener, deflate: bool = False) -> Client:
        client = cls(*await connect(listener))
        extensions = [PerMessageDeflate()] if deflate else []
        client.send(Handshake(host="a", target="/", extensions=extensions))
        accepted = await client.event()
        assert isinstance(accepted, AcceptConnection)
        assert bool(accepted.extensions) is deflate
        return client

    def send(self, event: Any) -> None:
        self.writer.write(self.connection.send(event))

    async def event(self) -> Any:
        while not self.pending:
            data = await asyncio.wait_for(self.reader.read(65536), 5)
            self.connection.receive_data(data or None)
            self.pending.extend(self.connection.events())
        return self.pending.pop(0)

    async def message(self) -> str | bytes:
        parts: Any = None
        while True:
            event = await self.event()
            assert isinstance(event, (TextMessage, BytesMessage))
            parts = event.data if parts is None else parts + event.data
            if event.message_finished:
                return parts if isinstance(parts, str) else bytes(parts)


# -- HTTP -------------------------------------------------------------------------------------------------


@on_both_loops
async def test_requests_pipelined_and_in_pieces() -> None:
    async with serve(EchoApp()) as listener:
        reader, writer = await connect(listener)
        post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        writer.write(GET + post + GET)
        assert [(await response(reader))[2] for _ in range(3)] == [b"", b"body", b""]
        for start in range(len(post)):
            writer.write(post[start : start + 1])
            await asyncio.sleep(0)
        status, headers, body = await response(reader)
        assert (status, headers["x-path"], body) == (200, "/p", b"body")
        assert listener.connection_count == 1
        await shut(writer)
        await until(lambda: listener.connection_count == 0)


@on_both_loops
async def test_thousands_of_pipelined_requests() -> None:
    async with serve(EchoApp()) as listener:
        reader, writer = await connect(listener)
        writer.write(GET * 5000)
        for _ in range(5000):
            assert (await response(reader))[0] == 200
        await shut(writer)


@on_both_loops
async def test_a_client_that_pipelines_and_never_reads_is_held_back() -> None:
    app = EchoApp()
    seen = 0

    def counting(request: Request) -> None:
        nonlocal seen
        seen += 1
        request.exchange.respond(Response(200, [], b"x" * 10_000))

    app.handle = counting  # type: ignore[method-assign]
    async with serve(app, grace=0.1) as listener:
        sock = socket.create_connection(("127.0.0.1", listener.port))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_sendall(sock, GET * 200_000), 1)
            pytest.fail("everything was read")
        except asyncio.TimeoutError:
            pass
        finally:
            before = seen
            await asyncio.sleep(0.1)
            assert seen == before
            sock.close()


@on_both_loops
async def test_errors_reach_the_client_although_it_is_still_sending() -> None:
    async with serve(EchoApp()) as listener:
        reader, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert (await response(reader))[0] == 413
        await shut(writer)
        answer = await exchange(listener, b"\x00" * 1000 + GET * 100)
        assert answer.startswith(b"HTTP/1.1 400 ")


@on_both_loops
async def test_slow_clients_run_out_of_time_and_the_others_do_not_notice() -> None:
    async with serve(EchoApp(), header_timeout=0.3, keep_alive_timeout=0.2) as listener:
        writers = []
        readers = []
        for _ in range(50):
            reader, writer = await connect(listener)
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            writers.append(writer)
            readers.append(reader)
        for _ in range(10):
            for writer in writers:
                writer.write(b"a")
            await asyncio.sleep(0.02)
            assert (await exchange(listener, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))[
                :15
            ] == b"HTTP/1.1 200 OK"
        for reader in readers:
            assert (await response(reader))[0] == 408
        for writer in writers:
            await shut(writer)
        await until(lambda: listener.connection_count == 0)


@on_both_loops
async def test_keep_alive_ends() -> None:
    async with serve(EchoApp(), keep_alive_timeout=0.1) as listener:
        reader, writer = await connect(listener)
        writer.write(GET)
        status, headers, _ = await response(reader)
        assert (status, headers["connection"]) == (200, "keep-alive")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        await shut(writer)


@on_both_loops
async def test_a_client_that_leaves_is_noticed() -> None:
    app = EchoApp()
    async with serve(app) as listener:
        for number in (1, 2):
            _, writer = await connect(listener)
            writer.write(GET.replace(b"/ ", b"/hold ", 1))
            await until(lambda number=number: len(app.held) == number)
            if number == 2:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await shut(writer)
            await until(lambda number=number: app.aborted == number)
        app.held[0].exchange.respond(Response(200))


@on_both_loops
async def test_max_tcp_connections(caplog: Any) -> None:
    async with serve(EchoApp(), max_tcp_connections=2) as listener:
        open_ones = [await connect(listener) for _ in range(2)]
        await until(lambda: listener.connection_count == 2)
        for _ in range(3):
            assert (await exchange(listener, b"")).startswith(b"HTTP/1.1 503 ")
        assert caplog.text.count("max_tcp_connections") == 1
        assert listener.connection_count == 2
        await shut(open_ones[0][1])
        await until(lambda: listener.connection_count == 1)
        reader, writer = await connect(listener)
        writer.write(GET)
        assert (await response(reader))[0] == 200
        await shut(writer)
        await shut(open_ones[1][1])


@on_both_loops
async def test_nagle_is_off() -> None:
    async with serve(EchoApp()) as listener:
        _, writer = await connect(listener)
        await until(lambda: listener.connection_count == 1)
        (connection,) = listener._hub.connections  # type: ignore[union-attr]
        accepted = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await shut(writer)


# -- addresses --------------------------------------------------------------------------------------------


@on_both_loops
async def test_every_interface_has_the_same_port() -> None:
    app = EchoApp()
    listener = Listener(app)
    await listener.listen(0)
    try:
        hosts = ["127.0.0.1"] + (["::1"] if socket.has_dualstack_ipv6() else [])
        for host in hosts:
            reader, writer = await asyncio.open_connection(host, listener.port)
            writer.write(GET)
            assert (await response(reader))[0] == 200
            await shut(writer)
        assert app.addresses == {("http", host) for host in hosts}
    finally:
        await listener.close(0)


@on_both_loops
async def test_a_unix_socket(tmp_path: Path) -> None:
    app = EchoApp()
    path = str(tmp_path / "s")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    for _ in range(2):
        listener = Listener(app)
        await listener.listen(path=path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GET)
        assert (await response(reader))[0] == 200
        await shut(writer)
        assert listener.port == 0
        await listener.close(0.5)
        assert not os.path.exists(path)
    assert app.addresses == {("http", "")}


@on_both_loops
async def test_a_socket_of_ones_own() -> None:
    listener = Listener(EchoApp())
    sock = socket.create_server(("127.0.0.1", 0))
    await listener.listen(sock=sock)
    assert listener.port == sock.getsockname()[1]
    reader, writer = await connect(listener)
    writer.write(GET)
    assert (await response(reader))[0] == 200
    await shut(writer)
    await listener.close(0.5)
    with pytest.raises(TypeError):
        await listener.listen(1, path="x")


@on_both_loops
async def test_a_port_that_is_taken() -> None:
    async with serve(EchoApp()) as listener:
        with pytest.raises(OSError):
            await Listener(EchoApp()).listen(listener.port, "127.0.0.1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key."""
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {path}.key -out {path}.crt"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


@on_both_loops
async def test_tls(certificate: Path) -> None:
    app = EchoApp()
    listener = Listener(app)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    await listener.listen(0, "127.0.0.1", ssl=context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=trusting, server_hostname="localhost"
    )
    writer.write(GET)
    assert (await response(reader))[0] == 200
    client = Client(reader, writer)
    client.send(Handshake(host="a", target="/"))
    assert isinstance(await client.event(), AcceptConnection)
    client.send(Message(data="x" * 200_000))
    assert await client.message() == "x" * 200_000
    assert app.addresses == {("https", "127.0.0.1")}
    # Plain bytes on the TLS port disturb nobody.
    assert await exchange(listener, GET) is not None
    client.send(CloseConnection(code=1000))
    assert isinstance(await client.event(), CloseConnection)
    await shut(writer)
    await until(lambda: listener.connection_count == 0)
    assert app.receivers[0].closed == [(1000, "", None)]
    await listener.close(0.5)


# -- the end ----------------------------------------------------------------------------------------------


@on_both_loops
async def test_close_lets_requests_finish_and_drops_the_rest() -> None:
    app = EchoApp()
    listener = Listener(app)
    await listener.listen(0, "127.0.0.1")
    port = listener.port
    idle_reader, idle = await connect(listener)
    idle.write(GET)
    await response(idle_reader)
    holding = [await connect(listener) for _ in range(2)]
    for _, writer in holding:
        writer.write(GET.replace(b"/ ", b"/hold ", 1))
    await until(lambda: len(app.held) == 2)
    client = await Client.open(listener)
    closing = asyncio.ensure_future(listener.close(0.4))
    assert await asyncio.wait_for(idle_reader.read(), 1) == b""
    event = await client.event()
    assert isinstance(event, CloseConnection)
    assert event.code == 1001
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    app.held[0].exchange.respond(Response(200, [], b"done"))
    status, headers, body = await response(holding[0][0])
    assert (status, headers["connection"], body) == (200, "close", b"done")
    assert not closing.done()
    await asyncio.gather(closing, listener.close(30))
    assert app.aborted == 1
    # What was dropped: a reset, or nothing more.
    try:
        assert await holding[1][0].read() == b""
    except ConnectionResetError:
        pass
    assert [closed[:2] for closed in app.receivers[0].closed] == [(1006, "")]
    for writer in (idle, client.writer, *(writer for _, writer in holding)):
        await shut(writer)


@on_both_loops
async def test_close_returns_at_once_if_nothing_is_open() -> None:
    started = time.monotonic()
    async with serve(EchoApp(), grace=30):
        pass
    assert time.monotonic() - started < 5


def test_run_stops_gracefully_on_signals() -> None:
    program = """
import asyncio, sys
from fastsio.net.run import run

async def main():
    print(type(asyncio.get_running_loop()).__module__, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        print("closed", flush=True)

print(run(main), flush=True)
"""
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline().startswith("uvloop")
            process.send_signal(number)
            assert process.stdout.read() == "closed\nNone\n"
        assert process.wait() == 0


# -- WebSockets -------------------------------------------------------------------------------------------

MESSAGES = ["", "hello", "é☃😀" * 50, "x" * 126, "y" * 70_000, b"", b"\x00\xff" * 40_000]


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
@on_both_loops
async def test_echo(deflate: bool) -> None:
    app = EchoApp(per_message_deflate=DeflateOptions(threshold=16) if deflate else None)
    async with serve(app) as listener:
        client = await Client.open(listener, deflate)
        for message in MESSAGES:
            client.send(Message(data=message))
        for message in MESSAGES:
            assert await client.message() == message
        client.send(TextMessage(data="in ", message_finished=False))
        client.send(Ping(payload=b"between"))
        client.send(TextMessage(data="two parts"))
        assert await client.event() == Pong(payload=b"between")
        assert await client.message() == "in two parts"
        assert app.receivers[0].websocket.compressed is deflate  # type: ignore[attr-defined]
        client.send(CloseConnection(code=4321, reason="bye"))
        event = await client.event()
        assert isinstance(event, CloseConnection)
        assert event.code == 4321
        assert await asyncio.wait_for(client.reader.read(), 1) == b""
        assert app.receivers[0].closed == [(4321, "bye", None)]
        await shut(client.writer)


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
@on_both_loops
async def test_a_message_above_the_limit_is_refused_with_1009(deflate: bool) -> None:
    app = EchoApp(max_message_size=1000, per_message_deflate=DeflateOptions(threshold=0) if deflate else None)
    async with serve(app) as listener:
        for size, fits in ((1000, True), (1001, False), (3_000_000, False)):
            client = await Client.open(listener, deflate)
            client.send(Message(data="x" * size))
            if fits:
                assert await client.message() == "x" * size
                client.send(CloseConnection(code=1000))
            event = await client.event()
            assert isinstance(event, CloseConnection)
            assert event.code == (1000 if fits else 1009)
            await shut(client.writer)
        await until(lambda: listener.connection_count == 0)
        assert [receiver.closed[0][0] for receiver in app.receivers] == [1000, 1009, 1009]
        assert all(len(receiver.closed) == 1 for receiver in app.receivers)


@on_both_loops
async def test_a_compression_bomb_is_cheap() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(b"\0" * 100_000_000) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert len(bomb) < 1_000_000
    async with serve(EchoApp(per_message_deflate=DeflateOptions())) as listener:
        reader, writer = await connect(listener)
        extension = b"Host: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
        writer.write(HANDSHAKE.replace(b"Host: a\r\n", extension))
        assert b"permessage-deflate" in await reader.readuntil(b"\r\n\r\n")
        tracemalloc.start()
        writer.write(build_frame(2, bomb, rsv1=True, mask=b"abcd"))
        answer = await reader.readexactly(4)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answer[0] == 0x88 and answer[2:] == (1009).to_bytes(2, "big")
        assert peak < 10_000_000
        await shut(writer)


@on_both_loops
async def test_invalid_text_inside_compression_is_1007() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflater.compress(b"\xff\xfe") + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    async with serve(EchoApp(per_message_deflate=DeflateOptions())) as listener:
        for payload in (packed, b"\xff\xff\xff garbage"):
            reader, writer = await connect(listener)
            extension = b"Host: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
            writer.write(HANDSHAKE.replace(b"Host: a\r\n", extension))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(build_frame(1, payload, rsv1=True, mask=b"abcd"))
            answer = await reader.readexactly(4)
            assert answer[0] == 0x88 and answer[2:] == (1007).to_bytes(2, "big")
            await shut(writer)


@on_both_loops
async def test_a_peer_that_does_not_read_is_dropped_at_the_budget() -> None:
    app = EchoApp(max_buffered_bytes=2_000_000)
    async with serve(app) as listener:
        reader, writer = await connect(listener)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(HANDSHAKE)
        await until(lambda: bool(app.receivers))
        (receiver,) = app.receivers
        sent = 0
        while not receiver.closed:
            receiver.websocket.send_binary(b"x" * 50_000)  # type: ignore[attr-defined]
            sent += 50_000
            await asyncio.sleep(0)
            assert sent < 50_000_000
        ((code, _, error),) = receiver.closed
        assert code == 1006
        assert error is not None and "max_buffered_bytes" in error
        assert sent > 2_000_000
        writer.transport.abort()
        await until(lambda: listener.connection_count == 0)


@on_both_loops
async def test_messages_behind_backpressure_arrive_whole_and_in_order() -> None:
    app = EchoApp(max_buffered_bytes=100_000_000)
    async with serve(app) as listener:
        client = await Client.open(listener)
        messages = [b"%d:" % number + b"x" * 200_000 for number in range(120)]
        for message in messages:
            client.send(Message(data=message))
        await until(lambda: not app.receivers[0].websocket.writable)  # type: ignore[attr-defined]
        for message in messages:
            assert await client.message() == message
        assert app.receivers[0].websocket.writable  # type: ignore[attr-defined]
        await shut(client.writer)


# -- files ------------------------------------------------------------------------------------------------


class FilesApp:
    def __init__(self, files: dict[str, Any]) -> None:
        self.files = StaticFiles(files)

    def handle(self, request: Request) -> None:
        if not self.files.handle(request):
            request.exchange.respond(Response(418))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a b.txt").write_text("text é", encoding="utf-8")
    (root / "big.bin").write_bytes(bytes(range(256)) * 2000)
    (root / "sub" / "index.html").write_text("<p>index")
    (root / "module.mjs").write_text("export {}")
    (root / "empty").write_bytes(b"")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to(root / "empty")
    (root / "updir").symlink_to(tmp_path)
    return root


Fetch = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


@contextlib.asynccontextmanager
async def fetching(site: Path) -> AsyncIterator[Fetch]:
    files = {"/": site / "sub" / "index.html", "/assets": site, "/assets/own": site / "module.mjs"}
    async with serve(FilesApp(files)) as listener:
        reader, writer = await connect(listener)

        async def fetch(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
            lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
            return await response(reader, head=method == "HEAD")

        yield fetch
        await shut(writer)


@on_both_loops
async def test_files(site: Path) -> None:
    async with fetching(site) as fetch:
        for path, content_type, body in (
            ("/", "text/html; charset=utf-8", b"<p>index"),
            ("/?query", "text/html; charset=utf-8", b"<p>index"),
            ("/assets/a%20b.txt", "text/plain; charset=utf-8", "text é".encode()),
            ("/assets/sub/", "text/html; charset=utf-8", b"<p>index"),
            ("/assets/sub/index.html", "text/html; charset=utf-8", b"<p>index"),
            ("/assets/module.mjs", "text/javascript; charset=utf-8", b"export {}"),
            ("/assets/own", "text/javascript; charset=utf-8", b"export {}"),
            ("/assets/empty", "application/octet-stream", b""),
            ("/assets/in", "application/octet-stream", b""),
            ("/assets/big.bin", "application/octet-stream", bytes(range(256)) * 2000),
        ):
            status, headers, got = await fetch(path)
            assert (status, headers["content-type"], got) == (200, content_type, body), path
            assert headers["x-content-type-options"] == "nosniff"
            status, headers, got = await fetch(path, "HEAD")
            assert (status, headers["content-length"], got) == (200, str(len(body)), b"")
        status, headers, _ = await fetch("/assets/sub")
        assert (status, headers["location"]) == (301, "/assets/sub/")
        status, headers, _ = await fetch("/assets/sub/", "DELETE")
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        for path in ("/other", "/assetsx"):
            assert (await fetch(path))[0] == 418


@on_both_loops
async def test_no_way_out_of_a_folder(site: Path) -> None:
    async with fetching(site) as fetch:
        for path in (
            "/assets/../secret",
            "/assets/%2e%2e/secret",
            "/assets/sub/../../secret",
            "/assets/..%2fsecret",
            "/assets/..%5csecret",
            "/assets/..\\secret",
            "/assets/sub%2f..%2f..%2fsecret",
            "/assets//etc/passwd",
            "/assets/%2fetc%2fpasswd",
            "/assets/out",
            "/assets/updir/secret",
            "/assets/updir/",
            "/assets/a%20b.txt%00",
            "/assets/%00",
            "/assets/%ff",
            "/assets/missing",
            "/assets/a%20b.txt/",
            "/assets/a%20b.txt/x",
            "/assets/./empty",
            "/assets/" + "x" * 5000,
            "/assets/",
        ):
            status, _, body = await fetch(path)
            assert status == 404, path
            assert b"secret" not in body


@on_both_loops
async def test_validators(site: Path) -> None:
    path = "/assets/big.bin"
    async with fetching(site) as fetch:
        _, headers, _ = await fetch(path)
        etag, modified = headers["etag"], headers["last-modified"]
        for condition in (etag, f'"x", W/{etag}', "*"):
            status, headers, _ = await fetch(path, If_None_Match=condition)
            assert (status, headers["etag"]) == (304, etag)
        assert (await fetch(path, If_Modified_Since=modified))[0] == 304
        assert (await fetch(path, If_None_Match='"x"', If_Modified_Since=modified))[0] == 200
        assert (await fetch(path, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT"))[0] == 200
        assert (await fetch(path, If_Modified_Since="garbage"))[0] == 200
        (site / "big.bin").write_bytes(b"changed")
        status, headers, body = await fetch(path, If_None_Match=etag)
        assert (status, body) == (200, b"changed")
        assert headers["etag"] != etag


@on_both_loops
async def test_ranges(site: Path) -> None:
    path, whole = "/assets/big.bin", bytes(range(256)) * 2000
    size = len(whole)
    async with fetching(site) as fetch:
        etag = (await fetch(path, "HEAD"))[1]["etag"]
        for asked, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=1-100000", 1, 100_001),
            ("bytes=5-", 5, size),
            ("bytes=-7", size - 7, size),
            ("bytes=-9999999", 0, size),
            ("bytes=10-9999999", 10, size),
        ):
            status, headers, body = await fetch(path, Range=asked, If_Range=etag)
            assert (status, body) == (206, whole[start:stop])
            assert headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        for asked in (f"bytes={size}-", "bytes=-0"):
            status, headers, body = await fetch(path, Range=asked)
            assert (status, headers["content-range"], body) == (416, f"bytes */{size}", b"")
        for asked in (
            "bytes=5-3",
            "bytes=a-b",
            "bytes=-",
            "lines=1-2",
            "bytes=0-1,3-4",
            "bytes=" + "9" * 5000 + "-",
        ):
            assert (await fetch(path, Range=asked))[0] == 200, asked
        assert (await fetch(path, Range="bytes=0-0", If_Range='"other"'))[0] == 200
        assert (await fetch("/assets/empty", Range="bytes=0-"))[0] == 416


# -- noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@on_both_loops
async def test_noise_never_breaks_the_listener(seed: int) -> None:
    rng = random.Random(seed)
    app = EchoApp(per_message_deflate=DeflateOptions())
    deflating = HANDSHAKE.replace(
        b"Host: a\r\n", b"Host: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    )
    states = [
        b"",
        GET,
        GET[:20],
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n",
        HANDSHAKE,
        HANDSHAKE[:60],
        deflating,
        HANDSHAKE + b"\x81\x85abcd",
        deflating + b"\xc1\xfe\x10\x00abcd",
    ]
    async with serve(app, linger_timeout=0.1) as listener:

        async def bother() -> None:
            reader, writer = await connect(listener)
            # The listener may be gone at any moment; uvloop then raises RuntimeError on writes.
            with contextlib.suppress(asyncio.TimeoutError, OSError, RuntimeError):
                writer.write(rng.choice(states))
                if rng.random() < 0.5:
                    await asyncio.sleep(0.002)
                for _ in range(rng.randrange(4)):
                    writer.write(rng.randbytes(rng.randrange(1, 300)))
                    await asyncio.sleep(0)
                if rng.random() < 0.3:
                    writer.transport.abort()
                elif rng.random() < 0.5:
                    writer.write_eof()
                await asyncio.wait_for(reader.read(), 0.05)
            await shut(writer)

        for _ in range(15):
            await asyncio.gather(*(bother() for _ in range(20)))
        client = await Client.open(listener)
        client.send(Message(data="still here"))
        assert await client.message() == "still here"
        await shut(client.writer)
        await until(lambda: listener.connection_count == 0)
        assert all(len(receiver.closed) == 1 for receiver in app.receivers)
        wheel = listener._hub.wheel  # type: ignore[union-attr]
        await until(lambda: not len(wheel))


@on_both_loops
async def test_connections_leave_no_objects_behind() -> None:
    def alive() -> dict[int, object]:
        gc.collect()
        kinds = (HttpProtocol, HttpExchange, WebSocketConnection)
        return {id(one): one for one in gc.get_objects() if type(one) in kinds}

    # Those of earlier tests whose errors were logged: pytest keeps the records, and with them the tracebacks.
    before = alive()
    async with serve(EchoApp()) as listener:
        for _ in range(20):
            await exchange(listener, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            client = await Client.open(listener)
            client.send(CloseConnection(code=1000))
            await shut(client.writer)
        await until(lambda: listener.connection_count == 0)
        listener._app.receivers.clear()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        assert alive().keys() <= before.keys()


@on_both_loops
async def test_addresses_that_this_machine_does_not_have() -> None:
    listener = Listener(EchoApp())
    await listener.listen(0, ["192.0.2.1", "127.0.0.1"])
    assert [sock.getsockname()[0] for sock in listener.sockets] == ["127.0.0.1"]
    with pytest.raises(OSError):
        await listener.listen(0, "192.0.2.1")
    await listener.close()
