"""What handlers can be asked to do beyond Node's, seen by socket.io-client 2.5, 3.1 and 4.8."""

from __future__ import annotations

import pytest

from tests.interop.cases import JAVASCRIPT
from tests.interop.harness import MODES, Client, Drivers, Servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("name", JAVASCRIPT),
    pytest.mark.parametrize("mode", MODES),
]


def test_typed_events(name: str, mode: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    result = drivers.run(Client(name, mode), "typed_events", servers.get(), {"tag": tag})

    def refusal(detail: str) -> dict[str, str]:
        return {"error": "invalid arguments", "detail": detail}

    assert result["answers"] == [
        {"name": "tea", "total": 6},
        {"name": "tea", "total": 2.5},
        refusal("item.price: Expected `float`, got `str`"),
        refusal("takes 1 to 2 arguments, got 0"),
        refusal("takes 1 to 2 arguments, got 3"),
        "file",
        3,
        refusal("data: Expected `bytes`, got `str`"),
    ]
    assert result["refused"] == ["buy", "buy", "buy", "upload", "upload"]


def test_one_at_a_time(name: str, mode: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    result = drivers.run(Client(name, mode), "serialized", servers.get(), {"tag": tag})
    order = list(range(40))
    assert result == {"report": {"log": order, "most": 1}, "answered": order}


def test_wait_for(name: str, mode: str, servers: Servers, drivers: Drivers, tag: str) -> None:
    assert drivers.run(Client(name, mode), "wait_for", servers.get(), {"tag": tag}) == ["Jo", 7]
