"""From an ASGI scope to a request, and from a response to ASGI messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, Final, cast
from urllib.parse import quote

from fastsio._http import encode_headers
from fastsio.engine.request import Headers, Request, Response
from fastsio.net.asgi.types import Scope, Send
from fastsio.net.headers import header_name, header_value

__all__ = ["encode_pairs", "make_request", "request_paths", "send_response"]

# Statuses whose responses have no body.
_EMPTY: Final = (204, 304)


def request_paths(scope: Scope) -> Iterator[str]:
    """The paths a request may be meant for, as sent: the whole one, then what is behind the mount point.

    Frameworks that mount an application say where in ``root_path``; some leave it in the path, some do not.
    """
    raw = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else raw.decode("latin-1")
    yield path
    root = quote(scope.get("root_path", "")).rstrip("/")
    if root and path.startswith(root):
        yield path[len(root) :] or "/"


def make_request(scope: Scope, path: str, exchange: Any) -> Request:
    """The request of a scope of type ``http`` or ``websocket``."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = header_name(raw_name)
        value = header_value(name, raw_value)
        before = headers.get(name)
        if before is not None:
            value = f"{before}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client")
    return Request(
        scope.get("method", "GET"),
        f"{path}?{query}" if query else path,
        headers,
        exchange=exchange,
        remote_address="" if client is None else str(client[0]).removeprefix("::ffff:"),
        scheme="https" if scope.get("scheme") in ("https", "wss") else "http",
        upgrade=scope["type"] == "websocket",
        scope=scope,
    )


def encode_pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them.

    :raises ValueError: for what HTTP cannot carry.
    """
    encode_headers(headers)
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def send_response(
    send: Send, response: Response, kind: str = "http", *, head: bool = False, close: bool = False
) -> None:
    """Send a response.

    :param kind: ``http``, or ``websocket.http`` for the answer to a WebSocket handshake.
    :param head: the request was a ``HEAD``.
    :param close: the connection ends with the response.
    :raises ValueError: for a header that cannot be sent; nothing is sent then.
    """
    body = response.body
    headers = encode_pairs(response.headers)
    if isinstance(body, bytes) and response.status not in _EMPTY and b"content-length" not in dict(headers):
        headers.append((b"content-length", b"%d" % len(body)))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": f"{kind}.response.start", "status": response.status, "headers": headers})
    if head or response.status in _EMPTY or isinstance(body, bytes):
        whole = body if isinstance(body, bytes) and not head else b""
        await send({"type": f"{kind}.response.body", "body": whole})
        return
    # Files are closed on every path.
    async with aclosing(cast("Any", body)) as parts:
        async for part in parts:
            await send({"type": f"{kind}.response.body", "body": part, "more_body": True})
    await send({"type": f"{kind}.response.body", "body": b""})
