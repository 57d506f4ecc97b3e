"""fastsio's clients against servers in processes of their own: socket.io 2.5 and 4.8, and fastsio."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastsio import AckTimeout, Client, ConnectError, ConnectionRefused, Disconnected, SyncClient
from tests.interop.harness import CLIENTS, Program, node_package
from tests.support.clients import Relay

pytestmark = pytest.mark.interop

#: Server: the protocol that its clients speak.
SERVERS = {"sio-server-4": 4, "sio-server-2": 3, "fastsio": 4, "fastsio-3": 3}
MODES = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
QUICK = {"reconnection_delay": 0.05, "reconnection_delay_max": 0.2, "auto_connect": False}


class ServerProgram(Program):
    """A server; ``options`` have Node's names."""

    def __init__(self, name: str, port: int = 0, **options: Any) -> None:
        if name.startswith("fastsio"):
            program = [sys.executable, str(Path(__file__).with_name("client_server.py"))]
        else:
            program = [node_package(name), "client_server.js"]
        super().__init__([*program, name, str(port), json.dumps(options)], CLIENTS)
        self.name = name
        self.protocol = SERVERS[name]
        try:
            self.port = self.wait_for(lambda lines: lines[:1], 15, "the server's port")[0]["port"]
        except AssertionError:
            self.stop()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def ends(self) -> list[str]:
        """The reasons with which root sockets left."""
        return [line["reason"] for line in self.lines if line["event"] == "end"]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProgram]:
    server = ServerProgram(request.param)
    yield server
    assert server.stop() == 0, server.output()


@pytest.fixture
def start() -> Iterator[Callable[..., ServerProgram]]:
    """``start(name, port, **options)``: a server of the test's own."""
    running: list[ServerProgram] = []

    def make(name: str, port: int = 0, **options: Any) -> ServerProgram:
        running.append(ServerProgram(name, port, **options))
        return running[-1]

    yield make
    for server in running:
        server.stop()


def make_client(
    server: ServerProgram, mode: str = "upgrade", path: str = "", url: str | None = None, **options: Any
) -> Client:
    """:param url: of a relay on the way there."""
    own = {**QUICK, "protocol": server.protocol, "transports": MODES[mode], **options}
    return Client((url or server.url) + path, **own)


@asynccontextmanager
async def connected(
    server: ServerProgram, mode: str = "upgrade", path: str = "", **options: Any
) -> AsyncIterator[Client]:
    client = make_client(server, mode, path, **options)
    try:
        await client.connect()
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], Any], timeout: float = 8.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.01)


async def on_websocket(client: Client) -> None:
    await until(lambda: client.manager.engine is not None and client.manager.engine.transport == "websocket")


