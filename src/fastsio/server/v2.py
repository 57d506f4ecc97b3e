"""Members of the server that only v2 has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from fastsio._emitter import positional_limit
from fastsio.engine.middleware import Next
from fastsio.engine.request import Request
from fastsio.engine.server import EngineCore
from fastsio.exceptions import ConnectionRefused, OptionError
from fastsio.server.origins import OriginRules, Origins

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["V2Members"]

#: Settings of ``set`` and the engine's options they are. Times are seconds here too.
_SETTINGS = {
    "transports": "transports",
    "heartbeat timeout": "ping_timeout",
    "heartbeat interval": "ping_interval",
    "destroy buffer size": "max_http_buffer_size",
}


class V2Members:
    """What a program of v2 expects of its server besides."""

    engine: EngineCore
    _origins: OriginRules | None = None

    def use(self, fn: Callable[..., Any]) -> Any:
        """Add a middleware to ``/``."""
        raise NotImplementedError

    def path(self, value: str) -> Any:
        """Set the path."""
        raise NotImplementedError

    @overload
    def origins(self) -> Origins | None: ...
    @overload
    def origins(self, value: Origins) -> Self: ...
    def origins(self, value: Origins | None = None) -> Any:
        """Which pages may connect, as in v2; takes the place of option ``cors``. Without ``value``, what was
        set.

        :param value: ``"*:*"``, ``"example.com:*"``, ``"*:8080"``, ``"https://example.com:443"``, several of
            them in a list or one string, or a function: ``fn(origin)`` giving True, or Node's
            ``fn(origin, callback)``, which calls ``callback(error, allow)`` before it returns.
        :raises OptionError: for another value.
        """
        if value is None:
            return None if self._origins is None else self._origins.value
        rules = self._origins = OriginRules(value)
        self.engine.set_option("cors", {"origin": rules.allows, "credentials": True})
        return self

    def check_request(self, request: Request, callback: Callable[..., Any] | None = None) -> bool:
        """Whether the origin of ``request`` may connect; also given to ``callback(None, allowed)``."""
        allowed = self.engine.allows_origin(request)
        if callback is not None:
            callback(None, allowed)
        return allowed

    def set(self, key: str, value: Any) -> Self:
        """Change a setting by its name in Socket.IO 0.9, as v2 still allows.

        :param key: ``authorization`` (``fn(request)`` giving True, or ``fn(request, callback)`` calling
            ``callback(error, authorized)``), ``origins``, ``resource`` (the path), ``transports``,
            ``heartbeat timeout``, ``heartbeat interval`` (both in seconds) or ``destroy buffer size``.
        :raises OptionError: for another key, or a value it cannot take.
        """
        if key == "authorization":
            self.use(_authorization(value))
        elif key == "origins":
            self.origins(value)
        elif key == "resource":
            self.path(value)
        elif key in _SETTINGS:
            self.engine.set_option(_SETTINGS[key], value)
        else:
            names = ", ".join(["authorization", "origins", "resource", *_SETTINGS])
            raise OptionError(f"set() knows no {key!r}; it knows {names}")
        return self


def _authorization(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    """A middleware that asks v2's ``authorization`` function."""
    takes_callback = positional_limit(fn) >= 2

    async def authorize(socket: Any) -> None:
        if takes_callback:
            answer = _Authorized()
            result = fn(socket.request, answer)
            if hasattr(result, "__await__"):
                await result
            await answer.wait()
            authorized = answer.authorized
        else:
            authorized = fn(socket.request)
            if hasattr(authorized, "__await__"):
                authorized = await authorized
        if not authorized:
            raise ConnectionRefused("Not authorized")

    return authorize


class _Authorized(Next):
    """``callback(error, authorized)``."""

    __slots__ = ("authorized",)

    def __init__(self) -> None:
        super().__init__()
        self.authorized = False

    def __call__(self, error: Any = None, authorized: Any = False) -> None:
        self.authorized = self.authorized or bool(authorized)
        super().__call__(error)
