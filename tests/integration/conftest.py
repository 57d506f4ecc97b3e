from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.servers import make_servers


@pytest.fixture
async def make_server() -> AsyncIterator[Callable[..., Any]]:
    """``await make_server(setup, **options)``: a server on a free port; closed after the test."""
    async with make_servers() as make:
        yield make
