"""The option ``cookie``: a Set-Cookie header with the session id, for sticky load balancers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from fastsio.exceptions import OptionError

__all__ = ["CookieTemplate"]

_DEFAULTS: dict[str, Any] = {"name": "io", "path": "/", "http_only": True, "same_site": "lax"}
_KEYS = {"name", "max_age", "domain", "path", "expires", "http_only", "secure", "same_site"}
_SAME_SITE = {True: "Strict", "strict": "Strict", "lax": "Lax", "none": "None"}
# Besides letters, digits and what quote leaves alone anyway.
_UNESCAPED = "!'()*"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x1f\x7f;]|[^\x00-\xff]")


class CookieTemplate:
    """Everything of the cookie but its value, put together once.

    :raises OptionError: for a mapping with an unknown key, or a value that no cookie can have.
    """

    def __init__(self, option: bool | str | Mapping[str, Any]) -> None:
        settings = dict(_DEFAULTS)
        if isinstance(option, str):
            settings["name"] = option
        elif isinstance(option, Mapping):
            unknown = set(option) - _KEYS
            if unknown:
                raise OptionError(f"option cookie has no key {min(unknown)!r}; it takes {sorted(_KEYS)}")
            settings.update(option)
        self._name = str(settings["name"])
        attributes = _attributes(settings)
        if not _TOKEN.fullmatch(self._name):
            raise OptionError(f"option cookie: {self._name!r} is no name for a cookie")
        for attribute in attributes:
            if _NOT_IN_VALUE.search(attribute):
                raise OptionError(f"option cookie: a cookie cannot have the attribute {attribute!r}")
        self._attributes = "".join(f"; {attribute}" for attribute in attributes)

    def render(self, sid: str) -> str:
        """The value of Set-Cookie for session ``sid``, which is escaped as by ``encodeURIComponent``."""
        return f"{self._name}={quote(sid, safe=_UNESCAPED)}{self._attributes}"


def _attributes(settings: Mapping[str, Any]) -> list[str]:
    attributes = []
    if settings.get("max_age") is not None:
        attributes.append(f"Max-Age={int(settings['max_age'])}")
    if settings.get("domain"):
        attributes.append(f"Domain={settings['domain']}")
    if settings.get("path"):
        attributes.append(f"Path={settings['path']}")
    expires = settings.get("expires")
    if expires is not None:
        if not isinstance(expires, datetime):
            raise OptionError(f"option cookie takes a datetime for expires, not {expires!r}")
        attributes.append(f"Expires={format_datetime(expires.astimezone(timezone.utc), usegmt=True)}")
    if settings.get("http_only"):
        attributes.append("HttpOnly")
    if settings.get("secure"):
        attributes.append("Secure")
    same_site = settings.get("same_site")
    if same_site:
        key = same_site.lower() if isinstance(same_site, str) else same_site
        if key not in _SAME_SITE:
            raise OptionError(f"option cookie takes strict, lax or none for same_site, not {same_site!r}")
        attributes.append(f"SameSite={_SAME_SITE[key]}")
    return attributes
