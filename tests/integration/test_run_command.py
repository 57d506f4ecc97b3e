"""``fastsio run``: one process, and several that share a port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.wire import http

import fastsio

SOURCES = str(Path(fastsio.__file__).parents[1])

PROGRAM = r"""
import asyncio, os
import fastsio
from fastsio.engine import EngineServer

io = fastsio.Server(max_http_buffer_size=2_000_000)
fallback = 7


@io.on_startup
def start():
    os.write(1, b"started %a\n" % os.environ.get("FASTSIO_WORKER"))


@io.on_shutdown
def stop():
    os.write(1, b"stopped %a\n" % os.environ.get("FASTSIO_WORKER"))


@io.on("connection")
def connection(socket):
    socket.emit("worker", os.environ["FASTSIO_WORKER"], os.getpid())
    socket.on("size", lambda data: len(data))
    socket.on("shout", lambda *args: io.emit("heard", *args[:1]))
    socket.on("join", lambda room: socket.join(room))
    socket.on("say", lambda room, text: io.to(room).emit("said", text))
    socket.on("kick", lambda room: io.in_(room).disconnect_sockets())
    socket.on("crash", lambda: os._exit(3))

    @socket.on("count")
    async def count():
        return len(await io.fetch_sockets()), await io.sockets.adapter.server_count()

    @socket.on("ask all")
    async def ask_all():
        return await io.timeout(5).emit_with_ack("question")

    @socket.on("ask workers")
    async def ask_workers():
        return sorted(await io.server_side_emit_with_ack("who"))


io.on("who", lambda: os.environ["FASTSIO_WORKER"])
io.on("server error", lambda: None)

engine = EngineServer()
engine.on("connection", lambda session: session.on("message", session.send))


class Deep:
    pass


