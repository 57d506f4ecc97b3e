"""What the drivers of Python clients share: the command line, the count, and the report."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from typing import Any


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser()
    p.add_argument("--url", required=True)
    p.add_argument("--scenario", required=True, choices=["echo", "ack", "idle", "restart"])
    p.add_argument("--transport", default="websocket", choices=["websocket", "polling"])
    p.add_argument("--clients", type=int, default=1)
    p.add_argument("--depth", type=int, default=1)
    p.add_argument("--size", type=int, default=32)
    p.add_argument("--binary", action="store_true")
    p.add_argument("--warmup", type=float, default=1)
    p.add_argument("--seconds", type=float, default=3)
    return p.parse_args()


def memory() -> int:
    """Bytes of RSS."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Count:
    """Messages that came back, each checked against what was sent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.messages = 0
        self.errors = 0
        self.first_error = ""
        self._binary = args.binary
        self._filler = "x" * args.size

    def payload(self, number: int) -> Any:
        """What is sent as message ``number``: text or bytes of the size asked for."""
        text = f"{number} {self._filler}"[: len(self._filler)]
        return text.encode() if self._binary else text

    def check(self, number: int, received: Any) -> None:
        self.messages += 1
        if received != self.payload(number):
            self.wrong(f"message {number} came back as {received!r:.60}")

    def wrong(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what


async def window(args: argparse.Namespace, count: Count, before: int) -> dict[str, Any]:
    """Let the clients work; the CPU time of this process per message in the window.

    :param before: RSS before the first client.
    """
    await asyncio.sleep(args.warmup)
    messages, cpu, clock = count.messages, time.process_time(), time.perf_counter()
    await asyncio.sleep(args.seconds)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return {
        "messages": count.messages - messages,
        "cpu_seconds": cpu,
        "seconds": clock,
        "cpu_share": cpu / clock,
        "rss_per_client": (memory() - before) / args.clients,
        "errors": count.errors,
        "first_error": count.first_error,
    }


def report(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)
