"""Draws a result of run.py: python chart.py RESULT.json OUT.svg. Needs matplotlib; run.py calls it."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from run import ROWS, SERVERS

OURS, RIVAL, FLOOR = "#0f766e", "#94a3b8", "#d6d3d1"


def main(source: Path, target: Path) -> None:
    result = json.loads(source.read_text())
    titles = {s.name: s.title for s in SERVERS}
    rows = [r for r in ROWS if any("value" in c for c in result["rows"].get(r.name, {}).values())]
    if not rows:
        return
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    # Text stays text: the file is a quarter of the size, and can be searched.
    plt.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "fastsio"})
    figure, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, 2.5 * lines), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.remove()
    for axis, row in zip(axes.flat, rows, strict=False):
        cells = {k: c for k, c in result["rows"][row.name].items() if "value" in c}
        names = sorted(cells, key=lambda k: cells[k]["value"], reverse=True)
        values = [cells[k]["value"] for k in names]
        colours = [
            OURS
            if k.startswith("fastsio")
            else FLOOR
            if titles[k.partition("@")[0]].startswith("floor")
            else RIVAL
            for k in names
        ]
        bars = axis.barh([k for k in names], values, color=colours, height=0.72)
        axis.bar_label(bars, [f"{v:.3g}" for v in values], padding=3, fontsize=7)
        axis.set_title(f"{row.title}  [{row.unit}]", fontsize=8.5, loc="left")
        axis.set_xlim(0, max(values) * 1.15)
        axis.tick_params(left=False, bottom=False, labelbottom=False)
        axis.spines[:].set_visible(False)
    versions, box = result["versions"], result["machine"]
    note = (
        f"Server CPU per message, one core; lower is better. {box['cpu']}, Python {box['python']}, "
        f"Node {versions.get('node', '?')}, socket.io {versions.get('socket.io', '?')}, "
        f"python-socketio {versions.get('python-socketio', '?')}. {result['date']}"
    )
    figure.text(0.01, 0.004, note, fontsize=7, color="#57534e")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
