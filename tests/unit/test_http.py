"""The HTTP protocol of the listener, driven through a transport that only takes notes."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fastsio._frames import FrameParser, build_close, build_frame
from fastsio.engine.request import Request, Response
from fastsio.net.http import HttpProtocol
from fastsio.net.hub import Hub
from fastsio.options import ListenerOptions

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.writes: list[bytes] = []
        self.protocol: Any = None
        self.reading = True
        self.closing = False
        self.aborted = False
        self.eof = False
        self.buffered = 0

    def write(self, data: bytes) -> None:
        assert not self.closing, "write after close"
        assert not self.eof, "write after write_eof"
        self.writes.append(bytes(data))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self.buffered = 0
        self.close()

    def lose(self) -> None:
        self.protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closing

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)


class App:
    """Keeps the requests; ``on_request`` may answer them."""

    def __init__(self, on_request: Callable[[Request], None] | None = None) -> None:
        self.requests: list[Request] = []
        self.on_request = on_request
        self.aborted: list[Request] = []

    def handle(self, request: Request) -> None:
        self.requests.append(request)
        request.exchange.on_abort = lambda: self.aborted.append(request)
        if self.on_request is not None:
            self.on_request(request)


class Receiver:
    def __init__(self, on_message: Callable[[bytes], None] | None = None) -> None:
        self.events: list[Any] = []
        self.on_message = on_message

    def on_text(self, payload: bytes) -> None:
        self.events.append(("text", payload))
        if self.on_message is not None:
            self.on_message(payload)

    def on_binary(self, payload: bytes) -> None:
        self.events.append(("binary", payload))

    def on_close(self, code: int, reason: str, error: str | None) -> None:
        self.events.append(("close", code, reason, error))

    def on_writable(self) -> None:
        self.events.append("writable")


class Peer:
    """One connection to a hub of its own."""

    def __init__(self, app: App, **limits: Any) -> None:
        self.app = app
        self.hub = Hub(asyncio.get_running_loop(), app, ListenerOptions(**limits))
        self.transport = FakeTransport()
        self.http = HttpProtocol(self.hub)
        self.transport.protocol = self.http
        self.http.connection_made(self.transport)

    def send(self, data: bytes) -> bytes:
        """Deliver ``data``; gives what was sent since the last call."""
        assert self.transport.reading
        self.transport.protocol.data_received(data)
        return self.take()

    def take(self) -> bytes:
        sent = self.transport.sent
        self.transport.writes.clear()
        return sent


def ok(request: Request) -> None:
    request.exchange.respond(Response(200, [("X-Path", request.path)], b"hello"))


def accept(receiver: Any, **options: Any) -> Callable[[Request], None]:
    arguments: dict[str, Any] = {
        "headers": [],
        "max_message_size": 1000,
        "max_buffered_bytes": 10_000,
        "per_message_deflate": None,
        **options,
    }

    def on_request(request: Request) -> None:
        receiver.websocket = request.exchange.accept_websocket(receiver, **arguments)

    return on_request


def masked(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    return build_frame(opcode, payload, mask=b"\x01\x02\x03\x04", **options)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    return FrameParser(client=True, max_message_size=1 << 24).feed(data)


async def turn() -> None:
    """Let everything that is due happen."""
    for _ in range(5):
        await asyncio.sleep(0)


# -- requests ---------------------------------------------------------------------------------------------


async def test_a_request_reaches_the_application_and_the_answer_leaves_in_one_write() -> None:
    app = App(ok)
    peer = Peer(app)
    peer.http.data_received(
        b"GET /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a:  2 \r\nCookie: a=b\r\nCookie: c=d\r\n\r\n"
    )
    (request,) = app.requests
    assert (request.method, request.target, request.path) == ("GET", "/a/b?c=d", "/a/b")
    assert request.query == {"c": "d"}
    assert request.headers == {"host": "h", "x-a": "1, 2", "cookie": "a=b; c=d"}
    assert (request.remote_address, request.scheme, request.upgrade) == ("127.0.0.1", "http", False)
    (response,) = peer.transport.writes
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"Content-Length: 5", b"X-Path: /a/b", b"Connection: keep-alive"} < set(lines)
    assert any(line.startswith(b"Date: ") for line in lines)
    assert body == b"hello"
    assert not peer.transport.closing


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_input_in_pieces_gives_the_same(size: int) -> None:
    bodies: list[bytes] = []

    def on_request(request: Request) -> None:
        def on_body(body: bytes) -> None:
            bodies.append(body)
            ok(request)

        request.exchange.read_body(100, on_body, lambda: bodies.append(b"too large"))

    app = App(on_request)
    peer = Peer(app)
    data = (
        b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
        b"\r\nPOST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nfgh\r\n2\r\nij\r\n"
        b"0\r\nTrailer: x\r\n\r\n" + GET
    )
    for start in range(0, len(data), size):
        peer.http.data_received(data[start : start + size])
    assert bodies == [b"abcde", b"fghij", b""]
    assert [request.path for request in app.requests] == ["/one", "/two", "/"]
    assert "trailer" not in app.requests[1].headers
    assert peer.take().count(b"HTTP/1.1 200 OK") == 3


async def test_the_date_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[tuple[float, Callable[[], None]]] = []

    class Loop:
        def call_later(self, delay: float, callback: Callable[[], None]) -> None:
            later.append((delay, callback))

    peer = Peer(App(ok))
    monkeypatch.setattr(peer.hub, "loop", Loop())
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.25)
    for _ in range(2):
        assert b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n" in peer.send(GET)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_001.0)
    ((delay, forget),) = later
    assert delay == 0.75
    forget()
    assert b"Date: Sun, 09 Sep 2001 01:46:41 GMT\r\n" in peer.send(GET)
    assert [delay for delay, _ in later] == [0.75, 1.0]


async def test_responses_leave_in_the_order_of_the_requests() -> None:
    app = App()
    peer = Peer(app)
    assert peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3))) == b""
    ok(app.requests[2])
    ok(app.requests[1])
    assert peer.take() == b""
    ok(app.requests[0])
    sent = peer.take()
    assert [sent.index(b"X-Path: /%d" % i) for i in range(3)] == sorted(
        sent.index(b"X-Path: /%d" % i) for i in range(3)
    )
    ok(app.requests[0])
    assert peer.take() == b"", "a second answer is dropped"


async def test_pipelining_is_bounded_and_loses_nothing() -> None:
    app = App()
    peer = Peer(app, max_pipelined=4)
    count = 3000
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(count)))
    assert not peer.transport.reading
    assert len(app.requests) < 200, "one slice of input at most is parsed beyond the limit"
    answered = 0
    sent = b""
    while answered < count:
        assert len(app.requests) > answered
        for request in app.requests[answered:]:
            ok(request)
            answered += 1
        sent += peer.take()
        await turn()
    assert [request.path for request in app.requests] == [f"/{i}" for i in range(count)]
    assert sent.count(b"HTTP/1.1 200 OK") == count
    assert peer.transport.reading


async def test_head_has_a_length_and_no_body() -> None:
    peer = Peer(App(ok))
    sent = peer.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Content-Length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
async def test_who_keeps_the_connection(head: bytes, kept: bool) -> None:
    peer = Peer(App(ok))
    sent = peer.send(head + b"\r\n")
    assert peer.transport.closing is not kept
    assert (b"Connection: keep-alive" in sent) is kept
    assert (b"Connection: close" in sent) is not kept


async def test_nothing_behind_a_last_request_is_served() -> None:
    app = App()
    peer = Peer(app)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
    peer.send(GET)
    ok(app.requests[0])
    assert len(app.requests) == 1
    assert peer.take().count(b"HTTP/1.1") == 1
    assert peer.transport.closing


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 20_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", 417),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ],
)
async def test_malformed_requests_are_answered_and_the_connection_ends(data: bytes, status: int) -> None:
    app = App(ok)
    peer = Peer(app, max_header_size=1000, max_headers=20, max_target_size=200, linger_timeout=0.02)
    sent = peer.send(GET + data)
    assert sent.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 %d " % status in sent
    assert sent.count(b"Connection: close") == 1
    assert len(app.requests) == 1
    assert peer.transport.eof
    peer.transport.protocol.data_received(b"more of it")
    await asyncio.sleep(0.1)
    assert peer.transport.aborted
    assert not peer.hub.connections
    assert not len(peer.hub.wheel)


async def test_limits_of_a_head_are_exact() -> None:
    peer = Peer(App(ok), max_headers=2, max_target_size=5, max_header_size=4 + 4 + 1 + 4 + 1 + 10)
    head = b"GET /1234 HTTP/1.1\r\nHost: a\r\nX: 0123456789\r\n\r\n"
    assert b"200 OK" in peer.send(head)
    assert b"431 " in peer.send(head.replace(b"9", b"90"))


async def test_half_a_header_without_end_is_bounded() -> None:
    peer = Peer(App(ok), max_header_size=1000)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    sent = b""
    for fed in range(100):  # noqa: B007
        sent = peer.send(b"a" * 1000)
        if sent:
            break
    assert b"431 " in sent
    assert fed < 30


async def test_whole_urls_and_asterisks() -> None:
    app = App(ok)
    peer = Peer(app)
    for target in (b"http://a/x?y", b"HTTPS://a", b"http://a?y", b"*"):
        peer.send(b"OPTIONS %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert [request.target for request in app.requests] == ["/x?y", "/", "/?y", "*"]


# -- bodies -----------------------------------------------------------------------------------------------


class BodyApp(App):
    """Reads bodies of at most ``limit`` bytes and answers with their length, 413 if they are larger."""

    def __init__(self, limit: int) -> None:
        super().__init__(self.read)
        self.limit = limit
        self.bodies: list[bytes] = []
        self.too_large = 0

    def read(self, request: Request) -> None:
        def on_body(body: bytes) -> None:
            self.bodies.append(body)
            ok(request)

        def on_too_large() -> None:
            self.too_large += 1
            request.exchange.respond(Response(413))

        request.exchange.read_body(self.limit, on_body, on_too_large)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(declared: bool) -> None:
    def post(size: int) -> bytes:
        if declared:
            return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + chunked(*[b"x" * 10] * (size // 10), *([b"x" * (size % 10)] if size % 10 else []))

    app = BodyApp(100)
    peer = Peer(app)
    assert b"200 OK" in peer.send(post(100))
    assert app.bodies == [b"x" * 100]
    sent = peer.send(post(101) + GET)
    assert sent.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in sent
    assert sent.count(b"HTTP/1.1 ") == 1, "nothing is read behind it"
    assert app.too_large == 1
    assert len(app.bodies) == 1


async def test_a_declared_body_that_is_too_large_is_refused_before_it_comes() -> None:
    app = BodyApp(100)
    peer = Peer(app)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n"
    sent = peer.send(head)
    assert sent.startswith(b"HTTP/1.1 413 ")
    assert peer.transport.eof


async def test_100_continue_is_sent_when_the_body_is_asked_for() -> None:
    app = App()
    peer = Peer(app)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert peer.send(head) == b""
    bodies: list[bytes] = []
    app.requests[0].exchange.read_body(10, bodies.append, lambda: None)
    assert peer.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert peer.send(b"abc") == b""
    assert bodies == [b"abc"]
    ok(app.requests[0])
    assert b"keep-alive" in peer.take()


async def test_100_continue_waits_for_its_turn() -> None:
    app = App()
    peer = Peer(app)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    peer.send(GET + head)
    app.requests[1].exchange.read_body(10, lambda body: None, lambda: None)
    assert peer.take() == b""
    ok(app.requests[0])
    sent = peer.take()
    assert sent.startswith(b"HTTP/1.1 200 OK")
    assert sent.endswith(b"hello" + b"HTTP/1.1 100 Continue\r\n\r\n")


async def test_a_refused_expectation_ends_the_connection() -> None:
    peer = Peer(App(ok))
    sent = peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in sent


async def test_an_early_answer_keeps_the_connection_if_little_is_left() -> None:
    app = App(ok)
    peer = Peer(app)
    assert b"keep-alive" in peer.send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    assert b"X-Path: /" in peer.send(b"cde" + GET)
    sent = peer.send(b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nab")
    assert b"Connection: close" in sent
    assert peer.transport.eof
    assert peer.send(GET) == b""
    assert len(app.requests) == 3


async def test_a_body_nobody_asks_for_is_not_read_without_end() -> None:
    app = App()
    peer = Peer(app)
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
    sent = 0
    while peer.transport.reading:
        peer.send(b"x" * 30_000)
        sent += 30_000
    assert sent < 100_000
    bodies: list[bytes] = []
    app.requests[0].exchange.read_body(300_000, bodies.append, lambda: None)
    await turn()
    while sent < 300_000:
        peer.send(b"x" * 30_000)
        sent += 30_000
    assert bodies == [b"x" * 300_000]


async def test_a_chunked_body_that_is_all_framing_is_refused() -> None:
    app = BodyApp(1_000_000)
    peer = Peer(app, max_header_size=10_000)
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = b""
    for _ in range(100):
        sent = peer.send(b"1;" + b"x" * 1000 + b"\r\na\r\n")
        if sent:
            break
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert app.aborted == app.requests


async def test_a_broken_chunk_aborts_the_request() -> None:
    app = BodyApp(100)
    peer = Peer(app)
    sent = peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert app.aborted == app.requests
    ok(app.requests[0])
    assert peer.take() == b""


async def test_a_foreign_upgrade_is_ignored_and_its_body_read() -> None:
    app = BodyApp(100)
    peer = Peer(app)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    assert b"200 OK" in peer.send(head + b"Content-Length: 3\r\n\r\nabc" + GET)
    assert b"200 OK" in peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"de", b"f") + GET)
    assert b"200 OK" in peer.send(b"GET" + head[4:] + b"\r\n" + GET)
    assert app.bodies == [b"abc", b"", b"def", b"", b"", b""]
    assert not app.requests[0].upgrade
    assert len(app.requests) == 6


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [("X", "a\r\nY: b")],
        [("X", "a\nY: b")],
        [("X", "a\rb")],
        [("X", "a\0b")],
        [("X\r\nY", "a")],
        [("X", "☃")],
        [("Content-Length", "6")],
        [("Content-Length", "x")],
    ],
)
async def test_headers_that_break_out_are_refused(headers: list[tuple[str, str]], caplog: Any) -> None:
    app = App(lambda request: request.exchange.respond(Response(200, headers, b"hello")))
    peer = Peer(app)
    sent = peer.send(GET)
    assert sent.startswith(b"HTTP/1.1 500 ")
    assert sent.count(b"\r\n\r\n") == 1
    assert b"Y: b" not in sent
    assert "refused" in caplog.text


async def test_an_application_may_end_the_connection() -> None:
    app = App(lambda request: request.exchange.respond(Response(400, [("Connection", "close")], b"no")))
    peer = Peer(app)
    assert peer.send(GET).count(b"Connection: ") == 1
    assert peer.transport.closing


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(status: int) -> None:
    peer = Peer(App(lambda request: request.exchange.respond(Response(status, [], b""))))
    assert b"Content-Length" not in peer.send(GET)


async def test_an_exception_of_the_application_is_a_500(caplog: Any) -> None:
    def fail(request: Request) -> None:
        raise RuntimeError("the handler is broken")

    peer = Peer(App(fail))
    assert peer.send(GET).startswith(b"HTTP/1.1 500 ")
    assert "the handler is broken" in caplog.text
    assert not peer.transport.closing


async def test_an_exception_on_a_body_is_a_500(caplog: Any) -> None:
    def on_body(body: bytes) -> None:
        raise RuntimeError("the body is broken")

    app = App(lambda request: request.exchange.read_body(10, on_body, lambda: None))
    peer = Peer(app)
    assert peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").startswith(b"HTTP/1.1 500 ")
    assert "the body is broken" in caplog.text


async def parts_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_body_in_parts_follows_the_peer_s_pace() -> None:
    produced: list[int] = []

    async def produce() -> AsyncIterator[bytes]:
        for number in range(5):
            produced.append(number)
            yield b"%d" % number

    app = App()
    peer = Peer(app)
    peer.send(GET + GET)
    app.requests[0].exchange.respond(Response(200, [("Content-Length", "5")], produce()))
    ok(app.requests[1])
    peer.http.pause_writing()
    await turn()
    assert produced == [0]
    peer.http.resume_writing()
    await turn()
    assert produced == [0, 1, 2, 3, 4]
    sent = peer.take()
    assert sent.index(b"01234") < sent.index(b"hello")


@pytest.mark.parametrize("parts", [(b"abc",), (b"abc", b"defg")])
async def test_a_body_of_another_length_than_declared_breaks_off(parts: tuple[bytes], caplog: Any) -> None:
    response = Response(200, [("Content-Length", "5")], parts_of(*parts))
    peer = Peer(App(lambda request: request.exchange.respond(response)))
    peer.send(GET)
    await turn()
    assert peer.transport.aborted
    assert "broken off" in caplog.text


async def test_a_peer_that_goes_away_stops_the_body() -> None:
    ended: list[bool] = []

    async def produce() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            ended.append(True)

    app = App(lambda request: request.exchange.respond(Response(200, [("Content-Length", "9")], produce())))
    peer = Peer(app)
    peer.send(GET)
    peer.http.pause_writing()
    await turn()
    peer.transport.abort()
    await turn()
    assert ended == [True]
    assert app.aborted == []


async def test_a_peer_that_goes_away_aborts_what_is_not_answered() -> None:
    app = App()
    peer = Peer(app)
    peer.send(GET + GET + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    ok(app.requests[1])
    peer.transport.close()
    await turn()
    assert app.aborted == [app.requests[0], app.requests[2]]
    ok(app.requests[0])
    assert peer.hub.connections == set()


async def test_half_a_connection_is_none() -> None:
    app = App()
    peer = Peer(app)
    peer.send(GET)
    assert not peer.http.eof_received()
    assert app.aborted == app.requests


async def test_exchange_abort_drops_the_connection_quietly() -> None:
    app = App(lambda request: request.exchange.abort())
    peer = Peer(app)
    assert peer.send(GET) == b""
    await turn()
    assert peer.transport.aborted
    assert app.aborted == []


# -- time -------------------------------------------------------------------------------------------------


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    app = App(ok)
    peer = Peer(app, keep_alive_timeout=0.08)
    for _ in range(4):
        peer.send(GET)
        await asyncio.sleep(0.03)
        assert not peer.transport.closing
    app.on_request = None
    peer.send(GET)
    await asyncio.sleep(0.2)
    assert not peer.transport.closing, "a request that waits for its answer has no deadline"
    ok(app.requests[-1])
    await asyncio.sleep(0.2)
    assert peer.transport.closing
    assert not peer.transport.aborted


async def test_a_slow_head_is_answered_408() -> None:
    peer = Peer(App(ok), header_timeout=0.06, linger_timeout=0.04)
    for byte in b"GET / HTTP/1":
        peer.transport.protocol.data_received(bytes([byte]))
        await asyncio.sleep(0.01)
    assert peer.take().startswith(b"HTTP/1.1 408 ")
    assert peer.transport.eof
    await asyncio.sleep(0.1)
    assert peer.transport.aborted


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    peer = Peer(App(ok), header_timeout=0.03)
    await asyncio.sleep(0.1)
    assert peer.transport.closing
    assert peer.take() == b""


async def test_a_slow_body_is_answered_408() -> None:
    app = BodyApp(100)
    peer = Peer(app, body_timeout=0.03)
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    await asyncio.sleep(0.1)
    assert peer.take().startswith(b"HTTP/1.1 408 ")
    assert app.aborted == app.requests


async def test_a_peer_that_does_not_read_is_dropped_but_not_one_that_reads_slowly() -> None:
    peer = Peer(App(ok), write_timeout=0.05)
    peer.send(GET)
    peer.transport.buffered = 1000
    peer.http.pause_writing()
    for _ in range(10):
        peer.transport.buffered -= 50
        await asyncio.sleep(0.03)
    assert not peer.transport.aborted
    await asyncio.sleep(0.2)
    assert peer.transport.aborted


async def test_a_refusal_that_is_taken_slowly_still_ends(caplog: Any) -> None:
    peer = Peer(App(ok), linger_timeout=0.05)
    peer.transport.buffered = 1000
    peer.send(b"garbage\r\n\r\n")
    peer.http.pause_writing()
    await asyncio.sleep(0.2)
    assert not peer.transport.closing
    peer.transport.buffered = 0
    peer.http.resume_writing()
    await asyncio.sleep(0.2)
    assert peer.transport.aborted


async def test_nothing_is_read_while_the_peer_does_not_read() -> None:
    app = App(ok)
    peer = Peer(app)
    peer.http.pause_writing()
    peer.send(GET * 3)
    assert app.requests == []
    assert not peer.transport.reading
    peer.http.resume_writing()
    await turn()
    assert len(app.requests) == 3
    assert peer.transport.reading


# -- WebSockets -------------------------------------------------------------------------------------------


async def test_a_handshake_and_the_first_messages_leave_together() -> None:
    receiver = Receiver()
    app = App(accept(receiver, headers=[("X-Extra", "1")]))
    app.on_request = lambda request: (
        accept(receiver, headers=[("X-Extra", "1")])(request),
        receiver.websocket.send_text(b"first"),
    )
    peer = Peer(app)
    peer.transport.protocol.data_received(HANDSHAKE + masked(1, b"early"))
    (write,) = peer.transport.writes
    head, _, rest = write.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"X-Extra: 1",
    ]
    assert frames(rest) == [(1, b"first")]
    assert receiver.events == [("text", b"early")]
    assert app.requests[0].upgrade
    assert peer.hub.connections == {receiver.websocket}


async def test_a_handshake_accepted_later() -> None:
    receiver = Receiver()
    app = App()
    peer = Peer(app)
    peer.send(HANDSHAKE + masked(1, b"a"))
    assert not peer.transport.reading, "what follows a handshake waits for its answer"
    accept(receiver)(app.requests[0])
    receiver.websocket.send_text(b"b")
    await turn()
    assert peer.transport.reading
    assert receiver.events == [("text", b"a")]
    assert len(peer.transport.writes) == 1
    peer.send(masked(2, b"c"))
    assert receiver.events[1:] == [("binary", b"c")]


async def test_an_upgrade_behind_an_open_request_is_refused() -> None:
    receiver = Receiver()
    app = App()
    peer = Peer(app)
    peer.send(GET + HANDSHAKE)
    accept(receiver)(app.requests[1])
    assert receiver.websocket is None
    ok(app.requests[0])
    sent = peer.take()
    assert sent.index(b"200 OK") < sent.index(b"400 Bad Request")


KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (b"Sec-WebSocket-Key: " + KEY + b"\r\n", b"", 400),
        (KEY, base64.b64encode(b"x" * 15), 400),
        (KEY, base64.b64encode(b"x" * 17), 400),
        (KEY, b"dGhl!HNhbXBsZSBub25jZQ==", 400),
        (KEY, b"\xe9" * 24, 400),
        (KEY, KEY + b"\r\nSec-WebSocket-Key: " + KEY, 400),
        (b"GET", b"POST", 400),
        (b"1.1", b"1.0", 400),
        (b"Upgrade: websocket", b"Upgrade: h2c", 400),
        (b"keep-alive, Upgrade", b"keep-alive", 400),
        (b"Host: a\r\n", b"Host: a\r\nContent-Length: 5\r\n", 400),
        (b"Host: a\r\n", b"Host: a\r\nSec-WebSocket-Protocol: a, (b)\r\n", 400),
        (b"Host: a\r\n", b"Host: a\r\nSec-WebSocket-Protocol: \xe9\r\n", 400),
        (b"Host: a\r\n", b"Host: a\r\nSec-WebSocket-Protocol:\r\n", 400),
    ],
)
async def test_bad_handshakes(old: bytes, new: bytes, status: int) -> None:
    receiver = Receiver()
    peer = Peer(App(accept(receiver)))
    assert old in HANDSHAKE
    sent = peer.send(HANDSHAKE.replace(old, new))
    assert sent.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Sec-WebSocket-Version: 13\r\n" in sent) is (status == 426)
    assert receiver.websocket is None
    await turn()
    assert receiver.events == []


async def test_the_first_subprotocol_offered_is_agreed_to() -> None:
    receiver = Receiver()
    peer = Peer(App(accept(receiver)))
    extra = b"Host: a\r\nSec-WebSocket-Protocol: first,second\r\nSec-WebSocket-Protocol: third\r\n"
    assert b"\r\nSec-WebSocket-Protocol: first\r\n" in peer.send(HANDSHAKE.replace(b"Host: a\r\n", extra))


async def test_headers_of_a_handshake_cannot_break_out(caplog: Any) -> None:
    receiver = Receiver()
    peer = Peer(App(accept(receiver, headers=[("X", "a\r\nY: b")])))
    assert peer.send(HANDSHAKE).startswith(b"HTTP/1.1 500 ")
    assert receiver.websocket is None


class Socket:
    """A peer with an open WebSocket."""

    def __init__(self, receiver: Receiver | None = None, limits: Any = None, **options: Any) -> None:
        self.receiver = receiver or Receiver()
        self.peer = Peer(App(accept(self.receiver, **options)), **(limits or {}))
        self.peer.send(HANDSHAKE)
        self.transport = self.peer.transport
        self.websocket = self.receiver.websocket  # type: ignore[attr-defined]
        self.events = self.receiver.events

    def send(self, data: bytes) -> list[tuple[int, bytes]]:
        """Deliver ``data``; gives the frames that came back."""
        return frames(self.peer.send(data))


async def test_answers_of_one_read_leave_in_one_write() -> None:
    receiver = Receiver(lambda payload: receiver.websocket.send_text(payload))  # type: ignore[attr-defined]
    socket = Socket(receiver)
    socket.transport.protocol.data_received(masked(1, b"a") + masked(9, b"p") + masked(1, b"b"))
    (write,) = socket.transport.writes
    assert frames(write) == [(1, b"a"), (10, b"p"), (1, b"b")]


async def test_writes_of_one_turn_leave_in_one_write() -> None:
    socket = Socket()
    socket.websocket.send_text(b"a")
    socket.websocket.send_binary(b"b")
    socket.websocket.write_frames(build_frame(1, b"c"))
    assert socket.transport.writes == []
    await turn()
    (write,) = socket.transport.writes
    assert frames(write) == [(1, b"a"), (2, b"b"), (1, b"c")]


async def test_writes_to_many_connections_cost_one_callback(monkeypatch: Any) -> None:
    socket = Socket()
    hub = socket.peer.hub
    scheduled: list[Any] = []

    class Loop:
        call_soon = scheduled.append

    monkeypatch.setattr(hub, "loop", Loop())
    others = []
    for _ in range(5):
        receiver = Receiver()
        transport = FakeTransport()
        http = HttpProtocol(hub)
        transport.protocol = http
        hub.app = App(accept(receiver))
        http.connection_made(transport)
        http.data_received(HANDSHAKE)
        transport.writes.clear()
        others.append((receiver.websocket, transport))  # type: ignore[attr-defined]
    for _ in range(3):
        for websocket, _ in others:
            websocket.send_text(b"x")
    assert len(scheduled) == 1
    scheduled[0]()
    assert all(frames(b"".join(t.writes)) == [(1, b"x")] * 3 and len(t.writes) == 1 for _, t in others)


async def test_close_by_the_peer() -> None:
    socket = Socket()
    answer = socket.send(masked(1, b"a") + masked(8, build_close(4000, "bye")) + masked(1, b"b"))
    assert answer == [(8, build_close(4000))]
    assert socket.transport.closing and not socket.transport.aborted
    assert socket.events == [("text", b"a"), ("close", 4000, "bye", None)]
    socket.websocket.send_text(b"late")
    socket.websocket.close()
    await turn()
    assert len(socket.events) == 2
    assert socket.peer.hub.connections == set()
    assert not len(socket.peer.hub.wheel)


async def test_close_by_us() -> None:
    socket = Socket()
    socket.websocket.send_text(b"last")
    socket.websocket.close()
    socket.websocket.send_text(b"late")
    await turn()
    assert frames(socket.peer.take()) == [(1, b"last"), (8, b"")]
    assert not socket.transport.closing
    assert socket.send(masked(1, b"ignored") + masked(8, b"")) == []
    assert socket.transport.closing
    await turn()
    assert socket.events == [("close", 1005, "", None)]
    assert not len(socket.peer.hub.wheel)


async def test_a_close_that_is_never_answered() -> None:
    socket = Socket(limits={"linger_timeout": 0.03})
    socket.websocket.close(1000, "enough")
    await asyncio.sleep(0.1)
    assert socket.transport.aborted
    assert socket.events == [("close", 1006, "", None)]


async def test_a_close_waits_while_the_peer_takes_what_is_queued() -> None:
    socket = Socket(limits={"linger_timeout": 0.04})
    socket.transport.buffered = 1000
    socket.websocket.close()
    for _ in range(8):
        socket.transport.buffered -= 100
        await asyncio.sleep(0.02)
    assert not socket.transport.aborted
    await asyncio.sleep(0.2)
    assert socket.transport.aborted


async def test_the_end_of_the_stream() -> None:
    socket = Socket()
    assert not socket.websocket.eof_received()
    socket.transport.close()
    await turn()
    assert socket.events == [("close", 1006, "", None)]


async def test_abort() -> None:
    socket = Socket()
    socket.websocket.send_text(b"lost")
    socket.websocket.abort()
    await turn()
    assert socket.transport.writes == []
    assert socket.events == [("close", 1006, "", None)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (build_frame(1, b"unmasked"), 1002),
        (masked(1, b"a", rsv1=True), 1002),
        (b"\x83\x80\x01\x02\x03\x04", 1002),
        (masked(0, b"a"), 1002),
        (masked(8, b"\x03\xed"), 1002),
        (masked(1, b"\xff"), 1007),
        (masked(2, b"x" * 1001), 1009),
    ],
)
async def test_violations(data: bytes, code: int) -> None:
    socket = Socket(limits={"linger_timeout": 0.03})
    answer = socket.send(masked(1, b"good") + data)
    (opcode, payload) = answer[-1]
    assert opcode == 8
    assert payload[:2] == code.to_bytes(2, "big")
    assert socket.events[0] == ("text", b"good")
    (close,) = socket.events[1:]
    assert close[1] == code
    assert str(code) in close[3]
    # Until the peer has read why, or its time is up, what it still sends is dropped.
    assert not socket.transport.closing
    assert socket.send(masked(1, b"more")) == []
    await asyncio.sleep(0.1)
    assert socket.transport.aborted
    assert len(socket.events) == 2
    assert socket.peer.hub.connections == set()


async def test_a_broken_receiver_ends_its_own_connection(caplog: Any) -> None:
    def fail(payload: bytes) -> None:
        raise RuntimeError("receiver is broken")

    socket = Socket(Receiver(fail))
    ((opcode, payload),) = socket.send(masked(1, b"x") + masked(1, b"y"))
    assert (opcode, payload[:2]) == (8, (1011).to_bytes(2, "big"))
    assert socket.events[0] == ("text", b"x")
    assert [event[:2] for event in socket.events[1:]] == [("close", 1011)]
    assert "receiver is broken" in caplog.text


async def test_a_slow_reader_is_known_and_then_dropped(caplog: Any) -> None:
    socket = Socket(max_buffered_bytes=1000)
    assert socket.websocket.writable
    socket.transport.buffered = 700
    socket.websocket.pause_writing()
    assert not socket.websocket.writable
    socket.websocket.send_text(b"x" * 200)
    await turn()
    assert not socket.transport.aborted
    socket.websocket.send_text(b"x" * 400)
    socket.websocket.send_text(b"x" * 400)
    assert socket.events == [], "never called back from inside of a send"
    await turn()
    assert socket.transport.aborted
    ((name, code, _, error),) = socket.events
    assert (name, code) == ("close", 1006)
    assert "max_buffered_bytes" in error
    assert caplog.text.count("max_buffered_bytes") == 1


async def test_what_one_turn_queues_is_bounded_too() -> None:
    socket = Socket(max_buffered_bytes=1000)
    for _ in range(100):
        socket.websocket.send_text(b"x" * 98)
    await turn()
    assert socket.transport.aborted
    assert socket.transport.writes == []


async def test_exactly_max_buffered_bytes_passes() -> None:
    socket = Socket(max_buffered_bytes=1000)
    for _ in range(10):
        socket.websocket.send_text(b"x" * 98)
    await turn()
    assert len(socket.peer.take()) == 1000
    assert not socket.transport.aborted


async def test_a_ping_flood_does_not_fill_the_queue_of_a_slow_reader() -> None:
    socket = Socket()
    socket.websocket.pause_writing()
    for number in range(100):
        assert socket.send(masked(9, b"%d" % number)) == []
    socket.websocket.resume_writing()
    await turn()
    assert frames(socket.peer.take()) == [(10, b"99")]
    assert socket.events == ["writable"]


async def test_unasked_pongs_are_ignored() -> None:
    socket = Socket()
    assert socket.send(masked(10, b"x") * 3) == []
    assert socket.events == []


async def test_the_http_side_is_forgotten_after_the_handshake() -> None:
    receiver = Receiver()
    app = App(accept(receiver))
    peer = Peer(app)
    peer.send(HANDSHAKE)
    assert peer.http not in peer.hub.connections
    assert peer.http._parser is None
    assert not len(peer.hub.wheel)
    exchange = app.requests[0].exchange
    exchange.respond(Response(200))
    exchange.abort()
    assert not peer.transport.closing, "an exchange has no say after its handshake"


# -- noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
async def test_noise_in_every_state_leaves_nothing_behind(seed: int) -> None:
    rng = random.Random(seed)
    receiver = Receiver(lambda payload: receiver.websocket.send_text(payload))  # type: ignore[attr-defined]

    def on_request(request: Request) -> None:
        kind = rng.randrange(4)
        if request.upgrade and kind:
            accept(receiver)(request)
        elif kind == 1:
            request.exchange.read_body(50, lambda body: ok(request), lambda: ok(request))
        elif kind == 2:
            asyncio.get_running_loop().call_soon(ok, request)
        elif kind == 3:
            ok(request)

    peer = Peer(App(on_request), linger_timeout=0.01)
    corpus = [
        GET,
        HANDSHAKE,
        HANDSHAKE + masked(1, b"hello"),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"d"),
        masked(9, b"x"),
        masked(8, b""),
        rng.randbytes(50),
    ]
    for _ in range(30):
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        start = rng.randrange(len(data))
        for piece in (bytes(data[:start]), bytes(data[start:])):
            if peer.transport.reading and not peer.transport.closing:
                peer.transport.protocol.data_received(piece)
        await turn()
    peer.transport.close()
    await asyncio.sleep(0.05)
    assert peer.hub.connections == set()
    assert not len(peer.hub.wheel)
    assert sum(1 for event in receiver.events if event[0] == "close") <= 1
