"""Options as a browser sees them: cookie, CORS, JSONP and compression, with official clients in a page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

import fastsio
from fastsio.engine.request import Headers, Request
from fastsio.engine.sink import FunctionSink

from .conftest import Live

CLIENTS = Path(__file__).parents[1] / "clients" / "node_modules"
SCRIPTS = {
    "v2": CLIENTS / "sio-client-2" / "dist" / "socket.io.js",
    "v4": CLIENTS / "sio-client-4" / "dist" / "socket.io.js",
    "engine-v3": CLIENTS / "eio-client-3" / "engine.io.js",
}
BLANK = {"/": Path(__file__).with_name("servers") / "blank.html"}

#: What the page does with a client: connects and gives the socket, or the error.
HELPERS = """
window.within = (promise, what) => Promise.race([promise, new Promise((_, reject) =>
  setTimeout(() => reject(new Error(`no ${what} within 8 s`)), 8000))]);
window.connect = (url, options) => within(new Promise((resolve) => {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  socket.once("connect", () => resolve({ socket }));
  socket.once("connect_error", (error) => resolve({ error }));
}), "connection");
window.call = (socket, ...args) => within(new Promise((resolve) =>
  socket.emit(...args, (answer) => resolve(answer))), "answer");
window.onWebSocket = ({ io: { engine } }) => within(new Promise((resolve) =>
  engine.transport.name === "websocket" ? resolve() : engine.once("upgrade", resolve)), "upgrade");
window.hex = (value) => [...new Uint8Array(value)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
"""

Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """``visit(origin, client)``: the blank page there with one of the clients; requests may be refused."""
    problems: list[str] = []
    contexts = []

    def open_one(origin: str, client: str = "v4", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(origin)
        page.add_script_tag(path=SCRIPTS[client])
        page.add_script_tag(content=HELPERS)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


def echo(io: fastsio.Server) -> None:
    @io.on("connection")
    def connection(socket: fastsio.Socket) -> None:
        socket.on("echo", lambda value: value)
        socket.on("describe", lambda value: value.hex() if isinstance(value, bytes) else repr(value))
        socket.on("text", lambda size: "x" * size)


class Log:
    """The requests of one server, in order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, io: fastsio.Server) -> None:
        echo(io)
        io.engine.on("headers", self._on_headers)

    def _on_headers(self, headers: Headers, request: Request) -> None:
        if "transport" in request.query:
            self.requests.append(request)

    def values(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.requests]


# -- cookie -----------------------------------------------------------------------------------------------


def handshake_cookie(page: Page, origin: str, **options: Any) -> dict[str, Any]:
    """Connects; the cookie that the browser keeps of it, its value replaced if it is the session's id."""
    sid = page.evaluate(
        """async ([url, options]) => {
          const { socket, error } = await connect(url, options);
          if (error) throw error;
          return socket.io.engine.id;
        }""",
        [origin, options],
    )
    (cookie,) = page.context.cookies()
    assert cookie["value"] == quote(sid)
    return {key: value for key, value in cookie.items() if key != "value"}


def test_cookie_by_default_is_the_reference_s(live: Live, visit: Visit) -> None:
    origin = live.serve(echo, cookie=True, static_files=BLANK)
    page = visit(origin)
    assert handshake_cookie(page, origin, transports=["polling"]) == {
        "name": "io",
        "domain": "127.0.0.1",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("same_site", ["strict", "lax", "none"])
def test_every_attribute_of_the_cookie(same_site: str, live: Live, visit: Visit) -> None:
    """Browsers hold names below localhost, which are this machine, for as safe as https."""
    port = live.serve(
        echo,
        static_files=BLANK,
        cookie={
            "name": "node",
            "path": "/socket.io/",
            "domain": "app.localhost",
            "max_age": 3600,
            "http_only": False,
            "secure": True,
            "same_site": same_site,
        },
    ).rpartition(":")[2]
    origin = f"http://www.app.localhost:{port}"
    page = visit(origin)
    cookie = handshake_cookie(page, origin, transports=["polling"])
    assert 3500 < cookie.pop("expires") - time.time() < 3700
    assert cookie == {
        "name": "node",
        "domain": ".app.localhost",
        "path": "/socket.io/",
        "httpOnly": False,
        "secure": True,
        "sameSite": same_site.capitalize(),
    }


def test_a_cookie_for_scripts_that_expires(live: Live, visit: Visit) -> None:
    expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)
    origin = live.serve(
        echo, static_files=BLANK, cookie={"expires": expires, "http_only": False, "same_site": None}
    )
    page = visit(origin)
    cookie = handshake_cookie(page, origin, transports=["polling"])
    # Browsers put the server's clock, of which they see whole seconds, right by theirs.
    assert abs(cookie["expires"] - expires.timestamp()) <= 2 and not cookie["httpOnly"]
    assert page.evaluate("document.cookie").startswith("io=")


