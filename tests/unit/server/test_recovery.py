"""Connection state recovery on a clock that stands still."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from fastsio.adapters import MemoryAdapter
from fastsio.adapters.recovery import PACKET_COST
from fastsio.exceptions import ConnectionRefused, OptionError
from fastsio.options import RecoveryOptions
from fastsio.server import Socket
from tests.unit.server.fakes import FakeClient, FakeServer

Sockets = list[Socket]


def serve(recovery: Any = True, **options: Any) -> tuple[FakeServer, Sockets]:
    """A server, and the sockets that connect to it."""
    server = FakeServer(connection_state_recovery=recovery, **options)
    sockets: Sockets = []
    server.io.on("connection", sockets.append)
    return server, sockets


def recovered(before: FakeClient, after: FakeClient) -> bool:
    """Whether the server gave the client what it had."""
    same = after.pid == before.pid
    assert same == (after.sid == before.sid)
    return same


async def settle() -> None:
    """Let tasks finish that wait for nothing but their turn."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_events_carry_an_offset() -> None:
    server, sockets = serve()
    client = server.join()
    assert client.pid is not None and len(client.pid) == 20 and client.pid != client.sid
    assert sockets[0].pid == client.pid and not sockets[0].recovered
    server.io.emit("all", 1)
    sockets[0].emit("one", b"\x01")
    client.read()
    (first, second, attachment) = client.packets[1:]
    assert first[:2] == ["all", 1] and isinstance(first[2], str) and len(first) == 3
    assert second[0] == "one" and isinstance(second[2], str) and second[2] != first[2]
    assert attachment == b"\x01"


async def test_what_cannot_be_kept_has_no_offset() -> None:
    server, sockets = serve()
    client = server.join()
    sockets[0].volatile.emit("volatile", 1)
    server.io.volatile.emit("volatile", 2)
    sockets[0].emit("asked", 3, lambda: None)
    asyncio.get_running_loop().create_task(sockets[0].timeout(1).emit_with_ack("asked", 4))
    await asyncio.sleep(0)
    client.read()
    assert [event for event in client.packets[1:] if isinstance(event, list)] == [
        ["volatile", 1],
        ["volatile", 2],
        ["asked", 3],
        ["asked", 4],
    ]


async def test_off_by_default() -> None:
    server = FakeServer()
    sockets: Sockets = []
    server.io.on("connection", sockets.append)
    client = server.join()
    server.io.emit("all", 1)
    assert client.read() == [["all", 1]]
    assert client.pid is None and sockets[0].pid is None
    client.lose()
    again = server.join({"pid": "x" * 20, "offset": "y"})
    assert again.sid != client.sid and not sockets[1].recovered


async def test_missed_events_come_in_order_before_the_reply() -> None:
    server, sockets = serve()
    client = server.join()
    first = sockets[0]
    first.join(["room", "other"])
    first.data["name"] = "kim"
    server.io.emit("read", 0)
    client.read()
    server.io.emit("lost on the way", 1)
    client.lose()
    assert first.disconnected
    server.io.emit("all", 2)
    server.io.to("room").emit("room", 3, b"\x03")
    server.io.to("elsewhere").emit("not for it", 4)
    server.io.except_("other").emit("not for it", 5)
    server.io.to("room").except_("nobody").emit("room", 6)
    server.io.to(client.sid).emit("to its id", 7)
    server.io.to(["room", "other"]).emit("once", 8)
    again = client.back(server)
    assert recovered(client, again)
    assert [packet if isinstance(packet, (str, bytes)) else packet[:2] for packet in again.packets] == [
        ["lost on the way", 1],
        ["all", 2],
        ["room", 3],
        b"\x03",
        ["room", 6],
        ["to its id", 7],
        ["once", 8],
        f'0{{"sid":"{client.sid}","pid":"{client.pid}"}}',
    ]
    second = sockets[1]
    assert second is not first and second.recovered and second.pid == client.pid
    assert second.rooms == {client.sid, "room", "other"} and second.data == {"name": "kim"}
    assert server.io.sockets.sockets == {client.sid: second}
    server.io.to("room").emit("live", 9)
    second.emit("live", 10)
    assert again.read() == [["live", 9], ["live", 10]]


