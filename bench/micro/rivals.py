"""Installs the libraries that the codec is compared with, and imports them.

They go to .cache/bench/micro at the versions of the two requirements files, not into the environment that
runs the bench. What is not there, or cannot be imported, is None here and has no lines in the table.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "bench" / "micro"
SETS = {"v4": HERE / "requirements.txt", "v3": HERE / "requirements-v3.txt"}


@dataclass(frozen=True)
class Rivals:
    """The modules to time."""

    socketio_packet: Any = None
    engineio_packet: Any = None
    engineio_payload: Any = None
    engineio3_packet: Any = None
    engineio3_payload: Any = None
    wsproto: Any = None
    wsproto_events: Any = None
    websockets_protocol: Any = None
    websockets_frames: Any = None
    pyee: Any = None


_MODULES = {
    "socketio_packet": "socketio.packet",
    "engineio_packet": "engineio.packet",
    "engineio_payload": "engineio.payload",
    "engineio3_packet": "engineio3.packet",
    "engineio3_payload": "engineio3.payload",
    "wsproto": "wsproto.connection",
    "wsproto_events": "wsproto.events",
    "websockets_protocol": "websockets.protocol",
    "websockets_frames": "websockets.frames",
    "pyee": "pyee",
}


def install() -> str:
    """Install what is not installed yet; returns why it could not be done, or an empty string."""
    for name, requirements in SETS.items():
        folder = CACHE / name
        stamp = f"{sys.version}\n{requirements.read_text()}"
        mark = folder / ".stamp"
        if mark.exists() and mark.read_text() == stamp:
            continue
        print(f"bench: installing {requirements.name} into {folder}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "--target", str(folder), "-r", str(requirements)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return f"{requirements.name} could not be installed: {' / '.join(reason[-2:])}"
        mark.write_text(stamp)
    return ""


@contextmanager
def _first_in_path(*folders: Path) -> Iterator[None]:
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def load() -> Rivals:
    """Import what is installed; to be called before anything else imports one of these modules."""
    old = types.ModuleType("engineio3")
    # Without running its __init__, which imports servers and clients.
    old.__path__ = [str(CACHE / "v3" / "engineio")]
    sys.modules["engineio3"] = old
    found = {}
    with _first_in_path(CACHE / "v4", CACHE / "v3"):
        for field in fields(Rivals):
            try:
                module = importlib.import_module(_MODULES[field.name])
            except ImportError:
                continue
            # fastsio itself depends on one of them, perhaps in another version.
            if module.__file__ and Path(module.__file__).is_relative_to(CACHE):
                found[field.name] = module
    return Rivals(**found)


def versions() -> list[str]:
    """Names and versions of what is installed, for the report."""
    result = []
    for name, requirements in SETS.items():
        pinned = requirements.read_text().splitlines()
        for found in distributions(path=[str(CACHE / name)]):
            if f"{found.name}=={found.version}" in pinned:
                result.append(f"{found.name} {found.version}")
    return sorted(result)
