"""The official admin UI, as published on npm, in a browser: watching and controlling examples/admin.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import ROOT, Server, free_port

MODULES = ROOT / "tests" / "clients" / "node_modules"
UI = MODULES / "@socket.io" / "admin-ui" / "ui" / "dist"
SECONDS = 1000

#: Keeps the WebSockets of a page: the UI of 0.5.1 has no form for the command it knows as EMIT.
KEEP = """
window.websockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...args) { super(...args); window.websockets.push(this); }
};
"""


@pytest.fixture
def example(serve: Callable[[Path, int], Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("ADMIN_UI", str(UI))
    return serve(ROOT / "examples" / "admin.py", free_port())


@pytest.fixture
def ui(browser: Browser, example: Server) -> Iterator[Page]:
    """The UI before the login."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_init_script(KEEP)
    # What the UI takes from other sites: icons and a font, which it does without.
    context.route("https://**", lambda route: route.abort())
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{example.url}ui/")
    yield page
    context.close()
    assert problems == []


def log_in(page: Page, url: str, password: str) -> None:
    page.get_by_label("Server URL").fill(url.rstrip("/"))
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Connect", exact=True).click()


def open_view(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
    # The one before slides away.
    expect(page.locator(".v-breadcrumbs")).to_have_text([name])


def socket_id(user: Page) -> str:
    expect(user.locator("#status")).to_have_text("connected by websocket", timeout=10 * SECONDS)
    sid: str = user.evaluate("socket.id")
    return sid


def test_the_official_ui(ui: Page, example: Server, open_page: Callable[[str], Page]) -> None:
    ann, bob = open_page(example.url), open_page(example.url)
    ann_id, bob_id = socket_id(ann), socket_id(bob)

    log_in(ui, example.url, "wrong")
    expect(ui.get_by_text("Invalid credentials")).to_be_visible()
    log_in(ui, example.url, "changeit")
    expect(ui.get_by_text("Invalid credentials")).not_to_be_visible()

    # The dashboard: this server, its clients by transport, its namespaces.
    servers = ui.locator(".v-card", has=ui.get_by_text("Servers", exact=True))
    expect(servers).to_contain_text("Healthy")
    namespaces = ui.locator(".v-card", has=ui.get_by_text("Namespaces", exact=True))
    for name, count in (("/", 2), ("/admin", 1)):
        row = namespaces.locator("tr", has=ui.get_by_text(name, exact=True))
        expect(row).to_contain_text(str(count), timeout=10 * SECONDS)
    expect(ui.get_by_text("Bytes received and sent")).to_be_visible()

    open_view(ui, "Sockets")
    rows = ui.locator("tbody tr")
    expect(rows).to_have_count(2)
    for sid in (ann_id, bob_id):
        expect(rows.filter(has_text=sid)).to_contain_text("127.0.0.1")
        expect(rows.filter(has_text=sid)).to_contain_text("WebSocket", ignore_case=True)

    # One socket: its rooms, its data, which changes, and the request it came with.
    rows.filter(has_text=ann_id).click()
    expect(ui.get_by_text('"hellos"')).to_be_visible()
    expect(ui.get_by_text(re.compile(r'"hellos": [1-9]'))).to_be_visible(timeout=10 * SECONDS)
    expect(ui.get_by_text("HeadlessChrome").first).to_be_visible()
    expect(ui.get_by_role("cell", name="lobby", exact=True)).to_be_visible()
    form = ui.locator("form", has=ui.get_by_label("Join a room"))
    form.get_by_label("Join a room").fill("vip")
    form.locator("button[type=submit]").click()
    expect(ui.get_by_role("cell", name="vip", exact=True)).to_be_visible()

    open_view(ui, "Rooms")
    for room, count in (("lobby", 2), ("vip", 1)):
        row = ui.locator("tbody tr", has=ui.get_by_text(room, exact=True))
        expect(row.locator("td").nth(2)).to_have_text(str(count))

    # An event to the room, over the UI's own connection.
    ui.evaluate(
        """(event) => websockets.find(({ readyState }) => readyState === WebSocket.OPEN)
             .send(`42/admin,${JSON.stringify(event)}`)""",
        ["emit", "/", "vip", "hello", "from the admin"],
    )
    expect(ann.locator("#events li", has_text="from the admin")).to_be_visible()
    expect(bob.locator("#events li", has_text="from the admin")).not_to_be_visible()

    open_view(ui, "Events")
    events = ui.locator("tbody tr")
    for sid, kind, name in (
        (ann_id, "Room joined", "vip"),
        (ann_id, "Event sent", "hello"),
        (bob_id, "Event received", "hey"),
    ):
        row = events.filter(has_text=sid).filter(has_text=kind).filter(has_text=name)
        expect(row.first).to_be_visible()

    # Without Bob, whose page does not come back by itself.
    open_view(ui, "Sockets")
    rows.filter(has_text=bob_id).get_by_role("button").click()
    expect(bob.locator("#status")).to_have_text("disconnected")
    # The click was one on the row too, which leads to its details.
    open_view(ui, "Sockets")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(ann_id)

    # The id that came with the login spares another.
    ui.reload()
    expect(rows).to_have_count(1)
    expect(ui.get_by_label("Server URL")).not_to_be_visible()
    ann.close()
    expect(rows).to_contain_text("No data available")
