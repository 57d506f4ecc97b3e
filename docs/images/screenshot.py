"""Takes the pictures of the docs in headless Chromium (`make screenshot`).

demo.png is the minimal example; admin-ui.png the official admin UI on examples/admin.py, taken from the npm
packages of tests/clients.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "tests" / "clients" / "node_modules"
UI = MODULES / "@socket.io" / "admin-ui" / "ui" / "dist"
ICONS = MODULES / "@mdi" / "font"
SECOND = 1000


@contextmanager
def serving(example: str, **environment: str) -> Iterator[str]:
    """Run an example; the address of its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / example)],
        env=os.environ | environment | {"PORT": str(port)},
    )
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(10)


def visit(page: Page, url: str) -> None:
    """Open a page, whose server may still be starting."""
    for attempt in range(50):
        try:
            page.goto(url)
            return
        except Exception:
            if attempt == 49:
                raise
            page.wait_for_timeout(0.1 * SECOND)


def take(page: Page, name: str) -> None:
    target = Path(__file__).with_name(name)
    page.screenshot(path=target)
    print(f"wrote {target.relative_to(ROOT)}")


def demo(browser: Browser) -> None:
    with serving("minimal/server.py") as url:
        page = browser.new_page(viewport={"width": 900, "height": 720}, device_scale_factor=1.5)
        visit(page, url)
        expect(page.locator("#hello")).to_have_text("hello - 5", timeout=15 * SECOND)
        expect(page.locator("#bytes-out")).to_contain_text("→")
        take(page, "demo.png")


def icon(url: str) -> str:
    return url.partition("@latest/")[2].partition("?")[0]


def admin(browser: Browser) -> None:
    if not UI.exists() or not ICONS.exists():
        sys.exit("fastsio: no admin UI to take a screenshot of; 'scripts/test-deps' installs it")
    with serving("admin.py", ADMIN_UI=str(UI)) as url:
        page = browser.new_page(viewport={"width": 1340, "height": 800})
        # Of what the UI takes from other sites: its icons, which npm has too.
        page.route("https://**", lambda route: route.abort())
        page.route(
            "**/@mdi/font@latest/**", lambda route: route.fulfill(path=ICONS / icon(route.request.url))
        )
        visit(page, f"{url}ui/")
        page.get_by_label("Server URL").fill(url.rstrip("/"))
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill("changeit")
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_text("connected", exact=True).first).to_be_visible()
        for number in range(5):
            user = browser.new_page()
            visit(user, url)
            if number == 0:
                # One that stays with long-polling.
                user.evaluate("socket.disconnect(); io('/', { forceNew: true, transports: ['polling'] })")
        # Some traffic for the charts, and none of their movement.
        page.wait_for_timeout(24 * SECOND)
        take(page, "admin-ui.png")


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("fastsio: no Chromium to take a screenshot with; 'sudo apt-get install chromium'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        for picture in (demo, admin):
            if len(sys.argv) == 1 or picture.__name__ in sys.argv[1:]:
                picture(browser)
        browser.close()


if __name__ == "__main__":
    main()
