"""The README's server and page run as pasted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from .conftest import ROOT, Server, free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def test_the_readme(
    tmp_path: Path, serve: Callable[[Path, int], Server], open_page: Callable[[str], Page]
) -> None:
    port = free_port()
    text = block("python")
    assert "port=3000" in text
    program = tmp_path / "app.py"
    program.write_text(text.replace("port=3000", f"port={port}"), encoding="utf-8")
    (tmp_path / "index.html").write_text(block("html"), encoding="utf-8")
    server = serve(program, port)
    page = open_page(server.url)
    expect(page.locator("#log")).to_have_text("Hey! jane 4 bytes\nunderstood\n")
    server.stop()
    assert server.output == "Hello! b'\\x01\\x02\\x03'\n"
