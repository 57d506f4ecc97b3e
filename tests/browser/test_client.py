"""The browser client of this project in a real browser, against fastsio and socket.io 4.8 for Node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .conftest import Server, free_port

SERVERS = Path(__file__).with_name("servers")
PROGRAMS = {"fastsio": SERVERS / "fastsio_server.py", "node": SERVERS / "node_server.js"}

MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}

Start = Callable[[], Server]

#: What the pages of the tests use beside the client.
HELPERS = """
window.next = (emitter, event, milliseconds = 8000) => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`no ${event} within ${milliseconds} ms`)), milliseconds);
  emitter.once(event, (...args) => { clearTimeout(timer); resolve(args); });
});
window.connect = async (namespace = "/", options = {}) => {
  const socket = io(namespace, { reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  if (!socket.connected) await next(socket, "connect");
  return socket;
};
window.websocket = async ({ io: { engine } }) => {
  if (engine.transport.name !== "websocket") await next(engine, "upgrade");
};
"""


@pytest.fixture(params=list(PROGRAMS))
def start(request: pytest.FixtureRequest, serve: Callable[[Path, int], Server]) -> Start:
    """``start()``: start one of the servers, again on the same port."""
    port = free_port()
    return lambda: serve(PROGRAMS[request.param], port)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """``visit(url)``: a tab; failed requests may be part of a test, but no exception."""
    problems: list[str] = []
    contexts = []

    def open_one(url: str) -> Page:
        context = browser.new_context()
        contexts.append(context)
        context.add_init_script(HELPERS)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("mode", MODES)
def test_events_acks_and_binary(mode: str, start: Start, visit: Callable[[str], Page]) -> None:
    page = visit(start().url)
    result: dict[str, Any] = page.evaluate(
        """async (mode) => {
          const socket = await connect("/", mode === "upgrade" ? {} : { transports: [mode] });
          const found = {};
          if (mode === "upgrade") await websocket(socket);
          found.transport = await socket.emitWithAck("transport");
          found.echo = await new Promise((resolve) =>
            socket.emit("echo", 1, "zwei 😀", [null, { a: 1.5 }], (...args) => resolve(args)));
          const view = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
          found.described = await socket.emitWithAck("describe", {
            buffer: new Uint8Array([3]).buffer, view, words: new Uint16Array([258]),
            deep: [{ blob: new Blob(["blob"]), file: new File(["file"], "name.txt") }],
          });
          // Large enough to be read and sent in parts, and what follows does not overtake it.
          const order = [];
          await Promise.all([
            socket.emitWithAck("size", new Blob([new Uint8Array(600000)])).then((size) => order.push(size)),
            socket.emitWithAck("echo", "after").then((text) => order.push(text)),
          ]);
          found.order = order;
          const back = await socket.emitWithAck("echo", { bytes: new Uint8Array([1, 2, 3]) });
          found.back = [back.bytes.constructor.name, [...new Uint8Array(back.bytes)]];
          socket.disconnect();
          return found;
        }""",
        mode,
    )
    assert result == {
        "transport": "polling" if mode == "polling" else "websocket",
        "echo": [1, "zwei 😀", [None, {"a": 1.5}]],
        "described": {
            "buffer": {"bytes": "03"},
            "view": {"bytes": "0102"},
            "words": {"bytes": "0201"},
            "deep": [{"blob": {"bytes": "626c6f62"}, "file": {"bytes": "66696c65"}}],
        },
        "order": [600000, "after"],
        "back": ["ArrayBuffer", [1, 2, 3]],
    }


@pytest.mark.parametrize("mode", MODES)
def test_two_namespaces_of_one_page(mode: str, start: Start, visit: Callable[[str], Page]) -> None:
    page = visit(start().url)
    assert page.evaluate(
        """async (transports) => {
          const [one, other] = [io("/", { transports }), io("/other")];
          const welcomes = await Promise.all([one, other].map((socket) => next(socket, "welcome")));
          const names = welcomes.map(([name]) => name);
          const refused = io("/guarded", { auth: { token: "bad" } });
          const [error] = await next(refused, "connect_error");
          const left = next(one, "disconnect");
          one.disconnect();
          return {
            names, shared: one.io === other.io && refused.io === one.io, reason: (await left)[0],
            error: [error.message, error.data], still: await other.emitWithAck("echo", "still here"),
          };
        }""",
        MODES[mode],
    ) == {
        "names": ["/", "/other"],
        "shared": True,
        "reason": "io client disconnect",
        "error": ["no entry", {"code": 7}],
        "still": "still here",
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_server_restart(mode: str, start: Start, visit: Callable[[str], Page]) -> None:
    server = start()
    page = visit(server.url)
    page.evaluate(
        """async (mode) => {
          window.socket = await connect("/", mode === "upgrade" ? {} : { transports: [mode] });
          if (mode === "upgrade") await websocket(socket);
          window.gone = next(socket, "disconnect");
          window.back = next(socket.io, "reconnect");
        }""",
        mode,
    )
    server.stop()
    assert page.evaluate("async () => (await gone)[0]") in ("transport close", "transport error")
    page.evaluate("() => { window.answers = [1, 2, 3].map((number) => socket.emitWithAck('echo', number)); }")
    start()
    assert page.evaluate("async () => (await back)[0]") >= 1
    assert page.evaluate("async () => Promise.all(answers)") == [1, 2, 3]


@pytest.mark.parametrize("mode", MODES)
def test_offline_and_online(mode: str, start: Start, visit: Callable[[str], Page]) -> None:
    page = visit(start().url)
    page.evaluate(
        """async (mode) => {
          window.socket = await connect("/", mode === "upgrade" ? {} : { transports: [mode] });
          if (mode === "upgrade") await websocket(socket);
          window.gone = next(socket, "disconnect");
          window.failed = next(socket, "connect_error");
        }""",
        mode,
    )
    page.context.set_offline(True)
    assert page.evaluate(
        "async () => { const [reason, { description }] = await gone; return [reason, description]; }"
    ) == [
        "transport close",
        "network connection lost",
    ]
    assert page.evaluate(
        """async () => {
          await failed;
          window.answer = socket.emitWithAck("echo", "kept");
          return [socket.connected, socket.active, socket.sendBuffer.length];
        }"""
    ) == [False, True, 1]
    page.context.set_offline(False)
    assert page.evaluate("() => answer") == "kept"


@pytest.mark.parametrize("mode", ["polling", "websocket"])
def test_a_page_left_says_so(mode: str, start: Start, visit: Callable[[str], Page]) -> None:
    url = start().url
    leaver, witness = visit(url), visit(url)
    leaver.evaluate("(mode) => connect('/', { transports: [mode] })", mode)
    witness.evaluate("async () => { window.left = next(await connect(), 'left', 1500); }")
    leaver.goto("about:blank")
    # The browser's end of the poll may overtake the goodbye.
    reasons = ["transport close", "transport error"] if mode == "polling" else ["transport close"]
    assert witness.evaluate("async () => (await left)[0]") in reasons


def test_the_module(serve: Callable[[Path, int], Server], visit: Callable[[str], Page]) -> None:
    page = visit(serve(PROGRAMS["fastsio"], free_port()).url)
    assert page.evaluate(
        """async () => {
          const client = await import("/socket.io/socket.io.esm.min.js");
          const socket = new client.Manager(location.origin).socket("/");
          await next(socket, "connect");
          const map = await (await fetch("/socket.io/socket.io.esm.min.js.map")).json();
          return [client.io === client.default, socket.connected, map.sources.includes("client/socket.js")];
        }"""
    ) == [True, True, True]
