"""Child processes of the interop tests: scenario servers and client drivers, which speak lines of JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".cache"

#: Seconds until a driver that has not answered is killed; the scenarios give up sooner by themselves.
HARD_TIMEOUT = 30.0

MODES = ("polling", "websocket", "upgrade")

Record = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """A client library over one choice of transports."""

    name: str
    mode: str

    def __str__(self) -> str:
        return f"{self.name}-{self.mode}"

    @property
    def protocol(self) -> int:
        """Its revision of the Socket.IO protocol."""
        return 4 if self.name in ("sio-client-2", "sio-py-4") else 5

    @property
    def transport(self) -> str:
        """The transport it ends up with."""
        return "polling" if self.mode == "polling" else "websocket"


def missing(what: str) -> None:
    pytest.fail(
        f"{what} is missing: run scripts/test-deps, which installs the clients of these tests", pytrace=False
    )


def node_package(name: str) -> str:
    """Check that Node and an npm package of tests/clients are there; the command that runs Node."""
    node = shutil.which("node")
    if node is None:
        missing("node (18 or newer)")
    if not (CLIENTS / "node_modules" / name / "package.json").exists():
        missing(f"the npm package {name} of tests/clients")
    return str(node)


def driver_command(client: Client) -> list[str]:
    """How to start the driver of a client."""
    if client.name.startswith("sio-py-"):
        python = ENVIRONMENTS / client.name.replace("sio-py", "python-socketio") / "bin" / "python"
        if not python.exists():
            missing(f"the environment {python.parents[1].relative_to(ROOT)} of python-socketio")
        return [str(python), "driver.py", client.name, client.mode]
    return [node_package(client.name), "driver.js", client.name, client.mode]


class Program:
    """A child process; each line of its standard output is one JSON object."""

    def __init__(self, command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> None:
        self.command = command
        self.lines: list[Record] = []
        self._changed = threading.Condition()
        self._last_words = ""
        self._stderr = tempfile.TemporaryFile(mode="w+", errors="replace")
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "not JSON", "text": text}
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stderr(self) -> str:
        if self._stderr.closed:
            return self._last_words
        self._stderr.seek(0)
        return self._stderr.read()

    def output(self) -> str:
        """What it printed last, for a failure message."""
        printed = "\n".join(json.dumps(line, ensure_ascii=False) for line in self.lines[-60:])
        return f"$ {' '.join(self.command)}\n{printed}\n--- stderr ---\n{self.stderr()}"

    def wait_for(self, found: Callable[[list[Record]], Any], seconds: float, what: str) -> Any:
        """What ``found`` gives for the lines so far, once that is true.

        :raises AssertionError: when it does not become true, or the process ends before.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                result = found(self.lines)
                if result:
                    return result
                left = end - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    fate = (
                        f"did not come within {seconds} s" if left <= 0 else "never came: the process ended"
                    )
                    raise AssertionError(f"{what} {fate}\n{self.output()}")
                self._changed.wait(min(left, 0.2))

    def stop(self, seconds: float = 5.0) -> int:
        """End it by the end of its input, by force if it does not listen; its exit status."""
        if self._stderr.closed:
            return self._process.returncode
        assert self._process.stdin is not None and self._process.stdout is not None
        self.signal(signal.SIGCONT)
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(seconds)
        self._process.stdout.close()
        self._last_words = self.stderr()
        self._stderr.close()
        return self._process.returncode


