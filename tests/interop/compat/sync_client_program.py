"""A program for python-socketio's blocking clients: python sync_client_program.py LIBRARY URL TRANSPORT.

Prints what it saw as JSON; what differs from run to run is left out.
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
import threading
from typing import Any

socketio = importlib.import_module(sys.argv[1])
URL, TRANSPORTS = sys.argv[2] + "?flavour=salt", sys.argv[3].split(",")
SECONDS = 10
HEADERS = {"X-Token": "secret"}


def shown(value: Any) -> Any:
    """A value as JSON; whether it is a list or a tuple does not show."""
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


class Class(socketio.ClientNamespace):  # type: ignore[misc,name-defined]
    """A class of handlers."""

    def __init__(self, namespace: str, inbox: queue.Queue[Any]) -> None:
        super().__init__(namespace)
        self.inbox = inbox

    def on_connect(self) -> None:
        self.inbox.put("connect")

    def on_disconnect(self) -> None:
        self.inbox.put("disconnect")

    def on_question(self, number: int, data: bytes) -> Any:
        return number, data

    def on_greeted(self, name: str) -> None:
        self.inbox.put(name)


def events(log: dict[str, Any]) -> None:
    sio = socketio.Client(reconnection=False)
    inbox: queue.Queue[Any] = queue.Queue()

    @sio.event
    def connect() -> None:
        inbox.put("connect")

    @sio.event
    def disconnect(reason: str) -> None:
        inbox.put(["disconnect", str(reason)])

    @sio.event
    def question(number: int, data: bytes) -> Any:
        # A blocking call within a handler, which the reply to another has to get past.
        return sio.call("plain", (number, data), timeout=SECONDS)

    @sio.on("*")
    def anything(event: str, *args: Any) -> None:
        inbox.put([event, *args])

    sio.connect(
        URL, headers=HEADERS, auth={"name": "s"}, transports=TRANSPORTS, namespaces="/", wait_timeout=SECONDS
    )
    log["connected"] = [sio.connected, list(sio.namespaces), sio.get_sid() is not None]
    log["transport"] = sio.transport() in TRANSPORTS
    log["first"] = sorted([inbox.get(timeout=SECONDS) for _ in range(2)], key=str)
    log["token"] = sio.call("whoami")["session"]["token"]
    log["several"] = sio.call("several", (1, b"2"))
    log["asks"] = sio.call("asks", ("question", SECONDS))
    answers: queue.Queue[Any] = queue.Queue()
    sio.emit("plain", ("x", [1]), callback=lambda *args: answers.put(args))
    log["callback"] = answers.get(timeout=SECONDS)
    sio.send("text")
    try:
        sio.call("slow", (0.5, "late"), timeout=0.1)
    except socketio.exceptions.TimeoutError:
        log["timeout"] = True
    log["late"] = inbox.get(timeout=SECONDS)
    try:
        sio.emit("x", namespace="/not there")
    except socketio.exceptions.BadNamespaceError as error:
        log["bad namespace"] = str(error)
    waiting = sio.start_background_task(sio.wait)
    sio.emit("kick")
    log["kicked"] = inbox.get(timeout=SECONDS)
    waiting.join(SECONDS)
    log["waited"] = [waiting.is_alive(), sio.connected]
    try:
        sio.connect(URL, auth={"how": "data"}, transports=TRANSPORTS, namespaces="/", wait_timeout=SECONDS)
    except socketio.exceptions.ConnectionError as error:
        log["refused"] = str(error)
    sio.shutdown()


def namespaces(log: dict[str, Any]) -> None:
    sio = socketio.Client(reconnection=False)
    inbox: queue.Queue[Any] = queue.Queue()
    sio.register_namespace(Class("/class", inbox))
    sio.connect(URL, headers=HEADERS, transports=TRANSPORTS, wait_timeout=SECONDS)
    space = sio.namespace_handlers["/class"]
    log["class"] = [inbox.get(timeout=SECONDS), space.call("hello", "you"), inbox.get(timeout=SECONDS)]
    log["class asks"] = space.call("ask")
    space.emit("leave")
    log["class left"] = inbox.get(timeout=SECONDS)
    sio.disconnect()


def simple(log: dict[str, Any]) -> None:
    with socketio.SimpleClient() as sio:
        sio.connect(URL, headers=HEADERS, auth={"name": "s"}, transports=TRANSPORTS)
        log["simple"] = [sio.receive(SECONDS), sio.sid is not None, sio.transport in TRANSPORTS]
        log["simple call"] = sio.call("several", (1, 2))
        sio.emit("background")
        log["simple event"] = sio.receive(SECONDS)
        try:
            sio.receive(0.1)
        except socketio.exceptions.TimeoutError:
            log["simple timeout"] = True
    log["simple end"] = sio.connected


def main() -> None:
    log: dict[str, Any] = {}
    for part in (events, namespaces, simple):
        part(log)
    log["threads"] = threading.current_thread() is threading.main_thread()
    print(json.dumps(shown(log), indent=1, sort_keys=True))


main()
