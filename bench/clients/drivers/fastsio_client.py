"""fastsio's Client as the benchmark drives it; see common.py."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

import uvloop
from common import Count, arguments, memory, report, window

import fastsio

#: Events that each client emits while the server is away.
KEPT = 3


def work(client: fastsio.Client, args: argparse.Namespace, count: Count) -> None:
    """Keep ``depth`` messages in flight."""
    state = {"sent": args.depth, "received": 0}

    def came_back(data: Any) -> None:
        count.check(state["received"], data)
        state["received"] += 1
        number = state["sent"]
        state["sent"] += 1
        if args.scenario == "echo":
            client.emit("echo", count.payload(number))
        else:
            client.emit("ack", count.payload(number), came_back)

    if args.scenario == "echo":
        client.on("echo", came_back)
    for number in range(args.depth):
        if args.scenario == "echo":
            client.emit("echo", count.payload(number))
        else:
            client.emit("ack", count.payload(number), came_back)


async def connect(args: argparse.Namespace, **options: Any) -> list[fastsio.Client]:
    options = {"transports": [args.transport], "auto_connect": False, **options}
    clients = [fastsio.Client(args.url, **options) for _ in range(args.clients)]
    # No faster than a listening socket's queue takes them.
    for at in range(0, len(clients), 50):
        await asyncio.gather(*[client.connect() for client in clients[at : at + 50]])
    return clients


async def restart(args: argparse.Namespace) -> dict[str, Any]:
    """Clients whose server dies and comes back: when each was back, and what became of what it had buffered.

    Talks to the benchmark in lines: says "ready" and "offline", and is told "killed <seconds of the clock>".
    """
    clients = await connect(args)
    loop = asyncio.get_running_loop()
    lost: dict[int, float] = {}
    back: dict[int, float] = {}
    waits: list[tuple[int, float]] = []

    def watch(number: int, client: fastsio.Client) -> None:
        manager = client.manager
        since = 0.0

        def failed(*_: Any) -> None:
            nonlocal since
            since = time.monotonic()
            lost.setdefault(number, since)

        manager.on("close", failed)
        manager.on("reconnect_error", failed)
        manager.on("reconnect_attempt", lambda n: waits.append((n, time.monotonic() - since)))
        client.on("connect", lambda: back.setdefault(number, time.monotonic()))

    for number, client in enumerate(clients):
        watch(number, client)
    report({"event": "ready"})
    killed = float((await loop.run_in_executor(None, sys.stdin.readline)).split()[1])
    while len(lost) < args.clients:
        await asyncio.sleep(0.01)
    for number, client in enumerate(clients):
        for event in range(KEPT):
            client.emit("kept", number, event)
    report({"event": "offline"})
    deadline = time.monotonic() + args.seconds
    while len(back) < args.clients and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    counts = await clients[0].emit_with_ack("report")
    expected = {f"{number} {event}" for number in range(args.clients) for event in range(KEPT)}
    options = clients[0].manager.options
    facts = {
        "clients": args.clients,
        "back": len(back),
        "back_after": sorted(moment - killed for moment in back.values()),
        "waits": waits,
        "delay": options.reconnection_delay,
        "delay_max": options.reconnection_delay_max,
        "factor": options.randomization_factor,
        "kept": len(expected),
        "lost": len(expected - counts.keys()),
        "doubled": sum(times - 1 for times in counts.values()),
    }
    await asyncio.gather(*[client.close() for client in clients])
    return facts


async def main() -> None:
    args = arguments()
    if args.scenario == "restart":
        report(await restart(args))
        return
    count = Count(args)
    before = memory()
    clients = await connect(args)
    for client in clients:
        client.on("disconnect", lambda reason: count.wrong(f"disconnected: {reason}"))
        if args.scenario != "idle":
            work(client, args, count)
    report(await window(args, count, before))
    for client in clients:
        client.remove_all_listeners("disconnect")
    await asyncio.gather(*[client.close() for client in clients])


uvloop.run(main())