async def test_a_client_that_got_nothing_yet() -> None:
    server, _ = serve()
    server.io.emit("before it came")
    client = server.join()
    client.lose()
    server.io.emit("missed", 1)
    again = client.back(server)
    assert client.offset is None and recovered(client, again)
    assert again.events == [["missed", 1]]


async def test_again_and_again() -> None:
    server, _ = serve()
    client = server.join()
    for number in range(3):
        server.io.emit("lost", number)
    client.lose()
    # What is given again may be lost again, so long as the client has not shown that it got it.
    for _ in range(2):
        lost = server.connect()
        lost.send(f'0{{"pid":"{client.pid}"}}')
        lost.lose()
    again = client.back(server)
    assert again.events == [["lost", 0], ["lost", 1], ["lost", 2]]
    again.lose()
    server.io.emit("lost", 3)
    last = again.back(server)
    assert recovered(client, last) and last.events == [["lost", 3]]


async def test_a_session_is_taken_up_once() -> None:
    server, sockets = serve()
    client = server.join()
    client.lose()
    server.io.emit("missed")
    first = client.back(server)
    assert recovered(client, first)
    # Whoever comes with the same private id has it now: the connection before is dead, if unnoticed so far.
    second = client.back(server)
    assert recovered(client, second) and second.events == [["missed"]]
    assert first.websocket.closed is not None
    assert [socket.connected for socket in sockets] == [False, False, True]
    assert server.io.sockets.sockets == {client.sid: sockets[2]}


async def test_a_connection_whose_end_went_unnoticed() -> None:
    server, sockets = serve()
    client = server.join()
    reasons: list[str] = []
    sockets[0].on("disconnect", lambda reason: reasons.append(str(reason)))
    sockets[0].join("room")
    server.io.emit("lost", 1)
    again = client.back(server)
    assert recovered(client, again) and again.events == [["lost", 1]]
    assert reasons == ["transport close"]
    assert sockets[1].rooms == {client.sid, "room"}


@pytest.mark.parametrize("end", ["client", "server", "connection"])
async def test_who_leaves_on_purpose_is_forgotten(end: str) -> None:
    server, sockets = serve()
    client = server.join()
    if end == "client":
        client.send("1")
    else:
        sockets[0].disconnect(close=end == "connection")
    client.lose()
    assert not recovered(client, client.back(server))


@pytest.mark.parametrize("end", ["silence", "invalid packet", "closed by the server", "closed by the peer"])
async def test_who_is_lost_is_remembered(end: str) -> None:
    server, sockets = serve()
    client = server.join()
    if end == "silence":
        server.clock.advance(50)
        assert sockets[0].disconnected
    elif end == "invalid packet":
        client.send("2{")
    elif end == "closed by the server":
        sockets[0].conn.close()
    else:
        client.websocket.hang_up(1000)
    assert sockets[0].disconnected
    assert recovered(client, client.back(server))


def alive(client: FakeClient, server: FakeServer, seconds: int) -> None:
    """Let time pass while the client answers pings."""
    for _ in range(seconds):
        server.clock.advance(1)
        client.read()


async def test_time_is_limited() -> None:
    server, _ = serve({"max_disconnection_duration": 10})
    early, late = server.join(), server.join()
    early.lose()
    late.lose()
    server.clock.advance(9.9)
    assert recovered(early, early.back(server))
    server.clock.advance(0.2)
    assert not recovered(late, late.back(server))


