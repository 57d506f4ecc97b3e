"""What the documentation says about itself and about the options holds."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from fastsio.options import DeflateOptions, EngineOptions, ListenerOptions, RecoveryOptions, ServerOptions

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|", re.MULTILINE)


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Server", ServerOptions),
        ("Engine", EngineOptions),
        ("Listener", ListenerOptions),
        ("`per_message_deflate`", DeflateOptions),
        ("`connection_state_recovery`", RecoveryOptions),
    ],
)
def test_every_option_is_documented_with_its_default(heading: str, kind: type) -> None:
    page = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    documented = {name: ast.literal_eval(default) for name, default in ROW.findall(section(page, heading))}
    assert documented == {field.name: field.default for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_docs_compiles(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        # Parts of programs: indented, or with an await of the coroutine they stand in.
        lines = block.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        code = "\n".join(line[indent:] for line in lines)
        compile(code, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
