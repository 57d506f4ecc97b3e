"""Handshakes: what is checked, in which order, and each answer byte for byte (Engine.IO protocol)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
from typing import Any

import pytest

from fastsio.engine import EngineServer, Refusal
from fastsio.engine.ids import generate_id
from fastsio.engine.request import Request
from fastsio.exceptions import ConnectionRefused
from tests.unit.engine.fakes import Engine, FakeExchange, open_packet

POLLING = {"EIO": "4", "transport": "polling"}
WEBSOCKET = {"EIO": "4", "transport": "websocket"}
JSON = [("Content-Type", "application/json")]
PLAIN = [("Connection", "close"), ("Content-Type", "text/html")]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def refused(exchange: FakeExchange, code: int, message: str, status: int = 400) -> None:
    """The JSON answer of a refused request."""
    assert exchange.extra == 0
    assert exchange.status == status
    assert exchange.headers == JSON
    assert exchange.body == b'{"code":%d,"message":"%s"}' % (code, message.encode())


def refused_upgrade(exchange: FakeExchange, message: str) -> None:
    """The plain answer of a refused upgrade."""
    assert exchange.websocket is None and exchange.extra == 0
    assert exchange.status == 400
    assert exchange.headers == PLAIN
    assert exchange.body == message.encode()


# -- the open packet


def test_polling_v4() -> None:
    engine = Engine()
    exchange = engine.request("GET", POLLING)
    sid = engine.session.id
    assert exchange.response is None, "answered at the end of the turn"
    engine.clock.turn()
    assert exchange.status == 200
    assert exchange.headers == [
        ("Content-Type", "text/plain; charset=UTF-8"),
        ("Cache-Control", "no-store"),
    ]
    assert exchange.body == (
        b'0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,'
        b'"maxPayload":1000000}' % sid.encode()
    )
    assert exchange.extra == 0
    assert engine.core.sessions == {sid: engine.session}
    assert engine.core.clients_count == 1


def test_polling_v3() -> None:
    engine = Engine()
    exchange = engine.request("GET", {"EIO": "3", "transport": "polling", "b64": "1"})
    engine.clock.turn()
    packet = (
        b'0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'
        % engine.session.id.encode()
    )
    assert exchange.body == b"%d:%s" % (len(packet), packet)
    assert engine.session.protocol == 3


@pytest.mark.parametrize(("protocol", "extra"), [(3, b""), (4, b',"maxPayload":1000000')])
def test_websocket(protocol: int, extra: bytes) -> None:
    engine = Engine()
    exchange = engine.request("GET", {**WEBSOCKET, "EIO": str(protocol)}, upgrade=True)
    assert exchange.websocket is not None
    expected = b'0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000%s}' % (
        engine.session.id.encode(),
        extra,
    )
    assert exchange.websocket.sent == [expected.decode()]
    assert engine.session.transport == "websocket"
    assert exchange.websocket_headers == []
    assert exchange.websocket_options == {
        "max_message_size": 1_000_000,
        "max_buffered_bytes": 16_000_000,
        "per_message_deflate": None,
    }


def test_options_show_in_the_open_packet() -> None:
    engine = Engine(ping_interval=0.4, ping_timeout=0.3, max_http_buffer_size=5000, transports=("polling",))
    data = open_packet(engine.open().handshake.body)
    assert data == {
        "sid": engine.session.id,
        "upgrades": [],
        "pingInterval": 400,
        "pingTimeout": 300,
        "maxPayload": 5000,
    }
    assert open_packet(Engine(allow_upgrades=False).open().handshake.body)["upgrades"] == []


@pytest.mark.parametrize("eio", [None, "2", "3", "5", "", "04", "4.0"])
def test_every_other_revision_is_protocol_3(eio: str | None) -> None:
    engine = Engine()
    query = {"transport": "polling"} if eio is None else {"transport": "polling", "EIO": eio}
    engine.request("GET", query)
    assert engine.session.protocol == 3


def test_what_the_connection_handler_sends_goes_along() -> None:
    engine = Engine()
    engine.core.on("connection", lambda session: session.send("hello").send(b"\x01\x02\x03"))
    exchange = engine.request("GET", POLLING)
    engine.clock.turn()
    assert exchange.body.split(b"\x1e")[1:] == [b"4hello", b"bAQID"]


@pytest.mark.parametrize(
    ("protocol", "initial", "expected"),
    [
        (3, "0", b"2:40"),
        (4, "0", b"40"),
        (4, b"\x01", b"bAQ=="),
        (3, b"\x01", b"6:b4AQ=="),
    ],
)
def test_initial_packet(protocol: int, initial: str | bytes, expected: bytes) -> None:
    engine = Engine(initial_packet=initial)
    client = engine.open(protocol, b64="1")
    assert client.handshake.body.endswith(expected if protocol == 3 else b"\x1e" + expected)
    exchange = engine.request("GET", {**WEBSOCKET, "EIO": str(protocol)}, upgrade=True)
    assert exchange.websocket is not None
    frame = exchange.websocket.sent[1]
    if isinstance(initial, str):
        assert frame == "4" + initial
    else:
        assert frame == (b"\x04" + initial if protocol == 3 else initial)


def test_an_empty_sid_is_none() -> None:
    engine = Engine()
    engine.request("GET", {**POLLING, "sid": ""})
    assert engine.session is not None


def test_of_a_repeated_parameter_the_last_counts() -> None:
    engine = Engine()
    engine.request("GET", "EIO=3&transport=bogus&transport=polling&EIO=4")
    assert engine.session.protocol == 4


def test_the_path() -> None:
    for option in ("/custom", "/custom/"):
        engine = Engine(path=option)
        for path, ours in [
            ("/custom/", True),
            ("/custom/x/y", True),
            ("/custom", False),
            ("/customs/", False),
            ("/engine.io/", False),
        ]:
            request = Request("GET", path, {}, exchange=FakeExchange())
            assert engine.core.matches(request) is ours


async def test_engine_server_answers_404_elsewhere() -> None:
    server = EngineServer(path="/here")
    exchange = FakeExchange()
    server.handle(Request("GET", "/elsewhere", {}, exchange=exchange))
    assert exchange.status == 404
    exchange = FakeExchange()
    server.handle(Request("GET", "/here/?EIO=4&transport=polling", {}, exchange=exchange))
    await settle()
    assert exchange.status == 200


# -- errors 0 to 5


@pytest.mark.parametrize("transport", [None, "", "bogus", "webtransport", "__proto__", "Polling", "\x00"])
def test_0_transport_unknown(transport: str | None) -> None:
    engine = Engine()
    query = {"EIO": "4"} if transport is None else {"EIO": "4", "transport": transport}
    refused(engine.request("GET", query), 0, "Transport unknown")
    refused_upgrade(engine.request("GET", query, upgrade=True), "Transport unknown")


def test_0_transport_not_enabled() -> None:
    engine = Engine(transports=["websocket"])
    refused(engine.request("GET", POLLING), 0, "Transport unknown")
    engine = Engine(transports=["polling"])
    refused_upgrade(engine.request("GET", WEBSOCKET, upgrade=True), "Transport unknown")


@pytest.mark.parametrize("sid", ["unknown", "__proto__", "constructor", "x" * 5000, "\x00", "ü", "a b"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_1_session_unknown(sid: str, method: str) -> None:
    engine = Engine()
    refused(engine.request(method, {**POLLING, "sid": sid}), 1, "Session ID unknown")
    refused_upgrade(engine.request("GET", {**WEBSOCKET, "sid": sid}, upgrade=True), "Session ID unknown")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "get"])
def test_2_bad_handshake_method(method: str) -> None:
    engine = Engine()
    refused(engine.request(method, POLLING), 2, "Bad handshake method")
    assert engine.core.sessions == {}


def test_3_websocket_without_upgrade() -> None:
    engine = Engine()
    refused(engine.request("GET", WEBSOCKET), 3, "Bad request")


@pytest.mark.parametrize("origin", ["http://a\x00b", "\x01", "http://a\x7f", "http://\u0100", "a\nb"])
def test_3_origin_with_invalid_characters(origin: str) -> None:
    for options in ({}, {"cors": "*"}, {"cors": True}):
        engine = Engine(**options)
        exchange = engine.request("GET", POLLING, headers={"origin": origin})
        assert exchange.status == 400
        assert exchange.body == b'{"code":3,"message":"Bad request"}'
        assert exchange.header("access-control-allow-origin") in (None, "*"), "not reflected"
        exchange = engine.request("GET", WEBSOCKET, headers={"origin": origin}, upgrade=True)
        assert exchange.status == 400 and exchange.body == b"Bad request"
        assert engine.core.sessions == {}


def test_3_transport_mismatch() -> None:
    engine = Engine()
    client = engine.open()
    sid = client.session.id
    refused(engine.request("GET", {**WEBSOCKET, "sid": sid}), 3, "Bad request")
    engine.connect()
    refused(engine.request("GET", {**POLLING, "sid": engine.session.id}), 3, "Bad request")
    refused(engine.request("POST", {**POLLING, "sid": engine.session.id}), 3, "Bad request")
    assert engine.take() == []
    assert len(engine.core.sessions) == 2


@pytest.mark.parametrize(("protocol", "other"), [(3, "4"), (4, "3"), (4, "")])
def test_3_protocol_mismatch(protocol: int, other: str) -> None:
    engine = Engine()
    client = engine.open(protocol)
    query = {"EIO": other, "transport": "polling", "sid": client.session.id}
    refused(engine.request("GET", query), 3, "Bad request")
    refused(engine.request("POST", query), 3, "Bad request")
    refused_upgrade(engine.request("GET", {**query, "transport": "websocket"}, upgrade=True), "Bad request")
    assert client.poll().response is None, "the session is unharmed"


@pytest.mark.parametrize("protocol", [3, 4])
def test_5_unsupported_protocol(protocol: int, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(protocols=[7 - protocol])
    with caplog.at_level(logging.WARNING):
        refused(engine.request("GET", {**POLLING, "EIO": str(protocol)}), 5, "Unsupported protocol version")
        refused_upgrade(
            engine.request("GET", {**WEBSOCKET, "EIO": str(protocol)}, upgrade=True),
            "Unsupported protocol version",
        )
    assert "option protocols" in caplog.text
    engine.open(7 - protocol)


def test_order_of_the_checks() -> None:
    engine = Engine(protocols=[4], allow_request=lambda request: False)
    bad_origin = {"origin": "\x01"}
    request = engine.request
    refused(request("PUT", {"sid": "unknown"}, headers=bad_origin), 0, "Transport unknown")
    refused(request("PUT", {**POLLING, "sid": "unknown"}, headers=bad_origin), 3, "Bad request")
    refused(request("PUT", {**POLLING, "sid": "unknown"}), 1, "Session ID unknown")
    refused(request("PUT", {**WEBSOCKET, "EIO": "3"}), 2, "Bad handshake method")
    refused(request("GET", {**WEBSOCKET, "EIO": "3"}), 3, "Bad request")


async def test_allow_request_comes_before_the_protocol() -> None:
    engine = Engine(protocols=[4], allow_request=lambda request: False)
    exchange = engine.request("GET", {**POLLING, "EIO": "3"})
    await settle()
    refused(exchange, 4, "Forbidden", 403)


def test_connection_error_tells_why() -> None:
    engine = Engine(protocols=[4])
    refusals: list[Refusal] = []
    engine.core.on("connection_error", refusals.append)
    client = engine.open()
    sid = client.session.id
    engine.request("GET", {"EIO": "4", "transport": "x"})
    engine.request("GET", {**POLLING, "sid": "x"})
    engine.request("PUT", POLLING)
    engine.request("GET", WEBSOCKET)
    engine.request("GET", {**WEBSOCKET, "sid": sid})
    engine.request("GET", {**POLLING, "sid": sid, "EIO": "3"})
    engine.request("GET", POLLING, headers={"origin": "\x01"})
    engine.request("GET", {**POLLING, "EIO": "3"})
    assert [(refusal.code, refusal.context) for refusal in refusals] == [
        (0, {"transport": "x"}),
        (1, {"sid": "x"}),
        (2, {"method": "PUT"}),
        (3, {"name": "TRANSPORT_HANDSHAKE_ERROR"}),
        (3, {"name": "TRANSPORT_MISMATCH", "transport": "websocket", "previous": "polling"}),
        (3, {"name": "PROTOCOL_MISMATCH"}),
        (3, {"name": "INVALID_ORIGIN", "origin": "\x01"}),
        (5, {"protocol": 3}),
    ]
    assert all(refusal.request is not None for refusal in refusals)
    assert str(refusals[0]) == "Transport unknown"


def test_a_refused_handshake_of_the_listener_makes_no_session() -> None:
    engine = Engine()
    exchange = engine.request("GET", WEBSOCKET, upgrade=True, handshake=426)
    assert exchange.status == 426
    assert engine.core.sessions == {} and engine.session is None
    client = engine.open()
    exchange = engine.request("GET", {**WEBSOCKET, "sid": client.session.id}, upgrade=True, handshake=400)
    assert exchange.status == 400
    assert not client.session.upgrading
    assert client.probe().closed is None


@pytest.mark.parametrize("protocol", ["3", "4"])
def test_upgrade_with_transport_polling_is_accepted_and_closed(protocol: str) -> None:
    engine = Engine()
    exchange = engine.request("GET", {**POLLING, "EIO": protocol}, upgrade=True)
    assert exchange.websocket is not None
    assert exchange.websocket.sent == [] and exchange.websocket.closed == (0, "")
    assert engine.core.sessions == {} and engine.session is None
    exchange.websocket.hang_up()
    client = engine.open()
    exchange = engine.request("GET", client.query, upgrade=True)
    assert exchange.websocket is not None and exchange.websocket.closed == (0, "")
    exchange.websocket.hang_up()
    assert client.session.ready_state == "open" and engine.take() == []


# -- hooks


async def test_allow_request() -> None:
    seen: list[Request] = []

    def allow(request: Request) -> bool:
        seen.append(request)
        return request.headers.get("token") == "x"

    engine = Engine(allow_request=allow)
    exchange = engine.request("GET", POLLING, headers={"token": "x"})
    await settle()
    engine.clock.settle()
    assert exchange.status == 200
    exchange = engine.request("GET", POLLING)
    await settle()
    refused(exchange, 4, "Forbidden", 403)
    exchange = engine.request("GET", WEBSOCKET, upgrade=True)
    await settle()
    refused_upgrade(exchange, "Forbidden")
    assert len(seen) == 3
    # Only handshakes are asked about.
    engine.request("POST", {**POLLING, "sid": engine.session.id}, body=b"4x")
    assert len(seen) == 3 and engine.take() == [("message", "x")]


class _Slow:
    """``fn`` as an async hook that takes its time."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn
        self.gate = asyncio.Event()

    async def __call__(self, request: Request) -> Any:
        await self.gate.wait()
        return self.fn(request)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (False, "Forbidden"),
        ("not you", "not you"),
        ("", "Forbidden"),
        (ConnectionRefused("go away"), "go away"),
        (ValueError("secret"), "Forbidden"),
        ("l\u00f6ne \ud800", "l\u00f6ne ?"),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
