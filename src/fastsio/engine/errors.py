"""The handshake errors of Engine.IO, codes 0 to 5, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(slots=True, eq=False)
class Refusal(Exception):
    """A request the engine does not serve; the argument of the event ``connection_error``.

    ``context`` says more, in the reference's words: ``{"name": "TRANSPORT_MISMATCH", …}``.
    """

    code: int
    message: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    request: Request | None = None

    def __post_init__(self) -> None:
        self.message = self.message or MESSAGES[self.code]


def refusal_response(refusal: Refusal, upgrade: bool, headers: Headers) -> Response:
    """The answer to a refused request; on an upgrade it is always a plain 400 that ends the connection."""
    if upgrade:
        return Response(
            400, [*headers, ("Connection", "close"), ("Content-Type", "text/html")], refusal.message.encode()
        )
    status = 403 if refusal.code == FORBIDDEN else 400
    body = orjson.dumps({"code": refusal.code, "message": refusal.message})
    return Response(status, [*headers, ("Content-Type", "application/json")], body)
