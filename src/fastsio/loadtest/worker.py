"""One load process: drives its share of the clients, tells what it counted four times a second.

Started by :mod:`fastsio.loadtest.run`, which writes commands to its standard input and reads lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, BinaryIO

from fastsio.exceptions import OptionError
from fastsio.loadtest import errors
from fastsio.loadtest.clients import (
    ChurnClient,
    Client,
    ConnectClient,
    EchoClient,
    ReconnectClient,
)
from fastsio.loadtest.clock import clock
from fastsio.loadtest.groups import Group, GroupClient
from fastsio.loadtest.link import Link
from fastsio.loadtest.options import LoadOptions
from fastsio.loadtest.pacer import Pacer
from fastsio.loadtest.stats import Stats
from fastsio.loadtest.target import Target
from fastsio.loadtest.user import UserClient, load_scenario
from fastsio.loadtest.wire import Ring

__all__ = ["SLICE", "Worker", "main"]

#: Seconds between two reports of a worker.
SLICE = 0.25
#: Scenarios whose clients are not connected before the load begins.
STORMS = ("connect",)


class Worker:
    """The clients of one process, and the phases they go through: connect, warm-up, measure, drain."""

    def __init__(self, options: LoadOptions, number: int, run_id: str, tell: Any) -> None:
        self.options = options
        self.number = number
        self.run_id = run_id
        self._tell = tell
        self.loop = asyncio.get_running_loop()
        self.stats = Stats()
        self.clients: list[Client] = []
        self.groups: list[Group] = []
        #: How many clients are connected.
        self.connected = 0
        #: Whether clients may connect; whether they may send.
        self.active = True
        self.sending = False
        self.pacer: Pacer | None = None
        self.target: Target
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._phase = "connect"
        self._phase_began = clock()
        self._cpu = time.process_time()
        self._beats: list[tuple[float, int, Link]] = []
        self._beat_numbers = itertools.count()
        self._attempts = 0
        self._all_attempted = asyncio.Event()
        self._to_start: deque[Client] = deque()
        self._starting = 0
        self._ramp_began = 0.0
        self._idle: deque[Client] = deque()
        self._owed: deque[int] = deque()
        self._turn = 0
        self._finished: set[Client] = set()
        self._told_finished = False

    # ---- what the clients use

    def beat(self, link: Link, delay: float) -> None:
        """Have a connection's heartbeat done in ``delay`` seconds, to a quarter of one."""
        heapq.heappush(self._beats, (self.loop.time() + delay, next(self._beat_numbers), link))

    def attempted(self) -> None:
        """A client's first attempt to connect is over."""
        self._attempts += 1
        self._starting -= 1
        self._start_more()
        if self._attempts >= len(self.clients):
            self._all_attempted.set()

    def idle(self, client: Client) -> None:
        """Open-loop connection storm: a client has nothing to do."""
        if self._owed and isinstance(client, ConnectClient):
            client.offer(self._owed.popleft())
        else:
            self._idle.append(client)

    def finished(self, client: Client) -> None:
        """A client of a user's scenario has run as often as it should."""
        self._finished.add(client)

    # ---- phases

    async def run(self) -> None:
        """From the first command to the last."""
        options = self.options
        self.target = Target(options, await resolve(options.host, options.port))
        self._make_clients()
        if options.rate is not None:
            self.pacer = Pacer(self.loop, options.rate / options.processes, self._offer, self._note_late)
        self._tell({"type": "up"})
        tick = self.loop.call_later(SLICE, self._tick)
        try:
            command = await self._commands.get()
            if command == "connect":
                command = await self._connect()
            if command == "go":
                command = await self._load()
            self._close_slice()
            self._tell({"type": "done"})
        finally:
            tick.cancel()
            if self.pacer is not None:
                self.pacer.stop()
        await self._leave()
        self.target.close()

    async def _connect(self) -> str:
        """Connect all clients; the command that ended it."""
        self._phase_began = clock()
        if self.options.scenario not in STORMS:
            self._to_start.extend(self.clients)
            self._ramp_began = self.loop.time()
            self._start_more()
            ramp = self.loop.create_task(self._ramp())
            attempted = self.loop.create_task(self._all_attempted.wait())
            command = self.loop.create_task(self._commands.get())
            await asyncio.wait((attempted, command), return_when=asyncio.FIRST_COMPLETED)
            ramp.cancel()
            attempted.cancel()
            if command.done():
                return command.result()
            self._close_slice()
            self._tell({"type": "ready", "connected": self.connected})
            return await command
        self._tell({"type": "ready", "connected": 0})
        return await self._commands.get()

    async def _ramp(self) -> None:
        while self._to_start:
            await asyncio.sleep(0.01)
            self._start_more()

    def _start_more(self) -> None:
        options = self.options
        due = len(self.clients)
        if options.ramp_up and self._to_start:
            passed = (self.loop.time() - self._ramp_began) / options.ramp_up
            due = int(passed * len(self.clients)) + 1
        while (
            self._to_start
            and self._starting < options.connect_concurrency
            and len(self.clients) - len(self._to_start) < due
        ):
            client = self._to_start.popleft()
            self._starting += 1
            client.connect()

    async def _load(self) -> str:
        """The load itself; the last command."""
        # The clients are there to stay: collections need not look at them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self._change_phase("warmup")
        self.sending = True
        if self.options.scenario != "reconnect":
            self._go()
        command = await self._commands.get()
        if command == "begin":
            self._change_phase("measure")
            self._tell({"type": "begun"})
            if self.options.scenario == "reconnect":
                self._go()
            command = await self._commands.get()
        self.sending = False
        if self.pacer is not None:
            self.pacer.stop()
        if command == "end":
            self._change_phase("drain")
            command = await self._drain()
        if command != "stop":
            self._count_unanswered()
        self._owed.clear()
        return command

    def _go(self) -> None:
        now = clock()
        if self.pacer is not None:
            self.pacer.start()
        for client in self.clients:
            client.go(now)
        for group in self.groups:
            group.go(now)

    async def _drain(self) -> str:
        """Wait for replies still under way; ``stop`` if that command came."""
        end = self.loop.time() + self.options.drain
        while self.loop.time() < end:
            if (
                not self._owed
                and not any(client.unanswered() for client in self.clients)
                and not any(group.under_way for group in self.groups)
            ):
                break
            with contextlib.suppress(asyncio.TimeoutError):
                return await asyncio.wait_for(self._commands.get(), 0.02)
        return "end"

    def _count_unanswered(self) -> None:
        if self.options.scenario.endswith(".py"):
            return
        kind = errors.NOT_BACK if self.options.scenario == "reconnect" else errors.NO_REPLY
        missing = sum(client.unanswered() for client in self.clients) + len(self._owed)
        missing += sum(delivery.waiting for group in self.groups for delivery in group.under_way.values())
        if missing:
            self.stats.error(kind, times=missing)

    async def _leave(self) -> None:
        """Close what is open, within a second or so."""
        self.active = self.sending = False
        for client in self.clients:
            if isinstance(client, UserClient):
                client.cancel()
            if client.link is not None:
                client.link.close()
        end = self.loop.time() + 1.2
        while self.loop.time() < end and any(client.link is not None for client in self.clients):
            await asyncio.sleep(0.01)

    # ---- the load

    def _make_clients(self) -> None:
        options = self.options
        numbers = range(self.number, options.clients, options.processes)
        name = options.scenario
        if name in ("echo", "ack", "churn"):
            ring = Ring(
                self.target.wire,
                acks=name == "ack",
                namespace=self.target.namespace,
                size=options.size,
                binary=options.binary,
                in_flight=options.depth,
            )
            kind = ChurnClient if name == "churn" else EchoClient
            self.clients = [kind(self, index, ring) for index in numbers]
        elif name == "broadcast":
            self.groups = [Group(self, f"{self.run_id}-all", "broadcast", self.number == 0)]
            self.clients = [GroupClient(self, index, self.groups[0]) for index in numbers]
        elif name == "rooms":
            # Each room in one process, so that its sender knows who has got what.
            mine = len(range(self.number, options.rooms, options.processes)) or 1
            self.groups = [
                Group(self, f"{self.run_id}-{self.number}-{room}", "room", True) for room in range(mine)
            ]
            self.clients = [
                GroupClient(self, index, self.groups[turn % mine]) for turn, index in enumerate(numbers)
            ]
        elif name == "connect":
            self.clients = [ConnectClient(self, index) for index in numbers]
        elif name == "reconnect":
            self.clients = [ReconnectClient(self, index) for index in numbers]
        elif name == "idle":
            self.clients = [Client(self, index) for index in numbers]
        else:
            scenario = load_scenario(name)
            self.clients = [UserClient(self, index, scenario, name) for index in numbers]

    def _offer(self, intended: int) -> None:
        """Open loop: give a due message to whose turn it is."""
        if self.groups:
            senders = [group for group in self.groups if group.sends]
            if senders:
                self._turn = (self._turn + 1) % len(senders)
                senders[self._turn].offer(intended)
            return
        if self.options.scenario == "connect":
            if self._idle:
                client = self._idle.popleft()
                assert isinstance(client, ConnectClient)
                client.offer(intended)
            else:
                self._owed.append(intended)
            return
        # Only connected clients send; when there are none, the message waits with the next in turn.
        count = len(self.clients)
        for _ in range(count):
            self._turn = (self._turn + 1) % count
            if self.clients[self._turn].connected:
                break
        client = self.clients[self._turn]
        assert isinstance(client, EchoClient)
        client.offer(intended)

    def _note_late(self, nanoseconds: int) -> None:
        self.stats.late.append(nanoseconds)

    # ---- telling

    def _tick(self) -> None:
        self.loop.call_later(SLICE, self._tick)
        now = self.loop.time()
        while self._beats and self._beats[0][0] <= now:
            _, _, link = heapq.heappop(self._beats)
            delay = link.beat(now)
            if delay is not None:
                self.beat(link, delay)
        self._close_slice()
        if self._phase == "measure" and not self._told_finished and self._is_finished():
            self._told_finished = True
            self._tell({"type": "finished"})

    def _is_finished(self) -> bool:
        """Whether nothing more will happen, however long one waits."""
        if self.options.scenario == "reconnect":
            return not any(client.unanswered() for client in self.clients)
        return bool(self.options.iterations) and len(self._finished) == len(self.clients)

    def _close_slice(self) -> None:
        now = clock()
        cpu = time.process_time()
        self._tell(
            {
                "type": "slice",
                "phase": self._phase,
                "at": (now - self._phase_began) / 1e9,
                "connected": self.connected,
                "cpu": cpu - self._cpu,
                **self.stats.flush(),
            }
        )
        self._cpu = cpu

    def _change_phase(self, phase: str) -> None:
        self._close_slice()
        self._phase = phase
        self._phase_began = clock()

    def command(self, command: str) -> None:
        """A line from the process that started this one."""
        self._commands.put_nowait(command)


