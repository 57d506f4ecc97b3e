"""The clients over real connections: against fastsio's server, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from tests.support.clients import (
    HANDSHAKE,
    OPEN,
    POLLING,
    QUICK,
    TRANSPORTS,
    WEBSOCKET,
    Answer,
    accept_websocket,
    address,
    always,
    behave,
    connected,
    frame,
    hostile,
    http_response,
    until,
    websocket,
)

from fastsio import (
    Client,
    ConnectError,
    ConnectionRefused,
    Disconnected,
    Server,
    Socket,
)

Make = Callable[..., Any]


@pytest.mark.parametrize("protocol", [4, 3])
@pytest.mark.parametrize("mode", TRANSPORTS)
class TestEveryTransport:
    async def test_events_acks_binary_namespaces(self, make_server: Make, mode: str, protocol: int) -> None:
        io = await make_server(behave, ping_interval=0.1, ping_timeout=2)
        client = Client(address(io), transports=TRANSPORTS[mode], protocol=protocol, **QUICK)
        chat = client.of("/chat")
        seen: list[Any] = []
        client.on_any(lambda *args: seen.append(args))
        chat.on("welcome", lambda *args: seen.append(("chat", *args)))
        client.on("question", lambda value: {"got": value})
        early = asyncio.ensure_future(client.emit_with_ack("echo", "early"))
        try:
            await client.connect()
            assert await early == "early"
            assert client.id is not None and chat.id is not None and client.id != chat.id
            value = {"a": [1, 2.5, None, "ü😀\ud800"], "b": b"\x00\x01" * 3000}
            assert await client.emit_with_ack("echo", value) == value
            assert await chat.emit_with_ack("echo", b"") == b""
            client.emit("ask", b"x")
            for number in range(200):
                client.emit("back", number)
            await until(lambda: ("back", 199) in seen and any(entry[0] == "answered" for entry in seen))
            assert [entry[1] for entry in seen if entry[0] == "back"] == list(range(200))
            assert ("answered", {"got": b"x"}) in seen
            assert ("welcome", "/", b"\x00\xff") in seen and ("chat", "/chat", b"\x00\xff") in seen
            assert client.manager.engine is not None
            if mode == "upgrade":
                await until(lambda: client.manager.engine.transport == "websocket")
            # Over several heartbeats.
            await asyncio.sleep(0.35)
            assert client.connected
            assert client.manager.engine.transport == ("polling" if mode == "polling" else "websocket")
            assert await client.emit_with_ack("echo", 1) == 1
        finally:
            await client.close()
        assert not client.connected and client.id is None

    async def test_refused(self, make_server: Make, mode: str, protocol: int) -> None:
        io = await make_server(behave)
        options: dict[str, Any] = {"transports": TRANSPORTS[mode], "protocol": protocol, **QUICK}
        client = Client(address(io), **options)
        guarded = client.of("/guarded")
        try:
            with pytest.raises(ConnectError) as caught:
                await client.connect("/nowhere")
            assert sorted(caught.value.refused) == ["/guarded", "/nowhere"]
            assert client.connected and not guarded.connected
            assert await client.emit_with_ack("echo", 1) == 1
            if protocol == 4:
                error = caught.value.refused["/guarded"]
                assert isinstance(error, ConnectionRefused)
                assert (error.message, error.data) == ("nope", {"code": 7})
                guarded.auth = {"token": "good"}
                await guarded.connect()
                assert guarded.connected
        finally:
            await client.close()

    async def test_the_server_disconnects(self, make_server: Make, mode: str, protocol: int) -> None:
        io = await make_server(behave)
        async with connected(address(io), transports=TRANSPORTS[mode], protocol=protocol) as client:
            reasons: list[str] = []
            client.on("disconnect", reasons.append)
            client.emit("kick", False)
            await until(lambda: reasons)
            assert reasons == ["io server disconnect"] and not client.active

    async def test_the_client_disconnects(self, make_server: Make, mode: str, protocol: int) -> None:
        ends: list[str] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("last", lambda value: ends.append(value))
                socket.on("disconnect", lambda reason: ends.append(str(reason)))

        io = await make_server(setup)
        async with connected(address(io), transports=TRANSPORTS[mode], protocol=protocol) as client:
            client.emit("last", "words")
        await until(lambda: len(ends) == 2)
        assert ends == ["words", "client namespace disconnect"]

    async def test_restart(self, make_server: Make, mode: str, protocol: int) -> None:
        """The server goes and comes back: what is emitted meanwhile arrives, once and in order."""
        first = await make_server(behave)
        port = first.port
        async with connected(address(first), transports=TRANSPORTS[mode], protocol=protocol) as client:
            log: list[Any] = []
            client.on("disconnect", lambda reason: log.append(str(reason)))
            client.on("connect", lambda: log.append("connect"))
            client.on("back", log.append)
            await first.close(grace=0.1)
            await until(lambda: log)
            for number in range(3):
                client.emit("back", number)
            second = Server()
            behave(second)
            await second.listen(port, "127.0.0.1")
            try:
                await until(lambda: 2 in log)
                assert log[0] in ("transport close", "transport error")
                assert log[1:] == ["connect", 0, 1, 2]
            finally:
                await client.close()
                await second.close(grace=0.1)


#: Name: transport, what the server does, what the error says.
IN_THE_HANDSHAKE: dict[str, tuple[dict[str, Any], Answer, str]] = {
    "garbage-polling": (POLLING, always(b"SSH-2.0-OpenSSH\r\n"), "no HTTP response"),
    "garbage-websocket": (WEBSOCKET, always(b"SSH-2.0-OpenSSH\r\n"), "no HTTP response"),
    "closed-polling": (POLLING, always(b"", close=True), "connection lost"),
    "closed-websocket": (WEBSOCKET, always(b"", close=True), "connection lost in the handshake"),
    "half-polling": (POLLING, always(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n0{", True), "lost"),
    "half-websocket": (WEBSOCKET, always(b"HTTP/1.1 101 Sw", True), "connection lost in the handshake"),
    "404-polling": (
        POLLING,
        always(http_response("no such page", "404 Not Found")),
        "HTTP 404: no such page",
    ),
    "404-websocket": (WEBSOCKET, always(http_response("no such page", "404 Not Found")), "HTTP 404: no such"),
    "redirect": (POLLING, always(http_response("", "302 Found", "Location: /\r\n")), "HTTP 302"),
    "html": (POLLING, always(http_response("<html>")), "cannot decode"),
    "wrong-packet": (POLLING, always(http_response('40{"sid":"x"}')), "began with packet 4"),
    "no-sid": (POLLING, always(http_response('0{"pingInterval":1,"pingTimeout":1}')), "handshake cannot be"),
    "bad-interval": (
        POLLING,
        always(http_response('0{"sid":"a","pingInterval":"x","pingTimeout":1}')),
        "handshake cannot be read",
    ),
    "long-header": (
        POLLING,
        always(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        "no HTTP response",
    ),
    "endless-header-polling": (
        POLLING,
        always(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000),
        "no HTTP response",
    ),
    "endless-header-websocket": (
        WEBSOCKET,
        always(b"HTTP/1.1 101 x\r\nA: " + b"x" * 200_000),
        "no HTTP response",
    ),
    "endless-refusal-websocket": (
        WEBSOCKET,
        always(b"HTTP/1.1 403 x\r\n\r\nnot you" + b" " * 200_000),
        "HTTP 403: not you",
    ),
    "oversized": (
        {**POLLING, "max_message_size": 50},
        always(http_response("0" + HANDSHAKE)),
        "more than 50 bytes .option max_message_size",
    ),
    "unasked-upgrade": (
        POLLING,
        always(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        "unasked",
    ),
    "wrong-accept": (
        WEBSOCKET,
        always(
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
        ),
        "Sec-WebSocket-Accept is wrong",
    ),
    "bad-frame": (WEBSOCKET, websocket(b"\xf1\x00"), "broke RFC 6455"),
    "masked-frame": (WEBSOCKET, websocket(b"\x81\x81aaaab"), "broke RFC 6455"),
    "oversized-frame": (
        {**WEBSOCKET, "max_message_size": 50},
        websocket(OPEN),
        "option max_message_size",
    ),
    "closed-1008": (WEBSOCKET, websocket(frame(b"\x03\xf0policy", 8)), "closed by the server: 1008 policy"),
    "websocket-json": (WEBSOCKET, websocket(frame("0{")), "handshake cannot be read"),
    "websocket-empty": (WEBSOCKET, websocket(frame("")), "cannot decode"),
    "dies": (WEBSOCKET, websocket(OPEN, close=True), "closed by the server"),
    "accepted-as-v2": (WEBSOCKET, websocket(OPEN, frame("40")), "protocol=3"),
    "parse-error": (WEBSOCKET, websocket(OPEN, frame("42[")), "cannot decode a packet"),
    "disconnected-while-joining": (WEBSOCKET, websocket(OPEN, frame("41")), "io server disconnect"),
    "never-answers": ({**WEBSOCKET, "timeout": 0.1}, always(b""), "within 0.1 s"),
    "never-answers-polling": ({**POLLING, "timeout": 0.1}, always(b""), "within 0.1 s"),
    "never-accepts": ({**WEBSOCKET, "timeout": 0.1}, websocket(OPEN), "not accepted / within 0.1 s"),
}


#: Answers to a POST that are as good as any.
BODIES_OF_NO_ACCOUNT = [http_response(body) for body in ("9nonsense", "42[", "1")]


class TestMisbehavingServers:
    @pytest.fixture(autouse=True)
    def short_goodbyes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """These servers do not answer a close frame."""
        monkeypatch.setattr("fastsio.client.websocket._CLOSE_TIMEOUT", 0.02)

    @pytest.mark.parametrize("name", IN_THE_HANDSHAKE)
    async def test_in_the_handshake(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        """The error says what happened, and where; nothing is left behind, and nothing hangs."""
        options, answer, words = IN_THE_HANDSHAKE[name]
        async with hostile(answer) as url:
            client = Client(url, **{**QUICK, **options})
            errors: list[Exception] = []
            client.on("connect_error", errors.append)
            with pytest.raises(ConnectError, match=words) as caught:
                await asyncio.wait_for(client.connect(), 5)
            assert url in str(caught.value)
            await client.close()
            assert [task for task in asyncio.all_tasks() if "_dial" in repr(task)] == []
        assert not caplog.records

    @pytest.mark.parametrize("mode", ["websocket", "polling"])
    async def test_nobody_listens(self, mode: str) -> None:
        async with hostile(always(b"")) as url:
            pass
        client = Client(url, transports=[mode], reconnection_attempts=2, **QUICK)
        log: list[str] = []
        client.manager.on("reconnect_attempt", lambda n: log.append(f"attempt {n}"))
        client.manager.on("reconnect_failed", lambda: log.append("failed"))
        client.on("connect_error", lambda error: log.append(str(error.__cause__)[:30]))
        with pytest.raises(ConnectError, match=f"{mode} {url}:.*cannot connect"):
            await client.connect(retry=True)
        assert [entry for entry in log if not entry.startswith("attempt")].count("failed") == 1
        assert "attempt 2" in log and "attempt 3" not in log
        await client.close()

    @pytest.mark.parametrize(
        ("frames", "reason", "words"),
        [
            ([frame("2[")], "transport error", None),
            ([frame("42[1")], "parse error", "cannot decode a packet"),
            ([frame('451-["a",{"_placeholder":true,"num":5}]'), frame(b"x", 2)], "parse error", "cannot"),
            ([frame('4599-["a"]')], "parse error", "attachments"),
            ([frame(b"x", 2)], "parse error", "cannot decode"),
            ([frame("9")], "transport error", "cannot decode"),
            ([frame("\x00")], "transport error", "cannot decode"),
            ([frame(b"\xff\xff")], "transport error", "broke RFC 6455"),
            ([frame(b"\x03\xe8", 8)], "transport close", "closed by the server"),
            ([frame(b"\x03\xf3", 8)], "transport error", "1011"),
        ],
    )
    async def test_later(self, frames: list[bytes], reason: str, words: str | None) -> None:
        """A connection that breaks the rules is dropped with a reason, and made again."""
        if words is None:  # a ping with data is answered in kind, and nothing else happens
            frames = [frame("2["), frame(b"", 8)]
            reason, words = "transport close", "closed by the server"
        count = 0

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            writer.write(accept_websocket(head) + OPEN + frame('40{"sid":"s"}'))
            if count == 1:
                await asyncio.sleep(0.01)
                writer.write(b"".join(frames))

        async with hostile(answer) as url, connected(url, **WEBSOCKET) as client:
            ends: list[Any] = []
            client.on("disconnect", lambda *args: ends.append(args))
            await until(lambda: ends and client.connected)
            assert ends[0][0] == reason
            assert words in str(ends[0][1]) and url in str(ends[0][1])
            assert count == 2

    @pytest.mark.parametrize(
        ("reply", "close", "reason", "words"),
        [
            (http_response("9nonsense"), False, "transport error", "cannot decode a response"),
            (http_response("42["), False, "parse error", "cannot decode a packet"),
            (
                http_response("Session ID unknown", "400 Bad Request"),
                False,
                "transport error",
                "HTTP 400: Session",
            ),
            (
                http_response("x" * 1001),
                False,
                "transport error",
                "more than 1000 bytes (option max_mess",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n42[", True, "transport error", "connection lost"),
            (b"\x00\x01", False, "transport error", "no HTTP response"),
            (b"", True, "transport error", "connection lost"),
            (http_response("1"), False, "transport close", "closed by the server"),
        ],
        ids=["garbage", "no packet", "refused", "oversized", "half", "no HTTP", "hangs up", "close packet"],
    )
    @pytest.mark.parametrize("method", [b"GET", b"POST"])
    async def test_later_over_polling(
        self,
        method: bytes,
        reply: bytes,
        close: bool,
        reason: str,
        words: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a server may do to a poll, or to a POST, once all is well."""
        pending: list[asyncio.StreamWriter] = []
        posts: list[bytes] = []

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            if b"sid=" not in head:
                writer.write(http_response(f'0{HANDSHAKE}\x1e40{{"sid":"s"}}'))
            elif head.startswith(method) and (method == b"GET" or posts):
                writer.write(reply)
                if close:
                    writer.close()
            elif head.startswith(b"POST"):
                posts.append(head)  # with CONNECT
                writer.write(http_response("ok"))
            else:
                pending.append(writer)  # a poll that waits for events

        async with hostile(answer) as url:
            client = Client(url, **QUICK, **POLLING, reconnection=False, max_message_size=1000)
            log: list[Any] = []
            client.on("disconnect", lambda *args: log.append(args))
            client.open()
            if method == b"POST":
                await until(lambda: client.connected)
                client.emit("x")
                if reply in BODIES_OF_NO_ACCOUNT:
                    # What a POST is answered with means nothing, if only it is answered.
                    await asyncio.sleep(0.05)
                    client.disconnect()
                    reason, words = "io client disconnect", ""
            await until(lambda: log)
            assert log[0][0] == reason and words in str(log[0][1]), log
            await client.close()
        assert not caplog.records

    async def test_pings_to_a_client_that_cannot_answer(self) -> None:
        """The server takes no POST but pings on: one answer waits, not thousands."""
        posts: list[bytes] = []
        polls: list[bytes] = []

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            if b"sid=" not in head:
                writer.write(http_response(f'0{HANDSHAKE}\x1e40{{"sid":"s"}}'))
            elif head.startswith(b"POST"):
                posts.append(head)
            elif len(polls) < 20:
                polls.append(head)
                writer.write(http_response("\x1e".join(["2"] * 1000)))

        async with hostile(answer) as url, connected(url, **POLLING) as client:
            pings: list[int] = []
            client.manager.on("ping", lambda: pings.append(1))
            await until(lambda: len(pings) == 20_000)
            engine = client.manager.engine
            assert engine is not None and len(posts) == 1 and len(engine._buffer) <= 1

    async def test_wrong_acks_are_ignored(self) -> None:
        noise = ['43["none"]', '4399["unknown"]', "43", '430["right"]', '430["twice"]', '42["after"]']

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(accept_websocket(head) + OPEN + frame('40{"sid":"s"}'))
            await asyncio.sleep(0.02)
            writer.write(b"".join(map(frame, noise)))

        async with hostile(answer) as url, connected(url, **WEBSOCKET) as client:
            after: list[int] = []
            client.on("after", lambda: after.append(1))
            assert await client.timeout(2).emit_with_ack("x") == "right"
            await until(lambda: after)
            assert client.connected

    async def test_heartbeat_of_a_half_open_connection(self) -> None:
        silent = json.dumps({"sid": "a", "upgrades": [], "pingInterval": 50, "pingTimeout": 50})
        answer = websocket(frame("0" + silent), frame('40{"sid":"s"}'))
        async with hostile(answer) as url, connected(url, reconnection=False, **WEBSOCKET) as client:
            ends: list[Any] = []
            client.on("disconnect", lambda *args: ends.append(args))
            asked = asyncio.ensure_future(client.emit_with_ack("x"))
            await until(lambda: ends)
            assert ends[0][0] == "ping timeout" and "no ping from the server for 0.1 s" in str(ends[0][1])
            with pytest.raises(Disconnected):
                await asked

    async def test_heartbeat_of_protocol_3(self) -> None:
        silent = json.dumps({"sid": "a", "upgrades": [], "pingInterval": 50, "pingTimeout": 50})
        answer = websocket(frame("0" + silent), frame("40"))
        async with (
            hostile(answer) as url,
            connected(url, protocol=3, reconnection=False, **WEBSOCKET) as client,
        ):
            ends: list[Any] = []
            client.on("disconnect", lambda *args: ends.append(args))
            await until(lambda: ends)
            assert ends[0][0] == "ping timeout" and "did not answer a ping" in str(ends[0][1])

    @pytest.mark.parametrize("probe", ["refused", "closed", "wrong", "silent"])
    async def test_an_upgrade_that_fails_leaves_polling(self, probe: str) -> None:
        offer = HANDSHAKE.replace('"upgrades": []', '"upgrades": ["websocket"]')
        waiting: list[asyncio.StreamWriter] = []
        probed = []

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            if b"transport=websocket" in head:
                probed.append(head)
                if probe == "refused":
                    writer.write(http_response("", "403 Forbidden"))
                else:
                    writer.write(accept_websocket(head))
                    if probe == "closed":
                        writer.close()
                    elif probe == "wrong":
                        writer.write(frame("3nope"))
            elif head.startswith(b"POST"):
                writer.write(http_response("ok"))
                if waiting:
                    waiting.pop().write(http_response('430["ack"]'))
            elif b"sid=" not in head:
                writer.write(http_response(f'0{offer}\x1e40{{"sid":"s"}}'))
            else:
                waiting.append(writer)

        patience = 0.8 if probe == "silent" else 10
        async with hostile(answer) as url, connected(url, timeout=patience) as client:
            await until(lambda: probed)
            await asyncio.sleep(1 if probe == "silent" else 0.05)
            while not waiting:
                await asyncio.sleep(0.005)
            assert await client.timeout(2).emit_with_ack("x") == "ack"
            assert client.manager.engine is not None and client.manager.engine.transport == "polling"

    async def test_cookies_go_back(self) -> None:
        heads: list[bytes] = []

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            heads.append(head)
            body = f'0{HANDSHAKE}\x1e40{{"sid":"s"}}' if b"sid=" not in head else ""
            if b"sid=" not in head or head.startswith(b"POST"):
                writer.write(http_response(body or "ok", headers="Set-Cookie: lb=7; Path=/\r\n"))

        async with hostile(answer) as url:
            async with connected(url, with_credentials=True, **POLLING):
                await until(lambda: len(heads) >= 2)
            assert b"Cookie" not in heads[0] and b"Cookie: lb=7\r\n" in heads[1]

    async def test_data_in_tiny_pieces(self) -> None:
        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            data = (
                accept_websocket(head) + OPEN + frame('40{"sid":"s"}') + frame('42["e","' + "ü" * 300 + '"]')
            )
            for at in range(0, len(data), 3):
                writer.write(data[at : at + 3])
                await writer.drain()
                if at % 60 == 0:
                    await asyncio.sleep(0)

        async with hostile(answer) as url:
            client = Client(url, **WEBSOCKET, **QUICK)
            events = client.events()
            await client.connect()
            assert await asyncio.wait_for(events.__anext__(), 2) == ("e", ("ü" * 300,))
            await client.close()

    async def test_a_dropped_read_is_noticed_by_volatile(self) -> None:
        """Against a server that does not read, the transport is not writable: volatile events are dropped."""

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(accept_websocket(head) + OPEN + frame('40{"sid":"s"}'))
            await asyncio.sleep(30)

        async with hostile(answer) as url, connected(url, **WEBSOCKET) as client:
            engine = client.manager.engine
            assert engine is not None and engine.writable
            for _ in range(200):
                client.emit("x", b"y" * 100_000)
            await asyncio.sleep(0.05)
            assert not engine.writable
            assert client.volatile.emit("dropped")
            client.manager.disconnect()


