"""Which origins may talk to the server, and the headers that tell a browser so."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fastsio._http import FixedHeaders, encode_headers
from fastsio.engine.request import Headers, Request, Response
from fastsio.exceptions import OptionError
from fastsio.options import CorsOption

__all__ = ["CorsPolicy", "valid_origin"]

logger = logging.getLogger("fastsio.engine")

_KEYS = {
    "origin",
    "methods",
    "allowed_headers",
    "exposed_headers",
    "credentials",
    "max_age",
    "options_success_status",
}
_DEFAULT_PORT = {"http": "80", "https": "443"}
# What is known of so many origins is kept, if they are no longer than that.
_MAX_KEPT = 256
_MAX_KEPT_SIZE = 256
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def valid_origin(origin: str) -> bool:
    """Whether an Origin header holds no control character and nothing above Latin-1."""
    return _CONTROL.search(origin) is None and all(ord(character) <= 0xFF for character in origin)


def same_origin(origin: str, host: str, scheme: str) -> bool:
    """Whether ``origin`` is the site that ``host``, a Host header, names; implied ports may be left out.

    An https origin may come to a server that sees http, since a proxy may have taken TLS off; a page that
    came over http is another origin for a server that sees https.
    """
    origin_scheme, _, rest = origin.lower().partition("://")
    port = _DEFAULT_PORT.get(origin_scheme)
    if port is None or not host or (scheme == "https" and origin_scheme != "https"):
        return False
    implied = f":{port}"
    return rest.removesuffix(implied) == host.lower().removesuffix(implied)


class CorsPolicy:
    """The option ``cors``, compiled once.

    :raises OptionError: for a mapping with an unknown key or an origin of a type it cannot take.
    """

    def __init__(self, option: CorsOption) -> None:
        settings: dict[str, Any] = dict(option) if isinstance(option, Mapping) else {"origin": option}
        unknown = set(settings) - _KEYS
        if unknown:
            raise OptionError(f"option cors has no key {min(unknown)!r}; it takes {sorted(_KEYS)}")
        origin = settings.get("origin", "*")
        #: Whether responses get CORS headers.
        self.enabled = origin is not None and origin is not False
        self._fixed: str | None = None
        self._test: Callable[[str], object] = lambda origin: False
        # Whether an origin gets the same verdict each time, which a function need not give.
        self._constant = not callable(origin)
        self._verdicts: dict[tuple[str, str, str], bool] = {}
        self._answers: dict[tuple[str, bool], FixedHeaders] = {}
        self._plain_answer: FixedHeaders | None = None
        if self.enabled:
            self._fixed, self._test = _compile(origin)
        credentials = settings.get("credentials")
        self._credentials = bool(credentials)
        # Browser clients of v2 send cookies unless told otherwise, and their server always let them.
        self._credentials_v2 = credentials is None or self._credentials
        self._methods = _join(settings.get("methods", "GET,HEAD,PUT,PATCH,POST,DELETE"))
        self._allowed_headers = _join(settings.get("allowed_headers"))
        self._exposed_headers = _join(settings.get("exposed_headers"))
        max_age = settings.get("max_age")
        self._max_age = None if max_age is None else str(int(max_age))
        self._preflight_status = int(settings.get("options_success_status", 204))
        values = (self._fixed or "", self._methods, self._allowed_headers, self._exposed_headers)
        try:
            encode_headers([("", value) for value in values])
        except ValueError as error:
            raise OptionError(f"option cors: {error}") from error

    def refused_origin(self, request: Request, host: str) -> str | None:
        """The origin for whose sake a request may not be served; None if it may.

        Requests without an Origin do not come from a page and pass, but for scripts (JSONP).
        """
        origin = request.header("origin")
        if origin is None:
            if request.session_query().jsonp is None:
                return None
            origin = _origin_of_script(request)
            if origin is None:
                return None
        key = (origin, host, request.scheme)
        allowed = self._verdicts.get(key)
        if allowed is None:
            allowed = same_origin(origin, host, request.scheme) or self._names(origin)
            if self._constant and len(origin) + len(host) <= _MAX_KEPT_SIZE:
                if len(self._verdicts) >= _MAX_KEPT:
                    self._verdicts.clear()
                self._verdicts[key] = allowed
        return None if allowed else origin

    def _names(self, origin: str) -> bool:
        """Whether the option opens the server to ``origin``."""
        if not valid_origin(origin):
            return False
        try:
            verdict = self._test(origin)
        except Exception:
            logger.exception("option cors: the callable failed for origin %r", origin)
            return False
        if inspect.isawaitable(verdict):
            # An object like this is true whatever it would say.
            logger.error("option cors: the callable must not be async")
            getattr(verdict, "close", bool)()
            return False
        return bool(verdict)

    def fixed(self, request: Request) -> FixedHeaders | None:
        """The CORS headers of a response to ``request``, encoded; None if there are none."""
        if not self.enabled:
            return None
        origin = request.header("origin")
        if origin is None:
            if self._plain_answer is None:
                self._plain_answer = FixedHeaders(self.headers(request))
            return self._plain_answer
        key = (origin, request.session_query().protocol == "3")
        answer = self._answers.get(key)
        if answer is None:
            answer = FixedHeaders(self.headers(request))
            if self._constant and len(origin) <= _MAX_KEPT_SIZE:
                if len(self._answers) >= _MAX_KEPT:
                    self._answers.clear()
                self._answers[key] = answer
        return answer

    def headers(self, request: Request) -> Headers:
        """The CORS headers of a response to ``request``."""
        if not self.enabled:
            return []
        headers: Headers = []
        fixed, credentials, origin = self._fixed, self._credentials, request.header("origin")
        if origin is not None and request.session_query().protocol == "3":
            credentials = self._credentials_v2
            if credentials and fixed == "*":
                fixed = None  # browsers refuse it then
        if fixed is not None:
            headers.append(("Access-Control-Allow-Origin", fixed))
            if fixed != "*":
                headers.append(("Vary", "Origin"))
        else:
            if origin is not None and self._names(origin):
                headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Vary", "Origin"))
        if credentials:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        if self._exposed_headers:
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
        # Some browsers wait for the body of a 204 that does not say it has none.
        headers.append(("Content-Length", "0"))
        return Response(self._preflight_status, headers)


def _origin_of_script(request: Request) -> str | None:
    """Where the page is whose script tag sent the request, as far as browsers say: they send no Origin then.

    ``"null"`` if all that is known is that it is another origin; None if it is the same, or nothing is known.
    """
    site = request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return None
    scheme, separator, rest = request.headers.get("referer", "").partition("://")
    if separator:
        return f"{scheme}://{rest.partition('/')[0]}"
    return None if site is None else "null"


def _compile(origin: Any) -> tuple[str | None, Callable[[str], object]]:
    """The header value that is the same for everybody, if there is one, and the test of an origin."""
    if origin is True:
        return None, lambda given: True
    if isinstance(origin, str):
        if origin == "*":
            return "*", lambda given: True
        fixed = origin.rstrip("/")
        return fixed, lambda given: given == fixed
    if isinstance(origin, re.Pattern):
        return None, origin.search
    if isinstance(origin, Collection) and all(isinstance(entry, str | re.Pattern) for entry in origin):
        tests = [_compile(entry)[1] for entry in origin]
        return None, lambda given: any(test(given) for test in tests)
    if callable(origin):
        return None, origin
    raise OptionError(f"option cors cannot take an origin of type {type(origin).__name__}")


def _join(value: str | Sequence[str] | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else ",".join(value)
