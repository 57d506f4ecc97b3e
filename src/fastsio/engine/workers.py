"""Several processes of one machine that share a port: which of them has a session stands in its id."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Frames", "WorkerPlace", "frame", "worker_of"]

# The id's end, in the first line of a request. A dot is none of the characters of an id without a mark.
_MARK = re.compile(rb"[?&]sid=[^&# ]{1,256}\.([0-9]{1,4})(?=[&# ])")
_MAX_LINE = 16_384
# Bytes of a frame's length.
_HEADER = 4


@dataclass(frozen=True)
class WorkerPlace:
    """Which of the workers this process is.

    :param directory: a folder of theirs, for the sockets between them; nobody else may enter it.
    :param number: from 0 to ``count - 1``.
    """

    directory: str
    number: int
    count: int

    @property
    def mark(self) -> str:
        """What the ids of this process's sessions end with."""
        return f".{self.number}"

    def socket_of(self, number: int, purpose: str) -> str:
        """The path of a worker's socket."""
        return os.path.join(self.directory, f"{purpose}-{number}")


def worker_of(data: bytes) -> int | None:
    """The worker that has the session a request is for; None if it names none.

    :param data: begins with the request.
    """
    end = data.find(b"\r\n", 0, _MAX_LINE)
    found = _MARK.search(data, 0, end) if end > 0 else None
    return None if found is None else int(found[1])


def frame(payload: bytes) -> bytes:
    """Some bytes as they go from worker to worker: their length, then they."""
    return len(payload).to_bytes(_HEADER, "big") + payload


class Frames:
    """Takes what :func:`frame` made apart again."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that are whole with ``data``."""
        self._data += data
        while len(self._data) >= _HEADER:
            end = _HEADER + int.from_bytes(self._data[:_HEADER], "big")
            if len(self._data) < end:
                break
            payload = bytes(self._data[_HEADER:end])
            # A bytearray forgets its beginning without moving the rest.
            del self._data[:end]
            yield payload
