"""A clock, exchanges and WebSockets that open no socket, and an engine on top of them."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from fastsio._frames import OP_BINARY, OP_TEXT, FrameParser
from fastsio.engine.request import Headers, Request, Response, WebSocket, WebSocketReceiver
from fastsio.engine.server import EngineCore
from fastsio.engine.session import Session
from fastsio.options import DeflateOptions, EngineOptions


class Handle:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def run(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Clock:
    """Time that passes only when told to; the part of a loop that the engine uses."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._soon: list[Handle] = []
        self._later: list[tuple[float, int, Handle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Handle:
        assert delay >= 0
        handle = Handle(callback)
        heapq.heappush(self._later, (self.now + delay, next(self._count), handle))
        return handle

    def call_soon(self, callback: Callable[[], object]) -> Handle:
        handle = Handle(callback)
        self._soon.append(handle)
        return handle

    @property
    def pending(self) -> int:
        """Timers that would still fire."""
        return sum(handle.callback is not None for _, _, handle in self._later)

    def wake(self) -> None:
        """Fire the earliest timer before its time."""
        _, _, handle = heapq.heappop(self._later)
        handle.run()

    def turn(self) -> None:
        """One turn of the loop at the same instant."""
        soon, self._soon = self._soon, []
        for handle in soon:
            handle.run()

    def settle(self) -> None:
        """Turns until nothing is due."""
        for _ in range(1000):
            if not self._soon:
                return
            self.turn()
        raise AssertionError("the loop never comes to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, running what falls due on the way at its own time."""
        end = self.now + seconds
        self.settle()
        for _ in range(1_000_000):
            if not self._later or self._later[0][0] > end:
                break
            when, _, handle = heapq.heappop(self._later)
            self.now = max(self.now, when)
            handle.run()
            self.settle()
        else:
            raise AssertionError("timers fire without end")
        self.now = end


class FakeWebSocket(WebSocket):
    """The server's side of a WebSocket, and what its client saw and may do."""

    def __init__(self, receiver: WebSocketReceiver, compressed: bool = False) -> None:
        super().__init__(receiver, compressed)
        self.sent: list[str | bytes] = []
        self.flags: list[bool] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self._over = False

    # -- server side

    @property
    def buffered(self) -> int:
        return 0

    def send_text(self, payload: bytes, compress: bool = True) -> None:
        assert isinstance(payload, bytes)
        if self.closed is None and not self._over:
            self.sent.append(payload.decode())
            self.flags.append(compress)

    def send_binary(self, payload: bytes, compress: bool = True) -> None:
        assert isinstance(payload, bytes)
        if self.closed is None and not self._over:
            self.sent.append(payload)
            self.flags.append(compress)

    def write_frames(self, frames: bytes) -> None:
        assert not self.compressed
        for opcode, payload in FrameParser(client=True).feed(frames):
            assert opcode in (OP_TEXT, OP_BINARY)
            (self.send_text if opcode == OP_TEXT else self.send_binary)(payload)

    def close(self, code: int = 0, reason: str = "") -> None:
        if self.closed is None:
            self.closed = (code, reason)

    def abort(self) -> None:
        self.aborted = True

    # -- client side

    def take(self) -> list[str | bytes]:
        sent, self.sent = self.sent, []
        return sent

    def receive(self, message: str | bytes) -> None:
        """A message from the client; none is delivered once the server closed."""
        if self.closed is None and not self._over:
            if isinstance(message, str):
                self.receiver.on_text(message.encode())
            else:
                self.receiver.on_binary(message)

    def hang_up(self, code: int = 1005, error: str | None = None) -> None:
        """The end of the connection, from whichever side."""
        if not self._over:
            self._over = True
            receiver, self.receiver = self.receiver, None  # type: ignore[assignment]
            receiver.on_close(code, "", error)


class FakeExchange:
    """One request's way back, and what its client saw."""

    def __init__(self, body: bytes | None = b"", handshake: int = 101, compressed: bool = False) -> None:
        self.on_abort: Callable[[], None] | None = None
        self.response: Response | None = None
        self.websocket: FakeWebSocket | None = None
        self.websocket_headers: Headers = []
        self.websocket_options: dict[str, Any] = {}
        self.aborted = False
        self.gone = False
        #: Answers after the first: dropped, but a sign of confusion.
        self.extra = 0
        self._body = body
        self._handshake = handshake
        self._compressed = compressed
        self._limit = 0
        self._on_body: Callable[[bytes], None] | None = None
        self._on_too_large: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        return self.response is not None or self.websocket is not None or self.aborted or self.gone

    # -- server side

    def respond(self, response: Response) -> None:
        if self.ended:
            self.extra += not self.gone
            return
        assert 100 <= response.status < 600
        for name, value in response.headers:
            assert isinstance(name, str) and isinstance(value, str)
        self.response = response
        self._on_body = self._on_too_large = None

    def read_body(
        self, max_size: int, on_body: Callable[[bytes], None], on_too_large: Callable[[], None]
    ) -> None:
        if self.ended:
            return
        self._limit, self._on_body, self._on_too_large = max_size, on_body, on_too_large
        if self._body is not None:
            self.deliver(self._body)

    def accept_websocket(
        self,
        receiver: WebSocketReceiver,
        *,
        headers: Headers,
        max_message_size: int,
        max_buffered_bytes: int,
        per_message_deflate: DeflateOptions | None,
    ) -> FakeWebSocket | None:
        if self.ended:
            return None
        if self._handshake != 101:
            self.respond(Response(self._handshake))
            return None
        self.websocket_headers = headers
        self.websocket_options = {
            "max_message_size": max_message_size,
            "max_buffered_bytes": max_buffered_bytes,
            "per_message_deflate": per_message_deflate,
        }
        self.websocket = FakeWebSocket(receiver, self._compressed)
        return self.websocket

    def abort(self) -> None:
        if not self.ended:
            self.aborted = True
            self._on_body = self._on_too_large = self.on_abort = None

    # -- client side

    @property
    def reading(self) -> bool:
        """Whether the server waits for the body."""
        return self._on_body is not None

    def deliver(self, body: bytes) -> None:
        """The body, whole."""
        on_body, on_too_large = self._on_body, self._on_too_large
        assert on_body is not None and on_too_large is not None
        self._on_body = self._on_too_large = None
        if len(body) > self._limit:
            on_too_large()
        else:
            on_body(body)

    def disconnect(self) -> None:
        """The client goes away."""
        if self.ended:
            return
        self.gone = True
        self._on_body = self._on_too_large = None
        on_abort, self.on_abort = self.on_abort, None
        if on_abort is not None:
            on_abort()

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status

    @property
    def headers(self) -> Headers:
        assert self.response is not None
        return self.response.headers

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} repeated"
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        assert self.response is not None and isinstance(self.response.body, bytes)
        return self.response.body


class Engine:
    """An engine core on a fake clock, with the events of its sessions written down."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.core = EngineCore(EngineOptions(**options), self.clock)
        self.events: list[tuple[Any, ...]] = []
        self.exchanges: list[FakeExchange] = []
        self.session: Session = None  # type: ignore[assignment]
        self.core.on("connection", self._on_connection)

    def _on_connection(self, session: Session) -> None:
        self.session = session
        session.on("message", lambda data: self.events.append(("message", data)))
        session.on("upgrade", lambda: self.events.append(("upgrade",)))
        session.on("close", lambda reason: self.events.append(("close", str(reason))))

    def take(self) -> list[tuple[Any, ...]]:
        """The events since the last look."""
        events, self.events = self.events, []
        return events

    def request(
        self,
        method: str = "GET",
        query: dict[str, str] | str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = b"",
        upgrade: bool = False,
        path: str = "/engine.io/",
        remote_address: str = "192.0.2.1",
        scheme: str = "http",
        handshake: int = 101,
        compressed: bool = False,
    ) -> FakeExchange:
        """Hand a request in; ``body=None``: it comes later, by ``deliver``."""
        exchange = FakeExchange(body, handshake, compressed)
        text = query if isinstance(query, str) else urlencode(query)
        request = Request(
            method,
            f"{path}?{text}" if text else path,
            {"host": "example.com", **(headers or {})},
            exchange=exchange,
            remote_address=remote_address,
            scheme=scheme,
            upgrade=upgrade,
        )
        self.exchanges.append(exchange)
        self.core.handle(request)
        return exchange

    def open(self, protocol: int = 4, **query: str) -> Polling:
        """A polling session, its handshake answered."""
        return Polling(self, protocol, query)

    def connect(self, protocol: int = 4, compressed: bool = False, **query: str) -> FakeWebSocket:
        """A WebSocket session, its open packet taken."""
        exchange = self.request(
            "GET",
            {"EIO": str(protocol), "transport": "websocket", **query},
            upgrade=True,
            compressed=compressed,
        )
        websocket = exchange.websocket
        assert websocket is not None
        opened = websocket.take()
        assert isinstance(opened[0], str) and opened[0][0] == "0"
        return websocket


class Polling:
    """A polling client."""

    def __init__(self, engine: Engine, protocol: int, query: dict[str, str]) -> None:
        self.engine = engine
        self.query = {"EIO": str(protocol), "transport": "polling", **query}
        self.handshake = engine.request("GET", self.query)
        self.session = engine.session
        engine.clock.settle()
        assert self.handshake.status == 200
        self.query["sid"] = self.session.id

    def poll(self, **options: Any) -> FakeExchange:
        return self.engine.request("GET", self.query, **options)

    def post(self, body: bytes | None, **options: Any) -> FakeExchange:
        return self.engine.request("POST", self.query, body=body, **options)

    def probe(self, **extra: str) -> FakeWebSocket:
        """A WebSocket for this session."""
        query = {"EIO": self.query["EIO"], "transport": "websocket", "sid": self.session.id, **extra}
        websocket = self.engine.request("GET", query, upgrade=True).websocket
        assert websocket is not None
        return websocket


def open_packet(body: bytes) -> dict[str, Any]:
    """The handshake data of a protocol 4 polling handshake that holds nothing else."""
    assert body[:1] == b"0"
    data = json.loads(body[1:])
    assert isinstance(data, dict)
    return data
