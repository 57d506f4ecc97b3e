"""HTTP compression of polling responses."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

from fastsio.exceptions import OptionError

__all__ = ["HttpCompression", "choose_encoding"]

_KEYS = {"level", "threshold"}


def choose_encoding(accept: str) -> str | None:
    """The encoding an Accept-Encoding header prefers: ``gzip``, ``deflate`` or None.

    The highest q wins, ties go by the order of the header; ``*`` stands for gzip unless gzip is named.
    """
    qualities: dict[str, float] = {}
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        name = name.strip().lower()
        quality = 1.0
        key, _, value = parameters.partition(";")[0].partition("=")
        if key.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
        if name in ("gzip", "deflate", "*"):
            qualities.setdefault(name, quality)
    best: str | None = None
    best_quality = 0.0
    for name, quality in qualities.items():
        if name == "*":
            if "gzip" in qualities:
                continue
            name = "gzip"
        if quality > best_quality:
            best, best_quality = name, quality
    return best


class HttpCompression:
    """The option ``http_compression``: on or off, the smallest body worth compressing, zlib's level.

    :raises OptionError: for a mapping with an unknown key.
    """

    def __init__(self, option: bool | Mapping[str, Any]) -> None:
        settings = dict(option) if isinstance(option, Mapping) else {}
        unknown = set(settings) - _KEYS
        if unknown:
            raise OptionError(
                f"option http_compression has no key {min(unknown)!r}; it takes {sorted(_KEYS)}"
            )
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
