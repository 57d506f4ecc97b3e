"""Who may import whom: the rings, as tables, held against every import of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "fastsio"

# Ring: the modules and packages in it, and the other rings it may know.
RINGS: dict[str, tuple[set[str], set[str]]] = {
    "exceptions": ({"exceptions"}, set()),
    "common": ({"types", "options", "deflate"}, {"exceptions"}),
    "wire": (
        {
            "_base64",
            "_codec",
            "_digits",
            "_emitter",
            "_frames",
            "_http",
            "_json",
            "_jsonp",
            "_plain",
            "_payload",
            "codec",
            "msgpack",
            "parsers",
        },
        {"exceptions"},
    ),
    "engine": ({"engine"}, {"exceptions", "common", "wire"}),
    "net": ({"net"}, {"exceptions", "common", "wire", "engine"}),
    "sockets": ({"_sockets"}, {"exceptions", "wire", "engine"}),
    "server": ({"server", "adapters"}, {"exceptions", "common", "wire", "engine", "sockets"}),
    "client": ({"client"}, {"exceptions", "common", "wire", "engine", "sockets"}),
    "edge": (
        {"cli", "compat", "admin", "loadtest", "testing", "metrics", "__main__"},
        {"exceptions", "common", "wire", "engine", "net", "server", "client", "public"},
    ),
    # fastsio/__init__.py: the public names, from wherever they are.
    "public": ({""}, {"exceptions", "common", "wire", "engine", "net", "server", "client"}),
}

# Foreign module: the modules and packages that may import it (all others may not).
PLACES: dict[str, set[str]] = {
    "asyncio": {
        "exceptions",  # for its TimeoutError, which was another before CPython 3.11
        "engine.middleware",
        "engine.server",
        "engine.serving",
        "engine.tasks",
        "engine.timers",
        "net",
        "server",
        "adapters",
        "client",
        "_sockets",
        *RINGS["edge"][0],
    },
    "httptools": {"net", "client", "loadtest"},
    "wsproto": {"net", "client", "deflate", "loadtest"},
    "msgspec": {"server.typed"},
    "pydantic": {"server.typed"},
    "redis": {"adapters.redis_link", "adapters.redis_streams"},
    "uvicorn": {"net.asgi.uvicorn"},
    "uvloop": {"net.run", "cli", "loadtest"},
}

# What the wire ring does without: no IO, no clock, no threads.
NOT_IN_WIRE = {"asyncio", "select", "selectors", "socket", "ssl", "subprocess", "threading", "time"}

_TRIPLE_QUOTED = re.compile(r'("""|\'\'\').*?\1', re.DOTALL)
_FROM_IMPORT = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
_PLAIN_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([^\n#]+)", re.MULTILINE)


class Import(NamedTuple):
    """``from module import name``, or ``import module`` when there is no name."""

    module: str
    name: str


def imports_of_python(source: str, package: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                yield Import(base, alias.name)
        elif isinstance(node, ast.Call) and node.args:
            function = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
            target = node.args[0]
            if (
                function in ("import_module", "__import__")
                and isinstance(target, ast.Constant)
                and isinstance(target.value, str)
            ):
                yield Import(target.value, "")


def imports_of_cython(source: str, package: str) -> Iterator[Import]:
    code = _TRIPLE_QUOTED.sub("", source)
    for match in _FROM_IMPORT.finditer(code):
        module, names = match.groups()
        dots = len(module) - len(module.lstrip("."))
        if dots:
            above = package.split(".")[: len(package.split(".")) - dots + 1]
            module = ".".join([*above, module[dots:]] if module[dots:] else above)
        for name in re.sub(r"#[^\n]*", "", names).strip("() \t").split(","):
            if name.strip():
                yield Import(module, name.split()[0])
    for match in _PLAIN_IMPORT.finditer(code):
        for name in match.group(1).split(","):
            yield Import(name.split()[0], "")


def imports_by_module(folder: Path) -> dict[str, set[Import]]:
    """What each module below ``folder`` imports, by its name inside the package ("" is the package)."""
    found: dict[str, set[Import]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".py", ".pyi", ".pyx", ".pxd"):
            continue
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        package = ".".join(["fastsio", *parts[:-1]])
        read = imports_of_python if path.suffix in (".py", ".pyi") else imports_of_cython
        found.setdefault(module, set()).update(read(path.read_text(encoding="utf-8"), package))
    return found


def within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def ring_of(module: str) -> str | None:
    top = module.partition(".")[0]
    return next((ring for ring, (members, _) in RINGS.items() if top in members), None)


def reaches_private(importer_package: str, target: str, packages: set[str]) -> bool:
    """Whether ``target``, a dotted path, has an underscore name that belongs to another package."""
    parts = target.split(".")
    for depth, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            owner = parts[:depth]
            while owner and ".".join(owner) not in packages:
                owner.pop()
            return bool(owner) and not within(importer_package, {".".join(owner)})
    return False


def breaches(folder: Path) -> list[str]:
    """One sentence per import below ``folder`` that the tables forbid."""
    modules = imports_by_module(folder)
    packages = {module.rpartition(".")[0] for module in modules if module}
    said = []
    for module, imports in modules.items():
        ring = ring_of(module)
        if ring is None:
            said.append(f"{module} is in no ring")
            continue
        importer_package = module if module in packages else module.rpartition(".")[0]
        for imported, name in sorted(imports):
            top = imported.partition(".")[0]
            if top != "fastsio":
                if top in PLACES and not within(module, PLACES[top]):
                    said.append(f"{module} may not import {top}")
                if ring == "wire" and top in NOT_IN_WIRE:
                    said.append(f"{module} is in the wire ring, which does without {top}")
                continue
            inside = imported.removeprefix("fastsio").removeprefix(".")
            dotted = ".".join(part for part in (inside, name) if part)
            target = dotted if dotted in modules else inside
            target_ring = ring_of(target)
            if target_ring is None:
                said.append(f"{module} imports {target}, which is in no ring")
            elif target_ring != ring and target_ring not in RINGS[ring][1]:
                said.append(f"{module} ({ring}) may not know {target or 'fastsio'} ({target_ring})")
            if reaches_private(importer_package, dotted, packages):
                said.append(f"{module} reaches for {dotted}, which is private to another package")
    return sorted(set(said))


def test_the_package_keeps_to_the_rings() -> None:
    assert breaches(PACKAGE) == []


def test_the_walk_sees_the_package() -> None:
    modules = imports_by_module(PACKAGE)
    assert {"", "exceptions", "_frames", "engine", "engine.session", "net.http"} <= modules.keys()
    # A cimport, an import in a .pyx, and one under TYPE_CHECKING.
    assert Import("libc.string", "memcpy") in modules["_frames"]
    assert Import("fastsio.exceptions", "PacketError") in modules["_frames"]
    assert Import("fastsio.engine.session", "Session") in modules["engine.polling"]


CLEAN = {
    "__init__.py": "from fastsio.server import Server\n",
    "exceptions.py": "import sys\n",
    "_codec.pyx": "from fastsio._frames cimport write\nfrom fastsio.exceptions import PacketError\n",
    "_frames.pxd": "from libc.string cimport memcpy\n",
    "engine/__init__.py": "from .session import Session\n",
    "engine/session.py": "from fastsio import _codec\nfrom fastsio._frames import x\n",
    "net/__init__.py": "",
    "net/http.py": "import asyncio, httptools\nfrom fastsio.engine import session\n",
    "server/__init__.py": "from ._private import _Thing\n",
    "server/middle.py": "from fastsio.server.side import _helper\n",
    "server/side.py": "_helper = 1\n",
    "server/_private.py": '"""Words\nimport asyncio.\n"""\nfrom fastsio.engine.session import Session\n',
    "cli/__init__.py": "import uvloop\nimport fastsio\nfrom fastsio.net import http\n",
}


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_clean_tree_has_no_breach(tmp_path: Path) -> None:
    assert breaches(tree(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("engine/up.py", "from fastsio.net import http", "engine.up (engine) may not know net.http (net)"),
        ("engine/up.py", "from fastsio.net.http import x", "engine.up (engine) may not know net.http (net)"),
        ("engine/up.py", "from ..net.http import x", "engine.up (engine) may not know net.http (net)"),
        ("engine/up.py", "from .. import net", "engine.up (engine) may not know net (net)"),
        ("engine/up.py", "import fastsio.server", "engine.up (engine) may not know server (server)"),
        ("engine/up.py", "from fastsio import Server", "engine.up (engine) may not know fastsio (public)"),
        (
            "engine/up.py",
            "def f():\n    import importlib\n    importlib.import_module('fastsio.net')",
            "engine.up (engine) may not know net (net)",
        ),
        (
            "engine/up.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fastsio.server import Server",
            "engine.up (engine) may not know server (server)",
        ),
        ("server/side.py", "import fastsio.net.http", "server.side (server) may not know net.http (net)"),
        ("client/side.py", "import fastsio.server", "client.side (client) may not know server (server)"),
        (
            "_payload.pyi",
            "from fastsio.engine import session",
            "_payload (wire) may not know engine.session (engine)",
        ),
        ("_payload.pyx", "from fastsio.types import x", "_payload (wire) may not know types (common)"),
        (
            "_payload.pyx",
            "from fastsio.engine.session cimport (\n    a,  # why\n    b,\n)",
            "_payload (wire) may not know engine.session (engine)",
        ),
        ("_payload.pxd", "cimport fastsio.net.http", "_payload (wire) may not know net.http (net)"),
        (
            "_payload.pyx",
            "cdef f():\n    import time",
            "_payload is in the wire ring, which does without time",
        ),
        ("_payload.pyx", "import asyncio", "_payload may not import asyncio"),
        ("engine/session.py", "from asyncio import Future", "engine.session may not import asyncio"),
        ("engine/server.py", "import httptools", "engine.server may not import httptools"),
        ("server/side.py", "from wsproto.events import Ping", "server.side may not import wsproto"),
        ("adapters/memory.py", "import redis.asyncio", "adapters.memory may not import redis"),
        ("net/http.py", "import uvloop", "net.http may not import uvloop"),
        ("stray.py", "", "stray is in no ring"),
        (
            "net/side.py",
            "from fastsio.engine._inner import x",
            "net.side reaches for engine._inner.x, which is private to another package",
        ),
        (
            "server/side.py",
            "from fastsio.engine.session import _helper",
            "server.side reaches for engine.session._helper, which is private to another package",
        ),
    ],
)
def test_a_breach_is_found(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    assert sentence in breaches(tree(tmp_path, CLEAN | {name: text}))
