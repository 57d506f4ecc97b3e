"""engine.io-client 3.5 (protocol 3) and 6.6 (protocol 4) against fastsio's Engine.IO server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.interop.cases import HEARTBEAT, LARGE, LIMIT, check_heartbeat, idle_clients, tags
from tests.interop.harness import MODES, Client, Drivers, Servers

pytestmark = pytest.mark.interop

CLIENTS = ("eio-client-3", "eio-client-6")
#: The reference servers of the two protocols.
REFERENCES = {"eio-client-3": "sio-server-2", "eio-client-6": "sio-server-4"}

each_client = pytest.mark.parametrize("name", CLIENTS)


@dataclass(frozen=True)
class EngineCase:
    """A scenario, its server, the client's reason, and the reasons the server may give."""

    scenario: str
    server: dict[str, Any] = field(default_factory=dict)
    args: dict[str, Any] = field(default_factory=dict)
    result: Callable[[Client], set[Any]] = lambda client: {None}
    reasons: Callable[[Client], set[str]] = lambda client: {"transport close"}

    def __str__(self) -> str:
        return self.scenario

    def run(self, implementation: str, client: Client, servers: Servers, drivers: Drivers, tag: str) -> None:
        server = servers.get(implementation, kind="engineio", **self.server)
        assert drivers.run(client, self.scenario, server, {**self.args, "tag": tag}) in self.result(client)
        (reason,) = server.closes(tag)
        assert reason in self.reasons(client)


def over_limit(client: Client) -> set[Any]:
    if client.mode != "polling":
        return {"transport close"}
    # engine.io 3.6 cuts the connection where later servers answer 413.
    return {"transport close", "transport error"} if client.name == "eio-client-3" else {"transport error"}


def over_limit_reasons(client: Client) -> set[str]:
    if client.mode != "polling":
        return {"transport error"}
    return {"transport close", "transport error"} if client.name == "eio-client-3" else {"transport close"}


CASES = [
    EngineCase("engine_echo"),
    EngineCase("engine_binary"),
    EngineCase("engine_large", LARGE),
    EngineCase("engine_order"),
    EngineCase("engine_client_close", result=lambda client: {"forced close"}),
    EngineCase(
        "engine_server_close",
        result=lambda client: {"transport close"},
        reasons=lambda client: {"forced close"},
    ),
    EngineCase(
        "engine_over_limit",
        {"max_http_buffer_size": LIMIT},
        {"limit": LIMIT},
        over_limit,
        over_limit_reasons,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@each_client
def test_scenario(
    case: EngineCase, name: str, mode: str, servers: Servers, drivers: Drivers, tag: str
) -> None:
    case.run("fastsio", Client(name, mode), servers, drivers, tag)


@pytest.mark.parametrize("case", CASES, ids=str)
@each_client
def test_reference(case: EngineCase, name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    """The reference answers as this module expects of fastsio."""
    case.run(REFERENCES[name], Client(name, "upgrade"), servers, drivers, tag)


@each_client
def test_heartbeat_keeps_sessions(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    check_heartbeat(name, servers.get(kind="engineio", **HEARTBEAT), drivers, tag, "engine_")


@each_client
def test_silent_client(name: str, servers: Servers, tag: str) -> None:
    server = servers.get(kind="engineio", **HEARTBEAT)
    with idle_clients(name, server, tag, "engine_") as idle:
        for driver in idle.values():
            driver.signal(signal.SIGSTOP)
        for own in tags(name, tag).values():
            assert server.closes(own) == ["ping timeout"]


@each_client
def test_silent_server(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    server = servers.get(kind="engineio", **HEARTBEAT)
    for client, own in tags(name, tag).items():
        drivers.begin(client, "engine_idle", server, {"tag": own}).ready(own)
    server.signal(signal.SIGSTOP)
    try:
        for client, own in tags(name, tag).items():
            assert drivers.result(client, server, own) == "ping timeout"
    finally:
        server.signal(signal.SIGCONT)
