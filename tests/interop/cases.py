"""The scenarios that every Socket.IO client runs, and what the reference servers answer.

A client of protocol 4 is compared with socket.io 2.5.1, one of protocol 5 with socket.io 4.8:
test_reference.py runs the same table against those.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.interop.harness import MODES, Client, Driver, Drivers, ScenarioServer

JAVASCRIPT = ("sio-client-2", "sio-client-3", "sio-client-4")
PYTHON = ("sio-py-4", "sio-py-5")

#: A heartbeat that a test can wait for, and that a busy machine still keeps.
HEARTBEAT = {"ping_interval": 0.3, "ping_timeout": 1.0}
#: Milliseconds after which a session without heartbeats would have ended.
OUTLAST = 1600

LARGE = {"max_http_buffer_size": 5_000_000}
LIMIT = 100_000
# python-socketio notices a refused POST only with the next heartbeat, and leaves without a word.
LIMITED = {"max_http_buffer_size": LIMIT, "ping_interval": 0.5, "ping_timeout": 1.0}

Ends = list[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A scenario, its server, and what must come of it."""

    name: str
    #: The driver's scenario, if it is not called as the case.
    scenario: str = ""
    clients: Sequence[str] = (*JAVASCRIPT, *PYTHON)
    modes: Sequence[str] = MODES
    server: dict[str, Any] = field(default_factory=dict)
    args: dict[str, Any] = field(default_factory=dict)
    #: What the driver must report; a frozenset holds alternatives.
    result: Callable[[Client], Any] = lambda client: None
    #: The ends the server may see, each as sorted (namespace, reason) pairs. By default any reason will do,
    #: but there must be one end for each socket.
    ends: Callable[[Client], Iterable[Ends]] | None = None

    def __str__(self) -> str:
        return self.name

    def run(self, client: Client, server: ScenarioServer, drivers: Drivers, tag: str) -> None:
        result = drivers.run(client, self.scenario or self.name, server, {**self.args, "tag": tag})
        expected = self.result(client)
        assert result in expected if isinstance(expected, frozenset) else result == expected
        ends = server.ends(tag)
        if self.ends is not None:
            assert ends in list(self.ends(client))


def is_python(client: Client) -> bool:
    return client.name in PYTHON


def by_protocol(four: Any, five: Any) -> Callable[[Client], Any]:
    return lambda client: four if client.protocol == 4 else five


def refusal(message: str, data: Any = None) -> Callable[[Client], Any]:
    """How a client tells that a namespace refused it."""

    def result(client: Client) -> Any:
        old = message if data is None else data
        if client.name == "sio-py-4":
            return ["connect_error", old]
        if client.protocol == 4:
            return ["error", old]
        error = {"message": message, "data": data}
        if is_python(client) and data is None:
            del error["data"]
        return ["connect_error", error]

    return result


def admitted(client: Client) -> Any:
    return ["connect"] if is_python(client) else ["connect", None]


def server_acks(client: Client) -> Any:
    several, binary, timeout, empty = (
        ["ok", "a", {"b": [1]}],
        ["ok", {"$bytes": "010203"}],
        ["timeout"],
        ["ok"],
    )
    late = [] if is_python(client) else [timeout]
    return {"callback": [several, binary, *late, empty], "promise": [binary, *late]}


def handshake(client: Client) -> Any:
    value = "a b&c=d/é😀"
    query = {"token": value, "n": "1"}
    root: dict[str, Any] = {"query": query}
    if client.protocol == 5:
        root["auth"] = {"token": value, "n": 1}
    if is_python(client):
        return root
    if client.protocol == 4:
        return {"root": root, "chat": {"query": {**query, "chat": value, "n": "2"}}}
    return {"root": root, "chat": {"query": query, "auth": {"chat": value}}}


