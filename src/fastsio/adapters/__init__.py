"""Adapters: the rooms of a namespace, in one process or across many."""

from fastsio.adapters.base import Adapter, BroadcastFlags, BroadcastOptions
from fastsio.adapters.memory import MemoryAdapter

__all__ = ["Adapter", "BroadcastFlags", "BroadcastOptions", "MemoryAdapter"]
