"""python-socketio's AsyncClient as the benchmark drives it; see common.py."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import socketio
import uvloop
from common import Count, arguments, memory, report, window


async def work(client: socketio.AsyncClient, args: argparse.Namespace, count: Count) -> None:
    """Keep ``depth`` messages in flight."""
    if args.scenario == "ack":

        async def ask(first: int) -> None:
            number = first
            while True:
                count.check(number, await client.call("ack", count.payload(number)))
                number += args.depth

        client.questions = [asyncio.ensure_future(ask(number)) for number in range(args.depth)]
        return
    state = {"sent": args.depth, "received": 0}

    async def came_back(data: Any) -> None:
        count.check(state["received"], data)
        state["received"] += 1
        number = state["sent"]
        state["sent"] += 1
        await client.emit("echo", count.payload(number))

    client.on("echo", came_back)
    for number in range(args.depth):
        await client.emit("echo", count.payload(number))


async def main() -> None:
    args = arguments()
    count = Count(args)
    before = memory()
    clients = [socketio.AsyncClient() for _ in range(args.clients)]
    for client in clients:
        await client.connect(args.url, transports=[args.transport])
        if args.scenario != "idle":
            await work(client, args, count)
    report(await window(args, count, before))


uvloop.run(main())
