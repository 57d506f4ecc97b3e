"""Adapters: the rooms of a namespace, in one process or across many."""

from fastsio.adapters.base import Adapter, BroadcastFlags, BroadcastOptions, RecoverySession, SocketDetails
from fastsio.adapters.memory import MemoryAdapter
from fastsio.adapters.recovery import SessionAwareAdapter

__all__ = [
    "Adapter",
    "BroadcastFlags",
    "BroadcastOptions",
    "MemoryAdapter",
    "RecoverySession",
    "SessionAwareAdapter",
    "SocketDetails",
]
