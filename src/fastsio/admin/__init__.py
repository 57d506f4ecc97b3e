"""The server's side of the Socket.IO admin UI (npm package ``@socket.io/admin-ui``, 0.5)."""

from fastsio.admin.auth import BasicAuth, MemoryStore, SessionStore
from fastsio.admin.instrument import instrument

__all__ = ["BasicAuth", "MemoryStore", "SessionStore", "instrument"]
