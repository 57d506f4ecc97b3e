"""The server that a command line names."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from fastsio.engine.serving import Serving

__all__ = ["TargetError", "load_target"]

#: The name that is taken if the command line has none.
_DEFAULT = "io"


class TargetError(Exception):
    """There is no server of that name; says why in a sentence."""


def load_target(target: str) -> Serving:
    """The server at ``module:name``, in which ``name`` may have dots and is ``io`` by default.

    Modules are looked for in the current directory first. An object whose ``io`` is the server, as the
    ``AsyncServer`` of ``fastsio.compat.socketio`` is, stands for it.

    :raises TargetError: if there is none.
    """
    module_name, _, path = target.partition(":")
    path = path or _DEFAULT
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise TargetError(f"there is no module {module_name!r} in {os.getcwd()} or installed") from error
    except ValueError as error:
        raise TargetError(f"{target!r} is not of the form module:name") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise TargetError(f"module {module_name!r} has no {path!r}") from error
    server = found if isinstance(found, Serving) else getattr(found, _DEFAULT, None)
    if not isinstance(server, Serving):
        raise TargetError(f"{target!r} is no fastsio server but {type(found).__name__}")
    return server
