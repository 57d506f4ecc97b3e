"""Headless Chromium, and the examples served by processes of their own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

import fastsio

ROOT = Path(__file__).parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@contextmanager
def chromium(**options: Any) -> Iterator[Browser]:
    """A headless Chromium; ``options`` are those of Playwright's ``launch``."""
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert executable, "no Chromium on this machine: scripts/test-deps installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS, **options)
        yield started
        started.close()


# Not for the session: Playwright keeps an event loop running in this thread, which async tests cannot bear.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """``open_page(url)``: a tab of a browser profile of its own; fails the test over console errors."""
    complaints: list[str] = []
    contexts = []

    def on_console(message: ConsoleMessage) -> None:
        # Browsers ask for the icon by themselves.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            complaints.append(message.text)

    def open_one(url: str) -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


class Server:
    """A program that listens on ``port``, in a process of its own, with its output in ``log``."""

    def __init__(self, program: Path, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["node" if program.suffix == ".js" else sys.executable, program],
                cwd=program.parent,
                env=os.environ | {"PORT": str(port)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    pytest.fail(f"{program} does not listen; it printed:\n{self.output}")
                time.sleep(0.05)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    def stop(self) -> int:
        """End it as a service manager would; its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path, int], Server]]:
    """``serve(program, port)``: start a server; it must end well on SIGTERM and without a traceback."""
    started: list[Server] = []

    def start(program: Path, port: int) -> Server:
        server = Server(program, port, tmp_path / f"{len(started)}.log")
        started.append(server)
        return server

    yield start
    for server in started:
        status = server.stop()
        assert "Traceback" not in server.output, server.output
        assert status == 0, server.output


@pytest.fixture
def serve_example(serve: Callable[[Path, int], Server]) -> Callable[[str], Server]:
    """``serve_example(name)``: start one of the examples on a free port."""
    return lambda name: serve(ROOT / "examples" / name / "server.py", free_port())


class Live:
    """Servers inside the test's process, on a loop in a thread of its own: their options may be functions."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers: list[fastsio.Server] = []

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine where the servers run; what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def serve(self, setup: Callable[[fastsio.Server], None] | None = None, **options: Any) -> str:
        """Start a server with these options; the origin it has on this machine."""

        async def start() -> str:
            server = fastsio.Server(**options)
            if setup is not None:
                setup(server)
            await server.listen(0, "127.0.0.1")
            self._servers.append(server)
            return f"http://127.0.0.1:{server.port}"

        origin: str = self.call(start())
        return origin

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                await server.close(grace=0.2)

        self.call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def live() -> Iterator[Live]:
    """``live.serve(setup, **options)``: start a server of this process."""
    running = Live()
    yield running
    running.close()
