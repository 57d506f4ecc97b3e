"""Starts the workers of ``fastsio run``, starts those that die again, and ends all of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["RunOptions", "StartError", "supervise"]

logger = logging.getLogger("fastsio.run")

#: Seconds before a worker that died is started again, doubled each time it dies soon; and what soon means.
_PAUSES = (0.1, 10.0)
_SOON = 10.0
#: Seconds beyond the grace after which a worker is killed.
_PATIENCE = 5.0


@dataclass(frozen=True)
class RunOptions:
    """What ``fastsio run`` was told."""

    target: str
    host: str | None
    port: int
    workers: int
    grace: float


class StartError(Exception):
    """The workers cannot start; says which did not, and that worker why."""


class _Supervisor:
    def __init__(self, options: RunOptions, directory: str) -> None:
        self._options = options
        self._directory = directory
        self._stopping = asyncio.Event()
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    def stop(self) -> None:
        """End all workers; a second time, at once."""
        number = signal.SIGKILL if self._stopping.is_set() else signal.SIGTERM
        self._stopping.set()
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Until all workers have ended.

        :raises StartError: if one cannot start.
        """
        starts = [await self._start(number) for number in range(self._options.workers)]
        keeping: list[asyncio.Task[None]] = []
        try:
            for number, start in enumerate(starts):
                await self._wait_ready(number, start)
            if not self._stopping.is_set():
                on_ready()
            keeping = [asyncio.create_task(self._keep(number)) for number in range(self._options.workers)]
            await self._stopping.wait()
        finally:
            if not self._stopping.is_set():
                self.stop()
            await self._wait_ended()
            await asyncio.gather(*keeping)
            # One may have been started just before.
            await self._wait_ended()

    async def _start(self, number: int) -> tuple[asyncio.subprocess.Process, int]:
        """Start a worker; what it says that it is ready on."""
        options = self._options
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        settings = {
            "target": options.target,
            "host": options.host,
            "port": options.port,
            "grace": options.grace,
            "directory": self._directory,
            "number": number,
            "count": options.workers,
            "ready": writing,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fastsio.cli.worker"),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(writing,),
                # Ctrl-C on the terminal reaches the supervisor only, which tells the workers.
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._processes[number] = process
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        if self._stopping.is_set():
            process.terminate()
        return process, reading

    async def _wait_ready(self, number: int, start: tuple[asyncio.subprocess.Process, int]) -> None:
        process, reading = start
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(reading, readable.set)
        try:
            await readable.wait()
            if not os.read(reading, 1) and not self._stopping.is_set():
                status = await process.wait()
                raise StartError(f"worker {number} ended with status {status} before it could serve")
        finally:
            loop.remove_reader(reading)
            os.close(reading)

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it ends."""
        loop = asyncio.get_running_loop()
        pause = _PAUSES[0]
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._processes[number].wait()
            if self._stopping.is_set():
                return
            pause = min(2 * pause, _PAUSES[1]) if loop.time() - began < _SOON else _PAUSES[0]
            logger.error("worker %d ended with status %d; another starts in %.1f s", number, status, pause)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            try:
                await self._wait_ready(number, await self._start(number))
            except StartError as error:
                logger.error("%s", error)

    async def _wait_ended(self) -> None:
        processes = list(self._processes.values())
        ends = [asyncio.create_task(process.wait()) for process in processes]
        _, late = await asyncio.wait(ends, timeout=self._options.grace + _PATIENCE)
        if late:
            logger.warning("%d workers did not end in time and are killed", len(late))
            for process in processes:
                if process.returncode is None:
                    process.kill()
        await asyncio.gather(*ends)


def _pick_port(host: str | None) -> socket.socket:
    """A socket that has a free port, for the workers to share; it does not listen, so nothing comes to it."""
    family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host or "", 0))
    return sock


async def supervise(options: RunOptions, on_ready: Callable[[int], None]) -> None:
    """Run the workers until SIGINT or SIGTERM.

    :param on_ready: called with the port when all of them serve.
    :raises StartError: if they cannot.
    """
    if not sys.platform.startswith("linux"):
        raise StartError("--workers needs Linux; elsewhere there is one process")
    held = None
    if options.port == 0:
        held = _pick_port(options.host)
        options = replace(options, port=held.getsockname()[1])
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="fastsio-") as directory:
        supervisor = _Supervisor(options, directory)
        for number in signals:
            loop.add_signal_handler(number, supervisor.stop)
        try:
            await supervisor.run(lambda: on_ready(options.port))
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            if held is not None:
                held.close()
