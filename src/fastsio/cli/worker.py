"""One of the processes of ``fastsio run --workers``; the supervisor starts it.

Its standard input is a line of JSON, then silence as long as the supervisor lives.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from fastsio.cli.target import TargetError, load_target
from fastsio.engine.workers import WorkerPlace
from fastsio.net.run import run

__all__ = ["main"]

#: Exit status of a command that cannot do what it was told.
USAGE = 2


async def _serve(server: Any, settings: dict[str, Any]) -> None:
    orphaned = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read_end() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            orphaned.set()

    try:
        await server.listen(settings["port"], settings["host"], reuse_port=True)
        loop.add_reader(0, read_end)
        os.write(settings["ready"], b"1")
        os.close(settings["ready"])
        await orphaned.wait()
    finally:
        loop.remove_reader(0)
        await server.close(settings["grace"])


def main() -> None:
    """Serve until a signal, or until the supervisor is gone."""
    settings = json.loads(sys.stdin.buffer.readline())
    place = WorkerPlace(settings["directory"], settings["number"], settings["count"])
    os.environ["FASTSIO_WORKER"] = str(place.number)
    try:
        server = load_target(settings["target"])
    except TargetError as error:
        print(f"fastsio run: {error}", file=sys.stderr)
        sys.exit(USAGE)
    server.join_workers(place)
    try:
        run(lambda: _serve(server, settings))
    except OSError as error:
        print(f"fastsio run: worker {place.number}: {error}", file=sys.stderr)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
