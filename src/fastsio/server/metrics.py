"""What a server has counted, as values and as the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsio.server.server import Server

__all__ = ["CONTENT_TYPE", "Metrics", "collect", "prometheus"]

#: The media type of :func:`prometheus`.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One server at one moment. Sizes are bytes; what has no "now" in it counts since the server was made."""

    #: Sessions open now, by transport and Engine.IO protocol (3 or 4).
    sessions: Mapping[tuple[str, int], int]
    #: Sessions opened, by the transport they began with and the protocol.
    sessions_opened: Mapping[tuple[str, int], int]
    #: Sessions ended, by reason.
    sessions_closed: Mapping[str, int]
    #: Sessions that went from polling to WebSocket.
    upgrades: int
    #: Requests that the engine refused, by Engine.IO's error code.
    requests_refused: Mapping[int, int]
    #: Engine.IO packets and their bytes, before compression and without HTTP.
    packets_received: int
    packets_sent: int
    bytes_received: int
    bytes_sent: int
    #: Bytes that wait now for clients to take them.
    buffered_bytes: int
    #: Sockets connected now, and rooms there are now, by namespace. A socket's own room counts.
    sockets: Mapping[str, int]
    rooms: Mapping[str, int]
    #: Sockets that joined a namespace, and that left one, by reason.
    sockets_connected: int
    sockets_disconnected: Mapping[str, int]
    #: Events of clients, and those of them that reached no handler: wrong arguments, too many.
    events_received: int
    events_refused: int
    #: Acknowledgements of clients, and to clients.
    acks_received: int
    acks_sent: int
    #: Exceptions that handlers raised.
    handler_errors: int
    #: Times a handler blocked the event loop longer than option ``slow_handler``.
    slow_handlers: int


def collect(server: Server) -> Metrics:
    """The state of ``server`` now."""
    counters = server.engine.counters
    sessions = dict.fromkeys(counters.sessions_opened, 0)
    buffered = 0
    for session in server.engine.sessions.values():
        kind = (str(session.transport), session.protocol)
        sessions[kind] = sessions.get(kind, 0) + 1
        buffered += session.buffered_bytes
    namespaces = list(server.namespaces.values())
    return Metrics(
        sessions=sessions,
        sessions_opened=dict(counters.sessions_opened),
        sessions_closed=dict(counters.sessions_closed),
        upgrades=counters.upgrades,
        requests_refused=dict(counters.requests_refused),
        packets_received=counters.packets_received,
        packets_sent=counters.packets_sent,
        bytes_received=counters.bytes_received,
        bytes_sent=counters.bytes_sent,
        buffered_bytes=buffered,
        sockets={namespace.name: len(namespace.sockets) for namespace in namespaces},
        rooms={namespace.name: len(namespace.adapter.rooms) for namespace in namespaces},
        sockets_connected=counters.sockets_connected,
        sockets_disconnected=dict(counters.sockets_disconnected),
        events_received=counters.events_received,
        events_refused=counters.events_refused,
        acks_received=counters.acks_received,
        acks_sent=counters.acks_sent,
        handler_errors=counters.handler_errors,
        slow_handlers=0 if server.slow_handlers is None else server.slow_handlers.count,
    )


# Field of Metrics, name for Prometheus, type, labels, help.
_FAMILIES: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    ("sessions", "sessions", "gauge", ("transport", "protocol"), "Engine.IO sessions open now."),
    (
        "sessions_opened",
        "sessions_opened_total",
        "counter",
        ("transport", "protocol"),
        "Engine.IO sessions opened, by the transport they began with.",
    ),
    ("sessions_closed", "sessions_closed_total", "counter", ("reason",), "Engine.IO sessions ended."),
    ("upgrades", "upgrades_total", "counter", (), "Sessions that went from polling to WebSocket."),
    ("requests_refused", "requests_refused_total", "counter", ("code",), "Requests the engine refused."),
    ("packets_received", "packets_received_total", "counter", (), "Engine.IO packets received."),
    ("packets_sent", "packets_sent_total", "counter", (), "Engine.IO packets sent."),
    ("bytes_received", "received_bytes_total", "counter", (), "Bytes of the packets received."),
    ("bytes_sent", "sent_bytes_total", "counter", (), "Bytes of the packets sent."),
    ("buffered_bytes", "buffered_bytes", "gauge", (), "Bytes that wait for clients now."),
    ("sockets", "sockets", "gauge", ("namespace",), "Sockets connected now."),
    ("rooms", "rooms", "gauge", ("namespace",), "Rooms there are now."),
    ("sockets_connected", "sockets_connected_total", "counter", (), "Sockets that joined a namespace."),
    (
        "sockets_disconnected",
        "sockets_disconnected_total",
        "counter",
        ("reason",),
        "Sockets that left a namespace.",
    ),
    ("events_received", "events_received_total", "counter", (), "Events of clients."),
    ("events_refused", "events_refused_total", "counter", (), "Events of clients that reached no handler."),
    ("acks_received", "acks_received_total", "counter", (), "Acknowledgements of clients."),
    ("acks_sent", "acks_sent_total", "counter", (), "Acknowledgements to clients."),
    ("handler_errors", "handler_errors_total", "counter", (), "Exceptions that handlers raised."),
    ("slow_handlers", "slow_handlers_total", "counter", (), "Times a handler blocked the event loop."),
)


def prometheus(server: Server) -> str:
    """The metrics of ``server`` in Prometheus's text format 0.0.4, each with HELP and TYPE."""
    metrics = collect(server)
    lines: list[str] = []
    for field, name, kind, labels, text in _FAMILIES:
        lines.append(f"# HELP fastsio_{name} {text}")
        lines.append(f"# TYPE fastsio_{name} {kind}")
        value = getattr(metrics, field)
        if not labels:
            lines.append(f"fastsio_{name} {value}")
            continue
        for key, number in value.items():
            parts = key if isinstance(key, tuple) else (key,)
            inner = ",".join(
                f'{label}="{_escaped(str(part))}"' for label, part in zip(labels, parts, strict=True)
            )
            lines.append(f"fastsio_{name}{{{inner}}} {number}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
