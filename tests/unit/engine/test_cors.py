"""Who may connect from a page, and the headers that say so (Engine.IO protocol)."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from fastsio.engine.cors import CorsPolicy
from fastsio.exceptions import OptionError
from tests.unit.engine.fakes import Engine, FakeExchange

POLLING = {"EIO": "4", "transport": "polling"}
WEBSOCKET = {"EIO": "4", "transport": "websocket"}


def answered(exchange: FakeExchange, engine: Engine) -> FakeExchange:
    engine.clock.settle()
    return exchange


def cors(exchange: FakeExchange) -> list[tuple[str, str]]:
    headers = exchange.websocket_headers if exchange.websocket is not None else exchange.headers
    return [header for header in headers if header[0].startswith("Access-") or header[0] == "Vary"]


# -- without the option: same origin


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://example.com", "example.com", "http"),
        ("http://EXAMPLE.com", "example.COM", "http"),
        ("http://example.com", "example.com:80", "http"),
        ("http://example.com:80", "example.com", "http"),
        ("https://example.com", "example.com:443", "https"),
        ("http://example.com:8080", "example.com:8080", "http"),
        ("http://[::1]:3000", "[::1]:3000", "http"),
        ("https://example.com", "example.com", "http"),  # TLS ended at a proxy
    ],
)
def test_same_origin(origin: str, host: str, scheme: str) -> None:
    engine = Engine()
    headers = {"origin": origin, "host": host}
    exchange = answered(engine.request("GET", POLLING, headers=headers, scheme=scheme), engine)
    assert exchange.status == 200 and cors(exchange) == []
    exchange = engine.request("GET", WEBSOCKET, headers=headers, upgrade=True, scheme=scheme)
    assert exchange.websocket is not None and exchange.websocket_headers == []


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://evil.com", "example.com", "http"),
        ("http://example.com.evil.com", "example.com", "http"),
        ("http://evil-example.com", "example.com", "http"),
        ("http://example.com:8080", "example.com", "http"),
        ("http://example.com", "example.com:8080", "http"),
        ("http://example.com:443", "example.com", "http"),
        ("https://example.com", "example.com:80", "http"),
        ("http://example.com", "example.com", "https"),  # a page anybody on the way may have written
        ("null", "example.com", "http"),
        ("null", "null", "http"),
        ("", "", "http"),
        ("http://", "", "http"),
        ("file://", "", "http"),
        ("example.com", "example.com", "http"),
        ("ftp://example.com", "example.com", "http"),
        ("http://example.com, http://evil.com", "example.com", "http"),
        ("http://example.com@evil.com", "example.com", "http"),
    ],
)
@pytest.mark.parametrize("option", [None, False, {"origin": None}, {"origin": False}])
def test_other_origins_are_refused(
    origin: str, host: str, scheme: str, option: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(cors=option)
    headers = {"origin": origin, "host": host}
    with caplog.at_level(logging.WARNING):
        exchange = engine.request("GET", POLLING, headers=headers, scheme=scheme)
        upgrade = engine.request("GET", WEBSOCKET, headers=headers, upgrade=True, scheme=scheme)
    assert exchange.status == 403
    assert exchange.headers == [("Content-Type", "application/json")]
    assert exchange.body == b'{"code":4,"message":"Origin %s is not allowed (option cors)"}' % origin.encode()
    assert upgrade.status == 400
    assert upgrade.headers == [("Connection", "close"), ("Content-Type", "text/html")]
    assert upgrade.body == b"Origin %s is not allowed (option cors)" % origin.encode()
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert repr(origin) in record.getMessage() and "option cors" in record.getMessage()
    assert engine.core.sessions == {}


def test_every_request_is_checked() -> None:
    engine = Engine()
    client = engine.open()
    evil = {"origin": "http://evil.com"}
    assert client.post(b"4x", headers=evil).status == 403
    assert client.poll(headers=evil).status == 403
    assert engine.request("OPTIONS", POLLING, headers=evil).status == 403
    exchange = engine.request("GET", {**client.query, "transport": "websocket"}, headers=evil, upgrade=True)
    assert exchange.status == 400
    assert engine.take() == [] and client.session.ready_state == "open"


def test_what_an_origin_says_is_no_markup() -> None:
    exchange = Engine().request("GET", WEBSOCKET, headers={"origin": "http://<b>&"}, upgrade=True)
    assert exchange.body == b"Origin http://&lt;b&gt;&amp; is not allowed (option cors)"


def test_without_origin_everybody_passes() -> None:
    for option in (None, "https://a.com", ["https://a.com"], lambda origin: False):
        assert Engine(cors=option).open().handshake.status == 200


SCRIPT = {"EIO": "3", "transport": "polling", "j": "0"}


@pytest.mark.parametrize(
    ("headers", "option", "refused"),
    [
        ({}, None, None),  # not a browser
        ({"sec-fetch-site": "same-origin"}, None, None),
        ({"sec-fetch-site": "none"}, None, None),
        ({"referer": "http://example.com/page"}, None, None),
        ({"referer": "not an address"}, None, None),
        ({"referer": "http://evil.com/page"}, None, "http://evil.com"),
        ({"referer": "http://evil.com"}, "http://a.com", "http://evil.com"),
        ({"referer": "http://a.com/a://b"}, "http://a.com", None),
        ({"sec-fetch-site": "cross-site"}, None, "null"),
        ({"sec-fetch-site": "same-site"}, "http://a.com", "null"),
        ({"sec-fetch-site": "same-site", "referer": "http://a.com/"}, "http://a.com", None),
        ({"sec-fetch-site": "cross-site", "referer": "http://evil.com/"}, "http://a.com", "http://evil.com"),
        ({"sec-fetch-site": "cross-site"}, "*", None),
        ({"sec-fetch-site": "cross-site"}, True, None),
        ({"origin": "http://evil.com", "sec-fetch-site": "same-origin"}, None, "http://evil.com"),
    ],
)
def test_scripts_send_no_origin(headers: dict[str, str], option: Any, refused: str | None) -> None:
    engine = Engine(cors=option)
    exchange = answered(engine.request("GET", SCRIPT, headers={"host": "example.com", **headers}), engine)
    assert exchange.status == (200 if refused is None else 403)
    if refused is not None:
        assert f"Origin {refused} is not allowed".encode() in exchange.body


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("*", [("Access-Control-Allow-Origin", "https://a.com"), ("Vary", "Origin"), True]),
        ("https://a.com", [("Access-Control-Allow-Origin", "https://a.com"), ("Vary", "Origin"), True]),
        ({"origin": "*", "credentials": False}, [("Access-Control-Allow-Origin", "*"), False]),
        (
            {"origin": ["https://a.com"], "credentials": False},
            [("Access-Control-Allow-Origin", "https://a.com"), ("Vary", "Origin"), False],
        ),
    ],
)
def test_clients_of_v2_send_credentials(option: Any, expected: list[Any]) -> None:
    engine = Engine(cors=option)
    *headers, credentials = expected
    if credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    query = {"EIO": "3", "transport": "polling"}
    exchange = answered(engine.request("GET", query, headers={"origin": "https://a.com"}), engine)
    assert exchange.status == 200 and cors(exchange) == headers
    preflight = engine.request("OPTIONS", query, headers={"origin": "https://a.com"})
    assert cors(preflight)[: len(headers)] == headers


def test_options_without_cors() -> None:
    engine = Engine()
    client = engine.open()
    exchange = engine.request("OPTIONS", POLLING)
    assert exchange.status == 400 and exchange.body == b'{"code":2,"message":"Bad handshake method"}'
    exchange = engine.request("OPTIONS", client.query)
    assert exchange.status == 500 and exchange.body == b"" and cors(exchange) == []
    assert client.session.ready_state == "open"


# -- with it


A = "https://a.com"
VARY = ("Vary", "Origin")


def allow(value: str) -> tuple[str, str]:
    return ("Access-Control-Allow-Origin", value)


@pytest.mark.parametrize(
    ("option", "origin", "expected"),
    [
        ("*", None, [allow("*")]),
        ("*", A, [allow("*")]),
        ({}, A, [allow("*")]),
        (A, None, [allow(A), VARY]),
        (A, A, [allow(A), VARY]),
        (A + "/", A, [allow(A), VARY]),
        (True, None, [VARY]),
        (True, A, [allow(A), VARY]),
        ([A, "https://b.com"], A, [allow(A), VARY]),
        ((re.compile(r"\.b\.com$"), A), "https://x.b.com", [allow("https://x.b.com"), VARY]),
        (frozenset({A}), A, [allow(A), VARY]),
        (["*"], A, [allow(A), VARY]),
        (["null"], "null", [allow("null"), VARY]),
        (re.compile(r"^https://[ab]\.com$"), A, [allow(A), VARY]),
        (lambda origin: origin.startswith("https://"), A, [allow(A), VARY]),
        ({"origin": A}, A, [allow(A), VARY]),
        (
            {"origin": "*", "credentials": True},
            A,
            [allow("*"), ("Access-Control-Allow-Credentials", "true")],
        ),
        (
            {"origin": True, "credentials": True, "exposed_headers": ["X-A", "X-B"]},
            A,
            [
                allow(A),
                VARY,
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "X-A,X-B"),
            ],
        ),
        ([A], "http://example.com", [VARY]),  # our own origin passes without being named
    ],
)
def test_allowed(option: Any, origin: str | None, expected: list[tuple[str, str]]) -> None:
    engine = Engine(cors=option)
    headers = {} if origin is None else {"origin": origin}
    exchange = answered(engine.request("GET", POLLING, headers=headers), engine)
    assert exchange.status == 200 and cors(exchange) == expected
    post = engine.request("POST", {**POLLING, "sid": engine.session.id}, headers=headers, body=b"4x")
    assert post.body == b"ok" and cors(post) == expected
    upgrade = engine.request("GET", WEBSOCKET, headers=headers, upgrade=True)
    assert upgrade.websocket is not None and cors(upgrade) == expected
    wrong = engine.request("PUT", POLLING, headers=headers)
    assert wrong.status == 400 and cors(wrong) == expected, "on errors too"


@pytest.mark.parametrize(
    "option",
    [
        "https://a.com",
        ["https://a.com"],
        [],
        re.compile(r"^https://a\.com$"),
        lambda origin: False,
        lambda origin: None,
        {"origin": ["https://a.com"], "credentials": True},
    ],
)
def test_not_allowed(option: Any) -> None:
    engine = Engine(cors=option)
    for origin in ("https://a.com.evil.com", "http://a.com", "https://b.com", "null"):
        for method in ("GET", "OPTIONS"):
            exchange = engine.request(method, POLLING, headers={"origin": origin})
            assert exchange.status == 403
            assert ("Access-Control-Allow-Origin", origin) not in exchange.headers
        upgrade = engine.request("GET", WEBSOCKET, headers={"origin": origin}, upgrade=True)
        assert upgrade.status == 400 and upgrade.websocket is None


def test_a_callable_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def fail(origin: str) -> bool:
        raise ValueError("no")

    engine = Engine(cors=fail)
    with caplog.at_level(logging.ERROR):
        exchange = engine.request("GET", POLLING, headers={"origin": A})
    assert exchange.status == 403
    assert "option cors: the callable failed" in caplog.text


def test_an_async_callable_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def allow_all(origin: str) -> bool:
        return True

    engine = Engine(cors=allow_all)
    with caplog.at_level(logging.ERROR):
        exchange = engine.request("GET", POLLING, headers={"origin": A})
    assert exchange.status == 403
    assert "must not be async" in caplog.text


# -- preflight


@pytest.mark.parametrize(
    ("option", "asked", "status", "expected"),
    [
        (
            "*",
            None,
            204,
            [
                allow("*"),
                ("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
                ("Vary", "Access-Control-Request-Headers"),
            ],
        ),
        (
            True,
            "x-token, content-type",
            204,
            [
                allow(A),
                VARY,
                ("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
                ("Vary", "Access-Control-Request-Headers"),
                ("Access-Control-Allow-Headers", "x-token, content-type"),
            ],
        ),
        (
            {
                "origin": A,
                "methods": ["GET", "POST"],
                "allowed_headers": ["X-Token"],
                "credentials": True,
                "exposed_headers": "X-Seen",
                "max_age": 600,
                "options_success_status": 200,
            },
            "x-other",
            200,
            [
                allow(A),
                VARY,
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "X-Seen"),
                ("Access-Control-Allow-Methods", "GET,POST"),
                ("Access-Control-Allow-Headers", "X-Token"),
                ("Access-Control-Max-Age", "600"),
            ],
        ),
    ],
)
def test_preflight(option: Any, asked: str | None, status: int, expected: list[tuple[str, str]]) -> None:
    engine = Engine(cors=option)
    client = engine.open()
    headers = {"origin": A, "access-control-request-method": "POST"}
    if asked is not None:
        headers["access-control-request-headers"] = asked
    # With or without a session, and whatever the query says.
    for query in (client.query, POLLING, {}, {**POLLING, "sid": "unknown"}):
        exchange = engine.request("OPTIONS", query, headers=headers)
        assert exchange.status == status and exchange.body == b""
        assert exchange.headers == [*expected, ("Content-Length", "0")]
    assert client.session.ready_state == "open"


# -- behind proxies


PROXIED = {
    "origin": "https://public.com",
    "host": "internal:8000",
    "x-forwarded-host": "public.com",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.9",
}


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [
        (["10.0.0.0/8"], "10.1.2.3"),
        (["10.1.2.3"], "10.1.2.3"),
        (["10.0.0.0/8"], "::ffff:10.1.2.3"),
        (["fd00::/8"], "fd00::1"),
        (["10.0.0.0/8"], ""),  # a Unix socket
    ],
)
def test_trusted_proxy(proxies: list[str], peer: str) -> None:
    engine = Engine(trusted_proxies=proxies)
    exchange = answered(engine.request("GET", POLLING, headers=PROXIED, remote_address=peer), engine)
    assert exchange.status == 200
    assert engine.session.remote_address == "203.0.113.9"
    assert engine.session.request.scheme == "https"


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [([], "10.1.2.3"), ([], ""), (["10.0.0.0/8"], "192.0.2.1"), (["10.0.0.0/8"], "not an address")],
)
def test_whoever_is_not_trusted_forwards_nothing(proxies: list[str], peer: str) -> None:
    engine = Engine(trusted_proxies=proxies)
    assert engine.request("GET", POLLING, headers=PROXIED, remote_address=peer).status == 403
    headers = {**PROXIED, "origin": "http://internal:8000"}
    engine.request("GET", POLLING, headers=headers, remote_address=peer)
    assert engine.session.remote_address == peer
    assert engine.session.request.scheme == "http"


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first was the client's own claim
        ("198.51.100.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.0.0.9, 10.0.0.7", "10.0.0.9"),
        (" , ,", "10.0.0.1"),
        ("unknown", "unknown"),
    ],
)
def test_chain_of_proxies(chain: str, expected: str) -> None:
    engine = Engine(trusted_proxies=["10.0.0.0/8"])
    engine.request("GET", POLLING, headers={"x-forwarded-for": chain}, remote_address="10.0.0.1")
    assert engine.session.remote_address == expected


@pytest.mark.parametrize(
    ("given", "expected"), [("https", "https"), ("wss", "https"), ("HTTP", "http"), ("http, https", "https")]
)
def test_forwarded_scheme(given: str, expected: str) -> None:
    engine = Engine(trusted_proxies=["10.0.0.0/8"])
    engine.request("GET", POLLING, headers={"x-forwarded-proto": given}, remote_address="10.0.0.1")
    assert engine.session.request.scheme == expected


def test_the_policy_alone() -> None:
    assert not CorsPolicy(None).enabled and not CorsPolicy(False).enabled
    assert CorsPolicy("*").enabled and CorsPolicy([]).enabled


# -- what is kept


def test_a_function_is_asked_each_time() -> None:
    allowed = True
    engine = Engine(cors={"origin": lambda origin: allowed})
    for verdict in (True, False, True):
        allowed = verdict
        headers = {"origin": "http://a.b", "host": "c"}
        exchange = answered(engine.request("GET", POLLING, headers=headers), engine)
        assert exchange.status == (200 if verdict else 403)
        assert (("Access-Control-Allow-Origin", "http://a.b") in cors(exchange)) is verdict


@pytest.mark.parametrize("option", [["http://a.b", re.compile("^http://x")], "http://a.b", True])
def test_many_origins_get_the_answers_that_one_gets(option: Any) -> None:
    engine = Engine(cors=option)

    def ask(origin: str, host: str) -> tuple[int | None, list[tuple[str, str]]]:
        headers = {"origin": origin, "host": host}
        exchange = answered(engine.request("GET", POLLING, headers=headers), engine)
        return exchange.status, cors(exchange)

    asked = [("http://a.b", "c"), ("http://x.y", "c"), ("http://c", "c"), ("http://c", "d")]
    asked += [(f"http://{letter * size}", "c") for letter in "xz" for size in (1, 300)]
    first = [ask(*each) for each in asked]
    for number in range(300):
        ask(f"http://x{number}", "c")
    assert [ask(*each) for each in asked] == first
    assert [ask(*each) for each in asked] == first


@pytest.mark.parametrize("key", ["origin", "methods", "allowed_headers", "exposed_headers"])
def test_no_option_breaks_out_of_its_line(key: str) -> None:
    with pytest.raises(OptionError, match="cors"):
        CorsPolicy({"origin": "*", key: "a\r\nSet-Cookie: b"})
