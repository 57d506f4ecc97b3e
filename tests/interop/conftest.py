from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.interop.harness import Drivers, Servers

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    drivers = Drivers()
    yield drivers
    drivers.close()


@pytest.fixture
def tag() -> str:
    """Names the clients of one test to the server."""
    return f"t{next(_numbers)}"
