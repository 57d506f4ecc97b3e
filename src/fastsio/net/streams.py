"""What compiled protocols know of a transport that is compiled too: calls of C instead of look-ups."""

from __future__ import annotations

__all__ = ["StreamTransport"]


class StreamTransport:
    """Base of the transports that protocols write to directly."""

    def write(self, data: bytes) -> None:
        """As ``asyncio.WriteTransport.write``."""
        raise NotImplementedError