def rooms(client: Client) -> Any:
    both = {
        "socket to r1": ["b"],
        "namespace in r1": ["a", "b"],
        "socket to r1 and r2": ["b", "c"],
        "broadcast": ["b", "c"],
        "namespace": ["a", "b", "c"],
        "unicode room": ["c"],
        "namespace to r1 without b": ["a"],
    }
    if is_python(client):
        return both
    return {
        **both,
        "namespace to r1 in r2": ["a", "b", "c"],
        "one id": ["b"],
        "own id": [],
        "empty room": [],
    }


ROOMS_EXCEPT = {
    "namespace except r1": ["c"],
    "to r2 except r1": ["c"],
    "broadcast except r2": [],
    "except two": [],
    "except b": ["a", "c"],
    "kicked": ["io server disconnect"] * 2,
}


#: What the sockets answer to broadcasts, callback and promise alike.
BROADCAST_ACKS = [
    ["ok", ["a", "b", "c"]],
    ["ok", ["a", "b"]],
    ["ok", ["b", "c"]],
    ["ok", [{"a": {"$bytes": "0102"}}, {"b": {"$bytes": "0102"}}]],
    ["ok", [None, None]],
    ["ok", []],
    ["timeout", ["a", "b"]],
]


V2_MEMBERS = {
    "answer": [None, True, True],
    "seen": [
        ["error", {"code": 9}],
        ["as json", [1]],
        ["as json", {"type": "Buffer", "data": [1, 2]}],
        ["as bytes", {"$bytes": "0102"}],
    ],
}


def conn_events(client: Client) -> Any:
    seen = [
        "data bytes",
        "data str",
        "drain",
        "engine drain",
        "flush message",
        "message bytes",
        "message str",
    ]
    upgraded = client.mode == "upgrade"
    return {
        "seen": [*seen, "packet message", "packet_create message"],
        "upgrades": ["upgrading websocket", "upgrade websocket"] if upgraded else [],
        "conn": [client.transport, "open", upgraded, client.protocol - 1, True],
    }


def reasons(javascript: str, python: str, count: int = 1) -> Callable[[Client], Any]:
    """The reason a client gives; the Python client of protocol 4 knows none."""

    def result(client: Client) -> Any:
        reason = None if client.name == "sio-py-4" else python if is_python(client) else javascript
        return [reason] * count if count > 1 else reason

    return result


def both(reason: str) -> Callable[[Client], list[Ends]]:
    return lambda client: [[("/", reason), ("/chat", reason)]]


def left(client: Client) -> list[Ends]:
    """The Python clients may close the connection before their DISCONNECT packet is out."""
    ends = [[("/", "client namespace disconnect")]]
    return [*ends, [("/", "transport close")]] if is_python(client) else ends


def dropped(client: Client) -> Any:
    if client.name == "sio-py-5":
        return ["server disconnect" if client.mode == "polling" else "transport error"] * 2
    return reasons("transport close", "", 2)(client)


def over_limit(client: Client) -> Any:
    if is_python(client):
        return reasons("", "transport error")(client)
    if client.mode != "polling":
        return "transport close"
    # socket.io 2.5 cuts the connection where later servers answer 413.
    return frozenset({"transport close", "transport error"}) if client.protocol == 4 else "transport error"


def over_limit_ends(client: Client) -> list[Ends]:
    """Over polling the POST is refused, and the client ends a session that the server would have kept.

    Unless the refusal ends it, as with socket.io 2.5, or the client says no goodbye, as Python's may not.
    """
    error: Ends = [("/", "transport error")]
    close: Ends = [("/", "transport close")]
    timeout: Ends = [("/", "ping timeout")]
    if client.mode != "polling":
        return [error]
    if is_python(client):
        return [close, error, timeout]
    return [close, error] if client.protocol == 4 else [close]


