"""The public API as type checkers see it: `make lint` runs mypy --strict and pyright's strict mode on this.

Nothing here is run.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

import fastsio
import fastsio.metrics
from fastsio.admin import BasicAuth, MemoryStore, instrument
from fastsio.codec import (
    Decoder,
    Packet,
    PacketType,
    decode_engine_packet,
    decode_payload,
    encode,
    encode_engine_packet,
    encode_payload,
)
from fastsio.engine import EnginePacket, EngineServer, Session

io = fastsio.Server(cors="*", ping_interval=25)


@io.on("connection")
def connection(socket: fastsio.Socket) -> None:
    assert_type(socket.id, str)
    assert_type(socket.rooms, set[str])
    assert_type(socket.handshake.headers, dict[str, str])
    assert_type(socket.nsp, fastsio.Namespace)
    assert_type(socket.send("text", b"bytes"), fastsio.Socket)
    assert_type(socket.emit("event", 1, {"a": [b"bytes"]}), bool)
    assert_type(socket.to("room").except_(["a", "b"]).volatile.emit("event"), bool)
    socket.join(["a", "b"])

    @socket.on("add")
    def add(a: int, b: int) -> int:
        return a + b

    @socket.on("typed")
    async def typed(item: dict[str, int], ack: fastsio.Ack) -> None:
        ack("answer", 1)

    # The decorator gives back the function it was given.
    assert_type(add(1, 2), int)

    async def ask() -> None:
        assert_type(await socket.timeout(5).emit_with_ack("question"), Any)

    socket.once("ask", ask).on("again", ask).off("again", ask)


async def main() -> None:
    assert_type(await io.listen(0), fastsio.Server)
    assert_type(io.port, int | None)
    assert_type(await io.to("room").fetch_sockets(), list[fastsio.Socket | fastsio.RemoteSocket])
    assert_type(io.of("/admin"), fastsio.Namespace)
    assert_type(io.of("/admin").use(connection), fastsio.Namespace)
    await io.close(grace=1)


class Store:
    """Sessions of admins, kept by coroutines."""

    async def does_session_exist(self, session_id: str) -> bool:
        return False

    async def save_session(self, session_id: str) -> None: ...


admin: BasicAuth = {"type": "basic", "username": "admin", "password": "$2b$12$..."}
instrument(io, auth=admin, readonly=True, server_id="node 1", store=Store())
instrument(io, auth=False, mode="production", namespace_name="/watch", store=MemoryStore(3600, 10))
assert_type(io.namespaces, dict[str, fastsio.Namespace])

engine = EngineServer(ping_interval=10)


@engine.on("connection")
def session(session: Session) -> None:
    assert_type(session.send(b"data"), Session)
    name: str = session.transport
    assert_type(session.transport.name, str)
    assert_type(EnginePacket("message", name).data, str | bytes | None)


assert_type(encode(Packet(PacketType.EVENT, "/", ["hi"], 1)), list[Any])
assert_type(Decoder(protocol=4).add("0"), Packet | None)
assert_type(encode_engine_packet(4, "text"), str | bytes)
assert_type(decode_engine_packet("4text"), tuple[int | None, str | bytes | None])
assert_type(encode_payload([(4, "text")]), bytes)
assert_type(decode_payload(b"4text"), list[tuple[int | None, str | bytes | None]])
assert_type(fastsio.Disconnected("ping timeout").reason, str)
assert_type(fastsio.InvalidArguments("event", "detail").answer(), dict[str, str])


@io.on_startup
async def startup() -> None: ...


@io.on_shutdown
def shutdown() -> None: ...


router = fastsio.Router(prefix="chat:")


@router.use
async def check(socket: fastsio.Socket) -> None: ...


@router.on("message", serialize=True)
async def message(socket: fastsio.Socket, text: str) -> int:
    assert_type(await socket.wait_for("answer", timeout=1.5, check=bool), Any)
    return len(text)


assert_type(router.include(fastsio.Router(), prefix="x"), fastsio.Router)
assert_type(router.on("plain", check), fastsio.Router)
assert_type(io.include(router), fastsio.Server)
assert_type(io.of("/x").include(router), fastsio.Namespace)
assert_type(fastsio.EventTimeout("event", 1).timeout, float)

metrics = io.metrics()
assert_type(metrics, fastsio.metrics.Metrics)
assert_type(metrics.packets_sent, int)
assert_type(fastsio.metrics.prometheus(io), str)
