"""The kinds of things that go wrong in a load test, and what each means.

A kind is a short word that ends up in the report's JSON; ``http_500`` and its like are made from the status.
"""

from __future__ import annotations

import errno
import ssl

__all__ = ["describe", "kind_of_exception"]

REFUSED = "refused"
UNREACHABLE = "unreachable"
NO_PORTS = "no_local_ports"
NO_FILES = "too_many_open_files"
TLS = "tls"
CONNECT_TIMEOUT = "connect_timeout"
CLOSED_EARLY = "closed_early"
BAD_HTTP = "bad_http"
BAD_HANDSHAKE = "bad_handshake"
NAMESPACE_REFUSED = "namespace_refused"
BAD_FRAME = "bad_frame"
BAD_PACKET = "bad_packet"
CONNECTION_LOST = "connection_lost"
CLOSED_BY_SERVER = "closed_by_server"
PING_TIMEOUT = "ping_timeout"
WRONG_REPLY = "wrong_reply"
DUPLICATE = "duplicate"
LOST = "lost"
NO_REPLY = "no_reply"
NOT_BACK = "not_back"
ACK_TIMEOUT = "ack_timeout"
EVENT_TIMEOUT = "event_timeout"
SCENARIO = "scenario"
WORKER = "worker_died"

_MEANING = {
    REFUSED: "the server refused the TCP connection",
    UNREACHABLE: "the server could not be reached",
    NO_PORTS: "this machine ran out of local ports: fewer clients, or a second address for the server",
    NO_FILES: "this machine ran out of file descriptors: raise `ulimit -n`",
    TLS: "the TLS handshake failed",
    CONNECT_TIMEOUT: "no connection within --connect-timeout",
    CLOSED_EARLY: "the server closed before the connection was made",
    BAD_HTTP: "the answer was not the HTTP that was due",
    BAD_HANDSHAKE: "the Engine.IO or Socket.IO handshake was wrong",
    NAMESPACE_REFUSED: "the namespace refused the client",
    BAD_FRAME: "the server broke the WebSocket protocol",
    BAD_PACKET: "a packet could not be decoded",
    CONNECTION_LOST: "the connection broke in mid-run",
    CLOSED_BY_SERVER: "the server ended the connection in mid-run",
    PING_TIMEOUT: "no heartbeat from the server in time",
    WRONG_REPLY: "a reply whose content was not what had been sent",
    DUPLICATE: "a message came twice, or too late",
    LOST: "a message was skipped: later ones came",
    NO_REPLY: "no reply until the end of the run",
    NOT_BACK: "a client that was cut and did not come back",
    ACK_TIMEOUT: "no acknowledgement within the time the scenario gave",
    EVENT_TIMEOUT: "no event within the time the scenario gave",
    SCENARIO: "the scenario's own code raised an exception",
    WORKER: "a load process ended by itself",
}


def describe(kind: str) -> str:
    """What a kind of error means, as a sentence without a full stop."""
    if kind.startswith("http_"):
        return f"the server answered with HTTP status {kind[5:]}"
    return _MEANING.get(kind, kind)


def kind_of_exception(error: BaseException) -> str:
    """The kind of a failed connection attempt."""
    if isinstance(error, ssl.SSLError):
        return TLS
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, ConnectionError):
        return CLOSED_EARLY
    if isinstance(error, TimeoutError):
        return CONNECT_TIMEOUT
    if isinstance(error, OSError) and error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
        return NO_PORTS
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return NO_FILES
    return UNREACHABLE
