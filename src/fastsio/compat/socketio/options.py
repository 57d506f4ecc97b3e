"""python-socketio's server options as fastsio's."""

from __future__ import annotations

from typing import Any

from fastsio import OptionError
from fastsio._emitter import positional_limit
from fastsio.codec import JSONParser

__all__ = ["parser_options", "server_options"]

# What only says how python-socketio is to run.
_IGNORED = ("async_mode", "monitor_clients", "engineio_logger", "logger")

_COOKIE = {"samesite": "same_site", "httponly": "http_only", "max-age": "max_age"}


def server_options(json: Any, serializer: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a :class:`fastsio.Server`; those that fastsio has under the same name stay.

    :raises OptionError: for a value that fastsio has nothing for.
    """
    given = dict(options)
    mode = given.get("async_mode")
    if mode not in (None, "asgi"):
        raise OptionError(f'async_mode={mode!r}: only "asgi" is there; use ASGIApp, or server.io.run()')
    for name in _IGNORED:
        given.pop(name, None)
    interval = given.get("ping_interval")
    if isinstance(interval, tuple):
        # The second is a period of grace, which ping_timeout is here.
        given["ping_interval"] = interval[0]
        given["ping_timeout"] = given.get("ping_timeout", 20) + interval[1]
    origins = given.pop("cors_allowed_origins", None)
    credentials = given.pop("cors_credentials", True)
    if origins == []:
        # "No CORS handling", where somebody else does it: everybody may connect.
        given["cors"] = {"origin": "*", "credentials": False}
    elif origins is not None:
        given["cors"] = {"origin": _origin(origins), "credentials": credentials}
    threshold = given.pop("compression_threshold", None)
    if threshold is not None and given.get("http_compression", True) is True:
        given["http_compression"] = {"threshold": threshold}
    if isinstance(given.get("cookie"), dict):
        cookie = {key.lower(): value for key, value in given["cookie"].items()}
        given["cookie"] = {_COOKIE.get(key, key): value for key, value in cookie.items()}
    if serializer not in ("default", "msgpack"):
        raise OptionError(f'serializer takes "default" or "msgpack", not {serializer!r}; see option parser')
    return {**given, **parser_options(json, serializer)}


def parser_options(json: Any, serializer: Any) -> dict[str, Any]:
    """The option ``parser``, if python-socketio's options ask for another than the default."""
    if serializer == "msgpack":
        return {"parser": "msgpack"}
    if json is not None:
        return {"parser": JSONParser(dumps=json.dumps, loads=json.loads)}
    return {}


def _origin(origins: Any) -> Any:
    if callable(origins) and positional_limit(origins) > 1:
        raise OptionError("cors_allowed_origins takes a function of the origin only: there is no environ yet")
    return "*" if isinstance(origins, list) and "*" in origins else origins
