"""Header lines of requests, as text: what repeats is made once."""

from __future__ import annotations

from typing import Final

__all__ = ["header_name", "header_value"]

# Browsers send the same header lines again and again. Sharing their strings saves the decoding, and a KiB
# for each connection that keeps its handshake. Both tables stop growing at a limit, so that nobody can fill
# memory with inventions; values are shared only for headers that hold no secret and nothing unique.
_NAMES: Final[dict[bytes, str]] = {}
_VALUES: Final[dict[bytes, str]] = {}
_SHARED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-type",
        "host",
        "origin",
        "pragma",
        "sec-websocket-extensions",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
    }
)
_MAX_LEARNED: Final = 1024
_MAX_LEARNED_SIZE: Final = 256


def header_name(name: bytes) -> str:
    """The name of a header, in lower case."""
    text = _NAMES.get(name)
    if text is None:
        text = name.decode("latin-1").lower()
        if len(_NAMES) < _MAX_LEARNED and len(name) <= _MAX_LEARNED_SIZE:
            _NAMES[name] = text
    return text


def header_value(name: str, value: bytes) -> str:
    """The value of the header ``name``."""
    if name not in _SHARED:
        return value.decode("latin-1").strip(" \t")
    text = _VALUES.get(value)
    if text is None:
        text = value.decode("latin-1").strip(" \t")
        if len(_VALUES) < _MAX_LEARNED and len(value) <= _MAX_LEARNED_SIZE:
            _VALUES[value] = text
    return text
