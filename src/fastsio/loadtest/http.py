"""The HTTP side of a load test's connections."""

from __future__ import annotations

import asyncio

import httptools

from fastsio.loadtest.link import MAX_BODY

__all__ = ["HttpProtocol"]


class HttpProtocol(asyncio.Protocol):
    """One response at a time, read by httptools."""

    __slots__ = ("_body", "_body_size", "_headers", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0

    # Called by httptools.

    def on_message_begin(self) -> None:
        self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > MAX_BODY:
            raise ValueError("the body is too large")
        self._body.append(body)
