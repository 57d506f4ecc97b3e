"""What the server process costs, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ServerSample", "sample"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class ServerSample:
    """CPU time in seconds and resident memory in bytes of some processes, so far and now."""

    cpu: float
    memory: int


def cpu_of(pid: int, proc: Path) -> float:
    """CPU seconds of a process: exact per thread, or in clock ticks if those of ended threads are more."""
    exact = 0
    for thread in (proc / str(pid) / "task").iterdir():
        # A thread may end while it is read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            exact += int((thread / "schedstat").read_text().split()[0])
    # The name in parentheses may hold anything.
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    # Two ticks: user and system time are each rounded.
    return exact / 1e9 if exact / 1e9 + 2 / _TICK >= ticks / _TICK else ticks / _TICK


def sample(pids: tuple[int, ...], proc: Path = Path("/proc")) -> ServerSample:
    """CPU and memory of the processes, summed.

    :raises OSError: when one does not exist, or the system has no /proc.
    """
    cpu = 0.0
    memory = 0
    for pid in pids:
        cpu += cpu_of(pid, proc)
        memory += int((proc / str(pid) / "statm").read_text().split()[1]) * _PAGE
    return ServerSample(cpu, memory)
