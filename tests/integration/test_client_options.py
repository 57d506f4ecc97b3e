"""The clients' options over real connections: what goes out, how packets travel, who shares a connection."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import (
    HANDSHAKE,
    OPEN,
    QUICK,
    TRANSPORTS,
    WEBSOCKET,
    Answer,
    Relay,
    accept_websocket,
    address,
    always,
    behave,
    connected,
    frame,
    hostile,
    http_response,
    join,
    moved,
    until,
)

from fastsio import Client, ConnectError, Server, Socket, TransportError, msgpack
from fastsio.codec import Packet, PacketType

Make = Callable[..., Any]


def deflated(message: bytes) -> bytes:
    """The payload of a compressed message."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def compressing(*frames: bytes) -> Answer:
    """A server that agrees to compress."""

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        agreed = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        writer.write(accept_websocket(head).removesuffix(b"\r\n") + agreed + b"".join(frames))

    return answer


class TestOptions:
    async def test_query_headers_auth_path(self, make_server: Make) -> None:
        io = await make_server(behave, path="/other")

        async def auth() -> dict[str, str]:
            return {"token": "t"}

        for mode in TRANSPORTS.values():
            async with connected(
                address(io, "/chat"),
                path="/other/",
                query={"q": "ä &"},
                extra_headers={"X-Test": "yes"},
                auth=auth,
                transports=mode,
            ) as client:
                assert client.nsp == "/chat"
                assert await client.emit_with_ack("whoami") == [{"token": "t"}, "ä &", "yes"]

    async def test_no_upgrade(self, make_server: Make) -> None:
        io = await make_server(behave)
        async with connected(address(io), upgrade=False) as client:
            await asyncio.sleep(0.1)
            assert client.manager.engine is not None and client.manager.engine.transport == "polling"

    async def test_try_all_transports(self, make_server: Make) -> None:
        io = await make_server(behave, transports=["polling"])
        with pytest.raises(ConnectError, match=r"HTTP 400.*Transport unknown") as caught:
            async with connected(address(io), transports=["websocket"]):
                pass
        error = caught.value.refused["/"]
        assert isinstance(error, TransportError)
        assert (error.transport, error.status) == ("websocket", 400)
        async with connected(
            address(io), transports=["websocket", "polling"], try_all_transports=True
        ) as client:
            assert client.manager.engine is not None and client.manager.engine.transport == "polling"

    async def test_auto_connect(self, make_server: Make) -> None:
        io = await make_server(behave)
        client = Client(address(io))
        await until(lambda: client.connected)
        await client.close()

    async def test_msgpack_reports_a_server_that_speaks_json(self, make_server: Make) -> None:
        io = await make_server(behave)
        client = Client(address(io), parser="msgpack", transports=["websocket"], reconnection=False, **QUICK)
        with pytest.raises(ConnectError):
            await client.connect()
        await client.close()

    async def test_max_payload_is_honoured(self, make_server: Make) -> None:
        io = await make_server(behave, max_http_buffer_size=3000)
        async with connected(address(io), transports=["polling"]) as client:
            asked = [client.emit_with_ack("echo", "x" * 900) for _ in range(20)]
            assert await asyncio.gather(*asked) == ["x" * 900] * 20

    @pytest.mark.parametrize("protocol", [4, 3])
    @pytest.mark.parametrize("mode", TRANSPORTS)
    async def test_base64(self, make_server: Make, mode: str, protocol: int) -> None:
        io = await make_server(behave)
        options = {"protocol": protocol, "transports": TRANSPORTS[mode], "force_base64": True}
        async with connected(address(io), **options) as client:
            await moved(client, mode)
            value = {"data": bytes(range(256))}
            assert await client.emit_with_ack("echo", value) == value

    async def test_transport_options(self, make_server: Make) -> None:
        seen: list[tuple[str, str | None, str | None]] = []

        def note(request: Any, next: Callable[..., None]) -> None:
            query = request.query
            seen.append((query["transport"], request.headers.get("x-via"), query.get("stamp")))
            next()

        io = await make_server(behave)
        io.engine.use(note)
        options = {
            "transport_options": {
                "polling": {"extra_headers": {"X-Via": "poll"}, "timestamp_requests": False},
                "websocket": {"extra_headers": {"X-Via": "ws"}, "timestamp_requests": True},
            },
            "timestamp_param": "stamp",
        }
        async with connected(address(io), **options) as client:
            await moved(client, "upgrade")
        assert {entry[:2] for entry in seen} == {("polling", "poll"), ("websocket", "ws")}
        assert all((stamp is None) == (name == "polling") for name, _, stamp in seen)

    async def test_polling_requests_are_never_the_same(self, make_server: Make) -> None:
        stamps: list[str] = []

        def note(request: Any, next: Callable[..., None]) -> None:
            stamps.append(request.query["t"])
            next()

        io = await make_server(behave)
        io.engine.use(note)
        async with connected(address(io), transports=["polling"]) as client:
            for number in range(5):
                await client.emit_with_ack("echo", number)
        assert len(set(stamps)) == len(stamps) >= 10

    async def test_request_timeout(self, make_server: Make) -> None:
        io = await make_server(behave)
        async with connected(address(io), transports=["polling"], request_timeout=0.1) as client:
            log: list[Any] = []
            client.on("disconnect", lambda *args: log.append(args))
            # Nothing happens for that long, so the poll that waits for events runs into it.
            await until(lambda: log)
            reason, error = log[0]
            assert reason == "transport error"
            assert "GET: not answered within 0.1 s (option request_timeout)" in str(error)
            await until(lambda: client.connected)

    async def test_request_timeout_of_a_post(self) -> None:
        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            if b"sid=" not in head:
                writer.write(http_response("0" + HANDSHAKE))
            elif head.startswith(b"GET"):
                await asyncio.sleep(0.02)
                writer.write(http_response("6"))

        async with hostile(answer) as url:
            with pytest.raises(ConnectError, match=r"POST: not answered within 0\.1 s"):
                async with connected(url, transports=["polling"], request_timeout=0.1):
                    pass

    async def test_local_address(self, make_server: Make) -> None:
        io = await make_server(behave)
        addresses: list[str] = []
        io.on("connection", lambda socket: addresses.append(socket.handshake.address))
        for mode in TRANSPORTS.values():
            async with connected(address(io), local_address="127.0.0.5", transports=mode):
                pass
        assert addresses == ["127.0.0.5"] * 3

    async def test_subprotocols(self, make_server: Make) -> None:
        io = await make_server(behave)
        offered: list[str | None] = []

        @io.on("connection")
        def connection(socket: Socket) -> None:
            offered.append(socket.handshake.headers.get("sec-websocket-protocol"))

        async with connected(address(io), protocols=["one", "two"], **WEBSOCKET) as client:
            assert await client.emit_with_ack("echo", 1) == 1
        assert offered == ["one, two"]

    async def test_tls(self, make_server: Make, tmp_path: Path) -> None:
        key, crt = tmp_path / "k.pem", tmp_path / "c.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", crt),
                *("-addext", "subjectAltName=DNS:localhost"),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        io = Server()
        behave(io)
        await io.listen(0, "127.0.0.1", ssl=context)
        url = f"https://localhost:{io.port}"
        try:
            for mode in TRANSPORTS.values():
                trusting = ssl.create_default_context(cafile=str(crt))
                async with connected(url, ssl=trusting, transports=mode) as client:
                    assert await client.emit_with_ack("echo", 1) == 1
            with pytest.raises(ConnectError, match=r"(?i)certificate.verify.failed"):
                async with connected(url):
                    pass
        finally:
            await io.close(grace=0.1)

    async def test_unix_socket(self, make_server: Make, tmp_path: Path) -> None:
        io = await make_server(behave)
        path = str(tmp_path / "s")

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await join(reader, writer, *await asyncio.open_connection("127.0.0.1", io.port))

        server = await asyncio.start_unix_server(relay, path)
        async with connected("http://localhost/chat", unix_socket=path) as client:
            assert await client.emit_with_ack("echo", 1) == 1
        server.close()

    @pytest.mark.parametrize("scheme", ["http", "socks5"])
    @pytest.mark.parametrize("mode", TRANSPORTS)
    async def test_proxy(self, make_server: Make, mode: str, scheme: str) -> None:
        pytest.importorskip("python_socks")
        io = await make_server(behave)
        asked: list[bytes] = []

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if scheme == "http":
                head = await reader.readuntil(b"\r\n\r\n")
                asked.append(head.split()[1])
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                greeting = await reader.readexactly(2)
                await reader.readexactly(greeting[1])
                writer.write(b"\x05\x00")
                request = await reader.readexactly(5)
                name = await reader.readexactly(request[4])
                port = int.from_bytes(await reader.readexactly(2), "big")
                asked.append(name + b":" + str(port).encode())
                writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await join(reader, writer, *await asyncio.open_connection("127.0.0.1", io.port))

        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connected("http://far.test:81", proxy=url, transports=TRANSPORTS[mode]) as client:
            assert await client.emit_with_ack("echo", 1) == 1
        server.close()
        assert asked and set(asked) == {b"far.test:81"}

    async def test_a_proxy_that_is_not_there(self) -> None:
        pytest.importorskip("python_socks")
        async with hostile(always(b"")) as url:
            pass
        with pytest.raises(ConnectError, match=r"far\.test:81: cannot connect"):
            async with connected("http://far.test:81", proxy=url, **WEBSOCKET):
                pass


