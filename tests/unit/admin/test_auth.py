"""Logging in to the admin namespace."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest

import fastsio
from fastsio.admin import MemoryStore, auth, instrument
from fastsio.exceptions import ConnectionRefused, OptionError

HASH = bcrypt.hashpw(b"changeit", bcrypt.gensalt(4)).decode()
BASIC = {"type": "basic", "username": "admin", "password": HASH}


class Clock:
    """In place of ``time.monotonic``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: self.now))


def test_the_store_forgets_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    store = MemoryStore(duration=60)
    store.save_session("a")
    clock.now += 59
    store.save_session("b")
    assert store.does_session_exist("a") and store.does_session_exist("b")
    assert not store.does_session_exist("c")
    clock.now += 1
    assert not store.does_session_exist("a") and store.does_session_exist("b")
    store.save_session("c")
    assert len(store) == 2


def test_the_store_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    store = MemoryStore(max_sessions=3)
    for name in "abc":
        store.save_session(name)
    assert all(map(store.does_session_exist, "abc"))
    store.save_session("a")  # the newest now
    store.save_session("d")
    assert len(store) == 3
    assert [name for name in "abcd" if store.does_session_exist(name)] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (None, "auth takes False"),
        (True, "auth takes False"),
        ("admin", "auth takes False"),
        ({}, "auth takes False"),
        ({"type": "digest"}, "auth takes False"),
        ({"type": "basic", "password": HASH}, "username must be given"),
        ({**BASIC, "username": ""}, "username must be given"),
        ({"type": "basic", "username": "admin"}, "must be a bcrypt hash"),
        ({**BASIC, "password": "changeit"}, "must be a bcrypt hash"),
        ({**BASIC, "password": HASH[:-1]}, "must be a bcrypt hash"),
        ({**BASIC, "password": HASH + "\n"}, "must be a bcrypt hash"),
        ({**BASIC, "password": "$2x$" + HASH[4:]}, "must be a bcrypt hash"),
        ({**BASIC, "password": "$2b$03$" + HASH[7:]}, "must be a bcrypt hash"),
        ({**BASIC, "password": "$2b$32$" + HASH[7:]}, "must be a bcrypt hash"),
    ],
)
def test_what_auth_cannot_be(option: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        instrument(fastsio.Server(), auth=option)


def test_auth_must_be_given() -> None:
    with pytest.raises(TypeError, match="auth"):
        instrument(fastsio.Server())  # type: ignore[call-arg]


def test_mode() -> None:
    with pytest.raises(OptionError, match="\"production\", not 'test'"):
        instrument(fastsio.Server(), auth=False, mode="test")  # type: ignore[arg-type]


def test_without_auth_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    instrument(fastsio.Server(), auth=False)
    assert "/admin is open to everybody (auth=False)" in caplog.text


def test_without_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(OptionError, match="pip install bcrypt"):
        instrument(fastsio.Server(), auth=BASIC)


class Gate:
    """The gate of a namespace, with sockets that are nothing but a handshake."""

    def __init__(self, password: str = HASH, store: Any = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.gate = auth._Gate("admin", password, self.store)
        self.emitted: list[Any] = []

    def socket(self, given: Any) -> Any:
        return SimpleNamespace(
            id="socket",
            nsp=SimpleNamespace(name="/admin"),
            handshake=SimpleNamespace(auth=given, address="192.0.2.1"),
            emit=lambda *event: self.emitted.append(event),
        )

    async def admits(self, given: Any) -> Any:
        """The socket that was let in; None if it was not."""
        socket = self.socket(given)
        try:
            await self.gate.admit(socket)
        except ConnectionRefused as error:
            assert error.message == "invalid credentials" and error.data is None
            return None
        await self.gate.remember(socket)
        return socket


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hashes_of_every_make(prefix: str) -> None:
    gate = Gate(prefix + HASH[4:])
    assert await gate.admits({"username": "admin", "password": "changeit"})
    assert not await gate.admits({"username": "admin", "password": "changeIt"})


async def test_the_password_is_not_kept() -> None:
    gate = Gate()
    socket = await gate.admits({"username": "admin", "password": "changeit", "more": 1})
    assert socket.handshake.auth == {"username": "admin"}
    ((event, session_id),) = gate.emitted
    assert event == "session" and len(session_id) == 16 and int(session_id, 16) >= 0
    again = await gate.admits({"sessionId": session_id, "username": "admin", "password": "changeit"})
    assert again.handshake.auth == {} and len(gate.emitted) == 1


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "admin",
        {},
        {"username": "admin"},
        {"username": "admin", "password": None},
        {"username": "admin", "password": HASH},
        {"username": "admin", "password": ["changeit"]},
        {"username": "admin", "password": "changeit\0"},
        {"username": "admin", "password": "\ud800"},
        {"username": "Admin", "password": "changeit"},
        {"username": "\ud800", "password": "changeit"},
        {"username": {"$ne": ""}, "password": "changeit"},
        {"sessionId": ""},
        {"sessionId": 1},
        {"sessionId": {"a": 1}},
        {"sessionId": "0" * 16},
        {"sessionId": "x" * 1_000_000},
    ],
)
async def test_wrong_credentials(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    assert await gate.admits(given) is None and gate.emitted == []
    assert "wrong credentials from 192.0.2.1" in caplog.text
    assert "changeit" not in caplog.text


async def test_long_passwords() -> None:
    """As all of bcrypt's kind, by their first 72 bytes."""
    gate = Gate(bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
    assert await gate.admits({"username": "admin", "password": "x" * 100_000})
    assert not await gate.admits({"username": "admin", "password": "x" * 71})


async def test_a_store_of_coroutines() -> None:
    class Store:
        def __init__(self) -> None:
            self.saved: list[str] = []

        async def does_session_exist(self, session_id: str) -> bool:
            await asyncio.sleep(0)
            return session_id in self.saved

        async def save_session(self, session_id: str) -> None:
            await asyncio.sleep(0)
            self.saved.append(session_id)

    store = Store()
    gate = Gate(store=store)
    assert not await gate.admits({"sessionId": "0" * 16})
    assert await gate.admits({"username": "admin", "password": "changeit"})
    assert gate.emitted == [("session", store.saved[0])]
    assert await gate.admits({"sessionId": store.saved[0]})


async def test_logins_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Comparing is slow on purpose, and must neither stop the server nor pile up."""
    gate = Gate()
    go_on = threading.Event()
    gate.gate._compare = lambda password, hashed: go_on.wait(10)
    good = {"username": "admin", "password": "changeit"}
    waiting = [asyncio.ensure_future(gate.admits({**good})) for _ in range(auth.MAX_COMPARISONS)]
    await asyncio.sleep(0.05)
    assert not any(login.done() for login in waiting)
    with caplog.at_level(logging.WARNING), pytest.raises(ConnectionRefused, match="too many logins at once"):
        await gate.gate.admit(gate.socket({**good}))
    assert "more than 4 logins at once" in caplog.text
    go_on.set()
    assert all(await asyncio.gather(*waiting))
    assert await gate.admits({**good})
