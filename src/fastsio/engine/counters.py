"""What a server counts while it runs: integers that only grow."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["Counters", "count"]

_K = TypeVar("_K")


class Counters:
    """The counts of one server since it was made. What happens per packet is one addition in C.

    Engine.IO packets and their bytes include what each frame or payload adds to them, but neither HTTP nor
    TLS, and are taken before compression.
    """

    def __init__(self) -> None:
        self.packets_received = 0
        self.bytes_received = 0
        self.packets_sent = 0
        self.bytes_sent = 0
        self.events_received = 0
        self.events_refused = 0
        self.acks_received = 0
        self.acks_sent = 0
        self.handler_errors = 0
        self.upgrades = 0
        self.sockets_connected = 0
        #: Sessions opened, by first transport and Engine.IO protocol.
        self.sessions_opened: dict[tuple[str, int], int] = {}
        #: Sessions ended, by reason.
        self.sessions_closed: dict[str, int] = {}
        #: Sockets ended, by reason.
        self.sockets_disconnected: dict[str, int] = {}
        #: Requests refused, by the error code of Engine.IO.
        self.requests_refused: dict[int, int] = {}


def count(table: dict[_K, int], key: _K) -> None:
    """One more of ``key``."""
    table[key] = table.get(key, 0) + 1
