"""``fastsio run``: a server of a module, in one process or in several on one port."""

from __future__ import annotations

import asyncio
import logging
import sys

import click

from fastsio.cli.supervisor import RunOptions, StartError, supervise
from fastsio.cli.target import TargetError, load_target
from fastsio.cli.worker import USAGE
from fastsio.engine.serving import Serving
from fastsio.net.run import run as run_loop

__all__ = ["run"]


async def _serve(server: Serving, target: str, host: str | None, port: int, grace: float) -> None:
    try:
        await server.listen(port, host)
        click.echo(f"serving {target} on port {server.port}", err=True)
        await asyncio.Event().wait()
    finally:
        await server.close(grace)


@click.command()
@click.argument("target")
@click.option("--host", help="Address to listen on; all of them by default.")
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="TCP port; 0: any."
)
@click.option(
    "-w",
    "--workers",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Processes that share the port; about as many as there are cores.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Seconds that responses in progress have at the end.",
)
def run(target: str, host: str | None, port: int, workers: int, grace: float) -> None:
    """Serve the server at TARGET, module:name, until Ctrl-C.

    The name is "io" if there is none. With several workers (Linux), broadcasts reach the clients of all of
    them, and requests of long-polling find the one that has their session.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        if workers == 1:
            server = load_target(target)
            run_loop(lambda: _serve(server, target, host, port, grace))
            return
        options = RunOptions(target, host, port, workers, grace)
        asyncio.run(
            supervise(
                options,
                lambda at: click.echo(f"serving {target} on port {at} with {workers} workers", err=True),
            )
        )
    except (TargetError, StartError, OSError) as error:
        click.echo(f"fastsio run: {error}", err=True)
        sys.exit(USAGE)
