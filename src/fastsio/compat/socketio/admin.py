"""The admin UI's login as python-socketio takes it."""

from __future__ import annotations

from typing import Any

from fastsio import OptionError

__all__ = ["admin_auth"]


def admin_auth(auth: Any) -> Any:
    """The option ``auth`` of :func:`fastsio.admin.instrument`.

    :raises OptionError: for lists and functions, which it does not take.
    """
    if auth is False or (isinstance(auth, dict) and "type" in auth):
        return auth
    if not isinstance(auth, dict) or set(auth) != {"username", "password"}:
        raise OptionError('auth takes False or {"username": ..., "password": ...}')
    import bcrypt

    hashed = bcrypt.hashpw(str(auth["password"]).encode(), bcrypt.gensalt())
    return {"type": "basic", "username": auth["username"], "password": hashed.decode()}
