"""The scenarios against the reference servers: what the other modules expect of fastsio is what these do.

A subset, since the reference does not change: each client over the upgrade alone.
"""

from __future__ import annotations

import pytest

from tests.interop.cases import (
    HEARTBEAT,
    JAVASCRIPT,
    ONLY_V2,
    PYTHON,
    Case,
    check_killed_client,
    check_root_refusal,
    check_shutdown,
    check_silent_client,
    check_silent_server,
    parameters,
)
from tests.interop.harness import Client, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

SERVERS = {4: "sio-server-2", 5: "sio-server-4"}

#: What socket.io 2.5.1 does not have: operators that exclude rooms, acknowledgements of broadcasts.
ONLY_V4 = {"rooms_except", "broadcast_acks"}


def reference(client: Client) -> str:
    return SERVERS[client.protocol]


@pytest.mark.parametrize(
    ("case", "client"),
    [
        (case, client)
        for case, client in parameters([*JAVASCRIPT, *PYTHON], ["upgrade"])
        if case.name not in (ONLY_V4 if client.protocol == 4 else ONLY_V2)
    ],
    ids=str,
)
def test_scenario(case: Case, client: Client, servers: Servers, drivers: Drivers, tag: str) -> None:
    case.run(client, servers.get(reference(client), **case.server), drivers, tag)


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_refusal_by_the_root_namespace(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    client = Client(name, "upgrade")
    check_root_refusal(client, servers.get(reference(client), guard_root=True), drivers, tag)


def test_silent_client(servers: Servers, tag: str) -> None:
    """Not with socket.io 2.5.1, which forgets the deadline of a client that upgrades and falls silent."""
    check_silent_client("sio-client-4", servers.get("sio-server-4", **HEARTBEAT), tag)


@pytest.mark.parametrize("name", ["sio-client-2", "sio-client-4"])
def test_silent_server(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    server = servers.get(reference(Client(name, "upgrade")), **HEARTBEAT)
    reasons = check_silent_server(name, server, drivers, tag)
    assert set(reasons.values()) == {"ping timeout"}


@pytest.mark.parametrize("name", ["sio-client-2", "sio-client-4"])
def test_killed_client(name: str, servers: Servers, tag: str) -> None:
    check_killed_client(name, servers.get(reference(Client(name, "upgrade"))), tag)


def test_shutdown(drivers: Drivers, tag: str) -> None:
    """Not with socket.io 2.5.1, whose sockets get no reason."""
    reasons = check_shutdown("sio-client-4", ScenarioServer("sio-server-4", {}), drivers, tag)
    assert set(reasons.values()) == {"transport close"}
