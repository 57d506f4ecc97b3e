"""The scenario server of the interop tests on fastsio; tests/clients/reference_server.js says what it offers.

    python scenario_server.py '<options as JSON>'

Runs in a process of its own, so that a test can pause it and a client's process never waits for the test's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import uvloop
from handlers import serve_handlers
from under import WORKER_OPTIONS, serve_under, serve_workers

import fastsio
from fastsio.admin import instrument
from fastsio.engine import EngineServer
from fastsio.exceptions import AckTimeout, ConnectionRefused

ENGINE_PARAMETERS = {"EIO", "transport", "t", "b64", "sid", "j"}


def record(**fields: Any) -> None:
    # In one piece: several workers share the output.
    os.write(1, json.dumps(fields).encode() + b"\n")


def describe(value: Any) -> Any:
    """Attachments and their place, as JSON: tells the tests that the server itself saw bytes."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    return value


def check_token(token: str | None) -> None:
    if token == "data":
        raise ConnectionRefused("refused", {"code": 7, "text": "denied"})
    if token != "good":
        raise ConnectionRefused("nope")


async def guard(socket: Any) -> None:
    await asyncio.sleep(0)
    check_token(socket.handshake.auth.get("token") or socket.handshake.query.get("token"))


def guard_root(socket: Any, next: Callable[..., None]) -> None:
    """The same in Node's style."""
    try:
        check_token(socket.handshake.auth.get("token"))
    except ConnectionRefused as refusal:
        next(refusal)
    else:
        next()


def rooms_of(socket: Any) -> list[str]:
    return sorted("<id>" if room == socket.id else room for room in socket.rooms)


def operator(socket: Any, how: dict[str, Any]) -> Any:
    """``how`` names the operators, in the order in which they are applied."""
    target = socket.nsp if how.get("from") == "namespace" else socket
    if how.get("from") == "parent":
        target = socket.nsp.parent
    if how.get("broadcast"):
        target = target.broadcast
    for room in how.get("to", ()):
        target = target.to(room)
    for room in how.get("in", ()):
        target = target.in_(room)
    for room in how.get("except", ()):
        target = target.except_(room)
    return target


def sequence_attachment(number: int) -> tuple[bytes, ...]:
    return (bytes([number & 255, 255]),) if number % 50 == 7 else ()


async def allow_request(request: Any) -> Any:
    await asyncio.sleep(0.02)
    return decide(request)


def decide(request: Any) -> Any:
    """The client says what becomes of its handshake."""
    verdict = request.query.get("verdict")
    if verdict == "raise":
        raise RuntimeError("a hook that fails, as it should")
    if verdict == "refuse":
        raise ConnectionRefused("not today")
    return {"no": False, "message": "not today"}.get(verdict, True)


