"""The HTTP side of a load test's connections."""

from __future__ import annotations

from fastsio.client.http import ResponseReader
from fastsio.loadtest.link import MAX_BODY

__all__ = ["HttpProtocol"]


class HttpProtocol(ResponseReader):
    """One response at a time, of a bounded size."""

    __slots__ = ()

    def on_body(self, body: bytes) -> None:
        """Of httptools: a piece of the body."""
        if len(self._response.body) + len(body) > MAX_BODY:
            raise ValueError("the body is too large")
        self._response.body += body