def test_the_cookie_comes_back_with_each_request_and_is_set_once(live: Live, visit: Visit) -> None:
    log = Log()
    origin = live.serve(log, cookie="node", static_files=BLANK)
    page = visit(origin)
    assert handshake_cookie(page, origin)["name"] == "node"
    assert page.evaluate("async (url) => call((await connect(url)).socket, 'echo', 1)", origin) == 1
    handshake, *others = log.requests[:4]
    assert "cookie" not in handshake.headers
    sid = others[0].query["sid"]
    assert {request.headers["cookie"] for request in others} == {f"node={quote(sid)}"}


def test_a_websocket_session_has_no_cookie(live: Live, visit: Visit) -> None:
    origin = live.serve(echo, cookie=True, static_files=BLANK)
    page = visit(origin)
    assert page.evaluate(
        "async (url) => call((await connect(url, { transports: ['websocket'] })).socket, 'echo', 1)", origin
    )
    assert page.context.cookies() == []


# -- CORS -------------------------------------------------------------------------------------------------

#: Ways to name an origin; each is called with the page's.
NAMED: dict[str, Callable[[str], Any]] = {
    "star": lambda origin: "*",
    "true": lambda origin: True,
    "string": lambda origin: origin,
    "list": lambda origin: ["https://a.example", origin],
    "pattern": lambda origin: re.compile(rf"^{re.escape(origin)}$"),
    "callable": lambda origin: lambda given: given == origin,
    "dict": lambda origin: {"origin": [re.compile("^https:"), origin]},
}
#: Ways to name others.
OTHERS: dict[str, Callable[[str], Any]] = {
    "none": lambda origin: None,
    "false": lambda origin: False,
    "string": lambda origin: "https://a.example",
    "list": lambda origin: ["https://a.example", re.compile(r"^https://.*\.example$")],
    "pattern": lambda origin: re.compile("^https:"),
    "callable": lambda origin: lambda given: False,
    "dict": lambda origin: {"origin": "https://a.example", "credentials": True},
}
MODES: dict[str, dict[str, Any]] = {
    "polling": {"transports": ["polling"]},
    "websocket": {"transports": ["websocket"]},
}

ECHO = """async ([url, options]) => {
  const { socket, error } = await connect(url, options);
  if (error) return error.message;
  return [await call(socket, "echo", "é"), await call(socket, "describe", new Uint8Array([1, 255]).buffer)];
}"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", ["v2", "v4"])
@pytest.mark.parametrize("way", NAMED)
def test_an_origin_that_is_named(way: str, client: str, mode: str, live: Live, visit: Visit) -> None:
    """The client of v2 sends credentials unless told otherwise, which its server always allowed."""
    page_origin = live.serve(static_files=BLANK)
    origin = live.serve(echo, cors=NAMED[way](page_origin))
    page = visit(page_origin, client)
    assert page.evaluate(ECHO, [origin, MODES[mode]]) == ["é", "01ff"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", OTHERS)
def test_an_origin_that_is_not(
    way: str, mode: str, live: Live, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """Not over WebSocket either, where the browser leaves it to the server."""
    page_origin = live.serve(static_files=BLANK)
    origin = live.serve(echo, cors=OTHERS[way](page_origin))
    page = visit(page_origin)
    error = "websocket error" if mode == "websocket" else "xhr poll error"
    assert page.evaluate(ECHO, [origin, MODES[mode]]) == error
    assert f"origin {page_origin!r} refused" in caplog.text


@pytest.mark.parametrize("client", ["v2", "v4"])
def test_credentials(client: str, live: Live, visit: Visit) -> None:
    page_origin = live.serve(static_files=BLANK)
    log = Log()
    origin = live.serve(log, cors={"origin": page_origin, "credentials": True}, cookie=True)
    page = visit(page_origin, client)
    options = {"transports": ["polling"], "withCredentials": True}
    assert page.evaluate(ECHO, [origin, options]) == ["é", "01ff"]
    sid = log.requests[-1].query["sid"]
    asked = [request for request in log.requests if request.method in ("GET", "POST")][1:]
    assert len(asked) >= 3
    assert {request.headers.get("cookie") for request in asked} == {f"io={quote(sid)}"}


def test_credentials_that_are_not_allowed(live: Live, visit: Visit) -> None:
    page_origin = live.serve(static_files=BLANK)
    options = {"transports": ["polling"], "withCredentials": True}
    for cors in (page_origin, {"origin": "*", "credentials": True}):
        page = visit(page_origin)
        assert page.evaluate(ECHO, [live.serve(echo, cors=cors), options]) == "xhr poll error"


@pytest.mark.parametrize(
    ("cors", "allowed"),
    [
        ({}, True),
        ({"allowed_headers": ["x-token", "x-other"]}, True),
        ({"allowed_headers": "x-token"}, True),
        ({"allowed_headers": ["x-other"]}, False),
        ({"options_success_status": 200, "max_age": 60}, True),
    ],
)
def test_preflight(cors: dict[str, Any], allowed: bool, live: Live, visit: Visit) -> None:
    """A header of the application's has the browser ask before each request."""
    page_origin = live.serve(static_files=BLANK)
    log = Log()
    origin = live.serve(log, cors={"origin": page_origin, **cors})
    options = {"transports": ["polling"], "extraHeaders": {"x-token": "secret"}}
    result = visit(page_origin).evaluate(ECHO, [origin, options])
    first = log.requests[0]
    assert first.method == "OPTIONS" and first.headers["access-control-request-headers"] == "x-token"
    assert result == (["é", "01ff"] if allowed else "xhr poll error")
    others = [request for request in log.requests if request.method != "OPTIONS"]
    assert bool(others) is allowed
    assert all(request.headers["x-token"] == "secret" for request in others)


