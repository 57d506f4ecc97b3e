"""The command line, ``fastsio``; needs the extra ``cli``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        print(
            f"fastsio: the command line needs {error.name}: pip install click rich",
            file=sys.stderr,
        )
        sys.exit(2)
    from fastsio.cli.main import fastsio

    fastsio(prog_name="fastsio")
