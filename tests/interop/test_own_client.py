"""The browser client of this project in Node: the scenarios of the official client of 4.x, and its own tests."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.interop import harness
from tests.interop.cases import (
    HEARTBEAT,
    Case,
    check_heartbeat,
    check_root_refusal,
    parameters,
)
from tests.interop.harness import CLIENTS, MODES, ROOT, Client, Driver, Drivers, ScenarioServer, Servers

pytestmark = pytest.mark.interop

NAME = "sio-client-4"


class OwnDriver(Driver):
    def __init__(self, client: Client, *once: str) -> None:
        node, *others = harness.driver_command(client)
        harness.Program.__init__(self, [node, "--require", "./own_client.js", *others, *once], CLIENTS)


class OwnDrivers(Drivers):
    def get(self, client: Client) -> Driver:
        driver = self._running.get(client)
        if driver is None or not driver.alive:
            driver = self._running[client] = OwnDriver(client)
        return driver


@pytest.fixture(scope="module")
def own_drivers():
    drivers = OwnDrivers()
    yield drivers
    drivers.close()


@pytest.mark.parametrize("implementation", ["fastsio", "sio-server-4"])
@pytest.mark.parametrize(("case", "client"), parameters([NAME]), ids=str)
def test_scenario(
    case: Case, client: Client, implementation: str, servers: Servers, own_drivers: Drivers, tag: str
) -> None:
    case.run(client, servers.get(implementation, **case.server), own_drivers, tag)
