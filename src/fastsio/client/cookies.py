"""Cookies that a load balancer or the server sets, sent back to the same server."""

from __future__ import annotations

__all__ = ["CookieJar"]

# Cookies one server may have us keep.
_MOST = 50


class CookieJar:
    """Names and values of cookies; everything else about them is ignored, deletion excepted."""

    def __init__(self) -> None:
        self._cookies: dict[str, str] = {}

    def add(self, header: str) -> None:
        """Take a Set-Cookie header."""
        pair, *attributes = header.split(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            return
        if any(attribute.strip().lower() in ("max-age=0", "max-age=-1") for attribute in attributes):
            self._cookies.pop(name, None)
        elif name in self._cookies or len(self._cookies) < _MOST:
            self._cookies[name] = value.strip()

    def header(self) -> str:
        """The Cookie header line, empty if there is nothing to say."""
        if not self._cookies:
            return ""
        return "Cookie: " + "; ".join(f"{name}={value}" for name, value in self._cookies.items()) + "\r\n"
