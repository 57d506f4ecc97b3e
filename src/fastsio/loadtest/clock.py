"""The clock of a load test: nanoseconds that the processes of one machine agree on."""

from __future__ import annotations

import time

__all__ = ["clock"]

clock = time.monotonic_ns