@pytest.mark.parametrize("mode", MODES)
class TestEveryTransport:
    async def test_events_acks_binary_namespaces(self, server: ServerProgram, mode: str) -> None:
        client = make_client(server, mode)
        chat = client.of("/chat")
        seen: list[Any] = []
        client.on_any(lambda *args: seen.append(args))
        chat.on("welcome", lambda *args: seen.append(("chat", *args)))
        client.on("question", lambda value: (value, b"!"))
        early = asyncio.ensure_future(client.emit_with_ack("echo", "early"))
        try:
            await client.connect()
            assert await early == "early"
            me = await client.emit_with_ack("whoami")
            assert me["id"] == client.id
            assert (await chat.emit_with_ack("whoami"))["id"] == chat.id
            value = {"a": [1, 2.5, None, "ü😀\u2028"], "b": b"\x00\x01" * 2000}
            assert await client.emit_with_ack("echo", value) == value
            assert await client.emit_with_ack("echo") is None
            assert await client.emit_with_ack("echo", 1, b"2") == (1, b"2")
            described = await chat.emit_with_ack("describe", [b"\x01\xff", {"x": bytearray(b"z")}])
            assert described == ["bytes 01ff", {"x": "bytes 7a"}]
            client.emit("ask", b"q")
            for number in range(300):
                client.emit("seen", number)
            assert await client.emit_with_ack("report") == list(range(300))
            await until(lambda: any(entry[0] == "answered" for entry in seen))
            assert ("answered", b"q", b"!") in seen
            assert ("welcome", "/", b"\x00\xff") in seen and ("chat", "/chat", b"\x00\xff") in seen
            if mode != "polling":
                await on_websocket(client)
                assert (await client.emit_with_ack("whoami"))["transport"] == "websocket"
        finally:
            before = len(server.ends())
            await client.close()
        await until(lambda: len(server.ends()) > before)
        assert server.ends()[-1] == "client namespace disconnect"

    async def test_a_slow_network(self, server: ServerProgram, mode: str) -> None:
        """Everything comes a few bytes at a time: packets in pieces, heads and bodies too."""
        async with Relay(server.port, piece=3) as relay, connected(server, mode, url=relay.url) as client:
            if mode != "polling":
                await on_websocket(client)
            value = {"text": "ü😀" * 50, "data": bytes(range(256))}
            asked = [client.emit_with_ack("echo", value, number) for number in range(3)]
            assert await asyncio.gather(*asked) == [(value, number) for number in range(3)]

    async def test_a_network_that_dies(self, start: Any, server: ServerProgram, mode: str) -> None:
        """Half-open: what either side sends is lost, and neither is told. The heartbeat notices."""
        own = start(server.name, pingInterval=200, pingTimeout=200)
        async with (
            Relay(own.port) as relay,
            connected(own, mode, url=relay.url, timeout=0.4) as client,
        ):
            if mode != "polling":
                await on_websocket(client)
            log: list[Any] = []
            client.on("disconnect", lambda *args: log.append(args))
            assert await client.emit_with_ack("echo", 1) == 1
            relay.drop = True
            lost = asyncio.ensure_future(client.emit_with_ack("echo", "lost"))
            await until(lambda: log)
            with pytest.raises(Disconnected):
                await lost
            reason, error = log[0]
            assert reason == "ping timeout" and relay.url in str(error)
            for number in range(3):
                client.emit("seen", number)
            # An attempt or two run into the dead network.
            failures: list[Exception] = []
            client.manager.on("reconnect_error", failures.append)
            await until(lambda: failures)
            assert "option timeout" in str(failures[0])
            relay.drop = False
            await until(lambda: client.connected)
            assert await client.emit_with_ack("report") == [0, 1, 2]

    async def test_refused(self, server: ServerProgram, mode: str) -> None:
        client = make_client(server, mode)
        try:
            with pytest.raises(ConnectError) as caught:
                await client.connect("/guarded", "/nowhere")
            refused = caught.value.refused
            assert sorted(refused) == ["/guarded", "/nowhere"]
            assert str(refused["/nowhere"]) == "Invalid namespace"
            guarded = refused["/guarded"]
            assert isinstance(guarded, ConnectionRefused)
            assert guarded.data == {"code": 7}
            assert client.connected and await client.emit_with_ack("echo", 1) == 1
        finally:
            await client.close()

    async def test_let_in(self, server: ServerProgram, mode: str) -> None:
        if server.protocol == 4:
            client = make_client(server, mode, "/guarded", auth=lambda: {"token": "good"})
        else:
            client = make_client(server, mode, "/guarded?token=good")
        await client.connect()
        assert await client.emit_with_ack("echo", 1) == 1
        await client.close()

    async def test_query_and_headers(self, server: ServerProgram, mode: str) -> None:
        options = {"query": {"q": "ä &"}, "extra_headers": {"X-Test": "yes"}}
        async with connected(server, mode, **options) as client:
            me = await client.emit_with_ack("whoami")
            assert (me["query"]["q"], me["header"]) == ("ä &", "yes")

    @pytest.mark.parametrize("close", [False, True])
    async def test_the_server_disconnects(self, server: ServerProgram, mode: str, close: bool) -> None:
        async with connected(server, mode) as client:
            reasons: list[str] = []
            client.on("disconnect", lambda reason: reasons.append(str(reason)))
            client.emit("kick", close)
            await until(lambda: reasons)
            assert reasons == ["io server disconnect"] and not client.active

    async def test_the_connection_breaks(self, server: ServerProgram, mode: str) -> None:
        async with connected(server, mode) as client:
            log: list[Any] = []
            client.on("disconnect", lambda reason: log.append(str(reason)))
            client.on("connect", lambda: log.append("connect"))
            client.emit("drop")
            await until(lambda: len(log) == 2)
            assert log == ["transport close", "connect"]
            assert await client.emit_with_ack("echo", 1) == 1

    async def test_silence(self, server: ServerProgram, mode: str) -> None:
        async with connected(server, mode) as client:
            with pytest.raises(AckTimeout):
                await client.timeout(0.05).emit_with_ack("silent")
            assert await client.timeout(3).emit_with_ack("slow", 30) == "at last"


