"""Session ids: 96 random bits and a counter, as engine.io writes them."""

from __future__ import annotations

import itertools
import os
from binascii import b2a_base64

__all__ = ["generate_id"]

_count = itertools.count()
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def generate_id() -> str:
    """20 characters of the URL-safe alphabet: 12 random bytes, then the low 3 bytes of a counter.

    The counter keeps ids of one process distinct, the random part keeps them unguessable (Engine.IO protocol,
    "Handshake").
    """
    raw = _random.take() + (next(_count) & 0xFFFFFF).to_bytes(3, "big")
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).decode()


class _Random:
    """Random bytes of the system, asked for so seldom that it does not cost a call for each id."""

    def __init__(self) -> None:
        self._left: list[bytes] = []
        # A forked process must not give the ids that its parent gives.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._left.clear)

    def take(self) -> bytes:
        """Twelve bytes that nobody else gets."""
        left = self._left
        if not left:
            many = os.urandom(12 * 64)
            left += [many[start : start + 12] for start in range(0, len(many), 12)]
        return left.pop()


_random = _Random()
