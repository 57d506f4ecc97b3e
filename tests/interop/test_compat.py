"""Programs for python-socketio's server and clients, run with that library and with fastsio.

Whatever combination runs them, the client sees the same as when both are python-socketio's.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastsio
from tests.interop.harness import ENVIRONMENTS, missing

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).with_name("compat")
ASYNCIO = "client_program.py"
BLOCKING = "sync_client_program.py"
SOURCES = str(Path(fastsio.__file__).parents[1])


def command(library: str, program: str, *arguments: str) -> list[str]:
    """How to run a program with a library."""
    if library == "fastsio":
        return [sys.executable, str(PROGRAMS / program), "fastsio.compat.socketio", *arguments]
    python = ENVIRONMENTS / "python-socketio-5" / "bin" / "python"
    if not python.exists():
        missing("the environment of python-socketio 5")
    return [str(python), str(PROGRAMS / program), "socketio", *arguments]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, os.environ.get("PYTHONPATH", "")])}


@contextlib.contextmanager
def serve(library: str, log: Path) -> Iterator[int]:
    """Run the server program; its port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            command(library, "server_program.py", str(port)), env=ENVIRONMENT, stdout=output, stderr=output
        )
        try:
            end = time.monotonic() + 20
            while True:
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def transcript(program: str, server: str, client: str, transports: str, log: Path) -> dict[str, Any]:
    """What a client program saw."""
    with serve(server, log) as port:
        done = subprocess.run(
            command(client, program, f"http://127.0.0.1:{port}", transports),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=90,
        )
    # Tracebacks of aiohttp's that come after the end are its own business.
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n--- server ---\n{log.read_text()}"
    if client == "fastsio":
        assert done.stderr == ""
    if server == "fastsio":
        # The one of the handler that is there to fail.
        assert log.read_text().count("Traceback") == (program == ASYNCIO), log.read_text()
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The same with python-socketio on both sides, by program."""
    folder = tmp_path_factory.mktemp("compat")
    told = {
        program: transcript(program, "socketio", "socketio", "websocket", folder / "log")
        for program in (ASYNCIO, BLOCKING)
    }
    # It is the programs that make the test: each part of them has left something.
    assert [len(log) for log in told.values()] == [49, 22]
    assert told[ASYNCIO]["whoami"]["session"] == {"name": "a", "token": "secret", "asked": 1}
    return told


@pytest.mark.parametrize("program", [ASYNCIO, BLOCKING])
@pytest.mark.parametrize(
    ("server", "client", "transports"),
    [
        ("fastsio", "socketio", "websocket"),
        ("fastsio", "socketio", "polling,websocket"),
        ("socketio", "fastsio", "websocket"),
        ("socketio", "fastsio", "polling"),
        ("fastsio", "fastsio", "polling,websocket"),
        ("fastsio", "fastsio", "polling"),
    ],
)
def test_programs_see_the_same(
    program: str,
    server: str,
    client: str,
    transports: str,
    reference: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    assert transcript(program, server, client, transports, tmp_path / "log") == reference[program]
