"""The transports that share an epoll instance, as protocols and peers see them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import resource
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_listener import on_both_loops

if sys.platform != "linux":
    pytest.skip("epoll is Linux's", allow_module_level=True)

from fastsio.net._epoll import Poller, SocketTransport

MEBIBYTE = 1 << 20


class Recorder:
    """A protocol that remembers everything, and does what it is told with what it reads."""

    def __init__(self, on_data: Callable[[Recorder, bytes], None] | None = None, keep: bool = False) -> None:
        self.transport: Any = None
        self.calls: list[str] = []
        self.data = b""
        self.lost: list[BaseException | None] = []
        self._on_data = on_data
        self._keep = keep

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self._on_data is not None:
            self._on_data(self, data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self._keep

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.append(error)


class Served:
    """A poller that listens, the protocols it made, and clients."""

    def __init__(self, poller: Poller, make: Callable[[], Recorder]) -> None:
        self.poller = poller
        self.made: list[Recorder] = []
        self._make = make
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listening.getsockname()
        self.acceptor = poller.listen(self.listening, self._factory)
        self.errors: list[dict[str, Any]] = []
        self.clients: list[socket.socket] = []

    def _factory(self) -> Any:
        recorder = self._make()
        self.made.append(recorder)
        return recorder

    async def connect(self) -> tuple[socket.socket, Recorder]:
        client = socket.socket()
        self.clients.append(client)
        client.setblocking(False)
        count = len(self.made)
        await asyncio.get_running_loop().sock_connect(client, self.address)
        await until(lambda: len(self.made) > count and self.made[-1].transport is not None)
        return client, self.made[-1]


@asynccontextmanager
async def served(make: Callable[[], Recorder] = Recorder) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    poller = Poller(loop)
    serving = Served(poller, make)
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: serving.errors.append(context))
    try:
        yield serving
    finally:
        for client in serving.clients:
            client.close()
        serving.acceptor.close()
        await until(lambda: all(recorder.lost for recorder in serving.made if recorder.transport))
        poller.close()
        loop.set_exception_handler(before)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise TimeoutError("what a test waits for does not come")


async def receive(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(client, 65_536)
        if not part:
            break
        data += part
    return bytes(data)


def echo(recorder: Recorder, data: bytes) -> None:
    recorder.transport.write(data)


@on_both_loops
async def test_many_connections_at_once_are_all_served() -> None:
    """More than one turn takes, of connections as well as of events."""
    async with served(lambda: Recorder(echo)) as serving:
        clients = await asyncio.gather(*(asyncio.open_connection(*serving.address) for _ in range(400)))
        for number, (_, writer) in enumerate(clients):
            writer.write(b"%05d" % number)
        for number, (reader, writer) in enumerate(clients):
            assert await reader.readexactly(5) == b"%05d" % number
            writer.close()
        await until(lambda: all(recorder.lost == [None] for recorder in serving.made))
        assert len(serving.made) == 400 and serving.errors == []


@on_both_loops
async def test_a_slow_reader_pauses_the_writer_and_gets_everything_in_order() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        parts = [bytes([i % 251]) * (1 + i * 37 % 5000) for i in range(4000)]
        for part in parts:
            recorder.transport.write(part)
        assert recorder.calls == ["pause"]
        assert recorder.transport.get_write_buffer_size() > recorder.transport.get_write_buffer_limits()[1]
        assert await receive(client, sum(map(len, parts))) == b"".join(parts)
        await until(lambda: recorder.calls == ["pause", "resume"])
        assert recorder.transport.get_write_buffer_size() == 0


@on_both_loops
async def test_close_sends_what_waits() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        recorder.transport.write(b"x" * 8 * MEBIBYTE)
        recorder.transport.close()
        recorder.transport.write(b"dropped")
        assert recorder.transport.is_closing() and recorder.lost == []
        assert await receive(client, 9 * MEBIBYTE) == b"x" * 8 * MEBIBYTE
        await until(lambda: recorder.lost == [None])


@on_both_loops
async def test_abort_drops_what_waits() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        recorder.transport.write(b"x" * 8 * MEBIBYTE)
        recorder.transport.abort()
        recorder.transport.abort()
        recorder.transport.close()
        await until(lambda: recorder.lost == [None])
        assert len(await receive(client, 8 * MEBIBYTE)) < 8 * MEBIBYTE


@on_both_loops
async def test_close_within_a_turn_sends_what_was_written_in_it() -> None:
    def answer_and_close(recorder: Recorder, data: bytes) -> None:
        recorder.transport.write(b"one,")
        recorder.transport.write(b"two")
        recorder.transport.close()

    async with served(lambda: Recorder(answer_and_close)) as serving:
        client, recorder = await serving.connect()
        client.send(b"?")
        assert await receive(client, 100) == b"one,two"
        await until(lambda: recorder.lost == [None])


@on_both_loops
async def test_the_write_side_ends_behind_what_waits() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        recorder.transport.write(b"x" * 4 * MEBIBYTE)
        recorder.transport.write_eof()
        recorder.transport.write(b"dropped")
        assert await receive(client, 5 * MEBIBYTE) == b"x" * 4 * MEBIBYTE
        client.send(b"still read")
        await until(lambda: recorder.data == b"still read")


@on_both_loops
async def test_a_protocol_may_keep_writing_after_the_peers_end() -> None:
    async with served(lambda: Recorder(keep=True)) as serving:
        client, recorder = await serving.connect()
        client.shutdown(socket.SHUT_WR)
        await until(lambda: recorder.calls == ["eof"])
        await asyncio.sleep(0.05)
        assert recorder.calls == ["eof"] and recorder.lost == []
        recorder.transport.write(b"bye")
        recorder.transport.close()
        assert await receive(client, 100) == b"bye"


@on_both_loops
async def test_reading_pauses() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        recorder.transport.pause_reading()
        client.send(b"later")
        await asyncio.sleep(0.05)
        assert recorder.data == b"" and not recorder.transport.is_reading()
        recorder.transport.resume_reading()
        await until(lambda: recorder.data == b"later")


@on_both_loops
async def test_a_reset_is_noticed_while_nobody_reads() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        recorder.transport.pause_reading()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: bool(recorder.lost))
        assert isinstance(recorder.lost[0], ConnectionResetError)


@on_both_loops
async def test_writing_to_a_peer_that_is_gone() -> None:
    async with served(lambda: Recorder(keep=True)) as serving:
        client, recorder = await serving.connect()
        client.close()
        await until(lambda: recorder.calls == ["eof"])
        for _ in range(3):
            recorder.transport.write(b"x")
            await asyncio.sleep(0.02)
        await until(lambda: bool(recorder.lost))
        assert isinstance(recorder.lost[0], ConnectionError)


@on_both_loops
async def test_a_protocol_that_fails_ends_its_connection_only() -> None:
    def fail(recorder: Recorder, data: bytes) -> None:
        if data == b"bad":
            raise ZeroDivisionError
        recorder.transport.write(data)

    async with served(lambda: Recorder(fail)) as serving:
        good, _ = await serving.connect()
        bad, failed = await serving.connect()
        bad.send(b"bad")
        assert await receive(bad, 10) == b""
        good.send(b"good")
        assert await receive(good, 4) == b"good"
        assert [type(error) for error in failed.lost] == [ZeroDivisionError]
        assert [type(context["exception"]) for context in serving.errors] == [ZeroDivisionError]


@on_both_loops
async def test_a_factory_that_fails_ends_that_connection_only() -> None:
    fails = [True, False]

    def make() -> Recorder:
        if fails.pop(0):
            raise ZeroDivisionError
        return Recorder(echo)

    async with served(make) as serving:
        first = socket.create_connection(serving.address)
        serving.clients.append(first)
        await until(lambda: len(serving.errors) == 1)
        second, _ = await serving.connect()
        second.send(b"hello")
        assert await receive(second, 5) == b"hello"


@on_both_loops
async def test_a_context_variable_stays_with_one_read() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def note(recorder: Recorder, data: bytes) -> None:
        seen.append(variable.get())
        variable.set(data.decode())

    async with served(lambda: Recorder(note)) as serving:
        for text in (b"a", b"b"):
            client, recorder = await serving.connect()
            client.send(text)
            await until(lambda recorder=recorder: bool(recorder.data))
        client.send(b"c")
        await until(lambda: len(seen) == 3)
        assert seen == ["unset"] * 3


@on_both_loops
async def test_out_of_descriptors_it_pauses_and_goes_on() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with served(lambda: Recorder(echo)) as serving:
        client = socket.socket()
        client.setblocking(False)
        serving.clients.append(client)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        spare = [os.dup(client.fileno()) for _ in range(highest)]  # fills the gaps below
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
            await asyncio.get_running_loop().sock_connect(client, serving.address)
            await until(lambda: len(serving.errors) == 1)
            assert "out of system resource" in serving.errors[0]["message"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in spare:
                os.close(descriptor)
        await asyncio.get_running_loop().sock_sendall(client, b"hello")
        assert await receive(client, 5) == b"hello"
        assert len(serving.errors) == 1


@on_both_loops
async def test_what_a_transport_tells() -> None:
    async with served() as serving:
        client, recorder = await serving.connect()
        transport = recorder.transport
        assert isinstance(transport, SocketTransport)
        assert transport.get_extra_info("peername") == client.getsockname()
        assert transport.get_extra_info("sockname") == client.getpeername()
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("nothing", 3) == 3
        other = Recorder()
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        client.send(b"x")
        await until(lambda: other.data == b"x")
        transport.set_protocol(recorder)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)


@on_both_loops
async def test_other_families(tmp_path: Path) -> None:
    poller = Poller(asyncio.get_running_loop())
    acceptors = []
    made: list[Recorder] = []

    def make() -> Any:
        made.append(Recorder(echo))
        return made[-1]

    six = socket.create_server(("::1", 0), family=socket.AF_INET6)
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(tmp_path / "sock"))
    local.listen()
    for listening in (six, local):
        address = listening.getsockname()
        acceptors.append(poller.listen(listening, make))
        with socket.socket(listening.family) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, address)
            await asyncio.get_running_loop().sock_sendall(client, b"hello")
            assert await receive(client, 5) == b"hello"
            peer = made[-1].transport.get_extra_info("peername", "none")
            assert peer == (client.getsockname() if listening is six else "none")
    await until(lambda: all(recorder.lost for recorder in made))
    for acceptor in acceptors:
        assert len(acceptor.sockets) == 1
        acceptor.close()
        assert acceptor.sockets == ()
    poller.close()


@on_both_loops
async def test_a_socket_that_was_connected_elsewhere() -> None:
    poller = Poller(asyncio.get_running_loop())
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        recorder = Recorder(echo)
        transport = poller.adopt(ours, recorder)  # type: ignore[arg-type]
        assert ours.fileno() == -1 and recorder.transport is transport
        await asyncio.get_running_loop().sock_sendall(theirs, b"x" * MEBIBYTE)
        assert await receive(theirs, MEBIBYTE) == b"x" * MEBIBYTE
    await until(lambda: recorder.lost == [None])
    poller.close()


@on_both_loops
async def test_a_callback_that_fails_at_the_end_of_a_turn_keeps_nothing_from_being_sent() -> None:
    def answer(recorder: Recorder, data: bytes) -> None:
        assert serving.poller.at_end_of_turn(fail) and serving.poller.at_end_of_turn(called.append)
        recorder.transport.write(data)

    def fail() -> None:
        called.append("fail")
        raise ZeroDivisionError

    called: list[str] = []
    async with served(lambda: Recorder(answer)) as serving:
        assert not serving.poller.at_end_of_turn(fail)
        client, _ = await serving.connect()
        client.send(b"hello")
        assert await receive(client, 5) == b"hello"
        assert called == ["fail"]
        # Both failed: one raises, the other is called without the argument it wants.
        assert [type(context["exception"]) for context in serving.errors] == [ZeroDivisionError, TypeError]


@on_both_loops
@pytest.mark.parametrize(("size", "early"), [(1000, False), (100_000, True)])
async def test_much_that_waits_is_sent_before_the_turn_ends(size: int, early: bool) -> None:
    def answer(recorder: Recorder, data: bytes) -> None:
        for _ in range(3):
            recorder.transport.write(data * size)
        waiting.append([one.transport.get_write_buffer_size() for one in serving.made])

    waiting: list[list[int]] = []
    async with served(lambda: Recorder(answer)) as serving:
        pairs = [await serving.connect() for _ in range(3)]
        for client, _ in pairs:
            client.send(b"x")  # without waiting: one turn has all three
        received = await asyncio.gather(*(receive(client, 3 * size) for client, _ in pairs))
        assert received == [b"x" * (3 * size)] * 3
    # Of those that answered before, in each of the three calls.
    assert [any(sizes[:calls]) for calls, sizes in enumerate(waiting)] == [False, not early, not early]