class ScenarioServer(Program):
    """A scenario server. ``implementation`` is ``fastsio`` or the name of a reference server."""

    def __init__(self, implementation: str, options: dict[str, Any]) -> None:
        self.implementation = implementation
        if implementation == "fastsio":
            package = importlib.util.find_spec("fastsio")
            if package is None or package.origin is None:
                pytest.fail(
                    "fastsio cannot be imported: install the project with its extension modules",
                    pytrace=False,
                )
            # The child must import the very package under test, installed or from its source tree.
            environment = {"PYTHONPATH": str(Path(package.origin).parents[1])}
            command = [sys.executable, "-W", "error", str(Path(__file__).with_name("scenario_server.py"))]
        else:
            environment = {}
            command = [node_package(implementation), "reference_server.js", implementation]
        super().__init__([*command, json.dumps(options)], CLIENTS, environment)
        try:
            listening = self.wait_for(lambda lines: lines[:1], 15, "the server's port")
        except AssertionError:
            self.stop()
            raise
        self.url = f"http://127.0.0.1:{listening[0]['port']}"

    def records(self, tag: str, *events: str) -> list[Record]:
        """What the server saw of the clients of one test."""
        return [line for line in self.lines if line.get("tag") == tag and line["event"] in events]

    def ends(self, tag: str, count: int | None = None, seconds: float = 8.0) -> list[tuple[str, str]]:
        """Namespace and reason of every disconnection, sorted, once each socket has had its own.

        :param count: how many disconnections to wait for instead of all.
        """

        def complete(_: list[Record]) -> bool:
            wanted = count if count is not None else len(self.records(tag, "connect"))
            return wanted > 0 and len(self.records(tag, "disconnect")) >= wanted

        self.wait_for(complete, seconds, f"the end of all sockets of {tag}")
        ends = self.records(tag, "disconnect")
        assert len(ends) <= len(self.records(tag, "connect")), f"more ends than sockets\n{self.output()}"
        assert all(end["rooms"] == [] for end in ends)
        return sorted((end["namespace"], end["reason"]) for end in ends)

    def closes(self, tag: str, seconds: float = 8.0) -> list[str]:
        """The reasons with which the Engine.IO sessions of one test ended."""

        def complete(_: list[Record]) -> bool:
            return len(self.records(tag, "close")) == len(self.records(tag, "connect")) > 0

        self.wait_for(complete, seconds, f"the end of all sessions of {tag}")
        return [end["reason"] for end in self.records(tag, "close")]

    def finish(self) -> list[str]:
        """End it; what was wrong with it."""
        status = self.stop()
        complaints = [f"exit status {status}"] if status else []
        pattern = r"Traceback|Exception ignored|never awaited|was destroyed|never retrieved|ERROR"
        if self.implementation == "fastsio" and re.search(pattern, self.stderr()):
            complaints.append("it complained")
        return [f"{complaint}\n{self.output()}" for complaint in complaints]


class Driver(Program):
    """A client library in a process of its own."""

    def __init__(self, client: Client, *once: str) -> None:
        super().__init__([*driver_command(client), *once], CLIENTS)

    def begin(self, scenario: str, url: str, args: dict[str, Any]) -> None:
        self.write(json.dumps({"scenario": scenario, "url": url, "args": args}))

    def ready(self, tag: str) -> None:
        """Wait until a client that stays has connected."""
        self._next(tag, "the client's connection", lambda line: "event" in line or "ok" in line)

    def finish(self, tag: str) -> Any:
        """The result of the scenario.

        :raises AssertionError: if it failed, with all that the driver printed.
        """
        answer = self._next(tag, "the result of the scenario", lambda line: "ok" in line)
        if not answer["ok"]:
            raise AssertionError(f"{answer['scenario']} failed:\n{answer['error']}\n{self.output()}")
        return answer["result"]

    def _next(self, tag: str, what: str, wanted: Callable[[Record], bool]) -> Record:
        def found(lines: list[Record]) -> list[Record]:
            return [line for line in lines if line.get("tag") == tag and wanted(line)][:1]

        return self.wait_for(found, HARD_TIMEOUT, what)[0]


class Servers:
    """The scenario servers of a test run: one process for each set of options."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], ScenarioServer] = {}
        self._complaints: list[str] = []

    def get(self, implementation: str = "fastsio", **options: Any) -> ScenarioServer:
        key = (implementation, json.dumps(options, sort_keys=True))
        server = self._running.get(key)
        if server is not None and not server.alive:
            self._complaints.extend(server.finish())
            server = None
        if server is None:
            server = self._running[key] = ScenarioServer(implementation, options)
        return server

    def close(self) -> None:
        for server in self._running.values():
            self._complaints.extend(server.finish())
        assert not self._complaints, "\n\n".join(self._complaints)


class Drivers:
    """The client processes of a test run: one for each client and transport, for as long as it lives."""

    def __init__(self) -> None:
        self._running: dict[Client, Driver] = {}

    def get(self, client: Client) -> Driver:
        driver = self._running.get(client)
        if driver is None or not driver.alive:
            driver = self._running[client] = Driver(client)
        return driver

    def run(self, client: Client, scenario: str, server: ScenarioServer, args: dict[str, Any]) -> Any:
        """Run a scenario and give its result; ``args`` has the tag."""
        self.begin(client, scenario, server, args)
        return self.result(client, server, args["tag"])

    def begin(self, client: Client, scenario: str, server: ScenarioServer, args: dict[str, Any]) -> Driver:
        """Begin a scenario, so that several clients can be busy at the same time."""
        driver = self.get(client)
        driver.begin(scenario, server.url, args)
        return driver

    def result(self, client: Client, server: ScenarioServer, tag: str) -> Any:
        """The result of a scenario; a driver that fails is killed, and its successor serves the next test."""
        driver = self.get(client)
        try:
            return driver.finish(tag)
        except AssertionError as failure:
            driver.signal(signal.SIGKILL)
            driver.stop()
            del self._running[client]
            raise AssertionError(f"{failure}\n=== the server ===\n{server.output()}") from None

    def close(self) -> None:
        for driver in self._running.values():
            driver.stop()
