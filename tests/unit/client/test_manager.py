"""Manager and sockets over an engine that the test plays."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fastsio import AckTimeout, Client, ConnectError, Disconnected, FastSIOError
from fastsio._codec import EncodedPacket
from fastsio.client import manager as module
from fastsio.client.address import Address
from fastsio.client.cookies import CookieJar
from fastsio.client.engine import PING, PONG, EngineOwner
from fastsio.types import DisconnectReason

pytestmark = pytest.mark.usefixtures("engines")


class FakeEngine:
    """Records what is sent; the test says what comes."""

    made: list[FakeEngine]

    def __init__(
        self, owner: EngineOwner, address: Address, jar: CookieJar, transports: Sequence[str]
    ) -> None:
        self.owner = owner
        self.transports = transports
        self.transport = transports[0]
        self.state = "opening"
        self.id: str | None = None
        self.writable = True
        self.expired = False
        self.sent: list[str] = []
        type(self).made.append(self)

    def open(self) -> None: ...

    def accept(self) -> None:
        self.state, self.id = "open", f"engine{len(self.made)}"
        self.owner.engine_open()

    def receive(self, *texts: str) -> None:
        for text in texts:
            self.owner.engine_text(b"4" + text.encode())

    def lose(self, reason: DisconnectReason = DisconnectReason.TRANSPORT_CLOSE) -> None:
        self.state = "closed"
        self.owner.engine_closed(reason, OSError("gone"))

    def send_packet(self, packet: EncodedPacket, compress: bool = True) -> None:
        self.sent.append(packet.text.decode())

    def close(self) -> None:
        self.state = "closed"

    abort = close

    async def wait_closed(self) -> None: ...


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    FakeEngine.made = []
    monkeypatch.setattr(module, "Engine", FakeEngine)
    return FakeEngine.made


def make(**options: Any) -> Client:
    return make_at("", **options)


def make_at(at: str, **options: Any) -> Client:
    quick = {"reconnection_delay": 0.01, "reconnection_delay_max": 0.02, "auto_connect": False}
    return Client(f"http://localhost{at}", **{**quick, **options})


def log_of(client: Client) -> list[Any]:
    """The lifecycle events as they come, the manager's in capitals."""
    log: list[Any] = []
    for name in ("connect", "connect_error", "disconnect", "error", "reconnecting", "connect_timeout"):
        client.on(name, lambda *args, name=name: log.append((name, *map(str, args[:1]))))
    names = (
        "open",
        "close",
        "error",
        "reconnect",
        "reconnect_attempt",
        "reconnect_error",
        "reconnect_failed",
    )
    for name in names:
        client.manager.on(name, lambda *args, name=name: log.append((name.upper(), *map(str, args[:1]))))
    return log


async def until(condition: Callable[[], Any]) -> None:
    async with _timeout():
        while not condition():
            await asyncio.sleep(0.002)


class _timeout:
    """``asyncio.timeout`` of three seconds, which Python 3.10 lacks."""

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handle = asyncio.get_running_loop().call_later(3, task.cancel)

    async def __aexit__(self, *_: object) -> None:
        self._handle.cancel()


async def connected(client: Client, engines: list[FakeEngine], sid: str = "s1") -> FakeEngine:
    client.open()
    engines[-1].accept()
    engines[-1].receive(f'0{{"sid":"{sid}"}}')
    assert client.connected
    return engines[-1]


