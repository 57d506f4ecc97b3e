"""A page that the browser keeps for the back button, and shows again as it was left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .conftest import Server, chromium, free_port
from .test_client import HELPERS, MODES, PROGRAMS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One that keeps pages, which Playwright switches off unless told not to."""
    with chromium(ignore_default_args=["--disable-back-forward-cache"]) as started:
        yield started


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_page_shown_again(
    program: str, mode: str, serve: Callable[[Path, int], Server], browser: Browser
) -> None:
    url = serve(PROGRAMS[program], free_port()).url
    context = browser.new_context()
    context.add_init_script(HELPERS)
    page = context.new_page()
    page.goto(url)
    page.evaluate(
        """async (transports) => {
          window.socket = await connect("/", { transports });
          if (transports.length > 1) await websocket(socket);
          window.log = [];
          for (const event of ["pagehide", "pageshow"]) {
            addEventListener(event, ({ persisted }) => log.push([event, persisted]));
          }
          socket.on("disconnect", (reason, { description }) => {
            log.push([reason, description]);
            window.answer = socket.emitWithAck("echo", "emitted while leaving");
          });
          socket.on("connect", () => log.push(["connect"]));
        }""",
        MODES[mode],
    )
    page.goto(f"{url}?elsewhere")
    assert page.evaluate("() => window.socket === undefined")
    # A page shown again does not load.
    page.go_back(wait_until="commit")
    assert page.evaluate("() => answer") == "emitted while leaving"
    log = page.evaluate("() => log")
    assert sorted(log[:2]) == [["pagehide", True], ["transport close", "page hidden"]]
    assert log[2:] == [["pageshow", True], ["connect"]]
    context.close()
