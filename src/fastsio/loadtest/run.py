"""Runs a load test: starts the load processes, tells them when, adds up what they tell."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fastsio.exceptions import FastSIOError
from fastsio.loadtest import errors
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.process import sample
from fastsio.loadtest.report import Report
from fastsio.loadtest.stats import Sum

__all__ = ["LoadFailed", "Progress", "run_load"]

#: Seconds beyond what a phase should take after which a load process counts as dead.
_GRACE = 15.0
#: How much of what a load process printed is kept, in bytes.
_WORDS = 16384
#: Seconds between two calls of ``progress``.
_REFRESH = 0.25


class LoadFailed(FastSIOError):
    """The load test could not begin: a scenario that cannot be run, a host name that nobody knows."""


@dataclass
class Progress:
    """How a run goes, for a display."""

    phase: str = "starting"
    #: Seconds since the phase began, and how long it should last (0: as long as it takes).
    elapsed: float = 0.0
    total: float = 0.0
    connected: int = 0
    #: Of the last quarter of a second or so.
    rate: float = 0.0
    latest: Sum = field(default_factory=Sum)
    #: Of the measured time, and of all time.
    measured: Sum = field(default_factory=Sum)
    overall: Sum = field(default_factory=Sum)


class _Process:
    """A load process and what it last said."""

    def __init__(self, number: int, lines: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
        self.number = number
        self.up = False
        self.ready = False
        self.begun = False
        self.finished = False
        self.done = False
        self.ended = False
        self.connected = 0
        self._lines = lines
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        # A scenario's prints and tracebacks, and those of a process that dies.
        self._words = tempfile.TemporaryFile()
        # A session of its own: a Ctrl-C on the terminal reaches this process only, which asks it to stop.
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "fastsio.loadtest.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            try:
                self._lines.put((self.number, json.loads(line)))
            except ValueError:
                break
        self._lines.put((self.number, None))

    def tell(self, line: str) -> None:
        """Send a line; a process that is gone is noticed elsewhere."""
        stdin = self.popen.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()

    def words(self) -> str:
        """The end of what it wrote to standard error."""
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(size - _WORDS, 0))
        return self._words.read().decode(errors="replace")

    def leave(self) -> None:
        """Tell it that nobody will tell it anything any more, which ends it."""
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError):
            self.popen.stdin.close()

    def wait(self) -> None:
        """Wait for its end, and end it by force if it does not come."""
        try:
            self.popen.wait(3.0)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def close(self) -> None:
        """Close the files."""
        assert self.popen.stdout is not None
        self._reader.join(1.0)
        self.popen.stdout.close()
        self._words.close()


class _Interrupt:
    """SIGINT and SIGTERM as a flag; the second one ends the run without waiting for the load processes."""

    def __init__(self) -> None:
        self.times = 0
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> _Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before.append((number, signal.signal(number, self._note)))
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.times += 1

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)


class _Run:
    """One load test."""

    def __init__(
        self, options: LoadOptions, progress: Callable[[Progress], None] | None, interrupt: _Interrupt
    ) -> None:
        self.options = options
        self.report = Report(options)
        self._show = progress
        self._progress = Progress(measured=self.report.measured, overall=self.report.overall)
        self._interrupt = interrupt
        self._lines: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._processes: list[_Process] = []
        self._phase_began = 0.0
        self._shown = 0.0
        self._fresh = Sum()

    def run(self) -> Report:
        """Run it to its end, whatever that is."""
        run_id = secrets.token_hex(3)
        self._sample("start")
        self._processes = [_Process(number, self._lines) for number in range(self.options.processes)]
        try:
            config = {"options": self.options.to_json(), "run": run_id}
            for process in self._processes:
                process.tell(json.dumps({**config, "number": process.number}))
            self._phases()
            self._stop()
        finally:
            for process in self._processes:
                process.leave()
            for process in self._processes:
                process.wait()
                self.report.output += process.words()
                process.close()
        return self.report

    def _phases(self) -> None:
        options = self.options
        report = self.report
        if not self._until(lambda: all(p.up for p in self._alive()), _GRACE):
            return
        self._tell("connect")
        self._enter("connect", options.ramp_up)
        began = time.monotonic()
        most = options.ramp_up + options.connect_timeout * (
            1 + options.clients / options.processes / options.connect_concurrency
        )
        if not self._until(lambda: all(p.ready for p in self._alive()), most + _GRACE):
            return
        report.ramp_time = time.monotonic() - began
        report.ramp_connects = report.overall.connects
        report.connected = sum(process.connected for process in self._alive())
        if not self._alive() or (options.scenario != "connect" and report.connected == 0):
            return
        self._sample("connected")
        self._tell("go")
        if options.warmup:
            self._enter("warmup", options.warmup)
            if not self._until(lambda: False, options.warmup):
                return
        self._tell("begin")
        # The time that counts must not pass before a process that was held up has begun.
        if not self._until(lambda: all(p.begun for p in self._alive()), _GRACE):
            return
        self._sample("begin")
        self._enter("measure", options.duration)
        report.began = time.time()
        begun = time.monotonic()
        went_on = self._until(
            lambda: bool(self._alive()) and all(p.finished for p in self._alive()), options.duration
        )
        report.elapsed = time.monotonic() - begun
        self._sample("end")
        report.connected_at_end = sum(process.connected for process in self._alive())
        if not went_on:
            return
        self._tell("end")
        self._enter("drain", options.drain)
        self._until(lambda: all(p.done for p in self._alive()), options.drain + _GRACE)

    def _alive(self) -> list[_Process]:
        return [process for process in self._processes if not process.ended]

    def _tell(self, command: str) -> None:
        for process in self._processes:
            process.tell(command)

    def _stop(self) -> None:
        """End the load; what was counted last still comes, unless somebody is in a hurry."""
        self._tell("stop")
        times = self._interrupt.times
        end = time.monotonic() + 3.0
        while (
            any(not process.done for process in self._alive())
            and time.monotonic() < end
            and self._interrupt.times == times
        ):
            self._read(0.05)

    def _enter(self, phase: str, total: float) -> None:
        self._progress.phase = phase
        self._progress.total = total
        self._phase_began = time.monotonic()
        self._refresh()

    def _until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Read on until something is reached or time is up; whether the run goes on.

        It does not when it was interrupted or the load processes are all gone.
        """
        end = time.monotonic() + seconds
        while True:
            if self._interrupt.times:
                self.report.interrupted = True
                return False
            if not self._alive():
                return False
            if reached():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return True
            self._read(min(left, 0.05))

    def _read(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            number, line = self._lines.get(timeout=seconds)
            self._take(self._processes[number], line)
            while True:
                number, line = self._lines.get_nowait()
                self._take(self._processes[number], line)
        if time.monotonic() - self._shown >= _REFRESH:
            self._refresh()

    def _take(self, process: _Process, line: dict[str, Any] | None) -> None:
        if line is None:
            if not process.ended:
                process.ended = True
                process.connected = 0
                if not process.done:
                    process.popen.wait()
                    self.report.overall.errors[errors.WORKER] += 1
                    lines = process.words().strip().splitlines()
                    detail = lines[-1] if lines else f"status {process.popen.returncode}"
                    self.report.overall.details.setdefault(errors.WORKER, detail[:200])
        elif line["type"] == "slice":
            process.connected = line["connected"]
            self._fresh.add(line)
            self.report.add_slice(process.number, line)
        elif line["type"] == "up":
            process.up = True
        elif line["type"] == "ready":
            process.ready = True
            process.connected = line["connected"]
        elif line["type"] == "begun":
            process.begun = True
        elif line["type"] == "finished":
            process.finished = True
        elif line["type"] == "done":
            process.done = True
        elif line["type"] == "failed":
            process.done = True
            raise LoadFailed(line["message"])

    def _refresh(self) -> None:
        now = time.monotonic()
        passed, self._shown = now - self._shown, now
        progress = self._progress
        progress.elapsed = now - self._phase_began
        progress.connected = sum(process.connected for process in self._alive())
        if self._fresh.sent or self._fresh.received or progress.phase != "measure":
            progress.rate = self._fresh.received / passed if passed else 0.0
            progress.latest = self._fresh
        self._fresh = Sum()
        if self._show is not None:
            self._show(progress)

    def _sample(self, when: str) -> None:
        if not self.options.server_pids:
            return
        try:
            taken = sample(self.options.server_pids)
        except OSError as error:
            if when == "start":
                raise LoadFailed(f"--server-pid: {error.strerror}: {error.filename}") from error
            return
        except (ValueError, IndexError):
            return
        self.report.samples[when] = taken


def run_load(options: LoadOptions, progress: Callable[[Progress], None] | None = None) -> Report:
    """Run a load test.

    SIGINT and SIGTERM end it early: the report then has what was measured until then. ``progress`` is
    called about four times a second.

    :raises LoadFailed: when the test cannot begin.
    """
    with _Interrupt() as interrupt:
        return _Run(options, progress, interrupt).run()