class TestConnecting:
    async def test_connect_returns_when_every_namespace_is_accepted(self, engines: list[FakeEngine]) -> None:
        client = make(auth={"token": "x"})
        admin = client.of("/admin", {"role": 1})
        waiting = asyncio.ensure_future(client.connect("/more"))
        await until(lambda: engines)
        engines[0].accept()
        assert engines[0].sent == ['0{"token":"x"}', '0/admin,{"role":1}', '0/more,{"token":"x"}']
        engines[0].receive('0{"sid":"a"}', '0/admin,{"sid":"b"}')
        await asyncio.sleep(0)
        assert not waiting.done()
        engines[0].receive('0/more,{"sid":"c"}')
        await waiting
        assert (client.id, admin.id, client.of("/more").id) == ("a", "b", "c")

    async def test_refusals_are_named(self, engines: list[FakeEngine]) -> None:
        client = make()
        admin = client.of("/admin")
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].accept()
        engines[0].receive('0{"sid":"a"}', '4/admin,{"message":"nope","data":{"code":7}}')
        with pytest.raises(ConnectError, match="cannot connect to http://localhost: /admin: nope") as caught:
            await waiting
        assert caught.value.refused["/admin"].data == {"code": 7}  # type: ignore[attr-defined]
        assert client.connected and not admin.active
        assert engines[0].state == "open"

    async def test_the_last_refusal_closes_the_connection(self, engines: list[FakeEngine]) -> None:
        client = make()
        log = log_of(client)
        client.open()
        engines[0].accept()
        engines[0].receive('4{"message":"nope"}')
        assert engines[0].state == "closed"
        assert log == [("OPEN",), ("connect_error", "nope"), ("CLOSE", "forced close")]
        await asyncio.sleep(0.05)
        assert len(engines) == 1

    async def test_a_failure_is_raised_and_not_retried(self, engines: list[FakeEngine]) -> None:
        client = make()
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].lose(DisconnectReason.TRANSPORT_ERROR)
        with pytest.raises(ConnectError, match="/: gone"):
            await waiting
        await asyncio.sleep(0.05)
        assert len(engines) == 1 and not client.active

    async def test_retry_waits_for_a_later_attempt(self, engines: list[FakeEngine]) -> None:
        client = make()
        waiting = asyncio.ensure_future(client.connect(retry=True))
        for attempt in range(3):
            await until(lambda attempt=attempt: len(engines) == attempt + 1)
            if attempt < 2:
                engines[-1].lose()
        engines[-1].accept()
        engines[-1].receive('0{"sid":"a"}')
        await waiting
        assert client.connected

    async def test_retry_ends_with_the_last_attempt(self, engines: list[FakeEngine]) -> None:
        client = make(reconnection_attempts=2)
        waiting = asyncio.ensure_future(client.connect(retry=True))
        for attempt in range(3):
            await until(lambda attempt=attempt: len(engines) == attempt + 1)
            engines[-1].lose()
        with pytest.raises(ConnectError, match="gone"):
            await waiting

    async def test_a_server_that_never_answers(self, engines: list[FakeEngine]) -> None:
        client = make(timeout=0.05)
        log = log_of(client)
        with pytest.raises(ConnectError, match=r"within 0.05 s \(option timeout\)"):
            await client.connect()
        assert [entry[0] for entry in log] == ["ERROR", "connect_error"]
        assert engines[0].state == "closed"

    async def test_a_namespace_that_is_never_answered(self, engines: list[FakeEngine]) -> None:
        client = make(timeout=0.05)
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].accept()
        with pytest.raises(ConnectError, match="has not accepted / within"):
            await waiting
        assert engines[0].state == "closed"

    async def test_cancelled(self, engines: list[FakeEngine]) -> None:
        client = make()
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not client.active and engines[0].state == "closed"

    async def test_a_v2_server_is_recognised(self, engines: list[FakeEngine]) -> None:
        client = make()
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].accept()
        engines[0].receive("0")
        with pytest.raises(ConnectError, match="protocol=3"):
            await waiting

    @pytest.mark.parametrize("kind", ["plain", "async", "failing", "wrong"])
    async def test_auth_functions(self, engines: list[FakeEngine], kind: str) -> None:
        calls = 0

        def plain() -> dict[str, int]:
            nonlocal calls
            calls += 1
            return {"n": calls}

        async def later() -> dict[str, int]:
            await asyncio.sleep(0)
            return plain()

        def failing() -> None:
            raise KeyError("token")

        client = make(auth={"plain": plain, "async": later, "failing": failing, "wrong": lambda: 7}[kind])
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].accept()
        if kind in ("failing", "wrong"):
            with pytest.raises(ConnectError, match="auth"):
                await waiting
            return
        await until(lambda: engines[0].sent)
        assert engines[0].sent == ['0{"n":1}']
        engines[0].receive('0{"sid":"a"}')
        await waiting
        engines[0].lose()
        await until(lambda: len(engines) == 2)
        engines[1].accept()
        await until(lambda: engines[1].sent)
        assert engines[1].sent == ['0{"n":2}']
        await client.close()

    async def test_auto_connect(self, engines: list[FakeEngine]) -> None:
        client = make(auto_connect=True)
        client.of("/n")
        assert engines == []
        await asyncio.sleep(0)
        engines[0].accept()
        assert engines[0].sent == ["0", "0/n,"]
        await client.close()

    @pytest.mark.parametrize("how", ["disconnect", "close", "manager"])
    async def test_auto_connect_called_off(self, engines: list[FakeEngine], how: str) -> None:
        client = make(auto_connect=True)
        if how == "disconnect":
            client.disconnect()
        elif how == "close":
            await client.close()
        else:
            client.manager.disconnect()
        await asyncio.sleep(0.01)
        assert engines == [] and not client.active


