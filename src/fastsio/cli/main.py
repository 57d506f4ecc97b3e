"""The commands."""

from __future__ import annotations

import click

from fastsio import __version__
from fastsio.cli.connect import connect
from fastsio.cli.load import load, load_server
from fastsio.cli.run import run

__all__ = ["fastsio"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastsio")
def fastsio() -> None:
    """Socket.IO for Python."""


fastsio.add_command(connect)
fastsio.add_command(load)
fastsio.add_command(load_server)
fastsio.add_command(run)
