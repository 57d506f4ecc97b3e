"""HTTP compression of polling responses."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["HttpCompression", "choose_encoding"]


def choose_encoding(accept: str) -> str | None:
    """The encoding an Accept-Encoding header prefers: ``gzip``, ``deflate`` or None.

    The highest q wins, ties go by the order of the header, ``*`` stands for gzip.
    """
    best: str | None = None
    best_quality = 0.0
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        name = name.strip().lower()
        quality = 1.0
        key, _, value = parameters.strip().partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                continue
        if name == "*":
            name = "gzip"
        if name in ("gzip", "deflate") and quality > best_quality:
            best, best_quality = name, quality
    return best


class HttpCompression:
    """The option ``http_compression``: on or off, and the smallest body worth compressing."""

    def __init__(self, option: bool | Mapping[str, Any]) -> None:
        settings = dict(option) if isinstance(option, Mapping) else {}
        self._enabled = option is not False
        self._threshold = int(settings.get("threshold", 1024))
        self._level = int(settings.get("level", 6))

    def apply(self, body: bytes, accept: str | None) -> tuple[bytes, str | None]:
        """Compress ``body`` if it is worth it and the client takes it; the encoding used, or None."""
        if not self._enabled or accept is None or len(body) < self._threshold:
            return body, None
        encoding = choose_encoding(accept)
        if encoding == "gzip":
            return gzip.compress(body, self._level, mtime=0), encoding
        if encoding == "deflate":
            return zlib.compress(body, self._level), encoding
        return body, None
