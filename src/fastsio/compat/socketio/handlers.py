"""Handlers by namespace and event, functions and class-based namespaces: what server and client share."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from fastsio._emitter import positional_limit
from fastsio.engine import tasks

__all__ = ["NOT_HANDLED", "AsyncNamespaceBase", "Handlers", "NamespaceBase", "event_arguments"]

_F = TypeVar("_F", bound=Callable[..., Any])

#: What :meth:`Handlers.trigger` gives where nobody listens.
NOT_HANDLED = object()


class NamespaceBase:
    """A class whose methods ``on_connect``, ``on_disconnect``, ``on_<event>`` handle a namespace's events.

    :param namespace: its name; ``"*"`` stands for all that have no handlers of their own, whose name comes in
        front of the arguments.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace or "/"

    def _handler(
        self, event: str, args: tuple[Any, ...]
    ) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """The method for an event, and what it is to be called with; None if there is none."""
        handler = getattr(self, f"on_{event or ''}", None)
        if handler is None:
            return None
        return handler, trimmed(handler, args) if event in ("connect", "disconnect") else args


class AsyncNamespaceBase(NamespaceBase):
    """Its methods may be coroutines."""

    def is_asyncio_based(self) -> bool:
        """True."""
        return True

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Call the method for an event; may be overridden to see all of them."""
        found = self._handler(event, args)
        return None if found is None else await call(*found)


class Handlers:
    """Registration and look-up of handlers, and what else a server and a client have both.

    :param reserved: events that the catch-all handler ``"*"`` does not get.
    :param logger: a logger, or True to have the package's at ``INFO``.
    """

    def __init__(self, reserved: Iterable[str], logger: bool | logging.Logger) -> None:
        self.logger = logger if isinstance(logger, logging.Logger) else logging.getLogger("fastsio")
        if logger is True:
            self.logger.setLevel(logging.INFO)
        self._reserved = frozenset(reserved)
        #: Functions by namespace and event.
        self.handlers: dict[str, dict[str, Callable[..., Any]]] = {}
        #: Class-based namespaces by name.
        self.namespace_handlers: dict[str, Any] = {}

    def is_asyncio_based(self) -> bool:
        """True."""
        return True

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """Start ``target(*args, **options)`` as a task, which is kept until it ends."""
        return tasks.start(target(*args, **options))

    async def sleep(self, seconds: float = 0) -> None:
        """``asyncio.sleep``."""
        await asyncio.sleep(seconds)

    def _handles(self, namespace: str) -> None:
        """Called when a namespace gets a handler."""

    def on(self, event: str, handler: Callable[..., Any] | None = None, namespace: str | None = None) -> Any:
        """Have ``handler`` called for ``event``; without it, a decorator.

        :param event: ``"*"`` for all that have no handler, whose name comes in front of the arguments.
        :param namespace: ``"*"`` for all that have no handlers, whose name comes in front of the arguments.
        """
        name = namespace or "/"

        def register(fn: _F) -> _F:
            self.handlers.setdefault(name, {})[event] = fn
            self._handles(name)
            return fn

        if handler is None:
            return register
        register(handler)
        return None

    def event(self, *args: Any, **options: Any) -> Any:
        """A decorator: the function's name is the event's. With arguments, those of :meth:`on` behind it."""
        if len(args) == 1 and not options and callable(args[0]):
            return self.on(args[0].__name__)(args[0])

        def register(fn: _F) -> _F:
            self.on(fn.__name__, *args, **options)(fn)
            return fn

        return register

    def add_namespace(self, handler: NamespaceBase) -> None:
        """Have a class-based namespace called for what no function handles."""
        self.namespace_handlers[handler.namespace] = handler
        self._handles(handler.namespace)

    def find(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...]]:
        """The function for an event, and what it is to be called with."""
        catches_all = event not in self._reserved
        own = self.handlers.get(namespace)
        if own is not None:
            if event in own:
                return own[event], args
            if catches_all and "*" in own:
                return own["*"], (event, *args)
        anywhere = self.handlers.get("*")
        if anywhere is not None:
            if event in anywhere:
                return anywhere[event], (namespace, *args)
            if catches_all and "*" in anywhere:
                return anywhere["*"], (event, namespace, *args)
        return None, args

    def find_namespace(self, namespace: str, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The class-based namespace for a name, and what it is to be called with."""
        found = self.namespace_handlers.get(namespace)
        if found is not None:
            return found, args
        return self.namespace_handlers.get("*"), (namespace, *args)

    def find_any(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...]]:
        """The function for an event, or the class that has it, and what it is to be called with."""
        handler, given = self.find(event, namespace, args)
        if handler is not None:
            return handler, trimmed(handler, given) if event in self._reserved else given
        target, given = self.find_namespace(namespace, args)
        return (None, args) if target is None else (target.trigger_event, (event, *given))

    async def trigger(self, event: str, namespace: str, *args: Any) -> Any:
        """Call whoever handles an event; what it returns, or :data:`NOT_HANDLED`."""
        handler, given = self.find_any(event, namespace, args)
        return NOT_HANDLED if handler is None else await call(handler, given)


async def call(handler: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call a handler, plain or async."""
    result = handler(*args)
    return await result if inspect.isawaitable(result) else result


def trimmed(handler: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments without those at the end that a handler cannot take: the auth data of ``connect``, the
    reason of ``disconnect``."""
    return args[: positional_limit(handler)]


def event_arguments(data: Any) -> tuple[Any, ...]:
    """``data`` of ``emit`` as an event's arguments: a tuple is several, None is none."""
    if isinstance(data, tuple):
        return data
    return () if data is None else (data,)
