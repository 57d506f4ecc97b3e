"""The files of the browser client as the server serves them by default."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.wire import http

import fastsio

STATIC = Path(fastsio.__file__).parent / "static"
NAMES = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"]


@pytest.mark.parametrize("name", NAMES)
async def test_plain_and_compressed(make_server: Callable[..., Any], name: str) -> None:
    io = await make_server()
    expected = (STATIC / name).read_bytes()

    async def fetch(accept: str) -> tuple[str | None, bytes]:
        response = await http(io.port, f"/socket.io/{name}", headers={"Accept-Encoding": accept})
        assert response.status == 200
        assert response.headers["vary"] == "Accept-Encoding"
        return response.headers.get("content-encoding"), response.body

    assert await fetch("identity") == (None, expected)
    encoding, body = await fetch("gzip, deflate")
    assert (encoding, gzip.decompress(body)) == ("gzip", expected)
    # That it is the same text is for scripts/build-client --check to say: Python reads no brotli.
    prepared = (STATIC / f"{name}.br").read_bytes()
    assert await fetch("gzip, deflate, br") == ("br", prepared)
    assert len(prepared) < len(body)
    assert (await fetch("gzip, br;q=0"))[0] == "gzip"
    assert (await fetch("br; q=0.0"))[0] is None
    assert (await http(io.port, f"/socket.io/{name}.map")).status == 200


@pytest.mark.parametrize("name", ["socket.io.min.js", "socket.io.esm.min.js"])
def test_size(name: str) -> None:
    assert len(gzip.compress((STATIC / name).read_bytes(), 9)) < 12 * 1024


async def test_what_lies_beside_them_is_not_served(make_server: Callable[..., Any]) -> None:
    io = await make_server()
    for name in ("package.json", "client/index.js", "socket.io.min.js.br", "socket.io.d.ts"):
        response = await http(io.port, f"/socket.io/{name}")
        assert response.status == 400, name