CASES = [
    Case("text"),
    Case("binary"),
    Case("client_acks"),
    Case("server_acks", result=server_acks),
    Case("unicode"),
    Case("lone_surrogates", clients=JAVASCRIPT),
    Case("large", server=LARGE),
    Case("over_limit", server=LIMITED, args={"limit": LIMIT}, result=over_limit, ends=over_limit_ends),
    Case("payload_split", clients=["sio-client-4"], server=LIMITED, args={"limit": LIMIT}),
    Case("order"),
    Case(
        "namespaces",
        result=by_protocol(
            {"ids": ["<sid>", "/chat#<sid>", "/dyn-101#<sid>"]},
            {"ids": ["<own>", "<own>", "<own>"]},
        ),
    ),
    Case("namespace_unknown", result=refusal("Invalid namespace")),
    Case("namespace_query", clients=["sio-client-2"], result=lambda client: {"token": "a b", "empty": ""}),
    Case("handshake", result=handshake),
    Case("middleware_admits", "middleware", args={"token": "good"}, result=admitted),
    Case("middleware_refuses", "middleware", args={"token": "bad"}, result=refusal("nope")),
    Case(
        "middleware_refuses_with_data",
        "middleware",
        args={"token": "data"},
        result=refusal("refused", {"code": 7, "text": "denied"}),
    ),
    Case(
        "middleware_root_admits",
        "middleware_root",
        clients=JAVASCRIPT,
        server={"guard_root": True},
        args={"token": "good"},
        result=admitted,
    ),
    Case("packet_middleware", clients=JAVASCRIPT, result=by_protocol([{"code": 8}], [])),
    Case("rooms", result=rooms),
    Case(
        "rooms_except",
        "rooms",
        clients=JAVASCRIPT,
        args={"only_v4": True},
        result=lambda client: ROOMS_EXCEPT,
    ),
    Case(
        "parent_namespace",
        clients=JAVASCRIPT,
        result=lambda client: {"all": ["one", "two"], "room": ["two"]},
    ),
    Case("v2_members", clients=JAVASCRIPT, result=lambda client: V2_MEMBERS),
    Case("conn_events", clients=JAVASCRIPT, result=conn_events),
    Case(
        "broadcast_acks",
        clients=JAVASCRIPT,
        result=lambda client: {"callback": BROADCAST_ACKS, "promise": BROADCAST_ACKS},
    ),
    Case(
        "server_disconnect",
        result=reasons("io server disconnect", "server disconnect"),
        ends=lambda client: [
            [("/", reason), ("/chat", "server namespace disconnect")]
            for reason in ("transport close", *(["client namespace disconnect"] if is_python(client) else []))
        ],
    ),
    Case(
        "server_disconnect_close",
        result=reasons("io server disconnect", "server disconnect", 2),
        ends=both("server namespace disconnect"),
    ),
    Case("client_disconnect", result=reasons("io client disconnect", "client disconnect"), ends=left),
    Case(
        "client_namespace_disconnect",
        clients=JAVASCRIPT,
        result=reasons("io client disconnect", ""),
        ends=lambda client: [
            [("/", "transport close"), ("/chat", "client namespace disconnect"), ("/chat", "transport close")]
        ],
    ),
    Case(
        "client_engine_close",
        clients=JAVASCRIPT,
        result=reasons("forced close", "", 2),
        ends=both("transport close"),
    ),
    Case("server_engine_close", result=dropped, ends=both("forced close")),
    Case(
        "reconnect",
        clients=JAVASCRIPT,
        result=lambda client: "transport close",
        ends=lambda client: [[("/", "forced close"), ("/", "transport close")]],
    ),
    # Over polling the Python client takes the server's close packet for a final goodbye.
    Case("reconnect_python", "reconnect", clients=PYTHON, modes=["websocket", "upgrade"]),
]


def parameters(names: Sequence[str], modes: Sequence[str] = MODES) -> list[tuple[Case, Client]]:
    """Every case with every client of ``names`` and every mode that it is meant for."""
    return [
        (case, Client(name, mode))
        for name in names
        for mode in modes
        for case in CASES
        if name in case.clients and mode in case.modes
    ]


