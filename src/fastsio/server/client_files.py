"""The browser client, served below the engine's path as ``socket.io.js`` and its siblings."""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
from os import PathLike
from pathlib import Path

from fastsio.engine.compression import choose_encoding
from fastsio.engine.request import Headers, Request, Response
from fastsio.exceptions import OptionError

__all__ = ["ClientFiles"]

logger = logging.getLogger("fastsio.server")

_NAME = re.compile(r"socket\.io(\.esm|\.msgpack)?(\.min)?\.js(\.map)?")
_PACKAGED = Path(__file__).parent.parent / "static"


def _takes_brotli(accept: str) -> bool:
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() == "br":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False


class _File:
    """One file, read and compressed once. Brotli is what scripts/build-client made of it, if it did."""

    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        prepared = path.with_name(path.name + ".br")
        packaged = path.parent == _PACKAGED and prepared.is_file()
        self.brotli = prepared.read_bytes() if packaged else None
        self.gzipped = gzip.compress(self.body, 9, mtime=0)
        self.etag = f'"{hashlib.sha256(self.body).hexdigest()[:20]}"'
        kind = "application/json" if path.suffix == ".map" else "application/javascript"
        self.content_type = f"{kind}; charset=utf-8"


class ClientFiles:
    """Serves the option ``client``: a file, or a folder of files named as the official bundle's are.

    :raises OptionError: if ``client`` does not exist.
    """

    def __init__(self, client: str | PathLike[str] | None) -> None:
        self._folder = _PACKAGED if client is None else Path(client)
        self._single: Path | None = None
        if client is not None and not self._folder.exists():
            raise OptionError(f"option client: {self._folder} does not exist")
        if self._folder.is_file():
            self._single = self._folder
            self._folder = self._single.parent
        self._cache: dict[str, _File | None] = {}

    def matches(self, name: str) -> bool:
        """Whether ``name``, what follows the engine's path, is one of the client's files."""
        return _NAME.fullmatch(name) is not None

    def serve(self, request: Request, name: str) -> Response:
        """The response to a request for file ``name``."""
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("Allow", "GET, HEAD")])
        file = self._load(name)
        if file is None:
            logger.warning("no %s to serve (option client names a file or folder that has it)", name)
            return Response(404, [("Content-Type", "text/plain; charset=utf-8")], b"no such client file")
        headers: Headers = [
            ("ETag", file.etag),
            ("Cache-Control", "public, max-age=0"),
            ("Vary", "Accept-Encoding"),
        ]
        known = request.headers.get("if-none-match", "")
        if known == "*" or file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
            return Response(304, headers)
        headers.append(("Content-Type", file.content_type))
        body = file.body
        accept = request.headers.get("accept-encoding", "")
        if file.brotli is not None and _takes_brotli(accept):
            headers.append(("Content-Encoding", "br"))
            body = file.brotli
        elif choose_encoding(accept) == "gzip":
            headers.append(("Content-Encoding", "gzip"))
            body = file.gzipped
        return Response(200, headers, body)

    def _load(self, name: str) -> _File | None:
        if name not in self._cache:
            path = self._folder / name
            if not path.is_file() and self._single is not None and name.endswith(".js"):
                path = self._single
            self._cache[name] = _File(path) if path.is_file() else None
        return self._cache[name]
