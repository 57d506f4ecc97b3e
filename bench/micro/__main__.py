"""`python -m bench.micro`: install the rivals, time everything, print the table and write bench/results."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# The module beside this one is imported as scripts do.
sys.path.insert(0, str(HERE))

import rivals  # noqa: E402

HARNESS = ("harness", "empty call")
# Figures of one operation: the ns of each way, by its name.
Table = dict[tuple[str, str], dict[str, dict[str, float]]]


def one_pass(arguments: list[str], target: Path) -> dict[str, Any]:
    """Run all benchmarks once; what pytest-benchmark reports."""
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "--no-header", "-p", "no:cacheprovider"]
    command += ["--benchmark-quiet", f"--benchmark-json={target}", *arguments]
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    # glibc hands large results back to the system and fetches them again page by page: whether it does, and
    # to whom, is chance, and would be all that rows of several MiB show.
    memory = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
    environment = {**os.environ, **memory, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nbench: the benchmarks failed")
    result: dict[str, Any] = json.loads(target.read_text())
    return result


def merge(passes: list[dict[str, Any]]) -> Table:
    """Per way the figures of the pass with the lowest median: the one that was disturbed least."""
    table: Table = {}
    for report in passes:
        for benchmark in report["benchmarks"]:
            info, stats = benchmark["extra_info"], benchmark["stats"]
            scale = 1e9 / info["units"]
            figures = {
                "ns": stats["median"] * scale,
                "min_ns": stats["min"] * scale,
                "iqr_ns": stats["iqr"] * scale,
                "rounds": stats["rounds"],
                "calls_per_round": stats["iterations"],
            }
            ways = table.setdefault((info["group"], info["operation"]), {})
            known = ways.get(info["way"])
            if known is None or figures["ns"] < known["ns"]:
                ways[info["way"]] = figures
    return table


def number(ns: float) -> str:
    return f"{ns:,.0f}" if ns >= 100 else f"{ns:.1f}"


def ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def lines(table: Table) -> list[list[str]]:
    """The cells of the table: a line per operation and rival."""
    result = []
    empty = table[HARNESS]["fastsio"]["ns"] if HARNESS in table else 0
    for (group, name), ways in table.items():
        if (group, name) == HARNESS or "fastsio" not in ways:
            continue
        own = ways["fastsio"]["ns"]
        floor = ways.get("floor")
        against = ["", "", ""]
        if floor:
            net = ratio((own - empty) / (floor["ns"] - empty)) if empty else ""
            against = [number(floor["ns"]), ratio(own / floor["ns"]), net]
        first = [f"{group}: {name}", number(own)]
        others = [way for way in ways if way not in ("fastsio", "floor")] or [""]
        for i, rival in enumerate(others):
            compared = ["", ""]
            if rival:
                compared = [number(ways[rival]["ns"]), ratio(ways[rival]["ns"] / own)]
            result.append([*(["", ""] if i else first), rival, *compared, *([""] * 3 if i else against)])
    return result


def markdown(result: dict[str, Any], table: Table) -> str:
    head = [
        "operation",
        "fastsio ns",
        "rival",
        "rival ns",
        "rival ÷ fastsio",
        "floor ns",
        "fastsio ÷ floor",
        "net",
    ]
    left = (0, 2)
    rows = [head, *lines(table)]
    width = [max(len(row[i]) for row in rows) for i in range(len(head))]

    def row(cells: list[str]) -> str:
        padded = [
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, width, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(width)]
    text = [row(head), row(rule), *(row(cells) for cells in rows[1:]), ""]
    versions = ", ".join(result["rivals"]) or "none"
    notes = [
        f"{result['date']}, {result['python']}, {result['cpu']}, {result['system']}.",
        f"fastsio {result['fastsio']}, orjson {result['orjson']}; rivals: {versions}.",
        "ns per operation (frames: per frame), median of many rounds, in the best of "
        f"{result['passes']} pass(es). All ways of an operation had the same input and gave the same result. "
        "Figures of two machines, or of two runs, do not compare; ratios do.",
        "Floor: `orjson.dumps` or `loads` of the same array; for the emitter, a loop over the listeners.",
    ]
    if "empty_call_ns" in result:
        notes.append(
            f"Every figure holds {number(result['empty_call_ns'])} ns of the harness (an empty call). "
            "It counts in the ratios, except in the last column, which is the one before it without."
        )
    if result["missing"]:
        notes.append(f"Left out: {result['missing']}.")
    return "\n".join(["# Codec benchmarks", "", *text, *(f"* {note}" for note in notes), ""])


def revision() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown revision"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__)
    parser.add_argument("-k", metavar="EXPRESSION", help="only these, as pytest's -k; writes no results")
    parser.add_argument("--passes", type=int, default=2, help="runs of everything (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    options = parser.parse_args()

    missing = rivals.install()
    if missing:
        print(f"bench: {missing}", file=sys.stderr)
    rivals.CACHE.mkdir(parents=True, exist_ok=True)
    passes = []
    for i in range(options.passes):
        print(f"bench: pass {i + 1} of {options.passes}", file=sys.stderr, flush=True)
        passes.append(one_pass(["-k", options.k] if options.k else [], rivals.CACHE / "pass.json"))
    table = merge(passes)

    machine = passes[0]["machine_info"]
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": f"{machine['cpu'].get('count')} × {machine['cpu'].get('brand_raw', platform.processor())}",
        "system": f"{platform.system()} {platform.release()}",
        "fastsio": revision(),
        "orjson": importlib.metadata.version("orjson"),
        "rivals": rivals.versions(),
        "missing": missing,
        "passes": options.passes,
    }
    if HARNESS in table:
        result["empty_call_ns"] = table[HARNESS]["fastsio"]["ns"]
    result["operations"] = [
        {"group": group, "operation": name, "ways": ways}
        for (group, name), ways in table.items()
        if (group, name) != HARNESS
    ]
    text = markdown(result, table)
    print(text)
    if not options.k:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "micro.json").write_text(json.dumps(result, indent=2) + "\n")
        (options.out / "micro.md").write_text(text)


if __name__ == "__main__":
    main()