#: What socket.io 4 no longer has.
ONLY_V2 = {"v2_members"}


# What takes its time is checked for the three modes of a client at once.


def tags(name: str, tag: str) -> dict[Client, str]:
    return {Client(name, mode): f"{tag}-{mode}" for mode in MODES}


def check_root_refusal(client: Client, server: ScenarioServer, drivers: Drivers, tag: str) -> None:
    """A middleware of ``/`` refuses, so there is no socket and no end; ``server`` has ``guard_root``."""
    for token, expected in [
        ("bad", refusal("nope")),
        ("data", refusal("refused", {"code": 7, "text": "denied"})),
    ]:
        own = f"{tag}-{token}"
        result = drivers.run(client, "middleware_root", server, {"tag": own, "token": token})
        assert result == expected(client)
        assert server.records(own, "connect", "disconnect") == []


def check_heartbeat(name: str, server: ScenarioServer, drivers: Drivers, tag: str, prefix: str = "") -> None:
    """The sessions outlive several intervals of ``server``, which has ``HEARTBEAT``."""
    for client, own in tags(name, tag).items():
        drivers.begin(client, f"{prefix}heartbeat", server, {"tag": own, "least": OUTLAST})
    for client, own in tags(name, tag).items():
        drivers.result(client, server, own)


@contextmanager
def idle_clients(
    name: str, server: ScenarioServer, tag: str, prefix: str = ""
) -> Iterator[dict[Client, Driver]]:
    """Connected clients in processes of their own, to be stopped or killed."""
    idle: dict[Client, Driver] = {}
    try:
        for client, own in tags(name, tag).items():
            idle[client] = Driver(client, f"{prefix}idle", server.url, json.dumps({"tag": own}))
        for client, own in tags(name, tag).items():
            idle[client].ready(own)
        yield idle
    finally:
        for driver in idle.values():
            driver.signal(signal.SIGKILL)
            driver.stop()


def check_silent_client(name: str, server: ScenarioServer, tag: str) -> None:
    """Clients that stop without a word are found out; ``server`` has ``HEARTBEAT``."""
    with idle_clients(name, server, tag) as idle:
        for driver in idle.values():
            driver.signal(signal.SIGSTOP)
        for own in tags(name, tag).values():
            assert server.ends(own) == [("/", "ping timeout")]


def check_killed_client(name: str, server: ScenarioServer, tag: str) -> None:
    """The system closes the connections of clients that die."""
    with idle_clients(name, server, tag) as idle:
        time.sleep(0.1)  # until each has a poll open: without one only the heartbeat would tell
        for driver in idle.values():
            driver.signal(signal.SIGKILL)
        for client, own in tags(name, tag).items():
            reason = "transport error" if client.transport == "polling" else "transport close"
            assert server.ends(own) == [("/", reason)]


def check_silent_server(name: str, server: ScenarioServer, drivers: Drivers, tag: str) -> dict[Client, Any]:
    """The reasons that clients give when ``server``, which has ``HEARTBEAT``, stops without a word."""
    for client, own in tags(name, tag).items():
        drivers.begin(client, "idle", server, {"tag": own}).ready(own)
    server.signal(signal.SIGSTOP)
    try:
        return {client: drivers.result(client, server, own) for client, own in tags(name, tag).items()}
    finally:
        server.signal(signal.SIGCONT)


def check_shutdown(name: str, server: ScenarioServer, drivers: Drivers, tag: str) -> dict[Client, Any]:
    """The reasons that clients give when ``server``, which no other test uses, closes."""
    for client, own in tags(name, tag).items():
        drivers.begin(client, "idle", server, {"tag": own}).ready(own)
    server.write("close")
    results = {client: drivers.result(client, server, own) for client, own in tags(name, tag).items()}
    for own in tags(name, tag).values():
        assert server.ends(own) == [("/", "server shutting down")]
    assert server.finish() == []
    return results
