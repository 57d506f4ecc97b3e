"""Who may watch: a name and a bcrypt hash, and ids that spare the UI asking again."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypedDict

from fastsio.exceptions import ConnectionRefused, OptionError
from fastsio.server import Namespace, Socket

__all__ = ["BasicAuth", "MemoryStore", "SessionStore", "guard"]

logger = logging.getLogger("fastsio.admin")

#: Passwords that may be compared at once: each comparison takes a core for a while, on purpose.
MAX_COMPARISONS = 4

# What bcrypt of any platform makes; 2x is that of a version with a bug, and no match for any password here.
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_MOST_BYTES = 72  # of a password that bcrypt looks at
_LONGEST_ID = 64


class BasicAuth(TypedDict):
    """The option ``auth``: one user, with a bcrypt hash as Python, Node or ``htpasswd -B`` make it."""

    type: Literal["basic"]
    username: str
    password: str


class SessionStore(Protocol):
    """Where the ids are of those who have logged in; both methods may be coroutines."""

    def does_session_exist(self, session_id: str) -> bool | Awaitable[bool]:
        """Whether that id was saved, and has not expired."""
        ...

    def save_session(self, session_id: str) -> Any:
        """Keep an id."""
        ...


class MemoryStore:
    """Ids in the memory of this process.

    :param duration: seconds until an id expires.
    :param max_sessions: ids kept; one more drops the oldest.
    """

    def __init__(self, duration: float = 86_400.0, max_sessions: int = 1000) -> None:
        self._duration = duration
        self._max_sessions = max_sessions
        # In the order of their expiry.
        self._deadlines: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def does_session_exist(self, session_id: str) -> bool:
        """Whether that id was saved, and has not expired."""
        return self._deadlines.get(session_id, 0.0) > time.monotonic()

    def save_session(self, session_id: str) -> None:
        """Keep an id, and forget those that have expired."""
        now = time.monotonic()
        self._deadlines.pop(session_id, None)
        for known, deadline in list(self._deadlines.items()):
            if deadline > now and len(self._deadlines) < self._max_sessions:
                break
            del self._deadlines[known]
        self._deadlines[session_id] = now + self._duration


def guard(namespace: Namespace, auth: Any, store: SessionStore) -> None:
    """Let into ``namespace`` whoever ``auth`` names.

    :raises OptionError: if ``auth`` is neither False nor a :class:`BasicAuth`, or the hash is none.
    """
    if auth is False:
        logger.warning("namespace %s is open to everybody (auth=False)", namespace.name)
        return
    if not isinstance(auth, Mapping) or auth.get("type") != "basic":
        raise OptionError(
            'auth takes False, or {"type": "basic", "username": ..., "password": ...} with a bcrypt hash'
        )
    username, password = auth.get("username"), auth.get("password")
    if not isinstance(username, str) or not username:
        raise OptionError("auth: username must be given")
    if not isinstance(password, str) or not _HASH.fullmatch(password):
        raise OptionError("auth: password must be a bcrypt hash")
    gate = _Gate(username, password, store)
    namespace.use(gate.admit)
    namespace.on("connection", gate.remember)


class _Gate:
    """The middleware of one namespace."""

    def __init__(self, username: str, password: str, store: SessionStore) -> None:
        try:
            import bcrypt
        except ImportError:
            raise OptionError("option auth needs bcrypt: pip install bcrypt") from None
        self._compare: Callable[[bytes, bytes], bool] = bcrypt.checkpw
        self._username = username.encode()
        self._hash = password.encode()
        self._store = store
        self._comparing = 0

    async def admit(self, socket: Socket) -> None:
        """Refuse a socket that brings neither an id nor name and password."""
        given = socket.handshake.auth
        if not isinstance(given, dict):
            given = {}
        username = given.get("username")
        if await self._is_known(given.get("sessionId")):
            given.clear()
        elif await self._matches(username, given.get("password")):
            # No reason to keep the password in memory.
            given.clear()
            given["username"] = username
        else:
            logger.warning("%s: wrong credentials from %s", socket.nsp.name, socket.handshake.address)
            raise ConnectionRefused("invalid credentials")

    async def remember(self, socket: Socket) -> None:
        """Give an id to a socket that came with name and password."""
        if "username" in socket.handshake.auth:
            logger.info("%s: %s logged in from %s", socket.nsp.name, socket.id, socket.handshake.address)
            session_id = secrets.token_hex(8)
            saved = self._store.save_session(session_id)
            if inspect.isawaitable(saved):
                await saved
            socket.emit("session", session_id)

    async def _is_known(self, session_id: Any) -> bool:
        if not isinstance(session_id, str) or not 0 < len(session_id) <= _LONGEST_ID:
            return False
        known = self._store.does_session_exist(session_id)
        return await known if inspect.isawaitable(known) else known

    async def _matches(self, username: Any, password: Any) -> bool:
        if not isinstance(username, str) or not isinstance(password, str):
            return False
        if self._comparing >= MAX_COMPARISONS:
            logger.warning("more than %d logins at once, refusing one", MAX_COMPARISONS)
            raise ConnectionRefused("too many logins at once")
        self._comparing += 1
        try:
            # With a wrong name too: how long it takes must not tell which of the two was wrong.
            matches = await asyncio.to_thread(self._compare, _bytes(password)[:_MOST_BYTES], self._hash)
        finally:
            self._comparing -= 1
        return hmac.compare_digest(_bytes(username), self._username) and matches


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