@pytest.mark.parametrize("name", SERVERS)
class TestFaults:
    @pytest.mark.parametrize("mode", ["websocket", "polling"])
    async def test_killed_and_started_again(self, start: Any, name: str, mode: str) -> None:
        """kill -9 in the middle of things: what was buffered arrives once, in order."""
        first = start(name)
        async with connected(first, mode) as client:
            log: list[Any] = []
            client.on("disconnect", lambda reason: log.append(str(reason)))
            client.on("connect", lambda: log.append("connect"))
            failures: list[Exception] = []
            client.manager.on("reconnect_error", failures.append)
            asked = asyncio.ensure_future(client.emit_with_ack("silent"))
            await asyncio.sleep(0.05)
            first.signal(signal.SIGKILL)
            with pytest.raises(Disconnected):
                await asked
            for number in range(3):
                client.emit("seen", number)
            await until(lambda: failures)
            assert "cannot connect" in str(failures[0]) and first.url in str(failures[0])
            start(name, first.port)
            await until(lambda: client.connected)
            assert await client.emit_with_ack("report") == [0, 1, 2]
            assert log[0] in ("transport close", "transport error") and log[1:] == ["connect"]

    async def test_many_after_a_kill(self, start: Any, name: str) -> None:
        """Each of many clients is back, with what it had buffered: nothing lost, nothing twice."""
        first = start(name)
        modes = list(MODES)
        clients = [make_client(first, modes[number % 3]) for number in range(45)]
        try:
            await asyncio.gather(*[client.connect() for client in clients])
            first.signal(signal.SIGKILL)
            await until(lambda: not any(client.connected for client in clients))
            attempts: list[int] = []
            for number, client in enumerate(clients):
                client.manager.on("reconnect", attempts.append)
                for event in range(3):
                    client.emit("seen", [number, event])
            start(name, first.port)
            await until(lambda: all(client.connected for client in clients))
            reports = await asyncio.gather(*[client.emit_with_ack("report") for client in clients])
            assert reports == [[[number, event] for event in range(3)] for number in range(45)]
            assert len(attempts) == 45
        finally:
            await asyncio.gather(*[client.close() for client in clients])

    async def test_half_open(self, start: Any, name: str) -> None:
        """The server stops without a word, then goes on: noticed by the heartbeat, and made good."""
        server = start(name, pingInterval=150, pingTimeout=150)
        async with connected(server, timeout=1.0) as client:
            await on_websocket(client)
            log: list[Any] = []
            client.on("disconnect", lambda *args: log.append(args))
            server.signal(signal.SIGSTOP)
            await until(lambda: log)
            reason, error = log[0]
            assert reason == "ping timeout" and server.url in str(error)
            client.emit("seen", 1)
            server.signal(signal.SIGCONT)
            await until(lambda: client.connected)
            assert await client.emit_with_ack("report") == [1]

    @pytest.mark.parametrize("mode", MODES)
    async def test_a_slow_server(self, start: Any, name: str, mode: str) -> None:
        """It stands still for a while in the middle of things: nothing is lost or done twice."""
        server = start(name)
        async with connected(server, mode) as client:
            assert await client.emit_with_ack("echo", 1) == 1
            server.signal(signal.SIGSTOP)
            for number in range(50):
                client.emit("seen", number)
            asked = asyncio.ensure_future(client.emit_with_ack("report"))
            with pytest.raises(AckTimeout):
                await client.timeout(0.2).emit_with_ack("echo", 2)
            server.signal(signal.SIGCONT)
            assert await asked == list(range(50))
            assert client.connected

    async def test_restarted(self, start: Any, name: str) -> None:
        """The server says goodbye, and another takes its place."""
        first = start(name)
        async with connected(first) as client:
            await on_websocket(client)
            log: list[Any] = []
            client.on("disconnect", lambda reason: log.append(str(reason)))
            client.on("connect", lambda: log.append("connect"))
            assert first.stop() == 0
            await until(lambda: log)
            client.emit("seen", b"kept")
            start(name, first.port)
            await until(lambda: client.connected)
            assert await client.emit_with_ack("report") == [b"kept"]
            # Node's ends its process without a close packet, fastsio's closes the sockets' connections.
            assert log[0] in ("transport close", "transport error") and log[1:] == ["connect"]

    async def test_a_server_that_is_stopped_never_answers(self, start: Any, name: str) -> None:
        server = start(name)
        server.signal(signal.SIGSTOP)
        client = make_client(server, timeout=0.2)
        with pytest.raises(ConnectError, match=r"within 0\.2 s \(option timeout\)"):
            await client.connect()
        server.signal(signal.SIGCONT)
        await client.connect()
        await client.close()

    async def test_heartbeats_keep_it_alive(self, start: Any, name: str) -> None:
        server = start(name, pingInterval=60, pingTimeout=400)
        for mode in MODES:
            async with connected(server, mode) as client:
                beats: list[int] = []
                client.manager.on("ping", lambda beats=beats: beats.append(1))
                await until(lambda beats=beats: len(beats) >= 4)
                assert client.connected

    async def test_a_message_too_long_for_the_server(self, start: Any, name: str) -> None:
        server = start(name, maxHttpBufferSize=2000)
        async with connected(server, "websocket") as client:
            reasons: list[Any] = []
            client.on("disconnect", lambda *args: reasons.append(args))
            client.emit("seen", "x" * 5000)
            await until(lambda: reasons and client.connected)
            assert reasons[0][0] in ("transport close", "transport error")

    async def test_the_wrong_path(self, start: Any, name: str) -> None:
        server = start(name)
        for mode, options in MODES.items():
            client = make_client(server, mode, path="", transports=options)
            client.manager.address._path = "/elsewhere/"
            with pytest.raises(ConnectError, match=r"HTTP 404|connection lost in the handshake"):
                await client.connect()
            await client.close()