async def test_nothing_is_kept_for_ever() -> None:
    server, _ = serve({"max_disconnection_duration": 10})
    client = server.join()
    for _ in range(100):
        server.io.emit("event")
    store = server.io._recovery_store
    assert store is not None and len(store.packets) == 100
    client.lose()
    server.clock.advance(1000)
    assert not store.packets and not store.sessions and store.size == 0
    assert server.clock.pending == 0
    # Nobody could miss it.
    server.io.emit("event")
    assert not store.packets


async def test_a_quiet_client_outlives_what_is_kept() -> None:
    """Node forgets the offset of a client that was sent nothing for two minutes."""
    server, sockets = serve()
    client, talker = server.join(), server.join()
    sockets[1].join("talkers")
    server.io.emit("read")
    client.read()
    for _ in range(10):
        server.io.to("talkers").emit("not for it")
        alive(client, server, 60)
        talker.read()
    client.lose()
    server.io.emit("missed")
    again = client.back(server)
    assert recovered(client, again) and again.events == [["missed"]]


async def test_packets_are_limited_in_number(caplog: pytest.LogCaptureFixture) -> None:
    for count, expected in ((5, True), (6, False)):
        caplog.clear()
        server, _ = serve({"max_packets": 5})
        client = server.join()
        client.lose()
        for _ in range(count):
            server.io.emit("event")
        again = client.back(server)
        assert recovered(client, again) is expected
        assert len(again.events) == (count if expected else 0)
        assert ("option max_packets is 5" in caplog.text) is not expected


