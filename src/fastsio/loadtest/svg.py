"""Line and bar charts as SVG text: two axes, a legend, nothing to load."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Series", "chart"]

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 16, 30, 40
#: Told apart by readers with any colour vision (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
_TICKS = 6


@dataclass(frozen=True)
class Series:
    """A line through points; or, with ``widths``, bars whose left edges the points are."""

    name: str
    points: Sequence[tuple[float, float]]
    widths: Sequence[float] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its title, how its numbers are written, and whether it is logarithmic."""

    title: str
    text: Callable[[float], str] = lambda value: f"{value:g}"
    log: bool = False
    #: Begin at nothing (linear axes only).
    from_zero: bool = True
    #: Fixed places for the numbers.
    ticks: Sequence[float] = ()


class _Scale:
    """Places the values of one axis between two coordinates."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self.axis = axis
        low, high = min(values), max(values)
        if axis.log:
            low = max(low, 1e-9)
            low, high = low / 1.15, max(high, low) * 1.15
        else:
            low = min(low, 0.0) if axis.from_zero else low
            high = high if high > low else low + 1.0
        self.low, self.high = low, high
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        if self.axis.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Round values that lie on the axis."""
        if self.axis.ticks:
            return [value for value in self.axis.ticks if self.low <= value <= self.high]
        if self.axis.log and self.high / self.low >= 10:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5)):
                found = [
                    step * 10.0**decade
                    for decade in decades
                    for step in steps
                    if self.low <= step * 10.0**decade <= self.high
                ]
                if len(found) >= 3:
                    break
            return found
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [turn * step for turn in range(first, int(self.high / step + 1e-9) + 1)]


def chart(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """An ``<svg>`` element; empty text when there are no points."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    ends = [at + width for line in series for (at, _), width in zip(line.points, line.widths, strict=False)]
    across = _Scale(x, [at for at, _ in points] + ends, _LEFT, _WIDTH - _RIGHT)
    upwards = _Scale(y, [value for _, value in points], _HEIGHT - _BOTTOM, _TOP)
    floor = _HEIGHT - _BOTTOM
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for value in upwards.ticks():
        at = upwards(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(y.text(value))}</text>'
        )
    for value in across.ticks():
        at = across(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {floor}v5"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{floor + 18}" text-anchor="middle">{escape(x.text(value))}</text>'
        )
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - _RIGHT}"/>')
    for line, colour in zip(series, _COLOURS, strict=False):
        if line.widths:
            for (left, value), width in zip(line.points, line.widths, strict=False):
                from_x, to_x, top = across(left), across(left + width), upwards(value)
                parts.append(
                    f'<rect x="{from_x:.2f}" y="{top:.2f}" width="{max(to_x - from_x, 0.4):.2f}" '
                    f'height="{max(floor - top, 0):.2f}" fill="{colour}"/>'
                )
        else:
            path = "L".join(f"{across(at):.1f} {upwards(value):.1f}" for at, value in line.points)
            parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
            if len(line.points) == 1:
                ((at, value),) = line.points
                parts.append(
                    f'<circle cx="{across(at):.1f}" cy="{upwards(value):.1f}" r="3" fill="{colour}"/>'
                )
    left = float(_LEFT)
    if len(series) > 1:
        for line, colour in zip(series, _COLOURS, strict=False):
            parts.append(f'<rect x="{left:.0f}" y="8" width="12" height="12" fill="{colour}"/>')
            parts.append(f'<text x="{left + 17:.0f}" y="18">{escape(line.name)}</text>')
            left += 34 + 7.5 * len(line.name)
    middle, half = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + floor) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x.title)}</text>')
    turned = f'x="14" y="{half}" text-anchor="middle" transform="rotate(-90 14 {half})"'
    parts.append(f"<text {turned}>{escape(y.title)}</text>")
    parts.append("</svg>")
    return "".join(parts)
