"""Routers: handlers collected in one module, included into namespaces in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from fastsio.server.handlers import SOCKET_EVENTS

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CONNECTION_EVENTS", "Route", "Router"]

_F = TypeVar("_F", bound=Callable[..., Any])

#: Events of a namespace rather than of its sockets.
CONNECTION_EVENTS = frozenset(("connect", "connection"))


class Route(NamedTuple):
    """One thing that a router has: a handler, or, without an event, a middleware."""

    event: str | None
    fn: Callable[..., Any]
    serialize: bool = False


class Router:
    """Handlers, connection handlers and middlewares, for a namespace to include.

    >>> chat = Router(prefix="chat:")
    >>> @chat.on("message")                      # clients emit "chat:message"
    ... async def message(socket, text):
    ...     socket.to("lobby").emit("chat:message", text)
    >>> io.include(chat)

    Handlers get the socket in front of the event's arguments; otherwise they are what a socket's own are.
    They are kept once per namespace: a socket neither registers nor holds them.

    :param prefix: put in front of the events that clients send.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._entries: list[Route | tuple[Router, str]] = []

    def __repr__(self) -> str:
        return f"<Router {self.prefix!r}>"

    @overload
    def on(self, event: str, *, serialize: bool = False) -> Callable[[_F], _F]: ...
    @overload
    def on(self, event: str, fn: Callable[..., Any], *, serialize: bool = False) -> Self: ...
    def on(self, event: str, fn: Callable[..., Any] | None = None, *, serialize: bool = False) -> Any:
        """Call ``fn(socket, *args)`` for an event of each socket; without ``fn``, a decorator.

        ``connection`` and ``connect`` get the socket alone, when it has joined; ``disconnecting``,
        ``disconnect`` and ``error`` get it in front of what they get otherwise.

        :param serialize: as of :meth:`Socket.on`.
        """
        if fn is None:

            def register(fn: _F) -> _F:
                self.on(event, fn, serialize=serialize)
                return fn

            return register
        if not callable(fn):
            raise TypeError(f"a handler must be callable, not {type(fn).__name__}")
        if serialize and event in SOCKET_EVENTS | CONNECTION_EVENTS:
            raise ValueError(f"{event!r} is no event of clients: its handlers cannot be serialized")
        self._entries.append(Route(str(event), fn, serialize))
        return self

    def use(self, fn: _F) -> _F:
        """Look at every connecting socket first, as :meth:`Namespace.use`; gives ``fn`` back."""
        if not callable(fn):
            raise TypeError(f"a middleware must be callable, not {type(fn).__name__}")
        self._entries.append(Route(None, fn))
        return fn

    def include(self, router: Router, prefix: str = "") -> Self:
        """Have all that ``router`` has, its events behind this router's prefix and ``prefix``.

        What it gets later counts too, until this router is itself included into a namespace.

        :raises ValueError: if ``router`` includes this one.
        """
        if self is router or any(inner is self for inner in router._routers()):
            raise ValueError(f"{router!r} includes {self!r} already")
        self._entries.append((router, prefix))
        return self

    def _routers(self) -> Iterator[Router]:
        for entry in self._entries:
            if not isinstance(entry, Route):
                yield entry[0]
                yield from entry[0]._routers()

    def routes(self, prefix: str = "") -> Iterator[Route]:
        """All there is, in the order in which it was added, with whole event names."""
        prefix += self.prefix
        for entry in self._entries:
            if not isinstance(entry, Route):
                router, more = entry
                yield from router.routes(prefix + more)
            elif entry.event is None or entry.event in SOCKET_EVENTS | CONNECTION_EVENTS:
                yield entry
            else:
                yield entry._replace(event=prefix + entry.event)
