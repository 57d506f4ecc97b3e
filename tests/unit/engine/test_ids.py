"""Ids: distinct, of the right form, and not those of a parent process."""

from __future__ import annotations

import re
import subprocess
import sys

from fastsio.engine.ids import generate_id


def test_ids_are_distinct_and_safe_in_a_url() -> None:
    ids = [generate_id() for _ in range(1000)]
    assert len(set(ids)) == len({id_[:16] for id_ in ids}) == 1000
    assert all(re.fullmatch("[A-Za-z0-9_-]{20}", id_) for id_ in ids)


def test_a_forked_process_gives_ids_of_its_own() -> None:
    program = (
        "import os\n"
        "from fastsio.engine.ids import generate_id\n"
        "generate_id()\n"
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0)\n"
        "print(*[generate_id()[:16] for _ in range(50)], flush=True)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert len(out.split()) == len(set(out.split())) == 100
