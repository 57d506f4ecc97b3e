"""The example pages in a real browser, with the client that the server serves."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .conftest import Server

SECONDS = 1000


def test_the_minimal_page(serve_example: Callable[[str], Server], open_page: Callable[[str], Page]) -> None:
    example = serve_example("minimal")
    page = open_page(example.url)

    expect(page.locator("#events li", has_text="connect").first).to_be_visible()
    expect(page.locator("#status")).to_have_text("connected by websocket", timeout=10 * SECONDS)

    # Counted by the server, once a second.
    for number in (1, 2, 3):
        expect(page.locator("#events li", has_text=f"hello - {number}").first).to_be_visible()
    expect(page.locator("#hello")).to_have_text(re.compile(r"hello - \d+"))

    expect(page.locator("#bytes-in")).to_have_text(re.compile(r"00 00 00 0\d \(ArrayBuffer\)"))
    # ca fe n, and the same backwards from the server.
    expect(page.locator("#bytes-out")).to_have_text(
        re.compile(r"ca fe (\w\w) → \1 fe ca \(ArrayBuffer\)"), timeout=10 * SECONDS
    )
    assert "hey {'counter': 1}\nhey {'counter': 2}\n" in example.output
    page.close()


def test_the_minimal_page_notices_that_the_server_went(
    serve_example: Callable[[str], Server], open_page: Callable[[str], Page]
) -> None:
    example = serve_example("minimal")
    page = open_page(example.url)
    expect(page.locator("#status")).to_have_text("connected by websocket", timeout=10 * SECONDS)
    # The attempts to reconnect fail, which the browser itself reports as console errors.
    page.evaluate("socket.io.reconnection(false)")
    example.stop()
    expect(page.locator("#status")).to_have_text("disconnected")


def enter(page: Page, name: str, room: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Room").fill(room)
    page.get_by_role("button", name="Join").click()
    expect(page.locator("#room")).to_have_text(room)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_the_chat(serve_example: Callable[[str], Server], open_page: Callable[[str], Page]) -> None:
    url = serve_example("chat").url
    ann, bob, eve = open_page(url), open_page(url), open_page(url)
    enter(ann, "Ann", "tea")
    enter(eve, "Eve", "coffee")
    say(ann, "anyone?")
    expect(ann.locator("#lines")).to_contain_text("anyone?")

    enter(bob, "Bob", "tea")
    # What happened before Bob came, in order.
    expect(bob.locator("#lines li")).to_contain_text(["Ann joined", "anyone?", "Bob joined"])
    expect(bob.locator("#members li")).to_have_text(["Ann", "Bob"])
    expect(ann.locator("#lines")).to_contain_text("Bob joined")

    say(bob, "<b>here</b> 👋")
    for page in (ann, bob):
        expect(page.locator("#lines")).to_contain_text("<b>here</b> 👋")
    say(ann, "good")
    expect(bob.locator("#lines")).to_contain_text("good")

    # Eve's own message comes after all of these, so by then she would have seen them.
    say(eve, "alone")
    expect(eve.locator("#lines li")).to_contain_text(["Eve joined", "alone"])
    expect(eve.locator("#lines li")).to_have_count(2)
    expect(eve.locator("#members li")).to_have_text(["Eve"])

    bob.close()
    expect(ann.locator("#lines")).to_contain_text("Bob left")
    expect(ann.locator("#members li")).to_have_text(["Ann"])
