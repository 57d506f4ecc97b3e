"""Say how many tests ran in each folder of tests/, from pytest's JUnit file.

Under CI (CI=true) it fails when the interop or browser tests did not run: skipped tests prove nothing.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from xml.etree import ElementTree

MUST_RUN = ("interop", "browser")


def main(path: str) -> int:
    ran: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for case in ElementTree.parse(path).iter("testcase"):
        folder = case.get("classname", "").split(".")[1]
        counts = skipped if case.find("skipped") is not None else ran
        counts[folder] += 1
    for folder in sorted(ran.keys() | skipped.keys()):
        print(f"tests/{folder}: {ran[folder]} ran, {skipped[folder]} skipped")
    missing = " and ".join(f"tests/{folder}" for folder in MUST_RUN if not ran[folder])
    if missing and os.environ.get("CI"):
        print(f"fastsio: no test ran in {missing}; see scripts/test-deps", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
