"""What a load test is told, checked."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastsio.exceptions import OptionError

__all__ = ["SCENARIOS", "LoadOptions", "parse_duration"]

#: The scenarios that need no file, and what each does.
SCENARIOS: dict[str, str] = {
    "echo": "each client emits `echo` and gets it back",
    "ack": "each client emits `ack` and gets an acknowledgement",
    "broadcast": "one client emits `broadcast`, every client gets it",
    "rooms": "clients in rooms; one of each room emits `room`, all of it get it",
    "connect": "clients connect, leave and connect again as fast as they can",
    "idle": "clients connect and stay, saying nothing but heartbeats",
    "churn": "echo by clients that live a short while and are replaced",
    "reconnect": "all connections are cut at once; who is back when",
}

#: The scenarios whose messages have a payload.
TALKING = frozenset({"echo", "ack", "broadcast", "rooms", "churn"})
#: The smallest payload: a message's eight-digit number.
MIN_SIZE = 8
MAX_SIZE = 64 << 20

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|µs|ms|s|m|h)?\s*")
_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def parse_duration(text: str) -> float:
    """Seconds from ``10``, ``0.5s``, ``250ms``, ``80us``, ``2m`` or ``1h``.

    :raises OptionError: for anything else.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise OptionError(f"{text!r} is not a duration such as 10, 0.5s, 250ms or 2m")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class LoadOptions:
    """A load test. Times in seconds, sizes in bytes.

    :raises OptionError: for a value that cannot be, with a sentence that says why.
    """

    #: Where the server is: ``http(s)://`` or ``ws(s)://``, host, port, and the path if not ``/socket.io/``.
    url: str
    #: A name of :data:`SCENARIOS`, or the path of a Python file with ``async def client(socket)``.
    scenario: str = "echo"
    clients: int = 100
    processes: int = 1
    #: The measured time; ``warmup`` comes before it.
    duration: float = 10.0
    warmup: float = 1.0
    #: The time over which the clients start; 0: as fast as they can.
    ramp_up: float = 0.0
    #: Most handshakes at a time, in each process.
    connect_concurrency: int = 100
    connect_timeout: float = 10.0
    #: How long replies may come in after the measured time.
    drain: float = 2.0
    #: Messages per second of all clients together (open loop); None: each client waits for its replies.
    rate: float | None = None
    #: Messages in flight per client, or broadcasts in flight per sender (closed loop).
    depth: int = 1
    size: int = 32
    #: The share of messages whose payload is binary, 0 to 1.
    binary: float = 0.0
    #: The Engine.IO protocol: 4 for servers v3 and v4, 3 for servers v2.
    protocol: int = 4
    transport: str = "websocket"
    namespace: str = "/"
    #: What CONNECT carries (an object; protocol 4 only).
    auth: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    #: Accept any TLS certificate.
    insecure: bool = False
    rooms: int = 10
    #: Churn: mean life of a client.
    lifetime: float = 1.0
    #: Reconnect: mean pause before the first attempt to come back.
    reconnect_delay: float = 1.0
    #: User scenario: how often each client runs; 0: again and again until the time is up.
    iterations: int = 0
    server_pids: tuple[int, ...] = ()
    #: The largest 99th percentile and number of errors that pass; None: any.
    max_p99: float | None = None
    max_errors: int | None = None

    # Derived from the URL.
    host: str = field(init=False)
    port: int = field(init=False)
    secure: bool = field(init=False)
    path: str = field(init=False)
    query: str = field(init=False)

    def __post_init__(self) -> None:
        self._read_url()
        if self.scenario not in SCENARIOS and not self.scenario.endswith(".py"):
            raise OptionError(f"no scenario {self.scenario!r}: one of {', '.join(SCENARIOS)}, or a .py file")
        if self.scenario.endswith(".py") and not Path(self.scenario).is_file():
            raise OptionError(f"the scenario file {self.scenario} does not exist")
        self._between("clients", 1, 1_000_000)
        self._between("processes", 1, 256)
        self._between("duration", 0.05, 7 * 86400.0)
        self._between("warmup", 0.0, 86400.0)
        self._between("ramp_up", 0.0, 86400.0)
        self._between("drain", 0.0, 3600.0)
        self._between("connect_concurrency", 1, 100_000)
        self._between("connect_timeout", 0.01, 3600.0)
        self._between("depth", 1, 16384)
        self._between("size", MIN_SIZE, MAX_SIZE)
        self._between("binary", 0.0, 1.0)
        self._between("rooms", 1, self.clients if self.scenario == "rooms" else 1_000_000)
        self._between("lifetime", 0.01, 86400.0)
        self._between("reconnect_delay", 0.0, 3600.0)
        self._between("iterations", 0, 1_000_000_000)
        if self.rate is not None:
            self._between("rate", 0.01, 10_000_000.0)
            if self.scenario in ("idle", "reconnect") or self.scenario.endswith(".py"):
                raise OptionError(
                    f"the scenario {Path(self.scenario).name} takes no rate: it sets its own pace"
                )
        if self.protocol not in (3, 4):
            raise OptionError("protocol must be 3 or 4 (the revision of Engine.IO)")
        if self.transport not in ("websocket", "polling"):
            raise OptionError("transport must be websocket or polling")
        if self.processes > self.clients:
            raise OptionError("more processes than clients")
        if not self.namespace.startswith("/") or "," in self.namespace or not self.namespace.isprintable():
            raise OptionError("a namespace starts with / and has no comma")
        if self.auth is not None and self.protocol == 3:
            raise OptionError("protocol 3 has no auth: put ?name=value behind the namespace or the URL")
        for name, value in self.headers:
            if not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
                raise OptionError(f"{name!r}: {value!r} cannot be a header")
        if self.max_p99 is not None:
            self._between("max_p99", 0.0, 3600.0)
        if self.max_errors is not None:
            self._between("max_errors", 0, 1 << 62)
        if any(pid <= 0 for pid in self.server_pids):
            raise OptionError("a process id is positive")

    def _between(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not isinstance(value, (int, float)) or math.isnan(value) or not low <= value <= high:
            raise OptionError(f"{name} must be between {low:g} and {high:g}, not {value}")

    def _read_url(self) -> None:
        text = self.url if "://" in self.url else f"http://{self.url}"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise OptionError(f"{self.url!r} is not a URL: {error}") from None
        if parts.scheme not in ("http", "https", "ws", "wss"):
            raise OptionError(
                f"{self.url!r} is not a URL that starts with http://, https://, ws:// or wss://"
            )
        if not parts.hostname or not all("!" <= letter <= "~" for letter in text):
            raise OptionError(
                f"{self.url!r} names no host" if not parts.hostname else f"{self.url!r} is no URL"
            )
        secure = parts.scheme in ("https", "wss")
        path = "/socket.io/" if parts.path in ("", "/") else parts.path
        object.__setattr__(self, "host", parts.hostname)
        object.__setattr__(self, "port", port if port is not None else 443 if secure else 80)
        object.__setattr__(self, "secure", secure)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "query", parts.query)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        try:
            host = f"[{self.host}]" if ipaddress.ip_address(self.host).version == 6 else self.host
        except ValueError:
            host = self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def socketio_protocol(self) -> int:
        """The revision of the Socket.IO protocol that goes with the Engine.IO one."""
        return self.protocol + 1

    def to_json(self) -> dict[str, Any]:
        """What was given, as plain values; ``LoadOptions.from_json`` reads it."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.init}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadOptions:
        """The options that :meth:`to_json` told about."""
        values = dict(data)
        values["headers"] = tuple((name, value) for name, value in values.get("headers", ()))
        values["server_pids"] = tuple(values.get("server_pids", ()))
        return cls(**values)
