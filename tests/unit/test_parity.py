"""The parity page: made from its source, each name there, each test there."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastsio import Server, Socket
from fastsio.adapters import SocketDetails
from fastsio.engine import Session
from fastsio.server import RemoteSocket
from fastsio.server.client import Client
from tests.interop.cases import CASES

ROOT = Path(__file__).parents[2]


def load_script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("parity", str(ROOT / "scripts/parity"))
    spec = importlib.util.spec_from_loader("parity", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


parity = load_script()
MEMBERS = parity.read(parity.SOURCE.read_text(encoding="utf-8"))
each_member = pytest.mark.parametrize(
    "member", MEMBERS, ids=lambda member: f"{member.section}: {member.name}"
)


def test_the_page_is_up_to_date() -> None:
    page = parity.PAGE.read_text(encoding="utf-8")
    assert page == parity.render(MEMBERS), "run make parity"


def test_all_is_listed() -> None:
    assert len(MEMBERS) > 140
    assert len({(member.section, member.name) for member in MEMBERS}) == len(MEMBERS)


@each_member
def test_no_cell_is_empty_without_a_reason(member: Any) -> None:
    assert member.name and member.v2 and member.v4 and member.here
    if member.here.startswith("–"):
        assert len(member.here) > 10, "a reason"
    else:
        assert member.tests


@cache
def names_of(path: Path) -> frozenset[str]:
    """The test functions of a file, those of classes as ``Class::test``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(f"{node.name}::{inner.name}")
    return frozenset(names)


@each_member
def test_its_tests_exist(member: Any) -> None:
    for test in member.tests:
        path, _, name = test.partition("::")
        name, _, case = name.partition("[")
        assert name in names_of(ROOT / "tests" / path), test
        if case:
            assert case.removesuffix("]") in {str(case) for case in CASES}, test


def subjects() -> dict[str, Any]:
    """What the page's prefixes stand for."""
    io = Server()
    details = SocketDetails("id", {}, frozenset(), None)
    return {
        "io": io,
        "nsp": io.of("/"),
        "op": io.to("room"),
        "engine": io.engine,
        "adapter": io.sockets.adapter,
        "remote": RemoteSocket(details, io.to("id")),
        "socket": Socket,
        "client": Client,
        "conn": Session,
    }


@each_member
def test_its_names_exist(member: Any) -> None:
    known = subjects()
    for quoted in re.findall(r"`([^`]+)`", member.here):
        found = re.match(r"(\w+)\.(\w+)", quoted)
        if found and found[1] in known:
            assert hasattr(known[found[1]], found[2]), quoted
    if member.section == "Options" and not member.here.startswith(("–", "the")):
        option = re.findall(r"`(\w+)`", member.here)[0]
        io = known["io"]
        assert hasattr(io.options, option) or hasattr(io.engine.options, option)