deep = Deep()
deep.io = io
"""


class Run:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.pids: dict[str, int] = {}

    async def connect(self, **options: Any) -> fastsio.Client:
        client = fastsio.Client(self.url, force_new=True, **{"reconnection": False, **options})
        found = asyncio.get_running_loop().create_future()
        client.once("worker", lambda worker, pid: found.set_result((worker, pid)))
        await client.connect()
        worker, pid = await asyncio.wait_for(found, 5)
        self.pids[worker] = pid
        client.worker = worker  # type: ignore[attr-defined]
        return client

    async def connect_all(self, workers: int, **options: Any) -> dict[str, fastsio.Client]:
        """A client of each worker; the kernel decides who gets which."""
        found: dict[str, fastsio.Client] = {}
        for _ in range(200):
            client = await self.connect(**options)
            if client.worker in found:  # type: ignore[attr-defined]
                await client.close()
            else:
                found[client.worker] = client  # type: ignore[attr-defined]
            if len(found) == workers:
                return found
        raise AssertionError("some worker gets no connection")

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, list[str], str]:
        if self.process.returncode is None:
            self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode().splitlines(), err.decode()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, os.environ.get("PYTHONPATH", "")])}


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    (folder / "program.py").write_text(PROGRAM)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "fastsio", "run", *arguments),
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncIterator[Run]:
    process = await start(folder, "--port", "0", *arguments)
    assert process.stderr is not None
    line = (await asyncio.wait_for(process.stderr.readline(), 20)).decode()
    found = re.search(r"on port (\d+)", line)
    assert found is not None, line + (await process.stderr.read()).decode()
    run = Run(process, int(found[1]))
    try:
        yield run
    finally:
        if process.returncode is None:
            await run.end()


async def eventually(check: Callable[[], Any], seconds: float = 10) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)


def answers(value: str) -> Callable[[], str]:
    return lambda: value


async def close(clients: Any) -> None:
    for client in clients:
        await client.close()


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers need Linux")


@linux
@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_clients_of_all_workers_are_of_one_server(tmp_path: Path, transports: list[str]) -> None:
    async with running(tmp_path, "program", "--workers", "3") as run:
        clients = await run.connect_all(3, transports=transports)
        first, second, third = clients.values()
        log: Counter[str] = Counter()
        for name, client in clients.items():
            client.on("heard", lambda value, name=name: log.update([f"{name} heard {value}"]))
            client.on("said", lambda text, name=name: log.update([f"{name}: {text}"]))
            client.on("disconnect", lambda *_, name=name: log.update([f"{name} left"]))
            client.on("question", answers(name))
        assert await first.timeout(5).emit_with_ack("count") == (3, 3)
        first.emit("shout", "hey")
        await eventually(lambda: len(log) == 3)
        assert log == Counter(f"{name} heard hey" for name in clients)
        log.clear()
        await second.timeout(5).emit_with_ack("join", "room")
        third.emit("say", "room", "to the room")
        await eventually(lambda: log)
        assert log == Counter([f"{second.worker}: to the room"])  # type: ignore[attr-defined]
        assert sorted(await first.timeout(9).emit_with_ack("ask all")) == ["0", "1", "2"]
        own = first.worker  # type: ignore[attr-defined]
        assert await first.timeout(9).emit_with_ack("ask workers") == sorted({"0", "1", "2"} - {own})
        log.clear()
        first.emit("kick", "room")
        await eventually(lambda: log)
        assert log == Counter([f"{second.worker} left"])  # type: ignore[attr-defined]
        await close(clients.values())
        status, printed, complaints = await run.end()
    assert status == 0
    assert sorted(printed) == sorted(
        f"{what} {str(n)!r}" for what in ("started", "stopped") for n in range(3)
    )
    assert complaints == ""


@linux
async def test_requests_find_their_session_on_whatever_connection_they_come(tmp_path: Path) -> None:
    """Each on one of its own, so that two of three reach another worker; bodies of many reads, too."""
    async with running(tmp_path, "program", "--workers", "3") as run:
        opened = await http(run.port, "/socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened.body[1:])["sid"]
        assert re.fullmatch(r"[\w-]{20}\.[0-2]", sid)
        target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        assert (await http(run.port, target, method="POST", body=b"40")).body == b"ok"
        assert (await http(run.port, target)).body.startswith(b'40{"sid"')
        for number in range(12):
            size = number * 100_000 + 1
            body = b'42%d["size","' % number + b"x" * size + b'"]'
            assert (await http(run.port, target, method="POST", body=body)).body == b"ok"
            answer = b""
            while b"43" not in answer:
                answer = (await http(run.port, target)).body
            assert answer.split(b"\x1e")[-1] == b"43%d[%d]" % (number, size)


@linux
@pytest.mark.parametrize("mark", ["", ".", ".9", ".0", ".00000", ".x", ".1.2", "%2E1"])
async def test_sessions_that_no_worker_has(tmp_path: Path, mark: str) -> None:
    async with running(tmp_path, "program", "--workers", "2") as run:
        for _ in range(6):
            response = await http(run.port, f"/socket.io/?EIO=4&transport=polling&sid=nobody{mark}")
            assert (response.status, json.loads(response.body)["code"]) == (400, 1)


@linux
async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    async with running(tmp_path, "program", "--workers", "2") as run:
        clients = await run.connect_all(
            2, transports=["websocket"], reconnection=True, reconnection_delay=0.1
        )
        heard: Counter[str] = Counter()
        back: list[str] = []
        for name, client in clients.items():
            client.on("heard", lambda value, name=name: heard.update([name]))
            client.on("worker", lambda worker, pid: back.append(worker))
        other = clients["1"]
        lost = asyncio.Event()
        clients["0"].on("disconnect", lost.set)
        os.kill(run.pids["0"], signal.SIGKILL)
        await asyncio.wait_for(lost.wait(), 5)
        await eventually(lambda: back)
        # The one that is new is part of it again.
        for _ in range(250):
            if (await other.timeout(5).emit_with_ack("count"))[1] == 2:
                break
            await asyncio.sleep(0.02)
        newcomers = await run.connect_all(2, transports=["polling"])
        assert other.connected
        assert await other.timeout(5).emit_with_ack("count") == (4, 2)
        other.emit("shout", 1)
        await eventually(lambda: len(heard) == 2)
        newcomers["0"].emit("crash")
        await eventually(lambda: not newcomers["0"].connected, 20)
        await close([*clients.values(), *newcomers.values()])
        _, _, complaints = await run.end()
    assert "worker 0 ended with status -9; another starts in" in complaints
    assert "worker 0 ended with status 3; another starts in" in complaints
    assert "Traceback" not in complaints


@linux
async def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    async with running(tmp_path, "program", "--workers", "2") as run:
        await close((await run.connect_all(2)).values())
        run.process.kill()
        await run.process.wait()

        def gone(pid: int) -> bool:
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            return True

        await eventually(lambda: all(map(gone, run.pids.values())))


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_gracefully(tmp_path: Path, number: int) -> None:
    async with running(tmp_path, "program", "--workers", "2") as run:
        clients = await run.connect_all(2, transports=["websocket"])
        reasons: list[str] = []
        for client in clients.values():
            client.on("disconnect", lambda reason: reasons.append(str(reason)))
        status, printed, complaints = await run.end(number)
        await eventually(lambda: len(reasons) == 2)
        await close(clients.values())
    assert (status, complaints) == (0, "")
    assert len([line for line in printed if line.startswith("stopped")]) == 2


@pytest.mark.parametrize("target", ["program", "program:io", "program:deep", "program:deep.io"])
async def test_one_process(tmp_path: Path, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await start(tmp_path, target, "--port", str(port), "--host", "127.0.0.1")
    for _ in range(200):
        with contextlib.suppress(OSError):
            response = await http(port, "/socket.io/?EIO=4&transport=polling")
            break
        await asyncio.sleep(0.05)
    assert re.fullmatch(r"[\w-]{20}", json.loads(response.body[1:])["sid"])
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out) == (0, b"started None\nstopped None\n")


async def test_one_process_says_which_port_it_has(tmp_path: Path) -> None:
    async with running(tmp_path, "program", "--host", "127.0.0.1") as run:
        assert (await http(run.port, "/socket.io/?EIO=4&transport=polling")).status == 200


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=linux)])
async def test_grace(tmp_path: Path, workers: str) -> None:
    """A request that is under way holds the end up for that long; 2 s are the default."""
    async with running(tmp_path, "program", "--workers", workers, "--grace", "4") as run:
        _, writer = await asyncio.open_connection("127.0.0.1", run.port)
        writer.write(b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n")
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        status, _, _ = await run.end(signal.SIGTERM)
        assert status == 0 and asyncio.get_running_loop().time() - began > 3
        writer.close()


@linux
async def test_engine_io_alone(tmp_path: Path) -> None:
    async with running(tmp_path, "program:engine", "--workers", "2") as run:
        opened = await http(run.port, "/engine.io/?EIO=4&transport=polling")
        sid = json.loads(opened.body[1:])["sid"]
        target = f"/engine.io/?EIO=4&transport=polling&sid={sid}"
        for number in range(6):
            assert (await http(run.port, target, method="POST", body=b"4%d" % number)).status == 200
            assert (await http(run.port, target)).body == b"4%d" % number


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nothing", "there is no module 'nothing'"),
        ("program:nothing", "module 'program' has no 'nothing'"),
        ("program:fallback", "is no fastsio server but int"),
        ("broken", "division by zero"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_cannot_be_run(tmp_path: Path, target: str, sentence: str, workers: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    process = await start(tmp_path, target, "--port", "0", "--workers", workers)
    _, complaints = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode != 0
    assert sentence in complaints.decode()
    assert target == "broken" or "Traceback" not in complaints.decode()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_that_is_taken(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await start(
            tmp_path, "program", "--host", "127.0.0.1", "--port", port, "--workers", workers
        )
        _, complaints = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "in use" in complaints.decode() and "Traceback" not in complaints.decode()