class TestManyClients:
    async def test_all_are_back_after_a_restart(self, make_server: Make) -> None:
        """A hundred clients, each with something buffered: nothing is lost or doubled."""
        counts: dict[int, int] = {}

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                @socket.on("count")
                def count(number: int) -> None:
                    counts[number] = counts.get(number, 0) + 1

        first = await make_server(setup)
        port = first.port
        options = {"transports": ["websocket"], "reconnection_delay": 0.1, "auto_connect": False}
        clients = [Client(address(first), **options) for _ in range(100)]
        await asyncio.gather(*[client.connect() for client in clients])
        await first.close(grace=0.1)
        await until(lambda: not any(client.connected for client in clients))
        for number, client in enumerate(clients):
            client.emit("count", number)
        second = Server()
        setup(second)
        await second.listen(port, "127.0.0.1")
        try:
            await until(lambda: len(counts) == 100)
            assert all(client.connected for client in clients)
            assert set(counts.values()) == {1}
        finally:
            await asyncio.gather(*[client.close() for client in clients])
            await second.close(grace=0.1)


class TestClosing:
    async def test_async_with_and_events(self, make_server: Make) -> None:
        io = await make_server(behave)
        async with Client(address(io)) as client:
            events = client.events()
            client.emit("back", 1)
            client.emit("back", 2)
            client.emit("kick", True)
            seen = [args[0] async for event, args in events if event == "back"]
        assert seen == [1, 2]

    async def test_close_without_connecting(self) -> None:
        client = Client("http://127.0.0.1:1")
        await client.close()
        client = Client("http://127.0.0.1:1", auto_connect=False)
        client.disconnect()
        await client.close()

    async def test_close_while_connecting(self) -> None:
        async with hostile(always(b"")) as url:
            for options in (WEBSOCKET, POLLING):
                client = Client(url, **QUICK, **options)
                waiting = asyncio.ensure_future(client.connect())
                await asyncio.sleep(0.02)
                await client.close()
                with pytest.raises(ConnectError, match="client"):
                    await waiting

    async def test_close_during_the_upgrade(self, make_server: Make) -> None:
        ends: list[str] = []

        def setup(io: Server) -> None:
            @io.on("connection")
            def connection(socket: Socket) -> None:
                socket.on("disconnect", lambda reason: ends.append(str(reason)))

        io = await make_server(setup)
        for delay in (0, 0.002, 0.01, 0.05, 0.11):
            client = Client(address(io), **QUICK)
            await client.connect()
            await asyncio.sleep(delay)
            await client.close()
        await until(lambda: len(ends) == 5)
        assert set(ends) == {"client namespace disconnect"}

    async def test_connect_again(self, make_server: Make) -> None:
        io = await make_server(behave)
        client = Client(address(io), **QUICK)
        ids = set()
        for _ in range(3):
            await client.connect()
            ids.add(client.id)
            assert await client.emit_with_ack("echo", 1) == 1
            client.disconnect()
        await client.close()
        assert len(ids) == 3


@pytest.mark.parametrize("protocol", [4, 3])
@pytest.mark.parametrize("mode", TRANSPORTS)
def test_on_uvloop(mode: str, protocol: int) -> None:
    """The other event loop, whose transports behave differently when they close."""
    escaped: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
        io = Server()
        behave(io)
        await io.listen(0, "127.0.0.1")
        port = io.port
        async with connected(address(io), transports=TRANSPORTS[mode], protocol=protocol) as client:
            value = {"b": b"\x00" * 300_000}
            assert await client.emit_with_ack("echo", value) == value
            await io.close(grace=0.1)
            await until(lambda: not client.connected)
            asked = asyncio.ensure_future(client.emit_with_ack("echo", "offline"))
            io = Server()
            behave(io)
            await io.listen(port, "127.0.0.1")
            assert await asked == "offline"
        await io.close(grace=0.1)
        async with hostile(always(b"", close=True)) as url:
            client = Client(url, transports=TRANSPORTS[mode], protocol=protocol, **QUICK)
            with pytest.raises(ConnectError, match="connection lost"):
                await client.connect()
            await client.close()

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 20))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert escaped == []
