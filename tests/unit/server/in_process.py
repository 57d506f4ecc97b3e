"""A Socket.IO client of a server in the same process, without a connection between them."""

from __future__ import annotations

import json
from typing import Any

from fastsio import Server
from fastsio.engine.request import Request
from tests.unit.engine.fakes import FakeExchange, FakeWebSocket


class LocalClient:
    """Joins ``namespace`` over a WebSocket that is none; packets are shown without the Engine.IO digit."""

    def __init__(self, server: Server, namespace: str = "/", *, protocol: int = 5) -> None:
        self.protocol = protocol
        self.namespace = "" if namespace == "/" else namespace + ","
        exchange = FakeExchange()
        engine_protocol = 4 if protocol == 5 else 3
        target = f"/socket.io/?EIO={engine_protocol}&transport=websocket"
        server.handle(Request("GET", target, {"host": "example.com"}, exchange=exchange, upgrade=True))
        assert exchange.websocket is not None
        self.websocket: FakeWebSocket = exchange.websocket
        if protocol == 5 or namespace != "/":
            self.send("0" + self.namespace)
        self.opened = self.take()

    def send(self, packet: str | bytes) -> None:
        if isinstance(packet, str):
            self.websocket.receive("4" + packet)
        else:
            self.websocket.receive(packet if self.protocol == 5 else b"\x04" + packet)

    def emit(self, *event: Any, ack: int | None = None) -> None:
        self.send(f"2{self.namespace}{'' if ack is None else ack}{json.dumps(event)}")

    def take(self) -> list[str | bytes]:
        """What came since the last look."""
        return [message[1:] if isinstance(message, str) else message for message in self.websocket.take()]

    def answer(self) -> list[Any]:
        """The acknowledgement that is all that came."""
        (packet,) = self.take()
        assert isinstance(packet, str)
        assert packet.startswith("3" + self.namespace), packet
        arguments: list[Any] = json.loads(packet[packet.index("[") :])
        return arguments

    def leave(self) -> None:
        """The connection ends."""
        self.websocket.hang_up()
