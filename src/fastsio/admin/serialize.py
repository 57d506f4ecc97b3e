"""Sockets and values in the form the admin UI reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import orjson

__all__ = ["client_id", "milliseconds", "now", "plain", "serialize", "serialize_data"]

_LONGEST_TEXT = 200


def now() -> str:
    """The time, as JavaScript writes a Date to JSON."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(seconds: float) -> int:
    """Seconds since 1970 as JavaScript counts them."""
    return round(seconds * 1000)


def plain(value: Any) -> Any:
    """``value`` in terms of JSON; what JSON does not know is described in words."""
    try:
        return orjson.loads(orjson.dumps(value, default=_describe, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError, RecursionError):
        # Too deep, a number of more than 64 bits, half a surrogate pair.
        return ascii(value)[:_LONGEST_TEXT] if not isinstance(value, dict | list) else "(not JSON)"


def _describe(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({memoryview(value).nbytes} bytes)"
    if isinstance(value, set | frozenset):
        return list(value)
    return repr(value)[:_LONGEST_TEXT]


def client_id(sid: str) -> str:
    """What the UI is told of an Engine.IO id: as a whole it would open the session."""
    return sid[:12]


def serialize_data(data: Any) -> dict[str, Any]:
    """``socket.data`` as the UI shows it: always a mapping."""
    if isinstance(data, Mapping):
        data = {key: value for key, value in data.items() if key != "_admin"}
    shown = plain(data)
    return shown if isinstance(shown, dict) else {"value": shown}


def serialize(socket: Any, namespace: str) -> dict[str, Any]:
    """A socket of this server, or one of another that its adapter told of."""
    client: Any
    transport: Any
    session = getattr(socket, "conn", None)
    if session is not None:
        client, transport = client_id(session.id), str(session.transport)
    else:
        told = socket.data.get("_admin") if isinstance(socket.data, Mapping) else None
        told = told if isinstance(told, Mapping) else {}
        client, transport = told.get("clientId"), told.get("transport")
    return {
        "id": socket.id,
        "clientId": client,
        "transport": transport,
        "nsp": namespace,
        "data": serialize_data(socket.data),
        "handshake": _handshake(socket.handshake),
        "rooms": sorted(socket.rooms),
    }


def _handshake(handshake: Any) -> dict[str, Any]:
    """Without ``auth``, which holds what a client must keep to itself."""
    headers = handshake.headers
    return {
        "address": headers.get("cf-connecting-ip") or headers.get("x-forwarded-for") or handshake.address,
        "headers": dict(headers),
        "query": dict(handshake.query),
        "issued": milliseconds(handshake.issued),
        "secure": handshake.secure,
        "time": handshake.time,
        "url": handshake.url,
        "xdomain": handshake.xdomain,
    }