def test_exposed_headers(live: Live, visit: Visit) -> None:
    page_origin = live.serve(static_files=BLANK)

    def name_the_node(io: fastsio.Server) -> None:
        io.engine.on("initial_headers", lambda headers, request: headers.append(("X-Node", "7")))

    seen = []
    for exposed in ("X-Node", None):
        origin = live.serve(name_the_node, cors={"origin": page_origin, "exposed_headers": exposed})
        seen.append(
            visit(page_origin).evaluate(
                """async (url) => {
                  const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
                  return response.headers.get("x-node");
                }""",
                origin,
            )
        )
    assert seen == ["7", None]


# -- JSONP ------------------------------------------------------------------------------------------------

TEXTS = [
    "",
    "é😀\u2028\u2029",
    "line\nfeed",
    "back\\slash\\n",
    '"quotes"',
    "</script><!--",
    "a+b&c=d%20",
    "x" * 70_000,
]


def check_jsonp(page: Page, origin: str) -> None:
    options = {"forceJSONP": True, "transports": ["polling"]}
    result = page.evaluate(
        """async ([url, options, texts]) => {
          const { socket, error } = await connect(url, options);
          if (error) throw error;
          const found = { jsonp: "index" in socket.io.engine.transport, texts: [] };
          for (const text of texts) found.texts.push(await call(socket, "echo", text));
          found.described = await call(socket, "describe", new Uint8Array([1, 2, 255]).buffer);
          found.bytes = hex(await call(socket, "echo", new Uint8Array([0, 254]).buffer));
          found.scripts = document.querySelectorAll("script[src*=EIO]").length;
          const gone = within(new Promise((resolve) => socket.once("disconnect", resolve)), "disconnect");
          socket.disconnect();
          found.reason = await gone;
          return found;
        }""",
        [origin, options, TEXTS],
    )
    assert result["scripts"] > 0
    assert {key: value for key, value in result.items() if key != "scripts"} == {
        "jsonp": True,
        "texts": TEXTS,
        "described": "0102ff",
        "bytes": "00fe",
        "reason": "io client disconnect",
    }


def test_jsonp(live: Live, visit: Visit) -> None:
    origin = live.serve(echo, static_files=BLANK)
    check_jsonp(visit(origin, "v2"), origin)


def test_jsonp_of_another_origin(live: Live, visit: Visit) -> None:
    page_origin = live.serve(static_files=BLANK)
    check_jsonp(visit(page_origin, "v2"), live.serve(echo, cors=page_origin))


def test_jsonp_upgrades(live: Live, visit: Visit) -> None:
    origin = live.serve(echo, static_files=BLANK)
    assert visit(origin, "v2").evaluate(
        """async (url) => {
          const { socket } = await connect(url, { forceJSONP: true });
          await onWebSocket(socket);
          const bytes = new Uint8Array([7]).buffer;
          return [await call(socket, "echo", "é"), await call(socket, "describe", bytes)];
        }""",
        origin,
    ) == ["é", "07"]