async def test_allow_request_refuses(outcome: Any, message: str, slow: bool) -> None:
    def allow(request: Request) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    hook = _Slow(allow)
    engine = Engine(allow_request=hook if slow else allow)
    refusals: list[Refusal] = []
    engine.core.on("connection_error", refusals.append)
    polling = engine.request("GET", POLLING)
    upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
    if slow:
        await settle()
        assert polling.response is None and upgrade.response is None
        hook.gate.set()
    await settle()
    refused(polling, 4, message, 403)
    refused_upgrade(upgrade, message)
    assert [refusal.code for refusal in refusals] == [4, 4]
    assert engine.core.sessions == {}


@pytest.mark.parametrize("result", [True, None, 1])
async def test_allow_request_async_lets_pass(result: Any) -> None:
    hook = _Slow(lambda request: result)
    engine = Engine(allow_request=hook)
    polling = engine.request("GET", POLLING)
    upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
    hook.gate.set()
    await settle()
    engine.clock.settle()
    assert polling.status == 200
    assert upgrade.websocket is not None and len(upgrade.websocket.sent) == 1


async def test_a_client_that_leaves_while_a_hook_thinks() -> None:
    hook = _Slow(lambda request: True)
    for kind in ("allow_request", "generate_id", "middleware"):
        engine = Engine(**({} if kind == "middleware" else {kind: hook}))
        if kind == "middleware":
            engine.core.use(hook)
        polling = engine.request("GET", POLLING)
        upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
        await settle()
        polling.disconnect()
        upgrade.disconnect()
        hook.gate.set()
        await settle()
        assert engine.session is None and engine.core.sessions == {}
        hook.gate.clear()


