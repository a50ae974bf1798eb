"""Figures for papers, as SVG and PNG: the leaderboard with its intervals, and recall at k."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.io import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
_COLOURS = ("#0b62b8", "#c05500", "#5b6770", "#7a4fb0", "#00787a", "#a8456b")
"""Blue and orange first: they differ for those who see no red or green, and in print."""
_MARKS = "osD^vP"
_STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "hopeval"}


def leaderboard_figure(board: "pd.DataFrame", output: Path) -> None:
    """Each experiment's EM, F1 and joint F1 in percent with their 95 % intervals."""
    metrics = [(name, label) for name, label in _SHOWN.items() if board[name].notna().any()]
    with drawing(7.0, 0.9 + 0.42 * max(len(board), 2), output) as figure:
        axes = figure.subplots()
        for i, (name, label) in enumerate(metrics):
            found = board[board[name].notna()]
            heights = found.index.to_numpy() + (i - (len(metrics) - 1) / 2) * 0.2
            values = 100 * found[name].astype(float)
            errors = [values - 100 * found[f"{name}_low"], 100 * found[f"{name}_high"] - values]
            axes.errorbar(values, heights, xerr=errors, label=label, **marks(i), linestyle="none", capsize=2)
        axes.set_yticks(range(len(board)), board["experiment"], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlim(-1, 101)
        axes.set_xlabel("percent, with 95 % bootstrap intervals")
        axes.grid(axis="x", linewidth=0.4)
        if metrics:
            axes.legend(frameon=False, ncols=len(metrics), loc="lower center", bbox_to_anchor=(0.5, 1.0))


_SHOWN = {"em": "EM", "f1": "F1", "joint_f1": "joint F1"}


def recall_figure(curve: "pd.DataFrame", output: Path) -> None:
    """Each retriever's recall at k in percent, solid, and the share of questions with all gold passages, dashed."""
    with drawing(5.0, 3.4, output) as figure:
        axes = figure.subplots()
        for i, (retriever, found) in enumerate(curve.groupby("retriever", sort=False)):
            for name, line, label in (("recall", "-", ""), ("all_gold_recall", "--", ", all gold")):
                axes.plot(found["k"], 100 * found[name], line, label=f"{retriever}{label}", **marks(i))
                low, high = 100 * found[f"{name}_low"], 100 * found[f"{name}_high"]
                axes.fill_between(found["k"], low, high, color=marks(i)["color"], alpha=0.12, linewidth=0)
        axes.set_ylim(-2, 102)
        axes.set_xlabel("k, passages from the best")
        axes.set_ylabel("percent, with 95 % intervals")
        axes.grid(linewidth=0.4)
        if len(curve):
            axes.legend(frameon=False, fontsize=8)


def marks(number: int) -> dict[str, Any]:
    """Colour, mark and size of the n-th line of a figure, from 0."""
    i = number % len(_COLOURS)
    return {"color": _COLOURS[i], "marker": _MARKS[i], "markersize": 4, "linewidth": 1.2}


@contextmanager
def drawing(width: float, height: float, output: Path) -> "Iterator[Figure]":
    """A figure of that many inches, written beside ``output`` in all FORMATS when the block ends well."""
    import matplotlib as mpl
    from matplotlib.figure import Figure  # without pyplot: no display is looked for

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        for form in FORMATS:
            with atomic_write(output.with_suffix(f".{form}")) as file:
                # Without a date, so that equal results are equal files.
                metadata = {"Date": None} if form == "svg" else {}
                figure.savefig(file, format=form, dpi=200, metadata=metadata)
