"""The codec benchmarks time functions that give the right result."""

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "micro"


@pytest.fixture
def operations(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("operations")


def test_results(operations):
    rivals = importlib.import_module("rivals").Rivals()  # none
    found = operations.operations(rivals)
    for operation in found:
        assert operation.ways[0].name == operations.FASTSIO
        for way in operation.ways:
            way.check(operation.expected)
    names = [(operation.group, operation.name) for operation in found]
    assert len(set(names)) == len(names) > 30


def test_wrong_result_is_refused(operations):
    results = iter([1, 2])
    way = operations.Way("drifting", lambda: next(results), operations.same)
    with pytest.raises(AssertionError, match="drifting: 2 instead of 1"):
        way.check(1)
