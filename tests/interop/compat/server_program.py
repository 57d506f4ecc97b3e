"""A program for python-socketio: python server_program.py LIBRARY PORT, where LIBRARY is what it imports."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import uvicorn

socketio = importlib.import_module(sys.argv[1])

sio = socketio.AsyncServer(async_mode="asgi", namespaces=["/", "/class", "/star", "/plain"])
notes: list[Any] = []


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
    auth = auth or {}
    if auth.get("how") == "false":
        return False
    if auth.get("how") == "builtin":
        raise ConnectionRefusedError("no")
    if auth.get("how") == "message":
        raise socketio.exceptions.ConnectionRefusedError("no token")
    if auth.get("how") == "data":
        raise socketio.exceptions.ConnectionRefusedError("no token", {"code": 7})
    if auth.get("how") == "several":
        raise socketio.exceptions.ConnectionRefusedError("no token", 1, [2])
    await sio.save_session(sid, {"name": auth.get("name"), "token": environ.get("HTTP_X_TOKEN")})
    await sio.enter_room(sid, "lobby")
    await sio.emit("welcome", {"name": auth.get("name")}, to=sid)
    await sio.emit("came", auth.get("name"), room="lobby", skip_sid=sid)
    return None


@sio.event
async def disconnect(sid: str, reason: str) -> None:
    session = await sio.get_session(sid)
    rooms = sorted(room for room in sio.rooms(sid) if room != sid)
    await sio.emit("gone", [session["name"], str(reason), rooms], room="lobby", skip_sid=sid)


@sio.event
async def whoami(sid: str) -> dict[str, Any]:
    environ = sio.get_environ(sid)
    assert environ is not None
    async with sio.session(sid) as session:
        session["asked"] = session.get("asked", 0) + 1
    return {
        "session": await sio.get_session(sid),
        "query": "flavour=salt" in environ["QUERY_STRING"],
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "header": environ["HTTP_X_TOKEN"],
        "scope": environ["asgi.scope"]["type"] in ("http", "websocket"),
        "transport": sio.transport(sid),
        "connected": sio.manager.is_connected(sid, "/"),
        "lobby": any(member == sid for member, _ in sio.manager.get_participants("/", "lobby")),
    }


@sio.event
def plain(sid: str, *args: Any) -> Any:
    return args


@sio.on("named differently")
async def another_name(sid: str, value: Any) -> Any:
    return [value]


@sio.event
async def nothing(sid: str) -> None: ...


@sio.event
async def several(sid: str, one: Any, two: Any) -> Any:
    return two, one


@sio.event
async def sends(sid: str) -> None:
    for data in (None, "text", 1.5, [1, 2], (1, 2), {"a": [b"\x00\x01"]}, b"bytes", (), ([],)):
        await sio.emit("data", data, to=sid)
    await sio.send("by send", to=sid)


@sio.event
async def asks(sid: str, event: str, timeout: float) -> Any:
    try:
        return list(await sio.call(event, (1, b"2"), to=sid, timeout=timeout))
    except socketio.exceptions.TimeoutError:
        return "timeout"


@sio.event
async def callback(sid: str) -> None:
    async def answered(*args: Any) -> None:
        await sio.emit("answered", args, to=sid)

    await sio.emit("question", (3, b"4"), to=sid, callback=answered)


@sio.event
async def rooms(sid: str, enter: list[str], leave: list[str]) -> list[str]:
    for room in enter:
        await sio.enter_room(sid, room)
    for room in leave:
        await sio.leave_room(sid, room)
    return sorted(room for room in sio.rooms(sid) if room != sid)


@sio.event
async def say(sid: str, room: Any, skip: bool, what: Any) -> None:
    await sio.emit("said", what, room=room, skip_sid=[sid] if skip else None)


@sio.event
async def close(sid: str, room: str) -> None:
    await sio.close_room(room)


@sio.event
async def fails(sid: str) -> None:
    raise RuntimeError("a handler that fails, as it should")


@sio.event
async def kick(sid: str) -> None:
    await sio.disconnect(sid)
    notes.append(["kicked", sio.rooms(sid), sio.manager.is_connected(sid, "/")])


@sio.event
async def noted(sid: str) -> list[Any]:
    return notes


@sio.event
async def slow(sid: str, seconds: float, what: Any) -> Any:
    await sio.sleep(seconds)
    await sio.emit("slept", what, to=sid)


@sio.event
async def background(sid: str) -> None:
    async def work(value: int, more: int) -> None:
        await sio.sleep(0.01)
        await sio.emit("worked", value + more, to=sid)

    sio.start_background_task(work, 1, more=2)


@sio.on("*")
async def anything(event: str, sid: str, *args: Any) -> Any:
    return ["anything", event, *args]


@sio.on("known", namespace="*")
def known_anywhere(namespace: str, sid: str, *args: Any) -> Any:
    return ["known", namespace, *args]


class Class(socketio.AsyncNamespace):  # type: ignore[misc,name-defined]
    """Handlers of a namespace."""

    def on_connect(self, sid: str, environ: dict[str, Any]) -> None:
        notes.append("class connect")

    async def on_disconnect(self, sid: str) -> None:
        notes.append("class disconnect")

    async def on_hello(self, sid: str, name: str) -> str:
        async with self.session(sid) as session:
            session["name"] = name
        await self.enter_room(sid, "people")
        await self.emit("greeted", name, room="people")
        return f"hello {(await self.get_session(sid))['name']}, {sorted(set(self.rooms(sid)) - {sid})}"

    async def on_ask(self, sid: str) -> Any:
        return list(await self.call("question", (5, b"6"), to=sid, timeout=5))

    async def on_leave(self, sid: str) -> None:
        await self.disconnect(sid)


sio.register_namespace(Class("/class"))


async def other(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application behind."""
    if scope["type"] == "lifespan":
        raise AssertionError("no lifespan here")
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"other " + scope["path"].encode()})


app = socketio.ASGIApp(
    sio, other, static_files={"/program": __file__}, on_startup=lambda: notes.append("started")
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", timeout_graceful_shutdown=1)