class TestSharing:
    async def test_who_shares(self) -> None:
        root, chat = make(auth={"a": 1}, retries=2), make_at("/chat", auth={"a": 2}, ack_timeout=3.0)
        assert chat.manager is root.manager and set(root.manager.nsps) == {"/", "/chat"}
        assert (root.auth, root.retries, root.ack_timeout) == ({"a": 1}, 2, None)
        assert (chat.auth, chat.retries, chat.ack_timeout) == ({"a": 2}, 0, 3.0)
        managers = [
            make().manager,
            make_at("/own", force_new=True).manager,
            make_at("/own", multiplex=False).manager,
            make_at("/own", path="/elsewhere").manager,
            make_at("/own", timeout=3).manager,
            make_at("/own?a=b").manager,
            root.manager,
        ]
        assert len(set(map(id, managers))) == len(managers)
        assert make_at("/late").manager is root.manager

    def test_not_outside_a_loop(self) -> None:
        assert make().manager is not make_at("/chat").manager

    async def test_not_with_another_loop(self) -> None:
        theirs: list[Client] = []

        def elsewhere() -> None:
            async def main() -> None:
                theirs.append(make())

            asyncio.run(main())

        await asyncio.get_running_loop().run_in_executor(None, elsewhere)
        assert make_at("/chat").manager is not theirs[0].manager

    async def test_kept_no_longer_than_needed(self) -> None:
        client = make()
        manager = weakref.ref(client.manager)
        del client
        gc.collect()
        assert manager() is None

    async def test_each_closes_its_own(self, engines: list[FakeEngine]) -> None:
        root, chat = make(), make_at("/chat")
        side = root.of("/side")
        assert root.of("/chat") is chat
        connecting = asyncio.gather(root.connect(), chat.connect())
        await until(lambda: engines)
        engines[0].accept()
        engines[0].receive('0{"sid":"a"}', '0/chat,{"sid":"b"}', '0/side,{"sid":"c"}')
        await connecting
        await root.close()
        assert (root.connected, side.connected, chat.connected) == (False, False, True)
        assert engines[0].sent[-2:] == ["1", "1/side,"] and engines[0].state == "open"
        await chat.close()
        assert engines[0].state == "closed"


