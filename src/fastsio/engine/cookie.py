"""The option ``cookie``: a Set-Cookie header with the session id, for sticky load balancers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

from fastsio.exceptions import OptionError

__all__ = ["CookieTemplate"]

_DEFAULTS: dict[str, Any] = {"name": "io", "path": "/", "http_only": True, "same_site": "lax"}
_KEYS = {"name", "max_age", "domain", "path", "expires", "http_only", "secure", "same_site"}


class CookieTemplate:
    """Everything of the cookie but its value, put together once."""

    def __init__(self, option: bool | str | Mapping[str, Any]) -> None:
        settings = dict(_DEFAULTS)
        if isinstance(option, str):
            settings["name"] = option
        elif isinstance(option, Mapping):
            unknown = set(option) - _KEYS
            if unknown:
                raise OptionError(
                    f"option cookie has no key {sorted(unknown)[0]!r}; it takes {sorted(_KEYS)}"
                )
            settings.update(option)
        self._name = str(settings["name"])
        self._attributes = "".join(f"; {attribute}" for attribute in _attributes(settings))
        if any(character in self._name + self._attributes for character in "\r\n\0"):
            raise OptionError("option cookie holds a control character")

    def render(self, sid: str) -> str:
        """The value of Set-Cookie for session ``sid``."""
        return f"{self._name}={sid}{self._attributes}"


def _attributes(settings: Mapping[str, Any]) -> list[str]:
    attributes = []
    if settings.get("max_age") is not None:
        attributes.append(f"Max-Age={int(settings['max_age'])}")
    if settings.get("domain"):
        attributes.append(f"Domain={settings['domain']}")
    if settings.get("path"):
        attributes.append(f"Path={settings['path']}")
    expires = settings.get("expires")
    if isinstance(expires, datetime):
        attributes.append(f"Expires={format_datetime(expires.astimezone(timezone.utc), usegmt=True)}")
    if settings.get("http_only"):
        attributes.append("HttpOnly")
    if settings.get("secure"):
        attributes.append("Secure")
    same_site = settings.get("same_site")
    if same_site:
        attributes.append(f"SameSite={'Strict' if same_site is True else str(same_site).capitalize()}")
    return attributes
