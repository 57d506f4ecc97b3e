"""Several processes of one machine that share a port: which of them has a session stands in its id."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["WorkerPlace", "worker_of"]

# The id's end, in the first line of a request. A dot is none of the characters of an id without a mark.
_MARK = re.compile(rb"[?&]sid=[^&# ]{1,256}\.([0-9]{1,4})(?=[&# ])")
_MAX_LINE = 16_384


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