class TestReconnecting:
    async def test_the_order_of_events(self, engines: list[FakeEngine]) -> None:
        client = make(reconnection_attempts=2)
        log = log_of(client)
        engine = await connected(client, engines)
        assert log == [("OPEN",), ("connect",)]
        log.clear()
        engine.lose()
        await until(lambda: len(engines) == 2)
        engines[1].lose()
        await until(lambda: len(engines) == 3)
        engines[2].accept()
        engines[2].receive('0{"sid":"s2"}')
        assert log == [
            ("disconnect", "transport close"),
            ("CLOSE", "transport close"),
            ("RECONNECT_ATTEMPT", "1"),
            ("ERROR", "gone"),
            ("connect_error", "gone"),
            ("RECONNECT_ERROR", "gone"),
            ("RECONNECT_ATTEMPT", "2"),
            ("OPEN",),
            ("RECONNECT", "2"),
            ("connect",),
        ]
        await client.close()

    async def test_giving_up_is_told_before_the_last_error(self, engines: list[FakeEngine]) -> None:
        client = make(reconnection_attempts=1)
        log = log_of(client)
        engine = await connected(client, engines)
        engine.lose()
        await until(lambda: len(engines) == 2)
        log.clear()
        engines[1].lose()
        assert log == [
            ("ERROR", "gone"),
            ("connect_error", "gone"),
            ("RECONNECT_FAILED",),
            ("RECONNECT_ERROR", "gone"),
        ]
        await asyncio.sleep(0.05)
        assert len(engines) == 2

    async def test_the_first_failure_begins_the_attempts(self, engines: list[FakeEngine]) -> None:
        client = make()
        client.open()
        engines[0].lose()
        await until(lambda: len(engines) == 2)
        await client.close()

    @pytest.mark.parametrize("how", ["server", "client", "manager", "option"])
    async def test_not_reconnected(self, engines: list[FakeEngine], how: str) -> None:
        client = make(reconnection=how != "option")
        log = log_of(client)
        engine = await connected(client, engines)
        log.clear()
        if how == "server":
            engine.receive("1")
        elif how == "client":
            client.disconnect()
            assert engine.sent[-1] == "1"
        elif how == "manager":
            client.manager.disconnect()
        else:
            engine.lose()
        reasons = {
            "server": "io server disconnect",
            "client": "io client disconnect",
            "manager": "forced close",
            "option": "transport close",
        }
        assert ("disconnect", reasons[how]) in log
        assert sum(entry[0] == "disconnect" for entry in log) == 1
        await asyncio.sleep(0.05)
        assert len(engines) == 1 and engine.state == "closed"

    async def test_switched_off_between_attempts(self, engines: list[FakeEngine]) -> None:
        client = make()
        stream = client.events()
        engine = await connected(client, engines)
        engine.lose()
        assert client.manager.reconnecting
        waiting = asyncio.ensure_future(client.connect(retry=True))
        client.manager.reconnection = False
        with pytest.raises(ConnectError, match="reconnection was switched off"):
            await waiting
        assert [event async for event in stream] == [] and len(engines) == 1
        assert not client.manager.reconnecting

    async def test_delays_may_change(self, engines: list[FakeEngine]) -> None:
        manager = make(reconnection_delay=3.0).manager
        assert (manager.reconnection_delay, manager.randomization_factor) == (3.0, 0.5)
        manager.reconnection_delay, manager.reconnection_delay_max = 0.5, 0.7
        manager.randomization_factor = 0
        assert manager.reconnection_delay_max == 0.7
        assert [manager.backoff.duration() for _ in range(2)] == [0.5, 0.7]

    async def test_disconnect_between_attempts_ends_them(self, engines: list[FakeEngine]) -> None:
        client = make(reconnection_delay=0.05, reconnection_delay_max=0.05)
        engine = await connected(client, engines)
        engine.lose()
        client.disconnect()
        await asyncio.sleep(0.12)
        assert len(engines) == 1

    async def test_connect_again_after_the_server_left(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        client.on("disconnect", lambda: client.open())
        engine.receive("1")
        assert len(engines) == 1 and engine.sent == ["0", "0"]
        engine.receive('0{"sid":"s2"}')
        assert client.id == "s2"

    async def test_what_cannot_be_decoded_is_a_parse_error(self, engines: list[FakeEngine]) -> None:
        client = make()
        details: list[Exception] = []
        client.on("disconnect", lambda reason, error: details.append(error))
        log = log_of(client)
        engine = await connected(client, engines)
        engine.receive("2[oops")
        assert ("disconnect", "parse error") in log
        assert "cannot decode a packet" in str(details[0]) and "http://localhost" in str(details[0])
        await until(lambda: len(engines) == 2)
        await client.close()

    async def test_remember_upgrade(self, engines: list[FakeEngine]) -> None:
        client = make(remember_upgrade=True)
        engine = await connected(client, engines)
        assert engine.transports == ["polling", "websocket"]
        engine.owner.engine_upgraded()
        engine.lose()
        await until(lambda: len(engines) == 2)
        assert engines[1].transports == ["websocket"]
        engines[1].lose()
        await until(lambda: len(engines) == 3)
        assert engines[2].transports == ["polling", "websocket"]
        await client.close()

    async def test_recovery(self, engines: list[FakeEngine]) -> None:
        client = make()
        events = client.events()
        client.open()
        engines[0].accept()
        engines[0].receive('0{"sid":"s","pid":"p"}', '2["a",1,"o1"]')
        assert not client.recovered
        engines[0].lose()
        await until(lambda: len(engines) == 2)
        engines[1].accept()
        assert engines[1].sent == ['0{"pid":"p","offset":"o1"}']
        order: list[Any] = []
        client.on("b", lambda *args: order.append(args))
        client.on("connect", lambda: order.append("connect"))
        engines[1].receive('2["b",2,"o2"]', '0{"sid":"s","pid":"p"}')
        assert client.recovered and order == [(2, "o2"), "connect"]
        assert [await events.__anext__() for _ in range(2)] == [("a", (1, "o1")), ("b", (2, "o2"))]
        await client.close()


class TestBuffering:
    async def test_what_is_emitted_offline_leaves_before_connect_fires(
        self, engines: list[FakeEngine]
    ) -> None:
        client = make()
        client.emit("early", 1)
        client.on("connect", lambda: client.emit("late"))
        engine = await connected(client, engines)
        assert engine.sent == ["0", '2["early",1]', '2["late"]']
        engine.lose()
        client.emit("offline")
        await until(lambda: len(engines) == 2)
        engines[1].accept()
        engines[1].receive('0{"sid":"s2"}')
        assert engines[1].sent == ["0", '2["offline"]', '2["late"]']
        await client.close()

    async def test_an_overdue_heartbeat_counts_as_offline(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        engine.expired = True
        client.emit("x")
        assert engine.sent == ["0"]
        await client.close()

    async def test_volatile(self, engines: list[FakeEngine]) -> None:
        client = make()
        client.volatile.emit("lost")
        engine = await connected(client, engines)
        client.volatile.emit("kept")
        engine.writable = False
        client.volatile.emit("lost too")
        client.emit("buffered below")
        assert engine.sent == ["0", '2["kept"]', '2["buffered below"]']

    @pytest.mark.parametrize("more", [0, 1])
    async def test_events_before_the_acceptance_have_a_limit(
        self, engines: list[FakeEngine], more: int
    ) -> None:
        client = make()
        log = log_of(client)
        count: list[int] = []
        client.on("x", lambda: count.append(1))
        client.open()
        engines[0].accept()
        for _ in range(10_000 + more):
            engines[0].receive('2["x"]')
        engines[0].receive('0{"sid":"a"}')
        if more:
            assert log[1] == ("connect_error", "/: 10000 events came before it was accepted")
            assert not client.connected and not client.active and not count
        else:
            assert client.connected and len(count) == 10_000

    async def test_events_of_another_namespace_are_ignored(self, engines: list[FakeEngine]) -> None:
        client = make()
        seen: list[Any] = []
        client.on_any(lambda *args: seen.append(args))
        engine = await connected(client, engines)
        engine.receive('2/other,["x"]', '3/other,1["x"]', '377["unknown"]', "3", "2")
        assert seen == [] and client.connected


class TestAcks:
    async def test_callback(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        answers: list[Any] = []
        client.emit("a", 1, lambda *args: answers.append(args))
        client.emit("b", lambda *args: answers.append(args))
        assert engine.sent[1:] == ['20["a",1]', '21["b"]']
        engine.receive('31["two"]', '30["one",1]', '30["again"]', "31[]")
        assert answers == [("two",), ("one", 1)]

    async def test_emit_with_ack(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        asked = [asyncio.ensure_future(client.emit_with_ack("e")) for _ in range(3)]
        await asyncio.sleep(0)
        engine.receive("30[]", "31[5]", "32[6,7]")
        assert await asyncio.gather(*asked) == [None, 5, (6, 7)]

    async def test_timeout_removes_what_was_not_sent(self, engines: list[FakeEngine]) -> None:
        client = make()
        results: list[Any] = []
        client.timeout(0.02).emit("never", lambda *args: results.append(args))
        client.emit("stays")
        with pytest.raises(AckTimeout):
            await client.timeout(0.02).emit_with_ack("never too")
        await until(lambda: results)
        assert isinstance(results[0][0], AckTimeout)
        engine = await connected(client, engines)
        assert engine.sent == ["0", '2["stays"]']

    async def test_disconnect_ends_the_wait(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        results: list[Any] = []
        client.emit("silent", lambda *args: results.append("called"))
        client.timeout(5).emit("told", lambda *args: results.append(args))
        asked = asyncio.ensure_future(client.emit_with_ack("asked"))
        await asyncio.sleep(0)
        engine.lose()
        with pytest.raises(Disconnected, match="transport close"):
            await asked
        assert len(results) == 1 and isinstance(results[0][0], Disconnected)
        await client.close()

    async def test_a_buffered_question_survives_the_disconnect(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        engine.lose()
        asked = asyncio.ensure_future(client.emit_with_ack("asked"))
        await until(lambda: len(engines) == 2)
        engines[1].accept()
        engines[1].receive('0{"sid":"s2"}', '30["yes"]')
        assert await asked == "yes"
        await client.close()

    async def test_answering(self, engines: list[FakeEngine]) -> None:
        client = make()
        engine = await connected(client, engines)
        client.on("returns", lambda value: value + 1)
        client.on("calls", lambda value, ack: (ack(value), ack("again")))

        @client.on("later")
        async def later() -> tuple[int, int]:
            await asyncio.sleep(0)
            return 1, 2

        engine.receive('27["returns",1]', '28["calls",1]', '29["later"]')
        await until(lambda: len(engine.sent) == 4)
        assert engine.sent[1:] == ["37[2]", "38[1]", "39[1,2]"]

    async def test_a_handler_that_raises_is_logged(
        self, engines: list[FakeEngine], caplog: pytest.LogCaptureFixture
    ) -> None:
        client = make()
        engine = await connected(client, engines)
        client.on("bad", lambda: 1 / 0)
        engine.receive('2["bad"]')
        assert "'bad' failed" in caplog.text and "ZeroDivisionError" in caplog.text
        assert client.connected

    @pytest.mark.parametrize("args", [(), (1,), (None, "x")])
    async def test_no_event_name(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(TypeError):
            make().emit(*args)

    async def test_reserved_names(self) -> None:
        with pytest.raises(ValueError, match="reserved"):
            make().emit("connect")


class TestRetries:
    async def test_one_at_a_time_until_acknowledged(self, engines: list[FakeEngine]) -> None:
        client = make(retries=2, ack_timeout=0.03)
        results: list[Any] = []
        engine = await connected(client, engines)
        client.emit("a", lambda *args: results.append(args))
        client.emit("b", lambda *args: results.append(args))
        assert engine.sent[1:] == ['20["a"]']
        engine.receive('30["ok"]')
        assert results == [(None, "ok")]
        assert engine.sent[2:] == ['21["b"]']
        await until(lambda: len(results) == 2)
        assert isinstance(results[1][0], AckTimeout)
        assert [text[-5:] for text in engine.sent[2:]] == ['["b"]'] * 3

    async def test_sent_again_after_reconnecting(self, engines: list[FakeEngine]) -> None:
        client = make(retries=1, ack_timeout=5)
        engine = await connected(client, engines)
        asked = asyncio.ensure_future(client.emit_with_ack("a"))
        await asyncio.sleep(0)
        assert engine.sent[1:] == ['20["a"]']
        engine.lose()
        await until(lambda: len(engines) == 2)
        engines[1].accept()
        engines[1].receive('0{"sid":"s2"}')
        assert engines[1].sent == ["0", '21["a"]']
        engines[1].receive('31["done"]')
        assert await asked == "done"
        await client.close()


class TestProtocol3:
    async def test_the_root_is_joined_unasked(self, engines: list[FakeEngine]) -> None:
        client = make(protocol=3)
        chat = client.of("/chat?token=x")
        client.open()
        chat.open()
        engines[0].accept()
        assert engines[0].sent == ["0/chat?token=x,"]
        engines[0].receive("0", "0/chat,")
        assert (client.id, chat.id) == ("engine1", "/chat#engine1")

    async def test_errors(self, engines: list[FakeEngine]) -> None:
        client = make(protocol=3)
        log = log_of(client)
        waiting = asyncio.ensure_future(client.connect())
        await until(lambda: engines)
        engines[0].accept()
        engines[0].receive('4"refused"')
        with pytest.raises(ConnectError, match="/: refused"):
            await waiting
        assert ("error", "refused") in log

    async def test_sockets_get_the_managers_events(self, engines: list[FakeEngine]) -> None:
        client = make(protocol=3, timeout=0.03)
        log = log_of(client)
        for name in ("connect_error", "connect_timeout", "reconnecting"):
            client.manager.on(name, lambda *args, name=name: log.append((name.upper(), str(args[0]))))
        client.open()
        await until(lambda: ("connect_timeout", "30") in log)
        await until(lambda: ("reconnecting", "1") in log)
        assert ("CONNECT_TIMEOUT", "30") in log and ("RECONNECTING", "1") in log
        assert any(entry[0] == "CONNECT_ERROR" and "option timeout" in entry[1] for entry in log)
        await client.close()

    async def test_heartbeats_tell_the_latency(self, engines: list[FakeEngine]) -> None:
        client = make(protocol=3)
        log: list[Any] = []
        for emitter in (client, client.manager):
            emitter.on("ping", lambda: log.append("ping"))
            emitter.on("pong", log.append)
        client.open()
        engines[0].accept()
        engines[0].owner.engine_beat(PING)
        await asyncio.sleep(0.03)
        engines[0].owner.engine_beat(PONG)
        assert log[:2] == ["ping", "ping"] and log[2] == log[3] >= 29
        await client.close()

    async def test_a_connection_that_breaks_is_an_error(self, engines: list[FakeEngine]) -> None:
        client = make(protocol=3)
        log = log_of(client)
        client.open()
        engines[0].accept()
        engines[0].receive("0")
        engines[0].lose(DisconnectReason.TRANSPORT_ERROR)
        assert log[-4:] == [
            ("ERROR", "gone"),
            ("error", "gone"),
            ("disconnect", "transport error"),
            ("CLOSE", "transport error"),
        ]
        await client.close()


class TestEvents:
    async def test_packets_of_the_manager(self, engines: list[FakeEngine]) -> None:
        client = make()
        packets: list[Any] = []
        client.manager.on("packet", packets.append)
        engine = await connected(client, engines)
        engine.receive('2["x",1]', '2/elsewhere,["y"]')
        assert [(int(packet.type), packet.namespace, packet.data) for packet in packets] == [
            (0, "/", {"sid": "s1"}),
            (2, "/", ["x", 1]),
            (2, "/elsewhere", ["y"]),
        ]

    async def test_the_loop_ends_with_the_socket(self, engines: list[FakeEngine]) -> None:
        client = make()
        events = client.events()
        engine = await connected(client, engines)
        engine.receive('2["a"]', '25["b",1]', "1")
        seen = [entry async for entry in events]
        assert seen[0] == ("a", ())
        assert seen[1][1][0] == 1 and callable(seen[1][1][1])
        assert len(seen) == 2

    async def test_the_limit(self, engines: list[FakeEngine]) -> None:
        client = make()
        events = client.events(limit=2)
        engine = await connected(client, engines)
        engine.receive('2["a"]', '2["b"]')
        assert await events.__anext__() == ("a", ())
        engine.receive('2["c"]', '2["d"]')
        assert [(await events.__anext__())[0] for _ in range(2)] == ["b", "c"]
        with pytest.raises(FastSIOError, match="fell behind: 2 events"):
            await events.__anext__()
        assert client.connected

    async def test_catch_all(self, engines: list[FakeEngine]) -> None:
        client = make()
        seen: list[Any] = []
        client.on_any(lambda *args: seen.append(("second", *args)))
        client.prepend_any(lambda *args: seen.append(("first", *args)))
        client.on_any_outgoing(lambda *args: seen.append(("out", *args)))
        engine = await connected(client, engines)
        engine.receive('2["e",1]')
        client.emit("f")
        assert seen == [("first", "e", 1), ("second", "e", 1), ("out", "f")]
        client.off_any()
        client.off_any_outgoing()
        assert client.listeners_any() == client.listeners_any_outgoing() == []
