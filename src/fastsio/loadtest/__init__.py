"""Load tests of Socket.IO servers: ``fastsio load``, or :func:`run_load` from a program."""

from fastsio.loadtest.histogram import Histogram
from fastsio.loadtest.options import SCENARIOS, LoadOptions, parse_duration
from fastsio.loadtest.report import Report
from fastsio.loadtest.run import LoadFailed, Progress, run_load

__all__ = [
    "SCENARIOS",
    "Histogram",
    "LoadFailed",
    "LoadOptions",
    "Progress",
    "Report",
    "parse_duration",
    "run_load",
]
