"""What a socket knows of the request it came with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from fastsio.engine.request import Request

__all__ = ["Handshake", "RemoteHandshake"]


class Handshake:
    """The handshake of one socket: made when first looked at.

    ``auth`` is what a v3 or v4 client passed as ``auth`` (``{}`` if nothing). A v2 client has a query
    instead: its namespace query is merged into ``query``, and ``auth`` shows that query, so that one handler
    serves both.
    """

    def __init__(self, request: Request, auth: Any, namespace_query: dict[str, str] | None) -> None:
        self._request = request
        self.issued = time.time()
        self._auth = auth
        # Made when first asked for, except for v2 clients.
        self._query: dict[str, str] | None = None
        if namespace_query is not None:
            self._auth = self._query = {**request.query, **namespace_query}

    @property
    def auth(self) -> Any:
        """What the client authenticates with."""
        if self._auth is None:
            self._auth = {}
        return self._auth

    @property
    def headers(self) -> dict[str, str]:
        """Request headers, names in lower case."""
        return self._request.headers

    @property
    def query(self) -> dict[str, str]:
        """Query parameters of the URL."""
        return self._request.query if self._query is None else self._query

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
        return self._request.header("origin") is not None

    @property
    def time(self) -> str:
        """``issued`` as an HTTP date."""
        return formatdate(self.issued, usegmt=True)

    def as_dict(self) -> dict[str, Any]:
        """The same in Node's names and units, for JSON: ``issued`` is in milliseconds."""
        return {
            "headers": self.headers,
            "time": self.time,
            "address": self.address,
            "xdomain": self.xdomain,
            "secure": self.secure,
            "issued": round(self.issued * 1000),
            "url": self.url,
            "query": self.query,
            "auth": self.auth,
        }


class RemoteHandshake:
    """The handshake of a socket of another process, with the members of :class:`Handshake`.

    ``handshake`` is what ``Handshake.as_dict`` or a Node server made; what it lacks is empty.
    """

    def __init__(self, handshake: Mapping[str, Any]) -> None:
        self.headers: dict[str, str] = handshake.get("headers") or {}
        self.query: dict[str, str] = handshake.get("query") or {}
        self.auth: Any = handshake.get("auth") or {}
        self.url: str = handshake.get("url") or ""
        self.address: str = handshake.get("address") or ""
        self.secure = bool(handshake.get("secure"))
        self.xdomain = bool(handshake.get("xdomain"))
        self.issued: float = (handshake.get("issued") or 0) / 1000
        self.time: str = handshake.get("time") or ""
