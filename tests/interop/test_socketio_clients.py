"""socket.io-client 2.5, 3.1 and 4.8 against fastsio."""

from __future__ import annotations

import pytest

from tests.interop.cases import (
    HEARTBEAT,
    JAVASCRIPT,
    Case,
    check_heartbeat,
    check_killed_client,
    check_root_refusal,
    check_shutdown,
    check_silent_client,
    check_silent_server,
    parameters,
)
from tests.interop.harness import MODES, Client, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

each_client = pytest.mark.parametrize("name", JAVASCRIPT)


@pytest.mark.parametrize(("case", "client"), parameters(JAVASCRIPT), ids=str)
def test_scenario(case: Case, client: Client, servers: Servers, drivers: Drivers, tag: str) -> None:
    case.run(client, servers.get(**case.server), drivers, tag)


@each_client
@pytest.mark.parametrize("mode", MODES)
def test_refusal_by_the_root_namespace(
    name: str, mode: str, servers: Servers, drivers: Drivers, tag: str
) -> None:
    check_root_refusal(Client(name, mode), servers.get(guard_root=True), drivers, tag)


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
def test_silent_server(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    reasons = check_silent_server(name, servers.get(**HEARTBEAT), drivers, tag)
    assert set(reasons.values()) == {"ping timeout"}


@each_client
def test_shutdown(name: str, drivers: Drivers, tag: str) -> None:
    reasons = check_shutdown(name, ScenarioServer("fastsio", {}), drivers, tag)
    assert set(reasons.values()) == {"transport close"}
