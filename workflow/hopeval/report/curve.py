"""The curve of a tuning as SVG and PNG: answers per second of each set-up, with the spread of its repeats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hopeval.report.figures import drawing, marks


class Point(NamedTuple):
    """A set-up: its name, answers per second (median, slowest and fastest repeat), whether it is the chosen one."""

    name: str
    median: float
    low: float
    high: float
    chosen: bool = False
    in_flight: int | None = None
    """Where set-ups differ in the number of requests in flight, these are the curve's x."""


def tuning_figure(curves: Sequence[tuple[str, Sequence[Point]]], title: str, output: Path) -> None:
    """A line for each of the named curves."""
    levels = all(point.in_flight for _, points in curves for point in points)
    names = list(dict.fromkeys(point.name for _, points in curves for point in points))
    with drawing(max(4.5, 0.45 * len(names) + 2), 3.6, output) as figure:
        axes = figure.subplots()
        for i, (label, points) in enumerate(curves):
            _draw(axes, points, [point.in_flight if levels else names.index(point.name) for point in points], i, label)
        if levels:
            axes.set_xscale("log", base=2)
            axes.set_xlabel("requests in flight")
            axes.xaxis.set_major_formatter("{x:g}")
        else:
            axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("answers/s, median and range")
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.grid(axis="y", linewidth=0.4)
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8)


def _draw(axes: Any, points: Sequence[Point], places: Sequence[Any], number: int, label: str) -> None:
    medians = [point.median for point in points]
    errors = [[p.median - p.low for p in points], [p.high - p.median for p in points]]
    style = marks(number)
    axes.errorbar(places, medians, yerr=errors, label=label, **style, capsize=2)
    for place, point in zip(places, points, strict=True):
        if point.chosen:
            ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": style["color"]}
            axes.plot([place], [point.median], marker="o", linestyle="none", **ring)
