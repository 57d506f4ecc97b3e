"""A Socket.IO server on a clock that stands still, and clients on WebSockets that open no socket."""

from __future__ import annotations

import json
from typing import Any

from fastsio import Server
from fastsio.engine.request import Request
from tests.unit.engine.fakes import Clock, FakeExchange, FakeWebSocket


class FakeServer:
    """A server, and a way to connect to it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.io = Server(**options)
        self.io.engine.clock = self.clock
        self.io.engine._fixed_clock = True

    def connect(self, protocol: int = 5) -> FakeClient:
        """A client whose session is open, and which has joined nothing yet (protocol 4: ``/``)."""
        exchange = FakeExchange()
        engine = 4 if protocol == 5 else 3
        request = Request(
            "GET",
            f"/socket.io/?EIO={engine}&transport=websocket",
            {"host": "example.com"},
            exchange=exchange,
            remote_address="192.0.2.1",
            scheme="http",
            upgrade=True,
        )
        self.io.handle(request)
        assert exchange.websocket is not None
        opened = exchange.websocket.take()
        assert isinstance(opened[0], str) and opened[0][0] == "0"
        client = FakeClient(exchange.websocket, protocol)
        client.websocket.sent = opened[1:]
        return client

    def join(self, auth: Any = None, namespace: str = "/") -> FakeClient:
        """A client that has joined ``namespace``."""
        client = self.connect()
        client.join(auth, namespace)
        return client


class FakeClient:
    """A client that keeps what recovery needs, as the official one of 4.x does."""

    def __init__(self, websocket: FakeWebSocket, protocol: int) -> None:
        self.websocket = websocket
        self.protocol = protocol
        self.sid = ""
        self.pid: str | None = None
        self.offset: str | None = None
        self.events: list[list[Any]] = []
        #: Everything that came, in order: events as lists, other packets as text, attachments as bytes.
        self.packets: list[Any] = []

    def join(self, auth: Any = None, namespace: str = "/") -> None:
        prefix = "" if namespace == "/" else namespace + ","
        self.send("0" + prefix + ("" if auth is None else json.dumps(auth)))
        self.read()

    def send(self, packet: str | bytes) -> None:
        self.websocket.receive("4" + packet if isinstance(packet, str) else packet)

    def read(self) -> list[list[Any]]:
        """Take what came; the events of it, without their offsets."""
        new = []
        for message in self.websocket.take():
            if message == "2":
                self.websocket.receive("3")
                continue
            if isinstance(message, bytes):
                self.packets.append(message)
                continue
            assert message[0] == "4", message
            if message[1] in "25":
                event = json.loads(message[message.index("[") :])
                self.packets.append(list(event))
                if self.pid is not None and isinstance(event[-1], str):
                    self.offset = event.pop()
                new.append(event)
            else:
                self.packets.append(message[1:])
                if message[1] == "0" and "{" in message:
                    reply = json.loads(message[message.index("{") :])
                    self.sid, self.pid = reply["sid"], reply.get("pid")
        self.events += new
        return new

    def lose(self) -> None:
        """The connection breaks: what came is not read any more."""
        self.websocket.take()
        self.websocket.hang_up(1006, "reset")

    def back(self, server: FakeServer, **auth: Any) -> FakeClient:
        """The same client on a new connection: it asks for what it had, and gets what it missed."""
        again = server.connect()
        again.offset = self.offset
        asked: dict[str, Any] = {"pid": self.pid}
        if self.offset is not None:
            asked["offset"] = self.offset
        again.pid = self.pid
        again.join({**asked, **auth})
        return again
