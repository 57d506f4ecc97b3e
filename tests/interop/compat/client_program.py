"""A program for python-socketio's clients: python client_program.py LIBRARY URL TRANSPORT.

Prints what it saw as JSON; what differs from run to run is left out.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import sys
from typing import Any

socketio = importlib.import_module(sys.argv[1])
URL, TRANSPORTS = sys.argv[2] + "?flavour=salt", sys.argv[3].split(",")
SECONDS = 10


def shown(value: Any) -> Any:
    """A value as JSON; whether it is a list or a tuple does not show."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


class Inbox:
    """Events by name, each of which is waited for."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Queue[list[Any]]] = {}

    def _queue(self, event: str) -> asyncio.Queue[list[Any]]:
        return self._events.setdefault(event, asyncio.Queue())

    def put(self, event: str, *args: Any) -> None:
        self._queue(event).put_nowait(list(args))

    async def get(self, event: str) -> list[Any]:
        return await asyncio.wait_for(self._queue(event).get(), SECONDS)

    def left(self) -> list[str]:
        return sorted(event for event, queue in self._events.items() if not queue.empty())


def make(name: str) -> tuple[Any, Inbox]:
    client = socketio.AsyncClient(reconnection=False)
    inbox = Inbox()

    @client.event
    def connect() -> None:
        inbox.put("connect")

    @client.event
    async def disconnect(reason: str) -> None:
        inbox.put("disconnect", str(reason))

    @client.on("connect_error")
    def connect_error(data: Any) -> None:
        inbox.put("connect_error", data)

    @client.event
    async def question(number: int, data: bytes) -> Any:
        return number + 1, data

    @client.event
    async def hesitates(number: int, data: bytes) -> None:
        await asyncio.sleep(0.5)

    @client.on("*")
    def anything(event: str, *args: Any) -> None:
        inbox.put(event, *args)

    return client, inbox


async def connect(client: Any, name: str, **more: Any) -> None:
    await client.connect(
        URL,
        headers={"X-Token": "secret"},
        auth={"name": name, **more},
        transports=TRANSPORTS,
        namespaces=["/"],
        wait_timeout=SECONDS,
    )


async def refusals(log: dict[str, Any]) -> None:
    for how in ("false", "message", "data", "several", "builtin"):
        client, inbox = make(how)
        try:
            await connect(client, how, how=how)
        except socketio.exceptions.ConnectionError as error:
            log[f"refused {how}"] = [str(error), await inbox.get("connect_error"), client.connected]
    client, inbox = make("nowhere")
    try:
        await client.connect("http://127.0.0.1:9", transports=TRANSPORTS)
    except socketio.exceptions.ConnectionError:
        log["nowhere"] = [len(await inbox.get("connect_error")), client.connected]


async def events(log: dict[str, Any]) -> None:
    a, box = make("a")
    await connect(a, "a")
    log["connected"] = [a.connected, list(a.namespaces), await box.get("connect"), a.get_sid() is not None]
    log["transport"] = a.transport() in TRANSPORTS
    log["welcome"] = await box.get("welcome")
    who = await a.call("whoami")
    log["whoami"] = {**who, "transport": who["transport"] in TRANSPORTS}
    log["asked twice"] = (await a.call("whoami"))["session"]["asked"]
    values = (None, 1, (1, 2), [1, 2], {"b": b"\x01"}, b"\xff")
    log["plain"] = [await a.call("plain", data) for data in values]
    log["named"] = await a.call("named differently", "é😀")
    log["nothing"] = await a.call("nothing")
    log["several"] = await a.call("several", ("one", b"two"))
    log["anything"] = await a.call("no such event", (1, b"2"))
    await a.emit("sends")
    log["data"] = [await box.get("data") for _ in range(9)]
    log["send"] = await box.get("message")
    log["asks"] = await a.call("asks", ("question", 5))
    log["asks in vain"] = await a.call("asks", ("hesitates", 0.1))
    await a.emit("callback")
    log["callback"] = await box.get("answered")
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await a.emit("plain", ("x", 1), callback=lambda *args: answered.set_result(args))
    log["own callback"] = await asyncio.wait_for(answered, SECONDS)
    await a.emit("fails")
    log["after a failure"] = await a.call("plain", "still there")
    await a.emit("slow", (0.3, "long"))
    await a.emit("slow", (0.05, "short"))
    log["slept"] = [await box.get("slept"), await box.get("slept")]
    await a.emit("background")
    log["worked"] = await box.get("worked")
    try:
        await a.call("slow", (0.5, "late"), timeout=0.1)
    except socketio.exceptions.TimeoutError:
        log["own timeout"] = True
    await box.get("slept")
    try:
        await a.emit("x", namespace="/not there")
    except socketio.exceptions.BadNamespaceError as error:
        log["bad namespace"] = str(error)

    b, other = make("b")
    await connect(b, "b")
    log["b came"] = await box.get("came")
    await other.get("welcome")
    log["rooms"] = [
        await a.call("rooms", (["r1", "r2"], [])),
        await b.call("rooms", (["r2", "r3"], [])),
        await a.call("rooms", ([], ["r1", "no such room"])),
    ]
    for room, skip in (("r2", False), ("r2", True), (["r2", "r3"], False), ("r3", False), (None, True)):
        await a.emit("say", (room, skip, [room, skip]))
        await a.call("nothing")
        await b.call("nothing")
    log["b heard"] = [await other.get("said") for _ in range(5)]
    log["a heard"] = [await box.get("said") for _ in range(2)]
    await a.call("close", "r2")
    log["closed"] = [await a.call("rooms", ([], [])), await b.call("rooms", ([], []))]
    await b.disconnect()
    (name, _, rooms) = (await box.get("gone"))[0]  # the reason depends on what the server reads first
    log["b left"] = [name, rooms, await other.get("disconnect"), b.connected]
    await a.emit("kick")
    log["kicked"] = await box.get("disconnect")
    c, last = make("c")
    await connect(c, "c")
    log["noted"] = [note for note in await c.call("noted") if note[0] == "kicked"]
    await c.disconnect()
    log["left over"] = [box.left(), [event for event in last.left() if event != "disconnect"]]


class Class(socketio.AsyncClientNamespace):  # type: ignore[misc,name-defined]
    """A class of handlers."""

    def __init__(self, namespace: str, inbox: Inbox) -> None:
        super().__init__(namespace)
        self.inbox = inbox

    def on_connect(self) -> None:
        self.inbox.put("connect")

    async def on_disconnect(self, reason: str) -> None:
        self.inbox.put("disconnect", str(reason))

    async def on_question(self, number: int, data: bytes) -> Any:
        return number, data

    def on_greeted(self, name: str) -> None:
        self.inbox.put("greeted", name)


async def namespaces(log: dict[str, Any]) -> None:
    client = socketio.AsyncClient(reconnection=False)
    inbox = Inbox()
    client.register_namespace(Class("/class", inbox))
    client.on("left", lambda: None, namespace="/star")
    await client.connect(URL, headers={"X-Token": "x"}, transports=TRANSPORTS, wait_timeout=SECONDS)
    log["namespaces"] = sorted(client.namespaces)
    log["ids"] = len({client.get_sid("/class"), client.get_sid("/star"), None}) == 3
    space = client.namespace_handlers["/class"]
    log["class"] = [await inbox.get("connect"), await space.call("hello", "you"), await inbox.get("greeted")]
    log["class asks"] = await space.call("ask")
    log["known anywhere"] = await client.call("known", 1, namespace="/star")
    try:
        await client.call("other", (1, 2), namespace="/star", timeout=0.3)
    except socketio.exceptions.TimeoutError:
        log["not handled"] = True
    await space.emit("leave")
    log["class left"] = [await inbox.get("disconnect"), sorted(client.namespaces)]
    await client.disconnect()
    try:
        await client.connect(URL, transports=TRANSPORTS, namespaces=["/", "/nobody"], wait_timeout=SECONDS)
    except socketio.exceptions.ConnectionError as error:
        log["unknown namespace"] = str(error)


async def simple(log: dict[str, Any]) -> None:
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(URL, headers={"X-Token": "x"}, auth={"name": "s"}, transports=TRANSPORTS)
        log["simple"] = [await client.receive(SECONDS), client.sid is not None]
        log["simple transport"] = client.transport in TRANSPORTS
        log["simple call"] = await client.call("several", (1, 2))
        await client.emit("callback")
        await client.emit("background")
        # The question is an event like any other here.
        log["simple events"] = sorted([(await client.receive(SECONDS))[0] for _ in range(2)])
        try:
            await client.receive(0.1)
        except socketio.exceptions.TimeoutError:
            log["simple timeout"] = True
    try:
        await client.receive(0.1)
    except socketio.exceptions.SocketIOError as error:
        log["simple end"] = type(error).__name__


async def main() -> None:
    log: dict[str, Any] = {}
    for part in (refusals, events, namespaces, simple):
        await part(log)
    print(json.dumps(shown(log), indent=1, sort_keys=True))


asyncio.run(main())