def serve_socketio(options: dict[str, Any]) -> fastsio.Server:
    root_is_guarded = options.pop("guard_root", False)
    admin_options = options.pop("admin", None)
    if "allow_request" in options:
        options["allow_request"] = allow_request if options["allow_request"] == "async" else decide
    io = fastsio.Server(**options)

    def connection(socket: Any) -> None:
        tag = socket.handshake.query.get("tag")
        namespace = socket.nsp.name
        received = 0
        flooded = 0
        in_order = True

        def note(event: str, **fields: Any) -> None:
            record(tag=tag, namespace=namespace, event=event, **fields)

        note("connect")
        socket.emit("welcome", namespace)
        seen: set[str] = set()
        upgrades: list[str] = []
        for event in ("upgrading", "upgrade"):
            socket.conn.on(event, lambda transport, event=event: upgrades.append(f"{event} {transport.name}"))

        @socket.on("watch conn")
        def watch_conn() -> None:
            conn = socket.conn
            conn.on("packet", lambda packet: seen.add(f"packet {packet.type}"))
            conn.on("packet_create", lambda packet: seen.add(f"packet_create {packet.type}"))
            for event in ("data", "message"):
                conn.on(event, lambda data, event=event: seen.add(f"{event} {type(data).__name__}"))
            conn.on("flush", lambda packets: seen.update(f"flush {packet.type}" for packet in packets))
            conn.on("drain", lambda: seen.add("drain"))
            socket.server.engine.on("drain", lambda conn: conn is socket.conn and seen.add("engine drain"))

        @socket.on("conn report")
        def conn_report() -> dict[str, Any]:
            conn = socket.conn
            facts = [conn.transport.name, conn.ready_state, conn.upgraded, conn.protocol, conn.id != ""]
            return {"seen": sorted(seen), "upgrades": upgrades, "conn": facts}

        @socket.on("disconnecting")
        def disconnecting(reason: str) -> None:
            note("disconnecting", reason=reason, rooms=rooms_of(socket))

        @socket.on("disconnect")
        def disconnect(reason: str) -> None:
            note("disconnect", reason=reason, rooms=rooms_of(socket))

        @socket.on("error")
        def error(failure: Exception) -> None:
            note("error", message=str(failure))

        @socket.on("echo")
        def echo(*args: Any) -> None:
            if args and callable(args[-1]):
                args[-1](*args[:-1])
            else:
                socket.emit("echo", *args)

        @socket.on("message")
        async def message(*args: Any) -> None:
            socket.send(*args)

        @socket.on("describe")
        def describe_event(value: Any) -> Any:
            return describe(value)

        @socket.on("digest")
        async def digest(value: str | bytes) -> dict[str, Any]:
            if isinstance(value, bytes):
                return {"type": "bytes", "length": len(value)}
            # JavaScript counts UTF-16 code units.
            return {"type": "string", "length": len(value.encode("utf-16-le", "surrogatepass")) // 2}

        @socket.on("empty ack")
        def empty_ack() -> None: ...

        @socket.on("no ack")
        def no_ack(ack: Callable[..., None]) -> None: ...

        @socket.on("ask")
        async def ask(style: str, milliseconds: float, event: str, *args: Any) -> None:
            target = socket.timeout(milliseconds / 1000)
            if style == "promise":
                try:
                    socket.emit("answered", "ok", await target.emit_with_ack(event, *args))
                except AckTimeout:
                    socket.emit("answered", "timeout")
            else:
                target.emit(
                    event,
                    *args,
                    lambda failure, *answer: socket.emit(
                        "answered", *(["timeout"] if failure else ["ok", *answer])
                    ),
                )

        @socket.on("whoami")
        def whoami() -> dict[str, Any]:
            query = {
                key: value for key, value in socket.handshake.query.items() if key not in ENGINE_PARAMETERS
            }
            return {
                "id": socket.id,
                "query": query,
                "auth": socket.handshake.auth,
                "rooms": rooms_of(socket),
                "transport": socket.conn.transport,
            }

        @socket.on("join")
        def join(room: str) -> None:
            socket.join(room)

        @socket.on("v2 members")
        def v2_members(attachment: bytes, ack: Callable[..., None]) -> None:
            socket.error({"code": 9})
            socket.json.emit("as json", [1])
            socket.binary(False).emit("as json", attachment)
            socket.binary(True).emit("as bytes", attachment)

            def listed(error: Exception | None, ids: list[str]) -> None:
                socket.leave("v2", lambda: ack(error, socket.id in ids, list(socket.nsp.connected) != []))

            def joined(error: Exception | None) -> None:
                socket.nsp.in_("v2").clients(listed)

            socket.join("v2", joined)

        @socket.on("leave")
        def leave(room: str) -> None:
            socket.leave(room)

        @socket.on("say")
        def say(how: dict[str, Any], event: str, *args: Any) -> None:
            operator(socket, how).emit(event, *args)

        @socket.on("say later")
        async def say_later(milliseconds: float, how: dict[str, Any], event: str, *args: Any) -> None:
            await asyncio.sleep(milliseconds / 1000)
            operator(socket, how).emit(event, *args)

        @socket.on("ask room")
        async def ask_room(
            style: str, milliseconds: float, how: dict[str, Any], event: str, *args: Any
        ) -> None:
            target = operator(socket, how).timeout(milliseconds / 1000)
            if style == "promise":
                try:
                    socket.emit("answered", "ok", await target.emit_with_ack(event, *args))
                except AckTimeout as failure:
                    socket.emit("answered", "timeout", failure.responses)
            else:
                target.emit(
                    event,
                    *args,
                    lambda failure, responses: socket.emit(
                        "answered", "timeout" if failure else "ok", responses
                    ),
                )

        @socket.on("kick")
        def kick(close: bool) -> None:
            socket.disconnect(close)

        @socket.on("kick room")
        def kick_room(room: str, close: bool) -> None:
            socket.nsp.in_(room).disconnect_sockets(close)

        @socket.on("drop")
        def drop() -> None:
            socket.conn.close()

        @socket.on("flood")
        async def flood(count: int) -> None:
            """Bursts with pauses between them, so that they are spread over an upgrade."""
            nonlocal flooded
            last = flooded + count
            while flooded < last:
                for _ in range(20):
                    socket.emit("seq", flooded, *sequence_attachment(flooded))
                    flooded += 1
                await asyncio.sleep(0.008)

        @socket.on("seq")
        def seq(number: int, *attachment: bytes) -> None:
            nonlocal received, in_order
            in_order = in_order and number == received and attachment == sequence_attachment(number)
            received += 1

        @socket.on("seq report")
        def seq_report() -> dict[str, Any]:
            return {"received": received, "in_order": in_order}

        @socket.use
        def forbid(event: list[Any]) -> None:
            if event[0] == "forbidden":
                raise ConnectionRefused("forbidden event", {"code": 8})

    if root_is_guarded:
        io.use(guard_root)
    io.of("/guarded").use(guard)
    for namespace in ("/", "/chat", "/guarded", re.compile(r"^/dyn-\d+$")):
        io.of(namespace).on("connection", connection)
    serve_handlers(io)
    if admin_options is not None:
        instrument(io, **admin_options)
    return io


def serve_engineio(options: dict[str, Any]) -> EngineServer:
    engine = EngineServer(**options)

    @engine.on("connection")
    def connection(session: Any) -> None:
        tag = session.request.query.get("tag")
        record(tag=tag, event="connect", id=session.id)

        @session.on("close")
        def close(reason: str) -> None:
            record(tag=tag, event="close", reason=reason)

        @session.on("message")
        def message(data: str | bytes) -> None:
            if data == "close":
                session.close()
            elif data == "transport":
                session.send(session.transport)
            else:
                session.send(data)

    return engine


def make_server(options: dict[str, Any]) -> Any:
    kind = options.pop("kind", "socketio")
    return serve_engineio(options) if kind == "engineio" else serve_socketio(options)


async def main(options: dict[str, Any]) -> None:
    under = options.pop("under", None)
    if under == "workers":
        # Which print what they see themselves.
        port, close = await serve_workers(options)
    elif under is not None:
        port, close = await serve_under(under, make_server(options))
    else:
        server = make_server(options)
        await server.listen(0, host="127.0.0.1")
        port, close = server.port, server.close
    record(event="listening", port=port)

    commands: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: commands.put_nowait(os.read(0, 4096)))
    while await commands.get() == b"close\n":
        await close()
        record(event="closed")
    loop.remove_reader(0)
    await close()


if WORKER_OPTIONS in os.environ:
    io = make_server(json.loads(os.environ[WORKER_OPTIONS]))

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    uvloop.run(main(json.loads(sys.argv[1])))
