"""Session ids: 96 random bits and a counter, as engine.io writes them."""

from __future__ import annotations

import os

from fastsio._base64 import session_id

__all__ = ["generate_id"]

_RANDOM_SIZE = 12 * 64


class _Ids:
    """Gives ids; asks the system for randomness once for many of them."""

    def __init__(self) -> None:
        self._random = b""
        self._used = 0
        self._count = 0
        # A forked process must not give the ids that its parent gives.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.start_anew)

    def start_anew(self) -> None:
        """Forget the random bytes that are left."""
        self._random = b""
        self._used = 0

    def next(self) -> str:
        """An id nobody else has."""
        if self._used >= len(self._random):
            self._random = os.urandom(_RANDOM_SIZE)
            self._used = 0
        start = self._used
        self._used = start + 12
        count = self._count
        self._count = (count + 1) & 0xFFFFFF
        return session_id(self._random, start, count)


_ids = _Ids()


def generate_id() -> str:
    """20 characters of the URL-safe alphabet: 12 random bytes, then the low 3 bytes of a counter.

    The counter keeps ids of one process distinct, the random part keeps them unguessable (Engine.IO protocol,
    "Handshake").
    """
    return _ids.next()