async def test_a_hook_that_is_cancelled_drops_the_connection() -> None:
    async def allow(request: Request) -> bool:
        await asyncio.sleep(60)
        return True

    engine = Engine(allow_request=allow)
    exchange = engine.request("GET", POLLING)
    await settle()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    assert exchange.aborted


async def test_generate_id() -> None:
    ids = iter(["first", "second", "third"])
    engine = Engine(generate_id=lambda request: next(ids))
    engine.request("GET", POLLING)
    engine.request("GET", WEBSOCKET, upgrade=True)
    await settle()
    assert list(engine.core.sessions) == ["first", "second"]
    assert engine.session.id == "second"

    async def generate(request: Request) -> str:
        await asyncio.sleep(0)
        return "slow"

    engine = Engine(generate_id=generate)
    engine.request("GET", POLLING)
    await settle()
    assert engine.session.id == "slow"


@pytest.mark.parametrize("outcome", [ValueError("secret"), "", None, 5, b"x", "taken"])
async def test_generate_id_fails(outcome: Any, caplog: pytest.LogCaptureFixture) -> None:
    taken = iter(["taken"])

    def generate(request: Request) -> Any:
        for sid in taken:
            return sid
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    engine = Engine(generate_id=generate)
    engine.request("GET", POLLING)
    await settle()
    first = engine.session
    with caplog.at_level(logging.ERROR):
        exchange = engine.request("GET", POLLING)
        upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
        await settle()
    refused(exchange, 3, "Bad request")
    refused_upgrade(upgrade, "Bad request")
    assert "generate_id" in caplog.text
    assert engine.core.sessions == {"taken": first}


