"""Heads that are known by their bytes: what is not parsed again means what the parser said."""

from __future__ import annotations

import asyncio
import random
from http import HTTPStatus
from typing import Any

import pytest

from fastsio._http import (
    FixedHeaders,
    KnownHead,
    KnownHeads,
    SessionQuery,
    build_response,
    read_session_query,
)
from fastsio.engine.request import Request, Response, parse_query
from fastsio.net.http import HttpProtocol
from fastsio.net.hub import Hub
from fastsio.options import ListenerOptions
from tests.unit.test_http import App, FakeTransport, Receiver, accept

BROWSER = (
    b"Host: localhost:3000\r\nConnection: keep-alive\r\n%sUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"\r\nAccept: */*\r\n%sSec-Fetch-Site: same-origin\r\n'
    b"Referer: http://localhost:3000/\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n"
    b"\r\n"
)
TARGET = b"/socket.io/?EIO=4&transport=polling&t=%s&sid=Qm9vIGZhciBiYXoAAAB"


def get(stamp: bytes = b"abc") -> bytes:
    return b"GET " + TARGET % stamp + b" HTTP/1.1\r\n" + BROWSER % (b"", b"")


def post(body: bytes = b"4x", stamp: bytes = b"abc") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    kind = b"Content-type: text/plain;charset=UTF-8\r\nOrigin: http://localhost:3000\r\n"
    return b"POST " + TARGET % stamp + b" HTTP/1.1\r\n" + BROWSER % (length, kind) + body


def node(body: bytes) -> bytes:
    return (
        b"POST " + TARGET % b"1" + b" HTTP/1.1\r\nAccept: */*\r\nHost: a\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    )


