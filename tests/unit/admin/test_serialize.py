"""Values and sockets in the UI's terms."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from fastsio.admin.serialize import milliseconds, now, plain, serialize, serialize_data


@dataclass
class Point:
    x: int
    y: list[int]


class Odd:
    def __repr__(self) -> str:
        return "<odd>" + "!" * 1000


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ({"a": [1, 2.5, True, "é"]}, {"a": [1, 2.5, True, "é"]}),
        ({1: 2, None: 3}, {"1": 2, "null": 3}),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        (frozenset({"x"}), ["x"]),
        (b"abc", "(3 bytes)"),
        (memoryview(bytes(8)).cast("I"), "(8 bytes)"),
        ({"in": [bytearray(2)]}, {"in": ["(2 bytes)"]}),
        (Point(1, [2]), {"x": 1, "y": [2]}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05+00:00"),
        (float("nan"), None),
        (OrderedDict(a=1), {"a": 1}),
        (10**30, "1" + "0" * 30),
        ("\ud800", r"'\ud800'"),
        (Odd(), "<odd>" + "!" * 195),
        (nested(1000), "(not JSON)"),
        (LOOP, "(not JSON)"),
        ({"n": 10**30}, "(not JSON)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain(value: Any, shown: Any) -> None:
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({}, {}),
        ({"_admin": {"clientId": "x"}, "name": "Ann", "tags": {"a"}}, {"name": "Ann", "tags": ["a"]}),
        (Point(1, []), {"x": 1, "y": []}),
        ("text", {"value": "text"}),
        (None, {"value": None}),
        ({"deep": nested(1000)}, {"value": "(not JSON)"}),
    ],
)
def test_data_is_a_mapping(data: Any, shown: dict[str, Any]) -> None:
    assert serialize_data(data) == shown


def handshake(**headers: str) -> Any:
    return SimpleNamespace(
        headers=headers,
        query={"EIO": "4"},
        address="192.0.2.1",
        issued=1234567890.1234,
        secure=True,
        time="Fri, 13 Feb 2009 23:31:30 GMT",
        url="/socket.io/?EIO=4",
        xdomain=False,
        auth={"password": "secret"},
    )


def test_a_socket_of_this_server() -> None:
    socket = SimpleNamespace(
        id="id",
        conn=SimpleNamespace(id="0123456789abcdefghij", transport="polling"),
        data={"name": "Ann"},
        handshake=handshake(host="a"),
        rooms={"id", "b", "a"},
    )
    assert serialize(socket, "/chat") == {
        "id": "id",
        "clientId": "0123456789ab",
        "transport": "polling",
        "nsp": "/chat",
        "data": {"name": "Ann"},
        "handshake": {
            "address": "192.0.2.1",
            "headers": {"host": "a"},
            "query": {"EIO": "4"},
            "issued": 1234567890123,
            "secure": True,
            "time": "Fri, 13 Feb 2009 23:31:30 GMT",
            "url": "/socket.io/?EIO=4",
            "xdomain": False,
        },
        "rooms": ["a", "b", "id"],
    }


@pytest.mark.parametrize(
    ("data", "client_id", "transport"),
    [
        ({"_admin": {"clientId": "0123456789ab", "transport": "websocket"}}, "0123456789ab", "websocket"),
        ({"_admin": 1}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_a_socket_of_another_server(data: Any, client_id: str | None, transport: str | None) -> None:
    """Has told what only its own server knows in its data."""
    socket = SimpleNamespace(id="id", data=data, handshake=handshake(), rooms=[])
    shown = serialize(socket, "/")
    assert (shown["clientId"], shown["transport"]) == (client_id, transport)
    assert "_admin" not in shown["data"]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"cf-connecting-ip": "a", "x-forwarded-for": "b"}, "a"),
        ({"x-forwarded-for": "b, c"}, "b, c"),
        ({"x-forwarded-for": ""}, "192.0.2.1"),
    ],
)
def test_the_address_behind_proxies(headers: dict[str, str], address: str) -> None:
    socket = SimpleNamespace(id="id", data={}, handshake=handshake(**headers), rooms=[])
    assert serialize(socket, "/")["handshake"]["address"] == address


def test_times() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())
    assert milliseconds(1.5) == 1500