async def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a host, those that accept a connection first.

    Raises OSError when the name is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if len(addresses) > 1:
        # `localhost` is two addresses, and many servers listen on one of them.
        for address in addresses:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 1.0)
            except (OSError, asyncio.TimeoutError):
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return [address, *[other for other in addresses if other != address]]
    return addresses


def raise_file_limit() -> None:
    """As many open files as this process may have."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_commands(stdin: BinaryIO, loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
    """Pass on the lines of standard input; its end, when the other process died, is a command to stop."""
    with contextlib.suppress(RuntimeError, ValueError, OSError):
        for line in stdin:
            loop.call_soon_threadsafe(worker.command, line.decode().strip())
        loop.call_soon_threadsafe(worker.command, "stop")


async def serve(config: dict[str, Any], stdin: BinaryIO, channel: BinaryIO) -> None:
    """Be a worker."""

    def tell(line: dict[str, Any]) -> None:
        # The other process may be gone; then the end of standard input ends this one.
        with contextlib.suppress(BrokenPipeError):
            channel.write(json.dumps(line).encode() + b"\n")
            channel.flush()

    try:
        worker = Worker(LoadOptions.from_json(config["options"]), config["number"], config["run"], tell)
        threading.Thread(
            target=read_commands, args=(stdin, asyncio.get_running_loop(), worker), daemon=True
        ).start()
        await worker.run()
    except OptionError as error:
        tell({"type": "failed", "message": str(error)})
    except socket.gaierror as error:
        tell({"type": "failed", "message": f"{config['options']['url']}: {error.strerror}"})


def main() -> None:
    """The entry of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_file_limit()
    # The channel keeps standard output to itself; what a scenario prints goes to standard error.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    stdin = sys.stdin.buffer
    config = json.loads(stdin.readline())
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(config, stdin, channel))
    else:
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(serve(config, stdin, channel))
        finally:
            loop.close()
    channel.close()
    # The reading thread may still wait for a line.
    os._exit(0)


if __name__ == "__main__":
    main()
