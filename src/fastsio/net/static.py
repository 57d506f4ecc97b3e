"""Files that the user names, over HTTP: types, validators, ranges, and no way out of the folders named."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from fastsio.engine.request import Headers, Request, Response

__all__ = ["StaticFiles"]

_CHUNK: Final = 65_536
_INDEX: Final = "index.html"

# The system's table of types may lack these, or know them under names that browsers refuse for modules.
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
_TEXT_TYPES: Final = ("text/", "application/json", "image/svg+xml")


class StaticFiles:
    """Serves files and folders by URL path.

    :param files: ``{"/": "index.html", "/assets": "dir"}``; a file answers for exactly its path, a folder for
        everything below, ``index.html`` for folders. The longest path that fits counts.
    """

    __slots__ = ("_mounts",)

    def __init__(self, files: Mapping[str, str | os.PathLike[str]]) -> None:
        mounts = []
        for url, path in files.items():
            if not url.startswith("/"):
                raise ValueError(f"static_files: {url!r} does not start with a slash")
            mounts.append((tuple(part for part in url.split("/") if part), os.path.abspath(path)))
        self._mounts = sorted(mounts, key=lambda mount: -len(mount[0]))

    def handle(self, request: Request) -> bool:
        """Answer ``request`` if one of the paths is its; False, and nothing done, if not."""
        segments = _segments(request.path)
        for url, path in self._mounts:
            if segments[: len(url)] != url:
                continue
            below = segments[len(url) :]
            if any(below) and not os.path.isdir(path):
                continue
            request.exchange.respond(_answer(request, path, below))
            return True
        return False


def _segments(path: str) -> tuple[str, ...]:
    """The decoded parts of a URL path. A last one that is empty means a trailing slash.

    Bytes that are no UTF-8 become lone surrogates, which name no file here.
    """
    decoded = [unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in path.split("/")[1:]]
    return tuple(decoded if decoded != [""] else ())


def _answer(request: Request, path: str, below: tuple[str, ...]) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response(405, [("Allow", "GET, HEAD")])
    try:
        found = _find(path, below)
        status = os.stat(found)
        if stat.S_ISDIR(status.st_mode):
            if not request.path.endswith("/"):
                # Relative links of the index would lead one folder too high.
                return Response(301, [("Location", quote(unquote_to_bytes(request.path)) + "/")])
            found = _find(path, (*(part for part in below if part), _INDEX))
            status = os.stat(found)
        elif below and not below[-1]:
            return Response(404)
        if not stat.S_ISREG(status.st_mode):
            return Response(404)
        return _serve(request, found, status)
    except (OSError, ValueError):
        # Missing, unreadable, or a name that no file can have.
        return Response(404)


def _find(root: str, below: tuple[str, ...]) -> str:
    """The path of a file below ``root``.

    :raises ValueError: if a part would leave ``root``, by its name or through a symbolic link.
    """
    parts = below[:-1] if below and not below[-1] else below
    for part in parts:
        if (
            part in ("", ".", "..")
            or any(mark in part for mark in "/\\\0")
            or (os.name == "nt" and ":" in part)
        ):
            raise ValueError("not a file name")
        part.encode()  # lone surrogates
    if not parts:
        return root
    root = os.path.realpath(root)
    found = os.path.realpath(os.path.join(root, *parts))
    if os.path.commonpath((root, found)) != root:
        raise ValueError("outside of the folder")
    return found


def _serve(request: Request, path: str, status: os.stat_result) -> Response:
    size = status.st_size
    etag = f'"{status.st_mtime_ns:x}-{size:x}"'
    modified = formatdate(int(status.st_mtime), usegmt=True)
    headers: Headers = [("ETag", etag), ("Last-Modified", modified), ("Cache-Control", "no-cache")]
    if _not_modified(request.headers, etag, int(status.st_mtime)):
        return Response(304, headers)
    headers += [
        ("Content-Type", _content_type(path)),
        ("Accept-Ranges", "bytes"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    code, start, stop = 200, 0, size
    ranges = request.headers.get("range")
    if ranges is not None and request.method == "GET":
        condition = request.headers.get("if-range")
        if condition is None or condition in (etag, modified):
            asked = _parse_range(ranges, size)
            if asked is not None:
                start, stop = asked
                if start >= stop:
                    return Response(416, [("Content-Range", f"bytes */{size}")])
                code = 206
                headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    headers.append(("Content-Length", str(stop - start)))
    if request.method == "HEAD":
        return Response(code, headers)
    if stop - start <= _CHUNK:
        with open(path, "rb") as file:
            file.seek(start)
            body = file.read(stop - start)
        headers[-1] = ("Content-Length", str(len(body)))
        return Response(code, headers, body)
    return Response(code, headers, _stream(path, start, stop, status))


async def _stream(path: str, start: int, stop: int, status: os.stat_result) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        now = os.fstat(file.fileno())
        if (now.st_mtime_ns, now.st_size) != (status.st_mtime_ns, status.st_size):
            return  # too few bytes: the listener breaks the response off
        file.seek(start)
        while start < stop:
            part = file.read(min(_CHUNK, stop - start))
            if not part:
                return
            start += len(part)
            yield part
            # A peer that takes everything at once must not keep the loop from the others.
            await asyncio.sleep(0)


def _content_type(path: str) -> str:
    kind: str | None = _TYPES.get(os.path.splitext(path)[1].lower())
    if kind is None:
        kind, encoding = mimetypes.guess_type(path)
        if encoding is not None:
            kind = f"application/{encoding}"
        elif kind is None:
            kind = "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith(_TEXT_TYPES) else kind


def _not_modified(headers: Mapping[str, str], etag: str, mtime: int) -> bool:
    """RFC 9110 §13.2.2; a date counts only if no entity tag is given."""
    tags = headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in tags.split(","))
    since = headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return mtime <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Start and end of a single byte range; an empty one cannot be satisfied; None means to ignore it."""
    unit, _, spec = text.partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not (first or last):
        return None
    if not all(digits == "" or (digits.isascii() and digits.isdigit()) for digits in (first, last)):
        return None
    if len(first) > 18 or len(last) > 18:
        return None
    if not first:
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    return start, min(size, int(last) + 1) if last else size
