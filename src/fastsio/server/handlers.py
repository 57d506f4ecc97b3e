"""What the handlers of client events need besides a call: read when they are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastsio._emitter import Plan, annotations_of
from fastsio.options import ServerOptions
from fastsio.server.typed import read_plan

__all__ = ["plan_handler"]

#: Events of a socket that no client emits.
LIFECYCLE = frozenset(("disconnect", "disconnecting", "error"))


def plan_handler(options: ServerOptions, event: str, fn: Callable[..., Any]) -> Plan | None:
    """How to call ``fn`` for ``event``; None if there is nothing to it."""
    annotations = annotations_of(fn) if options.typed_events else None
    if annotations is None or event in LIFECYCLE:
        return None
    return read_plan(fn, annotations)
