"""The handshake errors of Engine.IO, codes 0 to 5, and their answers."""

from __future__ import annotations

import html
from typing import Any

import orjson

from fastsio.engine.request import Headers, Request, Response

__all__ = ["MESSAGES", "Refusal", "refusal_response"]

TRANSPORT_UNKNOWN = 0
SESSION_UNKNOWN = 1
BAD_HANDSHAKE_METHOD = 2
BAD_REQUEST = 3
FORBIDDEN = 4
UNSUPPORTED_PROTOCOL = 5

MESSAGES = {
    TRANSPORT_UNKNOWN: "Transport unknown",
    SESSION_UNKNOWN: "Session ID unknown",
    BAD_HANDSHAKE_METHOD: "Bad handshake method",
    BAD_REQUEST: "Bad request",
    FORBIDDEN: "Forbidden",
    UNSUPPORTED_PROTOCOL: "Unsupported protocol version",
}


class Refusal(Exception):
    """A request the engine does not serve; the argument of the event ``connection_error``.

    :param code: 0 to 5, see :data:`MESSAGES`.
    :param message: what the client is told; the protocol's message for ``code`` if empty.
    :param context: more, in the reference's words: ``{"name": "TRANSPORT_MISMATCH", …}``.

    ``request``, also as ``req``, is the refused :class:`~fastsio.engine.request.Request`.
    """

    def __init__(self, code: int, message: str = "", context: dict[str, Any] | None = None) -> None:
        # What is told must survive JSON and UTF-8, whoever wrote it.
        self.message = (message or MESSAGES[code]).encode("utf-8", "replace").decode()
        super().__init__(self.message)
        self.code = code
        self.context: dict[str, Any] = {} if context is None else context
        self.request: Request | None = None

    @property
    def req(self) -> Request | None:
        """The same as ``request``."""
        return self.request


def refusal_response(refusal: Refusal, upgrade: bool) -> Response:
    """The answer to a refused request; on an upgrade it is always a plain 400 that ends the connection."""
    if upgrade:
        headers: Headers = [("Connection", "close"), ("Content-Type", "text/html")]
        # Declared HTML as by the reference, so what came from the client must not act as such.
        return Response(400, headers, html.escape(refusal.message, quote=False).encode())
    status = 403 if refusal.code == FORBIDDEN else 400
    body = orjson.dumps({"code": refusal.code, "message": refusal.message})
    return Response(status, [("Content-Type", "application/json")], body)
