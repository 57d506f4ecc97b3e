"""The request of a connection as the dict that ``connect`` handlers get (PEP 3333, and the ASGI scope)."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote

from fastsio.engine import Request

__all__ = ["make_environ"]


def make_environ(request: Request) -> dict[str, Any]:
    """The environ of a request."""
    host, _, port = request.headers.get("host", "").rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(request.path),
        "QUERY_STRING": request.query_string,
        "RAW_URI": request.target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": host or port,
        "SERVER_PORT": port if host else ("443" if request.scheme == "https" else "80"),
        "REMOTE_ADDR": request.remote_address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if request.scope is not None:
        environ["asgi.scope"] = request.scope
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ
