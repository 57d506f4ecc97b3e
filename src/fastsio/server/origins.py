"""The origin rules of v2: ``host:port`` with wildcards, or a function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastsio._emitter import positional_limit
from fastsio.exceptions import OptionError

__all__ = ["OriginRules", "Origins"]

logger = logging.getLogger("fastsio.server")

#: ``"*:*"``, ``"example.com:*"``, ``"*:8080"``, ``"https://example.com:443"``; several, or a function.
Origins = str | Sequence[str] | Callable[..., Any]

_DEFAULT_PORT = {"http": 80, "https": 443}


class OriginRules:
    """What ``io.origins(value)`` says.

    :raises OptionError: for a value it cannot take.
    """

    def __init__(self, value: Origins) -> None:
        self.value = value
        self._decide: Callable[[str], bool]
        if callable(value):
            takes_callback = positional_limit(value) >= 2
            self._decide = (lambda origin: _ask(value, origin)) if takes_callback else value
        elif isinstance(value, str) or all(isinstance(entry, str) for entry in value):
            names = value.replace(",", " ").split() if isinstance(value, str) else list(value)
            self._decide = lambda origin: _listed(names, origin)
        else:
            raise OptionError(f"origins() takes strings or a function, not {value!r}")

    def allows(self, origin: str) -> bool:
        """Whether pages of ``origin`` may connect; what a function raises counts as no."""
        try:
            return self._decide(origin) is True
        except Exception:
            logger.exception("the function of origins() failed for %r", origin)
            return False


def _ask(fn: Callable[..., Any], origin: str) -> bool:
    """Node's form: ``fn(origin, callback)`` calls ``callback(error, allow)`` before it returns."""
    answers: list[bool] = []
    fn(origin, lambda error=None, allow=False: answers.append(not error and bool(allow)))
    if not answers:
        logger.error("the function of origins() has to call back before it returns; %r refused", origin)
    return answers[:1] == [True]


def _listed(names: Sequence[str], origin: str) -> bool:
    if "*:*" in names or "*" in names:
        return True
    parts = urlsplit(origin)
    port = parts.port or _DEFAULT_PORT.get(parts.scheme)
    host = parts.hostname
    if not host or port is None:
        return False
    accepted = (origin, f"{parts.scheme}://{host}:{port}", f"{host}:{port}", f"{host}:*", f"*:{port}")
    return any(name.rstrip("/") in accepted for name in names)