async def test_two_handshakes_race_for_one_id() -> None:
    hook = _Slow(lambda request: "same")
    engine = Engine(generate_id=hook)
    exchanges = [engine.request("GET", POLLING) for _ in range(2)]
    hook.gate.set()
    await settle()
    engine.clock.settle()
    assert sorted(exchange.status or 0 for exchange in exchanges) == [200, 400]
    assert list(engine.core.sessions) == ["same"]


def test_ids_are_random_with_a_counter() -> None:
    ids = [generate_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    counters = []
    for sid in ids:
        assert len(sid) == 20
        raw = base64.urlsafe_b64decode(sid)
        counters.append(int.from_bytes(raw[12:], "big"))
    assert [later - earlier for earlier, later in itertools.pairwise(counters)] == [1] * 999
    assert len({sid[:16] for sid in ids}) == 1000


def test_max_connections(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(max_connections=2)
    engine.open()
    websocket = engine.connect()
    with caplog.at_level(logging.WARNING):
        refused(engine.request("GET", POLLING), 4, "Too many connections", 403)
        refused_upgrade(engine.request("GET", WEBSOCKET, upgrade=True), "Too many connections")
    assert "option max_connections" in caplog.text
    websocket.hang_up()
    engine.open()


def test_handlers_that_raise_harm_nothing(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()

    def fail(*args: object) -> None:
        raise ValueError("no")

    for event in ("connection", "connection_error", "headers", "initial_headers"):
        engine.core.on(event, fail)
    with caplog.at_level(logging.ERROR):
        client = engine.open()
        websocket = engine.connect()
        refused(engine.request("PUT", POLLING), 2, "Bad handshake method")
    assert client.handshake.status == 200 and websocket.closed is None
    assert len(caplog.records) == 8


# -- middlewares


async def test_middlewares_see_every_request() -> None:
    engine = Engine()
    seen: list[str] = []

    def plain(request: Request) -> None:
        seen.append(f"plain {request.method}")

    async def slow(request: Request) -> None:
        await asyncio.sleep(0)
        seen.append(f"slow {request.method}")

    def node(request: Request, go_on: Any) -> None:
        seen.append(f"node {request.method}")
        go_on()

    assert engine.core.use(plain).use(slow) is engine.core
    engine.core.use(node)
    handshake = engine.request("GET", POLLING)
    await settle()
    engine.clock.settle()
    assert handshake.status == 200
    post = engine.request("POST", {**POLLING, "sid": engine.session.id}, body=b"4x")
    upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
    await settle()
    assert post.body == b"ok" and upgrade.websocket is not None
    assert sorted(seen) == sorted(
        f"{name} {method}" for name in ("plain", "slow", "node") for method in ("GET", "POST", "GET")
    )


@pytest.mark.parametrize(
    ("error", "code", "message", "status"),
    [
        (ConnectionRefused("not you"), 4, "not you", 403),
        (ValueError("secret"), 3, "Bad request", 400),
    ],
)
@pytest.mark.parametrize("style", ["raise", "async", "next"])
async def test_middlewares_refuse(error: Exception, code: int, message: str, status: int, style: str) -> None:
    engine = Engine()
    refusals: list[Refusal] = []
    engine.core.on("connection_error", refusals.append)

    def plain(request: Request) -> None:
        raise error

    async def slow(request: Request) -> None:
        await asyncio.sleep(0)
        raise error

    def node(request: Request, go_on: Any) -> None:
        asyncio.get_running_loop().call_soon(go_on, error)
        asyncio.get_running_loop().call_soon(go_on)  # the first call counts

    engine.core.use({"raise": plain, "async": slow, "next": node}[style])
    polling = engine.request("GET", POLLING)
    upgrade = engine.request("GET", WEBSOCKET, upgrade=True)
    await settle()
    refused(polling, code, message, status)
    refused_upgrade(upgrade, message)
    assert [refusal.code for refusal in refusals] == [code, code]
    if code == 3:
        assert refusals[0].context == {"name": "MIDDLEWARE_FAILURE"}


async def test_what_is_refused_behind_a_middleware() -> None:
    engine = Engine()
    engine.core.use(lambda request: None)
    exchange = engine.request("PUT", POLLING)
    await settle()
    refused(exchange, 2, "Bad handshake method")


# -- headers and cookies


def test_header_events() -> None:
    engine = Engine()
    log: list[tuple[str, str]] = []

    def initial(headers: list[tuple[str, str]], request: Request) -> None:
        log.append(("initial", request.method))
        headers.append(("X-Initial", "1"))

    def every(headers: list[tuple[str, str]], request: Request) -> None:
        log.append(("every", request.method))
        headers.append(("X-Every", "1"))

    engine.core.on("initial_headers", initial)
    engine.core.on("headers", every)
    client = engine.open()
    assert client.handshake.header("X-Initial") == client.handshake.header("X-Every") == "1"
    post = client.post(b"4x")
    assert post.header("X-Initial") is None and post.header("X-Every") == "1"
    assert engine.request("PUT", POLLING).header("X-Every") == "1"
    exchange = engine.request("GET", WEBSOCKET, upgrade=True)
    assert exchange.websocket_headers == [("X-Initial", "1"), ("X-Every", "1")]
    exchange = engine.request("GET", {**WEBSOCKET, "sid": client.session.id}, upgrade=True)
    assert exchange.websocket_headers == [("X-Every", "1")]
    assert [name for name, _ in log] == ["initial", "every", "every", "every", "initial", "every", "every"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (True, "io=%s; Path=/; HttpOnly; SameSite=Lax"),
        ({}, "io=%s; Path=/; HttpOnly; SameSite=Lax"),
        ("lb", "lb=%s; Path=/; HttpOnly; SameSite=Lax"),
        ({"name": "lb", "path": "/x", "http_only": False}, "lb=%s; Path=/x; SameSite=Lax"),
        ({"path": None, "same_site": None}, "io=%s; HttpOnly"),
        (
            {"max_age": 60, "domain": "example.com", "secure": True, "same_site": "NONE"},
            "io=%s; Max-Age=60; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=None",
        ),
        ({"same_site": True}, "io=%s; Path=/; HttpOnly; SameSite=Strict"),
        ({"same_site": False, "max_age": 0}, "io=%s; Max-Age=0; Path=/; HttpOnly"),
    ],
)
def test_cookie(option: Any, expected: str) -> None:
    engine = Engine(cookie=option)
    client = engine.open()
    assert client.handshake.header("Set-Cookie") == expected % client.session.id
    # Only the polling handshake has it.
    assert client.post(b"4x").header("Set-Cookie") is None
    exchange = engine.request("GET", WEBSOCKET, upgrade=True)
    assert exchange.websocket_headers == []


def test_cookie_expires() -> None:
    from datetime import datetime, timedelta, timezone

    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    client = Engine(cookie={"expires": moment, "same_site": None}).open()
    cookie = client.handshake.header("Set-Cookie")
    assert cookie is not None
    assert cookie.endswith("; Path=/; Expires=Wed, 02 Jan 2030 01:04:05 GMT; HttpOnly")


@pytest.mark.parametrize("option", [None, False])
def test_no_cookie(option: Any) -> None:
    assert Engine(cookie=option).open().handshake.header("Set-Cookie") is None


async def test_an_id_cannot_break_out_of_the_cookie() -> None:
    engine = Engine(cookie=True, generate_id=lambda request: "a;b\r\nc=\u00fc d")
    exchange = engine.request("GET", POLLING)
    await settle()
    engine.clock.settle()
    assert exchange.header("Set-Cookie") == "io=a%3Bb%0D%0Ac%3D%C3%BC%20d; Path=/; HttpOnly; SameSite=Lax"
    assert json.loads(exchange.body[1:])["sid"] == "a;b\r\nc=\u00fc d"


def test_old_internet_explorer() -> None:
    for agent in ("Mozilla/4.0 (compatible;MSIE 8.0)", "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0)"):
        engine = Engine()
        exchange = engine.request("GET", POLLING, headers={"user-agent": agent})
        engine.clock.turn()
        assert exchange.header("X-XSS-Protection") == "0"
    assert Engine().open().handshake.header("X-XSS-Protection") is None


# -- loops


async def test_one_server_over_several_loops() -> None:
    server = EngineServer()

    def serve() -> int | None:
        async def once() -> int | None:
            exchange = FakeExchange()
            server.handle(Request("GET", "/engine.io/?EIO=4&transport=polling", {}, exchange=exchange))
            await settle()
            assert len(server.sessions) == 1, "those of the former loop are gone"
            return exchange.status

        return asyncio.run(once())

    loop = asyncio.get_running_loop()
    for _ in range(2):
        assert await loop.run_in_executor(None, serve) == 200
