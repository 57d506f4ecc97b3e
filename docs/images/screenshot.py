"""Takes docs/images/demo.png: the minimal example in headless Chromium (`make screenshot`)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parents[2]
TARGET = Path(__file__).with_name("demo.png")
SECOND = 1000


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("fastsio: no Chromium to take a screenshot with; 'sudo apt-get install chromium'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "minimal" / "server.py")],
        env=os.environ | {"PORT": str(port)},
    )
    try:
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
            page = browser.new_page(viewport={"width": 900, "height": 720}, device_scale_factor=1.5)
            for attempt in range(50):
                try:
                    page.goto(f"http://127.0.0.1:{port}/")
                    break
                except Exception:
                    if attempt == 49:
                        raise
                    page.wait_for_timeout(0.1 * SECOND)
            expect(page.locator("#hello")).to_have_text("hello - 5", timeout=15 * SECOND)
            expect(page.locator("#bytes-out")).to_contain_text("→")
            page.screenshot(path=TARGET)
            browser.close()
    finally:
        server.terminate()
        server.wait(10)
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
