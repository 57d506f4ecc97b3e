"""python-socketio's client against fastsio: 4.6 (protocol 4) and 5.x (protocol 5)."""

from __future__ import annotations

import pytest

from tests.interop.cases import (
    HEARTBEAT,
    PYTHON,
    Case,
    check_heartbeat,
    check_killed_client,
    check_shutdown,
    check_silent_client,
    parameters,
)
from tests.interop.harness import Client, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

each_client = pytest.mark.parametrize("name", PYTHON)


@pytest.mark.parametrize(("case", "client"), parameters(PYTHON), ids=str)
def test_scenario(case: Case, client: Client, servers: Servers, drivers: Drivers, tag: str) -> None:
    case.run(client, servers.get(**case.server), drivers, tag)


@each_client
def test_heartbeat_keeps_sessions(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    check_heartbeat(name, servers.get(**HEARTBEAT), drivers, tag)


@each_client
def test_silent_client(name: str, servers: Servers, tag: str) -> None:
    check_silent_client(name, servers.get(**HEARTBEAT), tag)


@each_client
def test_killed_client(name: str, servers: Servers, tag: str) -> None:
    check_killed_client(name, servers.get(), tag)


@each_client
def test_shutdown(name: str, drivers: Drivers, tag: str) -> None:
    reasons = check_shutdown(name, ScenarioServer("fastsio", {}), drivers, tag)
    assert {client.mode: reason for client, reason in reasons.items()} == (
        {"polling": None, "websocket": None, "upgrade": None}
        if name == "sio-py-4"
        else {"polling": "server disconnect", "websocket": "transport error", "upgrade": "transport error"}
    )