def test_jsonp_of_the_engine_client(live: Live, visit: Visit) -> None:
    """Engine.IO alone: several messages in one payload, both ways."""
    rest = "\\n\n\"'\u2028" * 20

    def hello(io: fastsio.Server) -> None:
        @io.engine.on("connection")
        def connection(session: Any) -> None:
            session.attach(FunctionSink(session.send, session.send, lambda *reason: None))

    page = visit(origin := live.serve(hello, static_files=BLANK), "engine-v3")
    assert page.evaluate(
        """async ([url, rest]) => {
          const socket = eio(url, { path: "/socket.io", forceJSONP: true, transports: ["polling"] });
          const got = [];
          const all = new Promise((resolve) => socket.on("message", (data) => {
            got.push(typeof data === "string" ? data : hex(data));
            if (got.length === 4) resolve();
          }));
          await new Promise((resolve) => socket.once("open", resolve));
          for (const data of ["one", rest, new Uint8Array([5, 6]).buffer, "four"]) socket.send(data);
          await within(all, "echo");
          socket.close();
          return got.slice(-4);
        }""",
        [origin, rest],
    ) == ["one", rest, "0506", "four"]


def test_a_script_of_a_stranger_gets_nothing(
    live: Live, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """A script tag sends the user's cookies and no Origin."""
    page_origin = live.serve(static_files=BLANK)
    origin = live.serve(echo)
    page = visit(page_origin, "v2")
    assert page.evaluate(
        """async (url) => {
          const got = [];
          window.___eio = [(payload) => got.push(payload)];
          const script = document.createElement("script");
          script.src = `${url}/socket.io/?EIO=3&transport=polling&j=0`;
          const outcome = new Promise((resolve) => {
            script.onload = () => resolve("loaded");
            script.onerror = () => resolve("failed");
          });
          document.head.append(script);
          return [await within(outcome, "script"), got];
        }""",
        origin,
    ) == ["failed", []]
    assert f"origin {page_origin!r} refused" in caplog.text


# -- compression ------------------------------------------------------------------------------------------

#: What surrounds the text of an acknowledgement with a one-digit id: ``430["…"]``.
AROUND = 7


@pytest.mark.parametrize(
    ("option", "bodies"),
    [
        (True, {1023: False, 1024: True, 100_000: True}),
        ({"threshold": 200, "level": 9}, {199: False, 200: True}),
        ({"threshold": 5000}, {4999: False, 5000: True}),
        (False, {100_000: False}),
    ],
)
def test_polls_are_compressed(option: Any, bodies: dict[int, bool], live: Live, visit: Visit) -> None:
    """By what the browser says of each response; the bodies are those of single polls, in bytes."""
    origin = live.serve(echo, http_compression=option, static_files=BLANK)
    found = visit(origin).evaluate(
        """async ([url, sizes, around]) => {
          const { socket } = await connect(url, { transports: ["polling"] });
          const found = [];
          for (const size of sizes) {
            performance.clearResourceTimings();
            const text = await call(socket, "text", size - around);
            const entries = () => performance.getEntriesByType("resource")
              .filter((entry) => entry.decodedBodySize === size);
            await within((async () => {
              while (!entries().length) await new Promise((resolve) => setTimeout(resolve, 10));
            })(), "timing");
            found.push([text.length, entries()[0].encodedBodySize < size]);
          }
          return found;
        }""",
        [origin, list(bodies), AROUND],
    )
    assert found == [[size - AROUND, compressed] for size, compressed in bodies.items()]


@pytest.mark.parametrize(
    ("option", "agreed"),
    [
        (False, ""),
        (True, "permessage-deflate"),
        (
            {"threshold": 0, "server_no_context_takeover": True},
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            {"threshold": 0, "client_no_context_takeover": True, "client_max_window_bits": 9},
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
        ),
        (
            {"threshold": 0, "server_max_window_bits": 9, "level": 9, "mem_level": 1},
            "permessage-deflate; server_max_window_bits=9",
        ),
    ],
)
@pytest.mark.parametrize("client", ["v2", "v4"])
def test_websocket_messages_are_compressed(
    client: str, option: Any, agreed: str, live: Live, visit: Visit
) -> None:
    origin = live.serve(echo, per_message_deflate=option, static_files=BLANK)
    extensions, same = visit(origin, client).evaluate(
        """async (url) => {
          const { socket } = await connect(url, {});
          await onWebSocket(socket);
          const random = (size) => crypto.getRandomValues(new Uint8Array(size));
          const texts = ["", "é", "x".repeat(70000), "é😀".repeat(3000), hex(random(5000)), hex(random(9))];
          let same = true;
          for (const text of [...texts, ...texts]) same &&= (await call(socket, "echo", text)) === text;
          for (const bytes of [random(40000), new Uint8Array(40000), random(3)]) {
            same &&= hex(await call(socket, "echo", bytes.buffer)) === hex(bytes);
          }
          return [socket.io.engine.transport.ws.extensions, same];
        }""",
        origin,
    )
    assert (extensions, same) == (agreed, True)
