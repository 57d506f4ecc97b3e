"""``fastsio load`` against socket.io 2.5 and 4.8 themselves, under examples/load_server.js."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastsio
from tests.interop.harness import CLIENTS, ROOT, node_package

pytestmark = pytest.mark.interop

#: The packages, and the Engine.IO protocols that each speaks.
SERVERS = {"sio-server-2": (3,), "sio-server-4": (3, 4)}


@contextlib.contextmanager
def node_server(package: str) -> Iterator[tuple[str, int]]:
    """examples/load_server.js on one of the packages: its URL and process id."""
    process = subprocess.Popen(
        [node_package(package), str(ROOT / "examples" / "load_server.js"), "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SOCKET_IO": package, "NODE_PATH": str(CLIENTS / "node_modules")},
    )
    try:
        assert process.stdout is not None
        match = re.search(r"http://\S+", process.stdout.readline())
        assert match is not None
        yield match[0], process.pid
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module", params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, int]]:
    with node_server(request.param) as (url, pid):
        yield request.param, url, pid


def load(url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    source = Path(fastsio.__file__).resolve().parents[1]
    quick = ("--duration", "0.4", "--warmup", "0.1", "--clients", "10", "--json", "-")
    result = subprocess.run(
        [sys.executable, "-m", "fastsio", "load", url, *quick, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH", "")])),
        },
    )
    assert "Traceback" not in result.stderr
    report = json.loads(result.stdout)
    assert isinstance(report, dict)
    return result.returncode, report


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize(
    "scenario",
    ["echo", "ack", "broadcast", "rooms", "connect", "idle", "churn", "reconnect"],
)
def test_scenarios(server: tuple[str, str, int], scenario: str, transport: str) -> None:
    package, url, pid = server
    for protocol in SERVERS[package]:
        status, report = load(
            url,
            *("--scenario", scenario, "--protocol", str(protocol), "--transport", transport),
            *("--binary", "0.5", "--depth", "2", "--lifetime", "0.2", "--reconnect-delay", "0.1"),
            *("--server-pid", str(pid), "--max-errors", "0"),
        )
        assert report["errors"]["kinds"] == {}
        assert status == 0
        assert report["messages"]["unasked"] == 0
        if scenario == "idle":
            assert report["clients"]["connected_at_end"] == 10
        else:
            assert report["messages"]["received"] >= 10
            assert report["server"]["cpu_us_per_message"] > 0


def test_a_server_that_does_not_speak_the_protocol() -> None:
    """A client of protocol 4 gets the open packet of socket.io 2.5, but no sid from its CONNECT."""
    with node_server("sio-server-2") as (url, _):
        status, report = load(url, "--protocol", "4")
    assert status == 1
    assert report["errors"]["kinds"] == {"bad_handshake": 10}
    assert "protocol 3" in report["errors"]["details"]["bad_handshake"]["first"]
