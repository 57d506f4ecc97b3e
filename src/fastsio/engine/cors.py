"""Which origins may talk to the server, and the headers that tell a browser so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastsio.engine.request import Headers, Request, Response
from fastsio.exceptions import OptionError
from fastsio.options import CorsOption

__all__ = ["CorsPolicy", "valid_origin"]

_KEYS = {
    "origin",
    "methods",
    "allowed_headers",
    "exposed_headers",
    "credentials",
    "max_age",
    "options_success_status",
}
_DEFAULT_PORT = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def valid_origin(origin: str) -> bool:
    """Whether an Origin header holds no control character and nothing above Latin-1."""
    return _CONTROL.search(origin) is None and all(ord(character) <= 0xFF for character in origin)


def same_origin(origin: str, host: str) -> bool:
    """Whether ``origin`` is the site that ``host``, a Host header, names; implied ports may be left out."""
    scheme, separator, rest = origin.lower().partition("://")
    if not separator:
        return False
    implied = ":" + _DEFAULT_PORT.get(scheme, "")
    return rest.removesuffix(implied) == host.lower().removesuffix(implied)


class CorsPolicy:
    """The option ``cors``, compiled once.

    :raises OptionError: for a mapping with an unknown key or an origin of a type it cannot take.
    """

    def __init__(self, option: CorsOption) -> None:
        settings: dict[str, Any] = dict(option) if isinstance(option, Mapping) else {"origin": option}
        unknown = set(settings) - _KEYS
        if unknown:
            raise OptionError(f"option cors has no key {sorted(unknown)[0]!r}; it takes {sorted(_KEYS)}")
        self.enabled = option is not None and option is not False
        origin = settings.get("origin", "*")
        self._fixed: str | None = None
        self._allows: Callable[[str], bool] = lambda origin: False
        if self.enabled:
            self._fixed, self._allows = _compile(origin)
        self._credentials = bool(settings.get("credentials"))
        self._methods = _join(settings.get("methods", "GET,HEAD,PUT,PATCH,POST,DELETE"))
        self._allowed_headers = _join(settings.get("allowed_headers"))
        self._exposed_headers = _join(settings.get("exposed_headers"))
        max_age = settings.get("max_age")
        self._max_age = None if max_age is None else str(int(max_age))
        self._preflight_status = int(settings.get("options_success_status", 204))

    def allows(self, request: Request, host: str) -> bool:
        """Whether a request may be served. Those without an Origin do not come from a page and pass."""
        origin = request.headers.get("origin")
        if origin is None:
            return True
        if same_origin(origin, host):
            return True
        return self._allows(origin)

    def headers(self, request: Request) -> Headers:
        """The CORS headers of a response to ``request``."""
        if not self.enabled:
            return []
        headers: Headers = []
        if self._fixed is not None:
            headers.append(("Access-Control-Allow-Origin", self._fixed))
            if self._fixed != "*":
                headers.append(("Vary", "Origin"))
        else:
            origin = request.headers.get("origin")
            if origin is not None and self._allows(origin):
                headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Vary", "Origin"))
        if self._credentials:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        if self._exposed_headers and request.method != "OPTIONS":
            headers.append(("Access-Control-Expose-Headers", self._exposed_headers))
        return headers

    def preflight(self, request: Request) -> Response:
        """The answer to OPTIONS."""
        headers = self.headers(request)
        headers.append(("Access-Control-Allow-Methods", self._methods))
        if self._allowed_headers:
            headers.append(("Access-Control-Allow-Headers", self._allowed_headers))
        else:
            headers.append(("Vary", "Access-Control-Request-Headers"))
            asked = request.headers.get("access-control-request-headers")
            if asked:
                headers.append(("Access-Control-Allow-Headers", asked))
        if self._max_age is not None:
            headers.append(("Access-Control-Max-Age", self._max_age))
        return Response(self._preflight_status, headers)


def _compile(origin: Any) -> tuple[str | None, Callable[[str], bool]]:
    """The header value that is the same for everybody, if there is one, and the test of an origin."""
    if origin is True:
        return None, lambda given: True
    if isinstance(origin, str):
        if origin == "*":
            return "*", lambda given: True
        fixed = origin.rstrip("/")
        return fixed, lambda given: given == fixed
    if isinstance(origin, re.Pattern):
        pattern = origin
        return None, lambda given: pattern.search(given) is not None
    if isinstance(origin, Sequence) and all(isinstance(entry, str | re.Pattern) for entry in origin):
        tests = [_compile(entry)[1] for entry in origin]
        return None, lambda given: any(test(given) for test in tests)
    if callable(origin):
        function = origin
        return None, lambda given: bool(function(given))
    raise OptionError(f"option cors cannot take an origin of type {type(origin).__name__}")


def _join(value: str | Sequence[str] | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else ",".join(value)
