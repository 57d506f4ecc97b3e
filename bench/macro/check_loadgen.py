"""Proves that the load generator sees what it must see: python bench/macro/check_loadgen.py.

An echo server that lies in one known way at a time stands behind it. Each lie must be counted as its own kind
of error, and honest replies, however they are cut into segments, as none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import install

LIE_EVERY = 50
Lie = Callable[[list[bytes], list[asyncio.Transport], asyncio.Transport], None]


def split(data: bytes) -> Iterator[bytes]:
    """The unmasked frames in `data`, each shorter than 126 bytes."""
    while data:
        end = 2 + data[1]
        yield data[:end]
        data = data[end:]


def honest(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(b"".join(batch))


def bytewise(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    for byte in b"".join(batch):
        me.write(bytes((byte,)))


def duplicate(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(b"".join([*batch, batch[0]]))


def first_byte(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(batch[0][:2] + b"5" + batch[0][3:] + b"".join(batch[1:]))


def last_byte(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(batch[0][:-3] + b"!" + batch[0][-2:] + b"".join(batch[1:]))


def shorter(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    frame = batch[0]
    me.write(frame[:1] + bytes((frame[1] - 1,)) + frame[2:-3] + frame[-2:] + b"".join(batch[1:]))


def swapped(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(b"".join(reversed(batch)))


def misdirected(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    next(t for t in everyone if t is not me).write(batch[0])
    me.write(b"".join(batch[1:]))


def lost(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(b"".join(batch[1:]))


def silent(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    return


def closed(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.close()


def fragmented(batch: list[bytes], everyone: list[asyncio.Transport], me: asyncio.Transport) -> None:
    me.write(b"\x01" + batch[0][1:])


LIES: tuple[tuple[Lie, str | None], ...] = (
    (honest, None),
    (bytewise, None),
    (duplicate, "duplicate"),
    (first_byte, "content"),
    (last_byte, "content"),
    (shorter, "content"),
    (swapped, "order"),
    (misdirected, "content"),
    (lost, "order"),
    (silent, "timeout"),
    (closed, "closed"),
    (fragmented, "protocol"),
)


class Liar(asyncio.Protocol):
    """Echoes whole frames in pairs; every LIE_EVERY-th pair goes through the lie."""

    everyone: list[asyncio.Transport]

    def __init__(self, lie: Lie, everyone: list[asyncio.Transport]) -> None:
        self.lie, self.everyone = lie, everyone
        self.waiting: list[bytes] = []
        self.seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.everyone.append(transport)

    def data_received(self, data: bytes) -> None:
        for frame in split(data):
            if frame[2:] == b"hello":
                self.transport.write(frame)
                continue
            self.waiting.append(frame)
            if len(self.waiting) == 2:
                self.seen += 1
                lie = self.lie if self.seen % LIE_EVERY == 0 else honest
                lie(self.waiting, self.everyone, self.transport)
                self.waiting = []


async def trial(lie: Lie, program: Path) -> dict[str, int]:
    everyone: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Liar(lie, everyone), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = "--proto raw --conns 3 --depth 2 --warmup 0.1 --seconds 1.9 --timeout 0.5".split()
    process = await asyncio.create_subprocess_exec(
        program, "--port", str(port), *options, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    server.close()
    for transport in everyone:
        transport.abort()
    result = json.loads(out)
    errors: dict[str, int] = result.get("errors_by_kind", {})
    if bool(errors) != bool(process.returncode):
        return {**errors, "wrong exit status": 1}
    return errors


async def main() -> int:
    # The generator leaves while replies are still being written; asyncio warns of each.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    program = install.compiled(install.HERE / "loadgen.c")
    bad = 0
    for lie, kind in LIES:
        errors = await trial(lie, program)
        right = (kind in errors) if kind else not errors
        bad += not right
        print(
            f"{'ok' if right else 'FAILED':6} {lie.__name__:12} expected {kind}, counted {errors}", flush=True
        )
    print(f"{len(LIES) - bad} passed, {bad} failed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