def handshake(key: bytes = b"dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    return (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a:1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )


class Echo(App):
    """Answers with what it understood."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.understood: list[Any] = []

    def answer(self, request: Request) -> None:
        facts = [request.method, request.target, request.path, request.query, dict(request.headers)]
        self.understood.append([*facts, request.upgrade, request.remote_address, request.scheme])
        if request.upgrade:
            accept(Receiver())(request)
            return

        def on_body(body: bytes) -> None:
            self.understood.append(body)
            request.exchange.respond(Response(200, [], b"ok"))

        request.exchange.read_body(64, on_body, lambda: request.exchange.respond(Response(413)))


class Server:
    def __init__(self, **limits: Any) -> None:
        self.app = Echo()
        self.hub = Hub(asyncio.get_running_loop(), self.app, ListenerOptions(**limits))

    def connect(self) -> tuple[HttpProtocol, FakeTransport]:
        transport, http = FakeTransport(), HttpProtocol(self.hub)
        transport.protocol = http
        http.connection_made(transport)
        return http, transport

    def ask(self, *parts: bytes) -> list[Any]:
        """What the server makes of bytes on a new connection: what it understood, what it says."""
        _, transport = self.connect()
        self.app.understood.clear()
        for part in parts:
            if not transport.closing:
                transport.protocol.data_received(part)
        return [*self.app.understood, self.said(transport), transport.closing]

    @staticmethod
    def said(transport: FakeTransport) -> list[bytes]:
        return [line for line in transport.sent.split(b"\r\n") if not line.startswith(b"Date:")]

    def knows(self, data: bytes) -> bool:
        return self.hub.heads.find(data) is not None


SAMPLES = {
    "get": (get(), get(b"xyz")),
    "post": (post(), post(b'42["a"]')),
    "node": (node(b"4x"), node(b"4" + b"y" * 50)),
    "handshake": (handshake(), handshake(b"AAAAAAAAAAAAAAAAAAAAAA==")),
}


@pytest.mark.parametrize("first, second", SAMPLES.values(), ids=SAMPLES)
async def test_a_known_head_means_what_the_parser_said(first: bytes, second: bytes) -> None:
    server = Server()
    assert not server.knows(first)
    parsed = server.ask(first)
    assert server.knows(first) and server.knows(second)
    assert server.ask(first) == parsed
    assert server.ask(second) == Server().ask(second)
    assert server.ask(first[:-1], first[-1:]) == parsed
    assert server.ask(first[:30], first[30:]) == parsed
    assert server.ask(first + first) == Server().ask(first + first)


@pytest.mark.parametrize("sample", SAMPLES)
async def test_whatever_differs_is_parsed(sample: str) -> None:
    random_ = random.Random(sample)
    data = SAMPLES[sample][0]
    server = Server()
    server.ask(data)
    for _ in range(1500):
        changed = bytearray(data)
        at = random_.randrange(len(changed))
        match random_.randrange(4):
            case 0:
                changed[at] = random_.choice(b"\0\r\n\t :;,=/?#%+-09azAZ\x7f\x80\xff")
            case 1:
                del changed[at]
            case 2:
                changed.insert(at, random_.choice(b"\r\n\t :0a\xff"))
            case 3:
                end = min(len(changed), at + random_.randrange(1, 12))
                changed[at:end] = changed[at:end].swapcase()
        assert server.ask(bytes(changed)) == Server().ask(bytes(changed)), bytes(changed)


async def test_requests_do_not_share_what_a_program_changes() -> None:
    server = Server()
    server.ask(post())
    http, _transport = server.connect()
    for _ in range(2):
        http.data_received(post())
        (request, _body) = server.app.requests[-1], None
        assert "user" not in request.headers and request.headers["content-length"] == "2"
        request.headers["user"] = "me"
        request.headers["host"] = "elsewhere"
    assert server.app.requests[-1].headers is not server.app.requests[-2].headers


@pytest.mark.parametrize("secret", [b"Cookie: sid=1\r\n", b"Authorization: Basic eA==\r\n"])
async def test_heads_with_secrets_stay_with_their_connection(secret: bytes) -> None:
    server = Server()
    data = get().replace(b"Accept: ", secret + b"Accept: ")
    http, transport = server.connect()
    for _ in range(3):
        http.data_received(data)
    assert transport.sent.count(b" 200 OK") == 3 and len(server.app.requests) == 3
    assert not server.knows(data) and len(server.hub.heads) == 0


async def test_few_heads_are_kept() -> None:
    server = Server()
    heads = [get().replace(b"Accept: ", b"X-Number: %d\r\nAccept: " % i) for i in range(18)]
    for data in heads[:16]:
        server.ask(data)
    assert all(server.knows(data) for data in heads[:16])
    server.ask(heads[16])
    assert len(server.hub.heads) == 16
    assert not server.knows(heads[0]), "the one that was not used for the longest time"
    assert all(server.knows(data) for data in heads[1:17])


async def test_the_limits_of_the_listener_hold() -> None:
    server = Server(max_target_size=80)
    long = get(b"t" * (80 - len(TARGET) + 3))
    assert len(long.split()[1]) == 81
    assert server.ask(get())[-2][0] == b"HTTP/1.1 200 OK"
    assert server.knows(get()) and server.knows(get(b"t" * (79 - len(TARGET) + 3)))
    assert not server.knows(long)
    # Python 3.13 calls it otherwise.
    assert server.ask(long)[-2][0] == f"HTTP/1.1 414 {HTTPStatus(414).phrase}".encode()
    size = sum(len(line) + 2 for line in post(b"x" * 9).split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    server = Server(max_header_size=size)
    assert server.ask(post(b"x" * 9))[-2][0] == b"HTTP/1.1 200 OK"
    assert server.ask(post(b"x" * 10))[-2][0].startswith(b"HTTP/1.1 431")
    assert server.ask(post(b"x" * 65))[-2][0].startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "data",
    [
        b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 \r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 4096 + b"\r\n\r\n",
    ],
)
async def test_other_heads_are_parsed_each_time(data: bytes) -> None:
    server = Server()
    answer = server.ask(data)
    assert len(server.hub.heads) == 0
    assert server.ask(data) == answer


def test_a_head_is_learned_from_its_request_only() -> None:
    heads = KnownHeads(4, 100)
    data = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
    assert heads.learn(data, 2, {"host": "a"}, False, False) is None, "another number of lines"
    assert heads.learn(data + b"x", 1, {"host": "a"}, False, False) is None, "more than the request"
    assert heads.learn(data[:-1], 1, {"host": "a"}, False, False) is None
    assert heads.find(data) is None
    head = heads.learn(data, 1, {"host": "a"}, True, False)
    assert isinstance(head, KnownHead) and heads.find(data) is head
    assert (head.method, head.headers, head.close, head.upgrade) == ("GET", {"host": "a"}, True, False)
    assert (heads.path(data), heads.query_string(data), heads.body) == ("/a", "b", len(data))
    other = b"GET /c HTTP/1.1\r\nHost: a\r\n\r\n"
    assert heads.find(other) is head
    assert (heads.path(other), heads.query_string(other)) == ("/c", None)


def asked(query: str) -> SessionQuery:
    return Request("GET", f"/?{query}", {}, exchange=None).session_query()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "EIO=4",
        "EIO=3&transport=polling&t=1&sid=a",
        "sid=a&sid=b&sid",
        "sid=&EIO=44&transport=x&b64=1&j=0",
        "j&b64",
        "&&=&sid==a=",
    ],
)
def test_the_parameters_of_a_session_are_those_of_the_query(query: str) -> None:
    found = parse_query(query)
    expected = [found.get("transport", ""), found.get("sid", ""), found.get("EIO", ""), found.get("b64", "")]
    for given in (read_session_query(query), asked(query)):
        assert given is not None and given.jsonp == found.get("j")
        assert [given.transport, given.sid, given.protocol, given.base64] == expected


@pytest.mark.parametrize("query", ["sid=%61", "sid=a+b", "sid=a#sid=b", "sid=\u00e4"])
def test_a_query_that_needs_decoding_is_left_to_the_parser(query: str) -> None:
    assert read_session_query(query) is None
    assert asked(query).sid == parse_query(query)["sid"]


def test_fixed_headers_are_headers() -> None:
    fixed = FixedHeaders([("A", "1"), ("B", "\u00fc")])
    assert fixed.lines == b"A: 1\r\nB: \xfc\r\n" and fixed.pairs == (("A", "1"), ("B", "\u00fc"))
    for bad in ("a\r\nb", "a\nb", "a\0b"):
        with pytest.raises(ValueError):
            FixedHeaders([("A", bad)])
    whole = build_response(b"S\r\n", b"C\r\n", fixed, fixed, b"x" * 1234, True)
    assert whole == b"S\r\nContent-Length: 1234\r\nC\r\n" + fixed.lines * 2 + b"\r\n" + b"x" * 1234
    assert build_response(b"S\r\n", b"", None, None, b"", False) == b"S\r\nContent-Length: 0\r\n\r\n"