class TestCompression:
    @pytest.mark.parametrize("protocol", [4, 3])
    @pytest.mark.parametrize("mode", ["websocket", "upgrade"])
    @pytest.mark.parametrize("takeover", [True, False])
    async def test_both_ways(self, make_server: Make, mode: str, protocol: int, takeover: bool) -> None:
        options = {"threshold": 100, "client_no_context_takeover": not takeover}
        io = await make_server(behave, per_message_deflate=options)
        own = {"threshold": 100, "server_no_context_takeover": not takeover}
        async with (
            Relay(io.port) as relay,
            connected(
                relay.url, protocol=protocol, transports=TRANSPORTS[mode], per_message_deflate=own
            ) as client,
        ):
            await moved(client, mode)
            relay.reset()
            for length in (0, 90, 200, 5000, 50_000):
                value = {"text": "ab" * length, "data": b"xy" * length}
                assert await client.emit_with_ack("echo", value) == value
            assert relay.up < 3000 and relay.down < 3000
            relay.reset()
            await client.compress(False).emit_with_ack("echo", "ab" * 5000)
            assert relay.up > 10_000
            relay.reset()
            await client.compress(True).emit_with_ack("echo", "ab" * 5000)
            assert relay.up < 500

    @pytest.mark.parametrize(("server", "client"), [(False, True), (True, False)])
    async def test_not_agreed(self, make_server: Make, server: bool, client: bool) -> None:
        io = await make_server(behave, per_message_deflate=server)
        async with (
            Relay(io.port) as relay,
            connected(relay.url, per_message_deflate=client, **WEBSOCKET) as connection,
        ):
            assert await connection.emit_with_ack("echo", "ab" * 5000) == "ab" * 5000
            assert relay.up > 10_000 and relay.down > 10_000

    async def test_what_was_buffered_keeps_its_flag(self, make_server: Make) -> None:
        io = await make_server(behave, per_message_deflate=True)
        relay = await Relay(io.port).open()
        client = Client(relay.url, **QUICK, **WEBSOCKET)
        client.compress(False).emit("back", "ab" * 5000)
        client.emit("back", "ab" * 5001)
        lengths: list[int] = []
        client.on("back", lambda text: lengths.append(len(text)))
        await client.connect()
        await until(lambda: len(lengths) == 2)
        assert lengths == [10_000, 10_002] and 10_000 < relay.up < 11_000
        await client.close()
        await relay.close()

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ("permessage-bzip2", "not offered"),
            ("permessage-deflate; unknown", "not offered"),
            ("permessage-deflate, permessage-deflate", "not offered"),
            ("permessage-deflate; server_max_window_bits=7", "not offered"),
            ("permessage-deflate;;", "not offered"),
        ],
    )
    async def test_answers_that_are_none(self, answer: str, words: str) -> None:
        head = f"Sec-WebSocket-Extensions: {answer}\r\n\r\n".encode()

        async def reply(request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(accept_websocket(request).removesuffix(b"\r\n") + head)

        async with hostile(reply) as url:
            with pytest.raises(ConnectError, match=words):
                async with connected(url, **WEBSOCKET):
                    pass

    async def test_an_extension_nobody_offered(self) -> None:
        async with hostile(compressing()) as url:
            with pytest.raises(ConnectError, match="extension that was not offered"):
                async with connected(url, per_message_deflate=False, **WEBSOCKET):
                    pass

    @pytest.mark.parametrize(
        ("payload", "words"),
        [
            (deflated(b"4" + b"x" * 9999), None),
            (deflated(b"4" + b"x" * 10_000), "inflates to more than 10000 bytes .option max_message_size"),
            (b"\xff\xff\xff", "does not inflate"),
            (deflated(b"\xff\xfe"), "invalid UTF-8"),
        ],
        ids=["at the limit", "above it", "garbage", "no text"],
    )
    async def test_what_a_server_may_not_send(self, payload: bytes, words: str | None) -> None:
        """The packet at the limit is no Socket.IO packet, which is all that is wrong with it."""
        frames = [OPEN, frame('40{"sid":"x"}'), frame(payload, 0x41)]
        async with hostile(compressing(*frames)) as url:
            client = Client(url, **QUICK, **WEBSOCKET, reconnection=False, max_message_size=10_000)
            log: list[Any] = []
            client.on("disconnect", lambda *args: log.append(args))
            client.open()
            await until(lambda: log)
            await client.close()
            if words is None:
                assert log[0][0] == "parse error"
            else:
                assert log[0][0] == "transport error" and re.search(words, str(log[0][1]))


class TestSharedConnections:
    async def test_namespaces_of_two_clients(self, make_server: Make) -> None:
        io = await make_server(behave)
        async with connected(address(io)) as root, connected(address(io, "/chat")) as chat:
            assert chat.manager is root.manager
            assert len(io.engine.clients) == 1
            assert await chat.emit_with_ack("echo", 1) == 1
            await chat.close()
            assert root.connected and await root.emit_with_ack("echo", 2) == 2
            await chat.connect()
            await root.close()
            assert chat.connected and await chat.emit_with_ack("echo", 3) == 3
        await until(lambda: not io.engine.clients)

    @pytest.mark.parametrize("options", [{"force_new": True}, {"multiplex": False}, {"query": {"a": "b"}}])
    async def test_connections_of_their_own(self, make_server: Make, options: dict[str, Any]) -> None:
        io = await make_server(behave)
        async with connected(address(io)) as root, connected(address(io, "/chat"), **options) as chat:
            assert chat.manager is not root.manager
            assert len(io.engine.clients) == 2

    async def test_both_come_back(self, make_server: Make) -> None:
        io = await make_server(behave)
        async with connected(address(io)) as root, connected(address(io, "/chat")) as chat:
            connects: list[str] = []
            root.on("connect", lambda: connects.append("root"))
            chat.on("connect", lambda: connects.append("chat"))
            for session in list(io.engine.clients.values()):
                session.close()
            await until(lambda: len(connects) == 2)
            assert len(io.engine.clients) == 1


class TestParsers:
    @pytest.mark.parametrize("mode", ["websocket", "polling"])
    async def test_msgpack(self, mode: str) -> None:
        """A server that speaks msgpack: one binary message per packet, and nothing else."""
        writers: list[asyncio.StreamWriter] = []
        accept = msgpack.encode(Packet(PacketType.CONNECT, "/", {"sid": "s"}))
        event = msgpack.encode(Packet(PacketType.EVENT, "/", ["e", {"b": b"\x00"}]))
        broken = b"\xc1"

        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
            if mode == "websocket":
                writer.write(
                    accept_websocket(head) + OPEN + frame(accept, 2) + frame(event, 2) + frame(broken, 2)
                )
            elif head.startswith(b"POST"):
                writer.write(http_response("ok"))
            elif b"sid=" not in head:
                packets = [f"b{base64.b64encode(data).decode()}" for data in (accept, event, broken)]
                writer.write(http_response("\x1e".join(["0" + HANDSHAKE, *packets])))
            else:
                writers.append(writer)

        async with hostile(answer) as url:
            client = Client(url, parser="msgpack", transports=[mode], reconnection=False, auto_connect=False)
            events = client.events()
            reasons: list[Any] = []
            client.on("disconnect", lambda *args: reasons.append(args))
            await client.connect()
            assert await events.__anext__() == ("e", ({"b": b"\x00"},))
            assert reasons[0][0] == "parse error" and "cannot decode a packet" in str(reasons[0][1])
            await client.close()
