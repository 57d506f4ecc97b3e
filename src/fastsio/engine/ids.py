"""Session ids: 96 random bits and a counter, as engine.io writes them."""

from __future__ import annotations

import base64
import itertools
import os

__all__ = ["generate_id"]

_count = itertools.count()


def generate_id() -> str:
    """20 characters of the URL-safe alphabet: 12 random bytes, then the low 3 bytes of a counter.

    The counter keeps ids of one process distinct, the random part keeps them unguessable (Engine.IO protocol,
    "Handshake").
    """
    number = next(_count) & 0xFFFFFF
    return base64.urlsafe_b64encode(os.urandom(12) + number.to_bytes(3, "big")).decode()
