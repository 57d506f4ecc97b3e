"""What a socket knows of the request it came with."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

from fastsio.engine.request import Request

__all__ = ["Handshake"]


class Handshake:
    """The handshake of one socket: made when first looked at.

    ``auth`` is what a v3 or v4 client passed as ``auth`` (``{}`` if nothing). A v2 client has a query
    instead: its namespace query is merged into ``query``, and ``auth`` shows that query, so that one handler
    serves both.
    """

    __slots__ = ("_query", "_request", "auth", "issued")

    def __init__(self, request: Request, auth: Any, namespace_query: dict[str, str] | None) -> None:
        self._request = request
        self.issued = time.time()
        if namespace_query is None:
            self._query = request.query
            self.auth: Any = {} if auth is None else auth
        else:
            self._query = {**request.query, **namespace_query}
            self.auth = self._query

    @property
    def headers(self) -> dict[str, str]:
        """Request headers, names in lower case."""
        return self._request.headers

    @property
    def query(self) -> dict[str, str]:
        """Query parameters of the URL."""
        return self._query

    @property
    def url(self) -> str:
        """Path and query of the request."""
        return self._request.target

    @property
    def address(self) -> str:
        """Host of the client."""
        return self._request.remote_address

    @property
    def secure(self) -> bool:
        """Whether the client came over TLS."""
        return self._request.scheme == "https"

    @property
    def xdomain(self) -> bool:
        """Whether the request carries an Origin."""
        return "origin" in self._request.headers

    @property
    def time(self) -> str:
        """``issued`` as an HTTP date."""
        return formatdate(self.issued, usegmt=True)
