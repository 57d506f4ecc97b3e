"""Every exception fastsio raises.

::

    FastSIOError
    ├── ProtocolError                what a peer sent breaks the protocol
    │   └── PacketError              undecodable packet, payload or frame (also a ValueError)
    │       ├── TooManyAttachments   more binary attachments than ``max_attachments``
    │       └── PayloadTooLarge      more bytes or packets than the limit in force
    ├── ConnectionRefused            raise it in a middleware or handler to refuse a client
    ├── NamespaceNotFound            no such namespace
    ├── AckTimeout                   no acknowledgement within the time asked for (also a TimeoutError)
    ├── EventTimeout                 an event waited for did not come in time (also a TimeoutError)
    ├── Disconnected                 the peer went away while something waited for it
    ├── TransportError               a client's connection failed (also a ConnectionError)
    ├── ConnectError                 ``await client.connect()`` failed (also a ConnectionError)
    ├── EventRefused                 an event that did not reach its handler
    │   ├── InvalidArguments         its arguments are not what the handler is annotated with
    │   └── TooManyEvents            too many wait already for handlers that run one at a time
    └── OptionError                  unknown or impossible option (also a TypeError)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AckTimeout",
    "ConnectError",
    "ConnectionRefused",
    "Disconnected",
    "EventRefused",
    "EventTimeout",
    "FastSIOError",
    "InvalidArguments",
    "NamespaceNotFound",
    "OptionError",
    "PacketError",
    "PayloadTooLarge",
    "ProtocolError",
    "TooManyAttachments",
    "TooManyEvents",
    "TransportError",
]


class FastSIOError(Exception):
    """Root of all exceptions of this package."""


class ProtocolError(FastSIOError):
    """What a peer sent breaks the protocol."""


class PacketError(ProtocolError, ValueError):
    """A packet, payload or frame that cannot be decoded, or a value that cannot be encoded.

    ``packets`` holds what a payload carried before the undecodable part, as ``(type, data)`` pairs: the
    reference parsers deliver those and then stop.
    """

    def __init__(self, message: str = "", *, packets: Sequence[tuple[int | None, Any]] = ()) -> None:
        super().__init__(message)
        self.packets = list(packets)


class TooManyAttachments(PacketError):
    """A binary packet announces more attachments than ``max_attachments``."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} attachments, the limit is {limit} (option max_attachments)")
        self.count = count
        self.limit = limit


class PayloadTooLarge(PacketError):
    """More bytes or packets than the limit in force; ``option`` names what raises it."""

    def __init__(self, size: int, limit: int, option: str, *, unit: str = "bytes") -> None:
        super().__init__(f"{size} {unit}, the limit is {limit} (option {option})")
        self.size = size
        self.limit = limit
        self.option = option


class ConnectionRefused(FastSIOError):
    """Raised by a middleware to refuse a connection; the client gets ``message`` and ``data``.

    ``data`` is any JSON value: it becomes ``err.data`` of the client's ``connect_error`` event.
    """

    def __init__(self, message: str = "connection refused", data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class NamespaceNotFound(FastSIOError):
    """No namespace of that name exists and no dynamic namespace accepts it."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f"no namespace {namespace!r}")
        self.namespace = namespace


if sys.version_info >= (3, 11):

    class _Timeout(FastSIOError, TimeoutError):
        pass

else:
    from asyncio import TimeoutError as AsyncioTimeoutError

    class _Timeout(FastSIOError, TimeoutError, AsyncioTimeoutError):
        pass


class AckTimeout(_Timeout):
    """No acknowledgement arrived within ``timeout`` seconds.

    ``responses`` holds what the other recipients of a broadcast had answered by then.
    """

    def __init__(self, timeout: float, responses: Sequence[Any] = ()) -> None:
        super().__init__("operation has timed out")
        self.timeout = timeout
        self.responses = list(responses)


class EventTimeout(_Timeout):
    """``event`` did not come within ``timeout`` seconds."""

    def __init__(self, event: str, timeout: float) -> None:
        super().__init__(f"no event {event!r} within {timeout:g} s")
        self.event = event
        self.timeout = timeout


class Disconnected(FastSIOError, ConnectionError):
    """The peer disconnected while an acknowledgement or a reply was awaited."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"disconnected: {reason}")
        self.reason = reason


class TransportError(FastSIOError, ConnectionError):
    """A client's connection could not be made, or broke.

    ``transport`` is "polling" or "websocket", ``url`` where it led, ``status`` the HTTP status if the server
    answered with one. What went wrong below is the ``__cause__``.
    """

    def __init__(self, message: str, transport: str = "", url: str = "", status: int | None = None) -> None:
        super().__init__(f"{transport} {url}: {message}" if url else message)
        self.transport = transport
        self.url = url
        self.status = status


class ConnectError(FastSIOError, ConnectionError):
    """A client did not get all the namespaces it asked for.

    ``refused`` maps each namespace that was not joined to the reason: :class:`ConnectionRefused` if the
    server said no, else what happened to the connection.
    """

    def __init__(self, url: str, refused: Mapping[str, BaseException]) -> None:
        reasons = "; ".join(f"{namespace}: {error}" for namespace, error in refused.items())
        super().__init__(f"cannot connect to {url}: {reasons}")
        self.url = url
        self.refused = dict(refused)


class EventRefused(FastSIOError):
    """An event of a client that did not reach its handler; the socket's ``error`` listeners get it.

    ``event`` is the event's name; ``detail`` says what is wrong, as the client is told in the acknowledgement
    it asked for (:meth:`answer`).
    """

    #: What the client is told it was.
    error = "refused"

    def __init__(self, event: str, detail: str) -> None:
        super().__init__(f"{self.error} of {event!r}: {detail}")
        self.event = event
        self.detail = detail

    def answer(self) -> dict[str, str]:
        """The acknowledgement of such an event."""
        return {"error": self.error, "detail": self.detail}


class InvalidArguments(EventRefused):
    """The arguments of an event are not what its handler's annotations ask for."""

    error = "invalid arguments"


class TooManyEvents(EventRefused):
    """More events than ``max_serialized_events`` wait for handlers that run one at a time."""

    error = "too many events"


class OptionError(FastSIOError, TypeError):
    """An option that does not exist, or a value it cannot take."""
