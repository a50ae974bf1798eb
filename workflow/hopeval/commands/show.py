"""Print a leaderboard in percent, and where everything lies."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.errors import InputError
from hopeval.records import STATUSES

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = {
    "em": "EM",
    "f1": "F1",
    "sp_em": "SP EM",
    "sp_f1": "SP F1",
    "joint_em": "joint EM",
    "joint_f1": "joint F1",
    "all_gold_retrieved": "all gold",
}
_FAULTS: list[str] = [status for status in STATUSES if status != "ok"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("results", type=Path, help="results folder of a dataset, such as results/sample")


def run(args: argparse.Namespace) -> None:
    """Print the table. Raises InputError when there is none yet."""
    import pandas as pd

    path = args.results / "leaderboard.csv"
    if not path.is_file():
        raise InputError(f"{path}: not there; run snakemake first, or name another results folder")
    board = pd.read_csv(path)
    print(format_board(board))
    print(f"""
In percent, with 95 % bootstrap intervals. all gold: questions with every gold passage in the prompt.

{args.results}/
  leaderboard.csv                 this table, with all metrics and intervals
  experiments/<name>/             predictions.json (official format), metrics.json, questions.csv, results.jsonl
  contexts/<retriever>.metrics.json   retrieval metrics
  provenance.json                 what made these numbers""")


def format_board(board: "pd.DataFrame") -> str:
    """The leaderboard as aligned lines."""
    faults = [fault for fault in _FAULTS if board[fault].any()]
    rows = [["experiment", "n", *_COLUMNS.values(), *faults], *(_cells(row, faults) for _, row in board.iterrows())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _cells(row: "pd.Series[Any]", faults: list[str]) -> list[str]:
    percent = [_percent(row, name) for name in _COLUMNS]
    return [str(row["experiment"]), str(row["questions"]), *percent, *(str(row[fault]) for fault in faults)]


def _percent(row: "pd.Series[Any]", name: str) -> str:
    if row[name] != row[name]:  # NaN: not scored
        return "–"
    text = f"{100 * row[name]:.1f}"
    if f"{name}_low" in row:
        text += f" ({100 * row[f'{name}_low']:.1f}–{100 * row[f'{name}_high']:.1f})"
    return text


def _aligned(cells: list[str], widths: list[int]) -> str:
    first, *others = [(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
