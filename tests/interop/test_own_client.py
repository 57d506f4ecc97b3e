"""The browser client of this project in Node: scenarios of the official client of 4.x, and its own tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.cases import HEARTBEAT, ONLY_V2, Case, check_heartbeat, parameters
from tests.interop.harness import (
    CLIENTS,
    ROOT,
    Client,
    Driver,
    Drivers,
    Program,
    Servers,
    driver_command,
    node_package,
)

pytestmark = pytest.mark.interop

#: The client whose place it takes.
NAME = "sio-client-4"
PROGRAMS = ROOT / "tests" / "browser" / "servers"


class OwnDriver(Driver):
    """driver.js with the client of this project in place of the official one."""

    def __init__(self, client: Client) -> None:
        node, *program = driver_command(client)
        Program.__init__(self, [node, "--require", "./own_client.js", *program], CLIENTS)


class OwnDrivers(Drivers):
    def get(self, client: Client) -> Driver:
        driver = self._running.get(client)
        if driver is None or not driver.alive:
            driver = self._running[client] = OwnDriver(client)
        return driver


@pytest.fixture(scope="module")
def own_drivers() -> Iterator[Drivers]:
    drivers = OwnDrivers()
    yield drivers
    drivers.close()


def test_the_drivers_have_the_own_client() -> None:
    node = node_package(NAME)
    program = (
        f"process.exitCode = require('{NAME}') === require('../../src/fastsio/static/socket.io.js') ? 0 : 1"
    )
    subprocess.run([node, "--require", "./own_client.js", "-e", program], cwd=CLIENTS, check=True)


@pytest.mark.parametrize(("case", "client"), parameters([NAME]), ids=str)
def test_scenario(case: Case, client: Client, servers: Servers, own_drivers: Drivers, tag: str) -> None:
    case.run(client, servers.get(**case.server), own_drivers, tag)


@pytest.mark.parametrize(
    ("case", "client"),
    [entry for entry in parameters([NAME], ["upgrade"]) if entry[0].name not in ONLY_V2],
    ids=str,
)
def test_scenario_on_the_reference(
    case: Case, client: Client, servers: Servers, own_drivers: Drivers, tag: str
) -> None:
    case.run(client, servers.get("sio-server-4", **case.server), own_drivers, tag)


def test_heartbeat_keeps_sessions(servers: Servers, own_drivers: Drivers, tag: str) -> None:
    check_heartbeat(NAME, servers.get(**HEARTBEAT), own_drivers, tag)


def listening(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < end, "the server does not listen"
            time.sleep(0.05)


@pytest.mark.parametrize("implementation", ["fastsio", "node"])
def test_in_node(implementation: str) -> None:
    node = node_package("sio-server-4")
    program = PROGRAMS / ("node_server.js" if implementation == "node" else "fastsio_server.py")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [node if implementation == "node" else sys.executable, str(program)]
    environment = os.environ | {"PORT": str(port), "URL": f"http://127.0.0.1:{port}"}
    with subprocess.Popen(command, env=environment, text=True) as server:
        try:
            listening(server, port)
            result = subprocess.run(
                [node, "--require", "./own_client.js", "--test-reporter=tap", "own_client_test.js"],
                cwd=CLIENTS,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            server.terminate()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\n# fail 0\n" in result.stdout and "\n# pass 0\n" not in result.stdout


def test_types() -> None:
    """The declarations fit programs that use them, and mistakes are found."""
    node = node_package("typescript")
    compiler = CLIENTS / "node_modules" / "typescript" / "bin" / "tsc"
    command = [node, str(compiler), "--project", "own_client_types.tsconfig.json"]
    check = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=120)
    assert check.returncode == 0, check.stdout + check.stderr


def test_what_is_served_is_built_from_the_modules() -> None:
    if not Path(ROOT, ".cache", "esbuild", "node_modules", "esbuild").is_dir():
        pytest.skip("no esbuild in .cache/esbuild: scripts/build-client --fetch gets it from npm")
    check = subprocess.run([ROOT / "scripts" / "build-client", "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