async def test_the_wrong_protocol() -> None:
    v4, v2 = ServerProgram("sio-server-4"), ServerProgram("sio-server-2")
    try:
        client = Client(v4.url, protocol=3, **QUICK)
        with pytest.raises(ConnectError, match="Unsupported protocol version"):
            await client.connect()
        await client.close()
        client = Client(v2.url, protocol=4, reconnection=False, **QUICK)
        with pytest.raises(ConnectError):
            await client.connect()
        await client.close()
    finally:
        v4.stop()
        v2.stop()


@pytest.mark.parametrize("mode", MODES)
async def test_compressed(start: Any, mode: str) -> None:
    """permessage-deflate as the package ws has it."""
    server = start("sio-server-4", perMessageDeflate={"threshold": 10})
    async with (
        Relay(server.port) as relay,
        connected(server, mode, url=relay.url, per_message_deflate={"threshold": 10}) as client,
    ):
        if mode != "polling":
            await on_websocket(client)
        relay.reset()
        for length in (1, 50_000, 40_000):
            value = {"text": "ab" * length, "data": b"xy" * length}
            assert await client.emit_with_ack("echo", value) == value
        if mode != "polling":
            assert relay.up < 5000 and relay.down < 5000


@pytest.mark.parametrize("mode", MODES)
async def test_msgpack(start: Any, mode: str) -> None:
    """The npm package socket.io-msgpack-parser."""
    node_package("socket.io-msgpack-parser")
    server = start("sio-server-4", parser="socket.io-msgpack-parser")
    async with connected(server, mode, parser="msgpack", auth={"token": "good"}) as client:
        chat = client.of("/chat")
        welcomes: list[Any] = []
        chat.on("welcome", lambda *args: welcomes.append(args))
        await chat.connect()
        if mode != "polling":
            await on_websocket(client)
        value = {"a": [1, -(2**40), 2.5, None, True, "ü😀"], "b": b"\x00\x01" * 2000, "c": {"d": []}}
        assert await client.emit_with_ack("echo", value, 2**53 - 1) == (value, 2**53 - 1)
        assert await chat.emit_with_ack("describe", [b"\x01\xff"]) == ["bytes 01ff"]
        assert welcomes == [("/chat", b"\x00\xff")]
        assert (await client.emit_with_ack("whoami"))["auth"] == {"token": "good"}
        with pytest.raises(ConnectError, match="nope") as caught:
            await client.of("/guarded", auth={"token": "bad"}).connect()
        refusal = caught.value.refused["/guarded"]
        assert isinstance(refusal, ConnectionRefused) and refusal.data == {"code": 7}


async def test_recovery(start: Any) -> None:
    server = start("sio-server-4", connectionStateRecovery={})
    async with connected(server, "websocket") as client:
        missed: list[Any] = []
        client.on("missed", lambda *args: missed.append(args[0]))
        await client.emit_with_ack("echo", 1)
        before = client.id
        connects: list[bool] = []
        client.on("connect", lambda: connects.append(client.recovered))
        # Not before something with an offset has come.
        client.emit("back", 1)
        await asyncio.sleep(0.05)
        client.emit("break")
        await until(lambda: connects)
        await until(lambda: missed)
        assert connects == [True] and client.id == before and missed == [1]


async def test_retries(start: Any) -> None:
    server = start("sio-server-4")
    async with connected(server, "websocket", retries=3, ack_timeout=0.5) as client:
        server.signal(signal.SIGSTOP)
        asked = asyncio.ensure_future(client.emit_with_ack("echo", 7))
        await asyncio.sleep(0.6)
        server.signal(signal.SIGCONT)
        assert await asked == 7


async def test_blocking_client(server: ServerProgram) -> None:
    def use() -> None:
        with SyncClient(server.url, protocol=server.protocol) as client:
            assert client.receive(3) == ("welcome", ("/", b"\x00\xff"))
            assert client.call("echo", b"x", timeout=3) == b"x"
            chat = client.of("/chat")
            client.connect()
            assert chat.call("echo", 1, timeout=3) == 1

    await asyncio.get_running_loop().run_in_executor(None, use)
