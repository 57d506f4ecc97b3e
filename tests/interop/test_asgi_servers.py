"""The official clients against fastsio under uvicorn, with each of its ways of WebSockets, and hypercorn."""

from __future__ import annotations

import pytest

from tests.interop.cases import HEARTBEAT, Case, check_heartbeat, check_killed_client, parameters
from tests.interop.harness import MODES, Client, Drivers, Servers

pytestmark = pytest.mark.interop

UNDER = {
    "uvicorn-httptools-websockets-sansio": ["sio-client-2", "sio-client-4"],
    "uvicorn-h11-wsproto": ["sio-client-4"],
    "uvicorn-httptools-fastsio": ["sio-client-4"],
    "hypercorn": ["sio-client-4"],
}


@pytest.mark.parametrize(
    ("under", "case", "client"),
    [(under, *pair) for under, names in UNDER.items() for pair in parameters(names, MODES)],
    ids=str,
)
def test_scenario(
    under: str, case: Case, client: Client, servers: Servers, drivers: Drivers, tag: str
) -> None:
    case.run(client, servers.get(under=under, **case.server), drivers, tag)


@pytest.mark.parametrize("under", UNDER)
def test_heartbeat_keeps_sessions(under: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    check_heartbeat("sio-client-4", servers.get(under=under, **HEARTBEAT), drivers, tag)


@pytest.mark.parametrize("under", UNDER)
def test_killed_client(under: str, servers: Servers, tag: str) -> None:
    check_killed_client("sio-client-4", servers.get(under=under), tag)
