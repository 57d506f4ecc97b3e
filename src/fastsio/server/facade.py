"""The emitter of the namespace ``/``, as the server's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastsio.server.namespace import Namespace

__all__ = ["RootEmitter"]

_F = TypeVar("_F", bound=Callable[..., Any])


class RootEmitter:
    """The members of :class:`~fastsio.EventEmitter`, acting on ``sockets``, the namespace ``/``."""

    __slots__ = ()
    sockets: Namespace

    @overload
    def on(self, event: str) -> Callable[[_F], _F]: ...
    @overload
    def on(self, event: str, fn: Callable[..., Any]) -> Self: ...
    def on(self, event: str, fn: Callable[..., Any] | None = None) -> Any:
        """Listen to an event of the namespace ``/``; without ``fn``, a decorator."""
        if fn is None:
            return self.sockets.on(event)
        self.sockets.on(event, fn)
        return self

    @overload
    def once(self, event: str) -> Callable[[_F], _F]: ...
    @overload
    def once(self, event: str, fn: Callable[..., Any]) -> Self: ...
    def once(self, event: str, fn: Callable[..., Any] | None = None) -> Any:
        """As :meth:`on`, for the next occurrence only."""
        if fn is None:
            return self.sockets.once(event)
        self.sockets.once(event, fn)
        return self

    def add_listener(self, event: str, fn: Callable[..., Any]) -> Self:
        """The same as :meth:`on` with both arguments."""
        self.sockets.add_listener(event, fn)
        return self

    def prepend_listener(self, event: str, fn: Callable[..., Any]) -> Self:
        """As :meth:`on`, before the listeners already there."""
        self.sockets.prepend_listener(event, fn)
        return self

    def prepend_once_listener(self, event: str, fn: Callable[..., Any]) -> Self:
        """As :meth:`once`, before the listeners already there."""
        self.sockets.prepend_once_listener(event, fn)
        return self

    def off(self, event: str, fn: Callable[..., Any]) -> Self:
        """Remove a listener of the namespace ``/``."""
        self.sockets.off(event, fn)
        return self

    def remove_listener(self, event: str, fn: Callable[..., Any]) -> Self:
        """The same as :meth:`off`."""
        return self.off(event, fn)

    def remove_all_listeners(self, event: str | None = None) -> Self:
        """Remove every listener of ``event``, or of all events, of the namespace ``/``."""
        self.sockets.remove_all_listeners(event)
        return self

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """The listeners of ``event`` of the namespace ``/`` (a new list)."""
        return self.sockets.listeners(event)

    def listener_count(self, event: str) -> int:
        """How many listeners ``event`` of the namespace ``/`` has."""
        return self.sockets.listener_count(event)

    def has_listeners(self, event: str) -> bool:
        """Whether ``event`` of the namespace ``/`` has a listener."""
        return self.sockets.has_listeners(event)

    def event_names(self) -> list[str]:
        """The events of the namespace ``/`` that have listeners (a new list)."""
        return self.sockets.event_names()

    def use(self, fn: Callable[..., Any]) -> Self:
        """Add a middleware to the namespace ``/``; see :meth:`Namespace.use`."""
        self.sockets.use(fn)
        return self
