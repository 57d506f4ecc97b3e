"""Installs what bench/macro compares with, at pinned versions, under .cache/bench.

Each part leaves a stamp naming what it installed, so a second call does nothing. A part that cannot be had
here raises `Unavailable` with the reason; the servers that need it are then left out of the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "bench"

PYTHON_PACKAGES = (
    "python-socketio==5.18.1",
    "python-engineio==4.15.1",
    "uvicorn==0.54.0",
    "websockets==17.4",
    "wsproto==1.3.2",
    "aiohttp==3.14.5",
    "httptools==0.9.0",
    "uvloop==0.23.0",
    "picows==2.3.1",
)
NODE_PACKAGES = ("socket.io@4.8.4", "engine.io@6.6.12", "ws@8.21.3")
NODE2_PACKAGES = ("socket.io@2.5.1",)
EIOWS = "eiows@9.2.0"
UWS = "@btc-vision/uwebsockets.js@20.57.0"


class Unavailable(Exception):
    """A rival that cannot run on this machine, and why."""


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path | None = None, log: str = "install") -> str:
    """Run an install step; its output goes to .cache/bench/logs and, if it fails, into the reason."""
    words = [str(c) for c in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Unavailable(f"{words[0]} is not installed") from None
    logs = CACHE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{log}.log").open("a") as f:
        f.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}\n")
    if done.returncode:
        tail = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-3:]
        raise Unavailable(f"`{' '.join(words[:4])} …` failed: {' / '.join(tail)}")
    return done.stdout


def stamped(folder: Path, stamp: str) -> bool:
    file = folder / ".stamp"
    return file.exists() and file.read_text() == stamp


def compiled(source: Path) -> Path:
    """The program made of one C file, compiled again when the file has changed."""
    stamp = hashlib.sha256(source.read_bytes()).hexdigest()
    folder = CACHE / "bin" / source.stem
    program = folder / source.stem
    if not (stamped(folder, stamp) and program.exists()):
        say(f"compiling {source.relative_to(ROOT)}")
        folder.mkdir(parents=True, exist_ok=True)
        run(os.environ.get("CC", "cc"), "-O2", "-o", program, source)
        (folder / ".stamp").write_text(stamp)
    return program


def python() -> Path:
    """The interpreter of the rivals' virtual environment: this Python's version, so that they compare."""
    folder = CACHE / "venv"
    stamp = "\n".join((sys.version, *PYTHON_PACKAGES))
    program = folder / "bin" / "python"
    if not stamped(folder, stamp):
        say(f"installing {', '.join(PYTHON_PACKAGES)}")
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        run(program, "-m", "pip", "install", "-q", *PYTHON_PACKAGES)
        (folder / ".stamp").write_text(stamp)
    return program


def plotter() -> Path:
    """The same interpreter with matplotlib, whose version matters to no figure."""
    program = python()
    stamp = CACHE / "venv" / ".matplotlib"
    if not stamp.exists():
        say("installing matplotlib")
        run(program, "-m", "pip", "install", "-q", "matplotlib")
        stamp.touch()
    return program


def npm(folder: Path, packages: tuple[str, ...], *options: str) -> Path:
    """npm packages in a folder of their own."""
    stamp = "\n".join(packages)
    if not stamped(folder, stamp):
        say(f"installing {', '.join(packages)}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}\n')
        run("npm", "install", "--no-audit", "--no-fund", *options, *packages, cwd=folder)
        (folder / ".stamp").write_text(stamp)
    return folder / "node_modules"


def node() -> Path:
    return npm(CACHE / "node", NODE_PACKAGES)


def node2() -> Path:
    return npm(CACHE / "node2", NODE2_PACKAGES)


def eiows() -> Path:
    """eiows, built without its TLS helper.

    Its own install step clones Node's source for one private header, which only that helper needs; plain
    HTTP does not call it.
    """
    folder = CACHE / "eiows"
    stamp = f"{EIOWS} {run('node', '--version')}"
    modules = folder / "node_modules"
    if stamped(folder, stamp):
        return modules
    say(f"building {EIOWS}")
    shutil.rmtree(folder, ignore_errors=True)
    modules.mkdir(parents=True)
    run("npm", "pack", EIOWS, cwd=folder)
    run("tar", "xzf", next(folder.glob("*.tgz")), "-C", folder)
    package = folder / "package"
    edits = {
        "nodejs/src/addon.h": (
            r'#define NODE_WANT_INTERNALS 1\n#include "node/src/crypto/crypto_tls\.h"\n',
            r"(?s)using BaseObject = .*?#undef NODE_WANT_INTERNALS\n",
            r"(?s)void getSSLContext\(.*?\n}\n",
        ),
        "nodejs/src/addon.cpp": (r".*getSSLContext.*\n",),
    }
    for name, patterns in edits.items():
        text = (package / name).read_text()
        for pattern in patterns:
            text, n = re.subn(pattern, "", text)
            if n != 1:
                raise Unavailable(f"{EIOWS}: {name} is not the file this edit was made for")
        (package / name).write_text(text)
    prefix = Path(run("node", "-p", "process.execPath").strip()).resolve().parents[1]
    if not (prefix / "include/node/node.h").exists():
        raise Unavailable(f"{EIOWS}: Node's headers are not in {prefix}/include/node")
    gyp = Path(run("npm", "root", "-g").strip()) / "npm/node_modules/node-gyp/bin/node-gyp.js"
    run("node", gyp, "rebuild", f"--nodedir={prefix}", cwd=package)
    package.rename(modules / "eiows")
    (folder / ".stamp").write_text(stamp)
    return modules


_SHIM = """
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
long __isoc23_strtol(const char *s, char **e, int b) { return strtol(s, e, b); }
unsigned long __isoc23_strtoul(const char *s, char **e, int b) { return strtoul(s, e, b); }
int __isoc23_sscanf(const char *s, const char *f, ...) {
    va_list a;
    va_start(a, f);
    int r = vsscanf(s, f, a);
    va_end(a);
    return r;
}
"""


def uws() -> tuple[Path, dict[str, str]]:
    """µWebSockets.js in binary form, and the environment it needs.

    The binary wants glibc 2.38 for three number parsers. On an older glibc the demand is marked weak in the
    file and the parsers come from a preloaded shim.
    """
    folder = CACHE / "uws"
    modules = npm(folder, (UWS,), "--ignore-scripts")
    package = modules / UWS.rpartition("@")[0]
    shim = folder / "shim.so"
    if (folder / ".plain").exists():
        return modules, {}
    environment = {"LD_PRELOAD": str(shim)}
    if (folder / ".shimmed").exists():
        return modules, environment
    load = ("node", "-e", f"require({json.dumps(str(package))})")
    try:
        run(*load)
    except Unavailable as e:
        missing = subprocess.run(load, capture_output=True, text=True).stderr
        if not re.search(r"GLIBC_2\.38' not found", missing):
            raise Unavailable(f"{UWS} does not load here: {e}") from None
    else:
        (folder / ".plain").touch()
        return modules, {}
    say(f"{UWS} wants glibc 2.38: supplying its three missing functions")
    (folder / "shim.c").write_text(_SHIM)
    run(os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", shim, folder / "shim.c")
    platform, machine, abi = run(
        "node", "-p", "[process.platform,process.arch,process.versions.modules].join(' ')"
    ).split()
    _weaken(package / f"uws_{platform}_{machine}_{abi}.node", "GLIBC_2.38")
    run("env", f"LD_PRELOAD={shim}", *load)
    (folder / ".shimmed").touch()
    return modules, environment


def _weaken(file: Path, version: str) -> None:
    """Mark one needed symbol version of a 64-bit little-endian ELF file as weak: its absence is no error."""
    data = bytearray(file.read_bytes())
    if data[:6] != b"\x7fELF\x02\x01":
        raise Unavailable(f"{file.name} is not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    for section in sections:
        if section[1] != 0x6FFFFFFE:  # SHT_GNU_verneed
            continue
        strings, need = sections[section[6]][4], section[4]
        while True:
            _, entries, _, offset, following = struct.unpack_from("<HHIII", data, need)
            entry = need + offset
            for _ in range(entries):
                _, flags, _, name, step = struct.unpack_from("<IHHII", data, entry)
                start = strings + name
                if data[start : data.index(0, start)] == version.encode():
                    struct.pack_into("<H", data, entry + 4, flags | 2)  # VER_FLG_WEAK
                entry += step
            if not following:
                break
            need += following
    file.write_bytes(data)


def versions() -> dict[str, str]:
    """The installed versions of everything, for the report."""
    found: dict[str, str] = {}
    for modules, names in (
        (CACHE / "node/node_modules", ("socket.io", "engine.io", "ws")),
        (CACHE / "node2/node_modules", ("socket.io", "engine.io", "ws")),
        (CACHE / "node-client/node_modules", ("socket.io-client",)),
        (CACHE / "eiows/node_modules", ("eiows",)),
        (CACHE / "uws/node_modules", (UWS.rpartition("@")[0],)),
    ):
        label = " (2.x)" if modules.parent.name == "node2" else ""
        for name in names:
            file = modules / name / "package.json"
            if file.exists():
                found[name + label] = json.loads(file.read_text())["version"]
    program = CACHE / "venv/bin/python"
    if program.exists():
        names = [p.partition("==")[0] for p in PYTHON_PACKAGES]
        code = (
            "import importlib.metadata as m, json, sys;"
            "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
        )
        found |= json.loads(run(program, "-c", code, *names))
    if shutil.which("node"):
        found["node"] = run("node", "--version").strip()
    return found


PARTS: dict[str, Callable[[], object]] = {
    "python": python,
    "node": node,
    "node2": node2,
    "eiows": eiows,
    "uws": uws,
}
