"""Times every operation in every way there is, one benchmark each; `make bench-micro` makes a table of them.

`pytest bench/micro` runs them by itself, with the rivals that are installed already.
"""

import rivals
from pytest import mark, param

# Before fastsio, which imports one of them: the pinned version must be the one that is found.
RIVALS = rivals.load()

from operations import Operation, Way, operations  # noqa: E402

CASES = [
    param(operation, way, id=f"{operation.group}, {operation.name}: {way.name}")
    for operation in operations(RIVALS)
    for way in operation.ways
]


# Rounds shorter than a scheduler's time slice, so that few of them are interrupted, and many of them, so that
# the median is of those that are not.
@mark.benchmark(min_time=0.0002, max_time=0.1, min_rounds=10, disable_gc=True, warmup=False)
@mark.parametrize(("operation", "way"), CASES)
def test_operation(benchmark, operation: Operation, way: Way) -> None:
    way.check(operation.expected)
    benchmark.extra_info.update(
        group=operation.group, operation=operation.name, way=way.name, units=operation.units
    )
    benchmark(way.run)
    way.check(operation.expected)