async def test_packets_are_limited_in_bytes(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = serve()
    client = server.join()
    server.io.emit("event", b"x" * 1000)
    store = server.io._recovery_store
    assert store is not None
    size = store.size
    assert 1000 + PACKET_COST < size < 1100 + PACKET_COST
    for limit, expected in ((2 * size, True), (2 * size - 1, False)):
        server, _ = serve({"max_bytes": limit})
        client = server.join()
        client.lose()
        for _ in range(2):
            server.io.emit("event", b"x" * 1000)
        assert recovered(client, client.back(server)) is expected
    assert "option max_bytes" in caplog.text


async def test_what_a_limit_drops_concerns_those_who_may_have_missed_it() -> None:
    server, _ = serve({"max_packets": 5})
    client = server.join()
    for _ in range(6):
        server.io.emit("event")
    client.read()
    client.lose()
    again = client.back(server)
    assert recovered(client, again) and again.events == []
    # What went over the limit long ago has reached whoever is still connected.
    server, _ = serve({"max_packets": 5})
    client = server.join()
    for _ in range(6):
        server.io.emit("event")
    client.websocket.take()
    alive(client, server, 400)
    client.lose()
    assert recovered(client, client.back(server))


async def test_sessions_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = serve({"max_sessions": 2})
    clients = [server.join() for _ in range(3)]
    for client in clients:
        client.lose()
    assert [recovered(client, client.back(server)) for client in clients] == [False, True, True]
    assert "option max_sessions is 2" in caplog.text


async def test_limits_are_shared_by_namespaces() -> None:
    server, _ = serve({"max_packets": 3})
    server.io.of("/other")
    client = server.join()
    other = server.join(namespace="/other")
    client.lose()
    other.lose()
    server.io.emit("event")
    for _ in range(3):
        server.io.of("/other").emit("event")
    store = server.io._recovery_store
    assert store is not None and len(store.packets) == 3
    assert not recovered(client, client.back(server))


async def test_more_than_a_connection_may_have_waiting_is_not_given() -> None:
    server, _ = serve(max_buffered_bytes=10_000)
    for count, expected in ((4, True), (5, False)):
        client = server.join()
        client.lose()
        for _ in range(count):
            server.io.emit("event", "x" * 1000)
        again = client.back(server)
        if expected:
            assert recovered(client, again) and len(again.events) == count
        else:
            # The next attempt connects afresh.
            assert again.websocket.closed is not None and again.packets == []
            assert not recovered(client, client.back(server))


@pytest.mark.parametrize(
    "auth",
    [
        {"offset": "unknown"},
        {"offset": ""},
        {"offset": 7},
        {"offset": ["x"]},
        {"offset": {"a": 1}},
        {"offset": True},
        {"pid": "x" * 20},
        {"pid": ""},
        {"pid": 1},
        {"pid": None},
        {"pid": ["x"]},
        {"pid": {}},
    ],
    ids=str,
)
async def test_garbage_connects_afresh(auth: dict[str, Any]) -> None:
    server, sockets = serve()
    client = server.join()
    server.io.emit("event")
    client.read()
    client.lose()
    again = client.back(server, **auth)
    assert not recovered(client, again) and again.websocket.closed is None
    assert not sockets[1].recovered and sockets[1].handshake.auth["pid"] == auth.get("pid", client.pid)


@pytest.mark.parametrize(
    "change",
    [
        lambda offset: offset[1:],
        lambda offset: offset + "0",
        lambda offset: offset + "\u0661",
        lambda offset: offset + "9" * 5000,
        lambda offset: offset.rpartition(".")[0] + ".0",
        lambda offset: offset.rpartition(".")[0] + ".-1",
        lambda offset: offset.rpartition(".")[0] + ".",
        lambda offset: "0" + offset,
    ],
)
async def test_an_offset_that_was_not_given_out(change: Any) -> None:
    server, _ = serve()
    client = server.join()
    server.io.emit("event")
    client.read()
    client.lose()
    assert client.offset is not None
    assert not recovered(client, client.back(server, offset=change(client.offset)))


async def test_another_namespace_has_sessions_of_its_own() -> None:
    server, _ = serve()
    server.io.of("/other")
    client = server.join()
    client.lose()
    other = server.connect()
    other.join({"pid": client.pid}, "/other")
    assert other.pid != client.pid
    assert recovered(client, client.back(server))


async def test_what_a_room_was_sent_before_one_joined() -> None:
    server, sockets = serve()
    client = server.join()
    server.io.emit("read")
    client.read()
    server.io.to("late").emit("not for it")
    server.io.except_("late").emit("for it")
    sockets[0].join("late")
    server.io.to("late").emit("for it")
    server.io.except_("late").emit("not for it")
    client.lose()
    again = client.back(server)
    assert again.events == [["for it"], ["for it"]]
    again.lose()
    server.io.to("late").emit("for it")
    assert again.back(server).events == [["for it"]]


@pytest.mark.parametrize("skip", [True, False])
async def test_middlewares(skip: bool) -> None:
    server, sockets = serve({"skip_middlewares": skip})
    seen: list[tuple[bool, bool]] = []
    server.io.use(lambda socket: seen.append((socket.recovered, socket.connected)))
    client = server.join()
    client.lose()
    assert recovered(client, client.back(server))
    assert seen == [(False, False)] + ([] if skip else [(True, False)])
    assert sockets[1].recovered
    # A socket that is not restored passes them whatever it brings along.
    assert not recovered(client, server.join({"pid": "nonsense"}))
    assert seen[-1] == (False, False)


async def test_what_happens_while_middlewares_think() -> None:
    server, _ = serve({"skip_middlewares": False, "max_packets": 3})
    gate = asyncio.Event()
    gate.set()

    @server.io.use
    async def think(socket: Socket) -> None:
        await gate.wait()

    client = server.join()
    client.lose()
    server.io.emit("event", 1)
    gate.clear()
    again = client.back(server)
    server.io.emit("event", 2)
    # Meanwhile nobody else gets it.
    other = client.back(server)
    gate.set()
    await settle()
    again.read()
    other.read()
    assert recovered(client, again) and again.events == [["event", 1], ["event", 2]]
    assert not recovered(client, other)
    again.lose()
    gate.clear()
    again = client.back(server)
    for number in range(4):
        server.io.emit("event", number)
    gate.set()
    await settle()
    # The limit dropped one that it needed.
    assert again.websocket.closed is not None
    last = client.back(server)
    await settle()
    last.read()
    assert not recovered(client, last)


@pytest.mark.parametrize("how", ["refused", "gone"])
async def test_who_does_not_get_as_far_may_try_again(how: str) -> None:
    server, _ = serve({"skip_middlewares": False})
    gate = asyncio.Event()
    gate.set()
    refuse = False

    @server.io.use
    async def think(socket: Socket) -> None:
        await gate.wait()
        if refuse:
            raise ConnectionRefused("not now")

    client = server.join()
    client.lose()
    server.io.emit("missed")
    if how == "refused":
        refuse = True
        again = client.back(server)
        await settle()
        again.read()
        assert again.packets == ['4{"message":"not now"}']
        refuse = False
    else:
        gate.clear()
        client.back(server).lose()
        await settle()
        gate.set()
    last = client.back(server)
    assert recovered(client, last) and last.events == [["missed"]]


async def test_v2_clients_get_no_offsets() -> None:
    server, sockets = serve()
    old = server.connect(protocol=4)
    new = server.join()
    server.io.emit("all", 1)
    sockets[0].emit("old", 2)
    assert old.websocket.take() == ["40", '42["all",1]', '42["old",2]']
    assert sockets[0].pid is None and not sockets[0].recovered
    assert new.read() == [["all", 1]] and new.offset is not None
    old.websocket.hang_up(1006, "reset")
    store = server.io._recovery_store
    assert store is not None and not store.sessions


async def test_a_broadcast_is_encoded_once() -> None:
    server, _ = serve()
    clients = [server.join() for _ in range(5)]
    written: list[bytes] = []
    for client in clients:
        client.websocket.write_frames = written.append  # type: ignore[method-assign]
    server.io.emit("all", b"\x01", {"a": 1})
    assert len(written) == 5 and all(frames is written[0] for frames in written)


async def test_dynamic_namespaces_wait_for_lost_clients() -> None:
    server, _ = serve(cleanup_empty_child_namespaces=True)
    server.io.of(lambda name, auth: name.startswith("/dyn"))
    client = server.join(namespace="/dyn")
    client.lose()
    assert server.io.find("/dyn") is not None
    server.io.of("/dyn").emit("missed")
    again = server.connect()
    again.pid = client.pid
    again.join({"pid": client.pid}, "/dyn")
    assert again.sid == client.sid and again.events == [["missed"]]
    again.lose()
    server.clock.advance(200)
    assert server.io.find("/dyn") is None


async def test_an_adapter_that_keeps_no_sessions(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = serve(adapter=MemoryAdapter)
    assert "connection_state_recovery has no effect in /: MemoryAdapter" in caplog.text
    assert server.join().pid is None


async def test_an_adapter_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = serve()
    client = server.join()
    client.lose()

    async def fail(pid: str, offset: str | None) -> None:
        raise OSError("no storage")

    server.io.sockets.adapter.restore_session = fail  # type: ignore[assignment,method-assign]
    with caplog.at_level(logging.ERROR):
        assert not recovered(client, client.back(server))
    assert "cannot restore a session" in caplog.text


@pytest.mark.parametrize(
    "option",
    [
        1,
        "yes",
        {"max_disconnection_duration": 0},
        {"max_packets": 0},
        {"max_bytes": 1.5},
        {"max_sessions": -1},
        {"skip_middleware": True},
    ],
    ids=str,
)
async def test_options(option: Any) -> None:
    with pytest.raises(OptionError):
        FakeServer(connection_state_recovery=option)


async def test_read_options() -> None:
    assert RecoveryOptions.read(None) is None and RecoveryOptions.read(False) is None
    assert RecoveryOptions.read(True) == RecoveryOptions.read({}) == RecoveryOptions()
    options = RecoveryOptions.read({"max_packets": 1e3})
    assert options is not None and options.max_packets == 1000
