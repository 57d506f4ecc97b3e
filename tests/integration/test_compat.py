"""``fastsio.compat.socketio``: what the programs of tests/interop/test_compat.py do not show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import serve_asgi
from tests.support.wire import http

import fastsio
from fastsio.compat import socketio
from fastsio.exceptions import OptionError


@contextlib.asynccontextmanager
async def serve(sio: socketio.AsyncServer, **options: Any) -> AsyncIterator[str]:
    """The URL of a server."""
    async with serve_asgi(socketio.ASGIApp(sio, **options)) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[socketio.AsyncClient]:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, transports=["websocket"], wait_timeout=5, **options)
    try:
        yield client
    finally:
        await client.disconnect()


async def eventually(condition: Callable[[], Any]) -> None:
    end = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


# ---- the server


async def test_events_of_the_connect_handler_reach_a_client_that_is_not_accepted_yet() -> None:
    sio = socketio.AsyncServer()
    acked: list[Any] = []

    @sio.event
    async def connect(sid: str, environ: Any) -> None:
        await sio.enter_room(sid, "room")
        assert sio.rooms(sid) and set(sio.rooms(sid)) == {sid, "room"}
        await sio.emit("to all", 1)
        await sio.emit("to room", 2, room="room")
        await sio.emit("to another", 3, room="other")
        await sio.emit("to others", 4, skip_sid=sid)
        await asyncio.sleep(0.01)
        await sio.emit("to it", 5, to=sid, callback=acked.append)

    seen: list[Any] = []
    async with serve(sio) as url:
        client = socketio.AsyncClient()
        client.on("*", lambda event, *args: seen.append([event, *args]))
        await client.connect(url, wait_timeout=5)
        await eventually(lambda: len(seen) == 3 or acked)
        await client.disconnect()
    assert seen == [["to all", 1], ["to room", 2], ["to it", 5]]


async def test_nothing_is_left_of_those_who_are_refused_or_gone() -> None:
    sio = socketio.AsyncServer()

    @sio.event
    async def connect(sid: str, environ: Any, auth: Any) -> bool:
        await sio.enter_room(sid, "room")
        return not auth

    async with serve(sio) as url:
        for _ in range(3):
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with connected(url, auth={"no": 1}):
                    pass
        async with connected(url) as client:
            assert set(sio.manager.rooms["/"]) == {client.get_sid(), "room"}
        await eventually(lambda: not sio.manager.rooms["/"])
        assert sio._aside == {}


async def test_a_connect_handler_that_fails_tells_the_client_nothing(caplog: Any) -> None:
    sio = socketio.AsyncServer()

    @sio.event
    def connect(sid: str, environ: Any) -> None:
        raise RuntimeError("a secret")

    async with serve(sio) as url:
        client = fastsio.Client(url, reconnection=False)
        with pytest.raises(fastsio.ConnectError) as caught:
            await client.connect()
        assert str(caught.value.refused["/"]) == "Connection rejected by server"
    assert "a secret" in caplog.text


async def test_always_connect() -> None:
    sio = socketio.AsyncServer(always_connect=True)
    order: list[str] = []

    @sio.event
    async def connect(sid: str, environ: Any, auth: Any) -> bool:
        await sio.emit("early", to=sid)
        await asyncio.sleep(0.05)
        return not auth

    @sio.event
    def disconnect(sid: str, reason: str) -> None:
        order.append(reason)

    async with serve(sio) as url:
        async with connected(url) as client:
            assert client.connected
        client = socketio.AsyncClient(reconnection=False)
        client.on("early", lambda: order.append("early"))
        client.on("disconnect", lambda reason: order.append(f"client: {reason}"))
        await client.connect(url, auth={"no": 1}, wait_timeout=5)
        await asyncio.wait_for(client.wait(), 5)
        await eventually(lambda: len(order) == 4)
    assert sorted(order) == ["client disconnect", "client: server disconnect", "early", "server disconnect"]


@pytest.mark.parametrize(("async_handlers", "order"), [(True, ["short", "long"]), (False, ["long", "short"])])
async def test_async_handlers(async_handlers: bool, order: list[str]) -> None:
    sio = socketio.AsyncServer(async_handlers=async_handlers)
    done: list[str] = []

    @sio.event
    async def work(sid: str, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        done.append(name)

    async with serve(sio) as url, connected(url) as client:
        await client.emit("work", ("long", 0.2))
        await client.emit("work", ("short", 0.01))
        await eventually(lambda: len(done) == 2)
    assert done == order


async def test_namespaces_of_any_name() -> None:
    sio = socketio.AsyncServer(namespaces="*")

    @sio.event(namespace="*")
    def where(namespace: str, sid: str) -> str:
        return namespace

    names = ["/", "/a", "/b/c"]
    async with serve(sio) as url, connected(url, namespaces=names) as client:
        assert [await client.call("where", namespace=name) for name in names] == names


async def test_only_the_namespaces_named() -> None:
    sio = socketio.AsyncServer(namespaces=["/chat"])
    async with serve(sio) as url:
        async with connected(url, namespaces="/chat") as client:
            assert list(client.namespaces) == ["/chat"]
        for name in ("/", "/other"):
            with pytest.raises(socketio.exceptions.ConnectionError, match=name):
                async with connected(url, namespaces=name):
                    pass


async def test_a_class_that_sees_every_event() -> None:
    seen: list[Any] = []

    class All(socketio.AsyncNamespace):
        async def trigger_event(self, event: str, *args: Any) -> Any:
            seen.append((event, len(args)))
            return await super().trigger_event(event, *args)

        def on_known(self, sid: str) -> str:
            return "known"

    sio = socketio.AsyncServer()
    sio.register_namespace(All("/all"))
    async with serve(sio) as url:
        async with connected(url, namespaces=["/all"]) as client:
            assert await client.call("known", namespace="/all") == "known"
            assert await client.call("unknown", (1, 2), namespace="/all") is None
        await eventually(lambda: len(seen) == 4)
    assert seen == [("connect", 3), ("known", 1), ("unknown", 3), ("disconnect", 2)]


async def test_those_who_are_not_there() -> None:
    sio = socketio.AsyncServer()
    await sio.emit("nobody", to="nobody", namespace="/nowhere")
    await sio.disconnect("nobody")
    await sio.leave_room("nobody", "room")
    await sio.close_room("room")
    assert (sio.rooms("nobody"), sio.get_environ("nobody"), list(sio.manager.get_participants("/", "x"))) == (
        [],
        None,
        [],
    )
    with pytest.raises(ValueError, match="nobody"):
        await sio.enter_room("nobody", "room")
    for call in (sio.get_session("nobody"), sio.save_session("nobody", {})):
        with pytest.raises(KeyError, match="nobody"):
            await call
    with pytest.raises(KeyError, match="nobody"):
        sio.transport("nobody")
    with pytest.raises(ValueError, match="broadcast"):
        await sio.call("event")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"async_mode": "aiohttp"}, "ASGIApp"),
        ({"cors_allowed_origin": "*"}, "cors_allowed_origin"),
        ({"serializer": "pickle"}, "serializer"),
        ({"cors_allowed_origins": lambda origin, environ: True}, "environ"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        socketio.AsyncServer(**options)


def test_options_by_their_names_here() -> None:
    sio = socketio.AsyncServer(
        async_mode="asgi",
        logger=True,
        engineio_logger=True,
        monitor_clients=True,
        ping_interval=(10, 3),
        ping_timeout=7,
        cors_allowed_origins=["https://a.example", "*"],
        cors_credentials=False,
        compression_threshold=77,
        cookie={"name": "io", "SameSite": "Strict", "httpOnly": False},
        max_http_buffer_size=5,
    )
    logging.getLogger("fastsio").setLevel(logging.NOTSET)
    options = sio.io.engine.options
    assert (options.ping_interval, options.ping_timeout, options.max_http_buffer_size) == (10, 10, 5)
    assert options.cors == {"origin": "*", "credentials": False}
    assert options.http_compression == {"threshold": 77}
    assert options.cookie == {"name": "io", "same_site": "Strict", "http_only": False}
    assert socketio.AsyncServer(cors_allowed_origins=[]).io.engine.options.cors == {
        "origin": "*",
        "credentials": False,
    }


@pytest.mark.parametrize("options", [{"serializer": "msgpack"}, {"json": json}])
async def test_other_ways_to_write(options: dict[str, Any]) -> None:
    sio = socketio.AsyncServer(**options)
    sio.on("echo", lambda sid, data: data)
    async with serve(sio) as url:
        client = socketio.AsyncClient(**options)
        await client.connect(url, wait_timeout=5)
        assert await client.call("echo", {"a": [b"\x00"], "b": "é"}) == {"a": [b"\x00"], "b": "é"}
        await client.disconnect()


def test_what_is_not_there_says_what_is() -> None:
    with pytest.raises(AttributeError, match="there is ASGIApp"):
        socketio.WSGIApp  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        socketio.Nothing  # noqa: B018
    sio = socketio.AsyncServer()
    with pytest.raises(NotImplementedError, match="ASGIApp"):
        sio.attach(object())
    with pytest.raises(ValueError, match="AsyncNamespace"):
        sio.register_namespace(object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes a ClientNamespace"):
        socketio.Client().register_namespace(object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="AsyncClientNamespace"):
        socketio.AsyncClient().register_namespace(object())  # type: ignore[arg-type]


async def test_admin_ui() -> None:
    sio = socketio.AsyncServer()
    sio.instrument(auth={"username": "admin", "password": "secret"}, mode="production")
    with pytest.raises(OptionError):
        sio.instrument(auth=["no"], namespace="/other")
    async with serve(sio) as url:
        login = {"username": "admin", "password": "secret"}
        async with connected(url, namespaces=["/admin"], auth=login) as client:
            assert client.connected
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with connected(url, namespaces=["/admin"], auth={**login, "password": "wrong"}):
                pass


# ---- the application


async def test_application(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("index")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    order: list[str] = []

    async def stop() -> None:
        order.append("stop")

    sio = socketio.AsyncServer()
    files = {
        "/": str(tmp_path / "index.html"),
        "/named": {"filename": str(tmp_path / "index.html"), "content_type": "text/html"},
        "/files": str(tmp_path / "files"),
    }
    application = socketio.ASGIApp(
        sio,
        static_files=files,
        socketio_path="/deep/path/",
        on_startup=lambda: order.append("start"),
        on_shutdown=stop,
    )
    async with serve_asgi(application) as port:
        assert order == ["start"]
        assert [(await http(port, path)).body for path in ("/", "/named", "/files/a.txt")] == [
            b"index",
            b"index",
            b"a",
        ]
        assert (await http(port, "/nothing")).status == 404
        async with connected(f"http://127.0.0.1:{port}", socketio_path="deep/path") as client:
            assert client.transport() == "websocket"
    assert order == ["start", "stop"]


# ---- the client


async def test_a_client_comes_back() -> None:
    sio = socketio.AsyncServer()
    log: list[str] = []
    async with serve(sio) as url:
        client = socketio.AsyncClient(reconnection_delay=0.05, randomization_factor=0)
        client.on("connect", lambda: log.append("connect"))
        client.on("disconnect", lambda reason: log.append(reason))
        await client.connect(url, transports="websocket", wait_timeout=5)
        first = client.sid
        waiting = asyncio.create_task(client.wait())
        for session in list(sio.io.engine.clients.values()):
            session.close()
        await eventually(lambda: len(log) == 3 and client.connected)
        assert client.sid is not None and client.sid != first
        assert not waiting.done()
        await client.disconnect()
        await asyncio.wait_for(waiting, 5)
    assert log == ["connect", "transport close", "connect", "client disconnect"]


async def test_a_client_gives_up() -> None:
    sio = socketio.AsyncServer()
    log: list[str] = []
    async with serve(sio) as url:
        client = socketio.AsyncClient(reconnection_attempts=1, reconnection_delay=0.05, request_timeout=1)
        client.on("disconnect", lambda: log.append("disconnect"))
        client.on("__disconnect_final", lambda: log.append("final"))
        await client.connect(url, transports=["websocket"], wait_timeout=5)
    await asyncio.wait_for(client.wait(), 10)
    assert log == ["disconnect", "final"]
    await client.disconnect()


async def test_values_that_functions_give() -> None:
    sio = socketio.AsyncServer()
    seen: list[Any] = []

    @sio.event
    def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        seen.append((environ["HTTP_X_A"], auth))

    async with serve(sio) as url:

        async def headers() -> dict[str, str]:
            return {"X-A": "1"}

        client = socketio.AsyncClient()
        await client.connect(lambda: url, headers=headers, auth=lambda: {"b": 2}, wait=False)
        await eventually(lambda: client.namespaces)
        with pytest.raises(socketio.exceptions.ConnectionError, match="Already"):
            await client.connect(url)
        await client.shutdown()
    assert seen == [("1", {"b": 2})]


async def test_a_simple_client_waits_for_its_connection() -> None:
    sio = socketio.AsyncServer()
    sio.on("echo", lambda sid, data: data)
    async with serve(sio) as url:
        async with socketio.AsyncSimpleClient(reconnection_delay=0.05, randomization_factor=0) as client:
            await client.connect(url, transports=["websocket"])
            with pytest.raises(RuntimeError, match="Already"):
                await client.connect(url)
            for session in list(sio.io.engine.clients.values()):
                session.close()
            await eventually(lambda: client.sid is None)
            assert await client.call("echo", 1) == 1
        with pytest.raises(socketio.exceptions.DisconnectedError):
            await client.emit("echo", 1)
