"""Options that the official clients can see: allow_request, http_compression and per_message_deflate.

The same is expected of the reference servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.cases import JAVASCRIPT
from tests.interop.harness import MODES, Client, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

#: The reference server of each protocol.
REFERENCES = {4: "sio-server-2", 5: "sio-server-4"}


def reference(client: Client, implementation: str) -> str:
    return REFERENCES[client.protocol] if implementation == "reference" else implementation


# -- allow_request ----------------------------------------------------------------------------------------


def refusal(client: Client, message: str) -> list[Any]:
    """What a client shows of a refused handshake."""
    if client.mode == "websocket":
        return ["connect_error", "websocket error", None, None]
    if client.name == "sio-client-4" and client.mode == "polling":
        return ["connect_error", "fetch read error", 403, {"code": 4, "message": message}]
    return ["connect_error", "xhr poll error", 403, None]


@pytest.mark.parametrize(
    ("verdict", "message"),
    [("yes", None), ("no", "Forbidden"), ("message", "not today"), ("refuse", "not today")],
)
@pytest.mark.parametrize("implementation", ["plain", "async", "reference"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", JAVASCRIPT)
def test_allow_request(
    name: str,
    mode: str,
    implementation: str,
    verdict: str,
    message: str | None,
    servers: Servers,
    drivers: Drivers,
    tag: str,
) -> None:
    client = Client(name, mode)
    if implementation == "reference":
        verdict = "message" if verdict == "refuse" else verdict
        server = servers.get(reference(client, implementation), allow_request=True)
    else:
        server = servers.get(allow_request=implementation)
    result = drivers.run(client, "allow_request", server, {"verdict": verdict, "tag": tag})
    assert result == (["connect"] if message is None else refusal(client, message))
    assert bool(server.records(tag, "connect")) is (message is None)


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("mode", ["polling", "websocket"])
def test_allow_request_that_fails(kind: str, mode: str, drivers: Drivers, tag: str) -> None:
    """The client learns nothing of why, the log all."""
    client = Client("sio-client-4", mode)
    server = ScenarioServer("fastsio", {"allow_request": kind})
    try:
        result = drivers.run(client, "allow_request", server, {"verdict": "raise", "tag": tag})
        assert result == refusal(client, "Forbidden")
        result = drivers.run(client, "allow_request", server, {"verdict": "yes", "tag": f"{tag}, again"})
        assert result == ["connect"]
    finally:
        server.stop()
    assert "option allow_request failed" in server.stderr()
    assert "RuntimeError: a hook that fails, as it should" in server.stderr()


# -- http_compression -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "accept", "bodies"),
    [
        # What the client asks for by itself: gzip, deflate and br, which the reference does not do either.
        (None, None, {1023: None, 1024: "gzip", 50_000: "gzip"}),
        (None, "deflate", {1023: None, 1024: "deflate", 50_000: "deflate"}),
        (None, "gzip;q=0.5, deflate", {5000: "deflate"}),
        (None, "br", {5000: None}),
        (None, "identity", {5000: None}),
        ({"threshold": 100}, None, {99: None, 100: "gzip"}),
        (False, None, {50_000: None}),
    ],
)
@pytest.mark.parametrize("implementation", ["fastsio", "reference"])
def test_http_compression(
    implementation: str,
    option: Any,
    accept: str | None,
    bodies: dict[int, str | None],
    servers: Servers,
    drivers: Drivers,
    tag: str,
) -> None:
    """Sizes are those of the response, which holds one acknowledgement."""
    client = Client("sio-client-4", "polling")
    options = {} if option is None else {"http_compression": option}
    server = servers.get(reference(client, implementation), **options)
    args = {"accept": accept, "sizes": list(bodies), "tag": tag}
    assert drivers.run(client, "http_compression", server, args) == list(bodies.values())


# -- per_message_deflate ----------------------------------------------------------------------------------

Bytes = list[dict[str, int]]

#: Bytes of random hexadecimal digits: they deflate to half by themselves, and to nothing behind their like.
RANDOM = 4000
SMALL = 600


def plain(messages: Bytes, way: str) -> bool:
    """Nothing was compressed."""
    return messages[0][way] > 20_000 and messages[1][way] > RANDOM and messages[2][way] > RANDOM


def alone(messages: Bytes, way: str) -> bool:
    """Each message was compressed for itself, or with too small a window to see the one before."""
    return messages[0][way] < 1000 and all(1800 < message[way] < RANDOM for message in messages[1:3])


def together(messages: Bytes, way: str) -> bool:
    """Each message was compressed with those before in view."""
    return messages[0][way] < 1000 and 1800 < messages[1][way] < RANDOM and messages[2][way] < 200


Look = Callable[[Bytes, str], bool]

DEFLATE: list[tuple[Any, Any, dict[str, Any] | None, Look, Look]] = [
    # option of the server, of the client, what is agreed, the server's messages, the client's
    (False, {"threshold": 0}, None, plain, plain),
    (True, False, None, plain, plain),
    (True, {"threshold": 1024}, {}, together, together),
    (
        {"threshold": 0},
        {"threshold": 0, "clientMaxWindowBits": 11},
        {"client_max_window_bits": 11},
        together,
        alone,
    ),
    (
        {"threshold": 0, "server_no_context_takeover": True},
        {"threshold": 0},
        {"server_no_context_takeover": True},
        alone,
        together,
    ),
    (
        {"threshold": 0, "client_no_context_takeover": True},
        {"threshold": 0},
        {"client_no_context_takeover": True},
        together,
        alone,
    ),
    (
        {"threshold": 0, "server_max_window_bits": 9, "client_max_window_bits": 10},
        {"threshold": 0},
        {"server_max_window_bits": 9, "client_max_window_bits": 10},
        alone,
        alone,
    ),
    (
        {"threshold": 0},
        {"threshold": 0, "serverNoContextTakeover": True, "serverMaxWindowBits": 10},
        {"server_no_context_takeover": True, "server_max_window_bits": 10},
        alone,
        together,
    ),
]


@pytest.mark.parametrize(("option", "offered", "agreed", "incoming", "outgoing"), DEFLATE)
@pytest.mark.parametrize("implementation", ["fastsio", "reference"])
@pytest.mark.parametrize("mode", ["websocket", "upgrade"])
@pytest.mark.parametrize("name", ["sio-client-2", "sio-client-4"])
def test_per_message_deflate(
    name: str,
    mode: str,
    implementation: str,
    option: Any,
    offered: Any,
    agreed: dict[str, Any] | None,
    incoming: Look,
    outgoing: Look,
    servers: Servers,
    drivers: Drivers,
    tag: str,
) -> None:
    client = Client(name, mode)
    server = servers.get(reference(client, implementation), per_message_deflate=option)
    args = {"client": offered, "small": SMALL, "tag": tag}
    result = drivers.run(client, "per_message_deflate", server, args)
    assert result["agreed"] == agreed
    messages: Bytes = result["bytes"]
    assert incoming(messages, "in") and outgoing(messages, "out"), messages
    # The threshold: messages of less than 1024 bytes by default.
    ways = {"in": option, "out": offered}
    if implementation == "reference" and name == "sio-client-4":
        del ways["in"]  # it leaves that to ws, whose threshold does not count while context is kept
    for way, settings in ways.items():
        threshold = settings.get("threshold", 1024) if isinstance(settings, dict) else 1024
        compressed = agreed is not None and threshold <= SMALL
        assert (messages[3][way] < SMALL) is compressed, messages


@pytest.mark.parametrize("name", ["sio-client-2", "sio-client-4"])
def test_a_client_that_cannot_limit_its_window(
    name: str, servers: Servers, drivers: Drivers, tag: str
) -> None:
    """Does without compression; the reference refuses it."""
    server = servers.get(per_message_deflate={"threshold": 0, "client_max_window_bits": 10})
    args = {"client": {"threshold": 0, "clientMaxWindowBits": False}, "small": SMALL, "tag": tag}
    result = drivers.run(Client(name, "websocket"), "per_message_deflate", server, args)
    assert result["agreed"] is None
    assert plain(result["bytes"], "in") and plain(result["bytes"], "out")
