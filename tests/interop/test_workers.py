"""The official clients against ``fastsio run`` with three workers on one port."""

from __future__ import annotations

import sys

import pytest

from tests.interop.cases import HEARTBEAT, Case, check_heartbeat, check_killed_client, parameters
from tests.interop.harness import Client, Drivers, Servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers need Linux"),
]

WORKERS = {"under": "workers"}
CLIENTS = ("sio-client-2", "sio-client-4")


# As in a cluster of Node's, a parent namespace reaches the children that its own process has.
ALL = [(case, client) for case, client in parameters(CLIENTS) if case.name != "parent_namespace"]


@pytest.mark.parametrize(("case", "client"), ALL, ids=str)
def test_scenario(case: Case, client: Client, servers: Servers, drivers: Drivers, tag: str) -> None:
    case.run(client, servers.get(**WORKERS, **case.server), drivers, tag)


@pytest.mark.parametrize("name", CLIENTS)
def test_heartbeat_keeps_sessions(name: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    check_heartbeat(name, servers.get(**WORKERS, **HEARTBEAT), drivers, tag)


def test_killed_client(servers: Servers, tag: str) -> None:
    check_killed_client("sio-client-4", servers.get(**WORKERS), tag)
