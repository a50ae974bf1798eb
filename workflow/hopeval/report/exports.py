"""The leaderboard in percent, for a terminal, a README and a paper: what is in which column stands here once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.records import STATUSES

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "em": "EM",
    "f1": "F1",
    "sp_em": "SP EM",
    "sp_f1": "SP F1",
    "joint_em": "joint EM",
    "joint_f1": "joint F1",
    "all_gold_retrieved": "all gold",
}
WITH_INTERVAL = ("em", "f1", "joint_f1")
FAULTS: list[str] = [status for status in STATUSES if status != "ok"]
_NAMES = ("experiment", "retriever", "prompt", "reader", "a", "b", "metric", "better")
UNKNOWN = "–"
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    UNKNOWN: "--",
}


def read_table(path: Path) -> "pd.DataFrame":
    """A table that leaderboard wrote. Only what is empty is unknown: a retriever may be called ``null``, or ``7``."""
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(_NAMES, str))


def rows(board: "pd.DataFrame") -> list[list[str]]:
    """The header and a row for each experiment. Faults have a column only where there are any."""
    faults = [fault for fault in FAULTS if board[fault].any()]
    header = ["place", "experiment", "n", *COLUMNS.values(), *faults]
    return [header, *(_cells(row, faults) for _, row in board.iterrows())]


def _cells(row: "pd.Series[Any]", faults: Sequence[str]) -> list[str]:
    first = [str(row["place"]), str(row["experiment"]), str(row["questions"])]
    return [*first, *(_percent(row, name) for name in COLUMNS), *(str(row[fault]) for fault in faults)]


def _percent(row: "pd.Series[Any]", name: str) -> str:
    if row[name] != row[name] or row[name] is None:  # NaN: not scored
        return UNKNOWN
    text = f"{100 * row[name]:.1f}"
    if name in WITH_INTERVAL:
        text += f" ({100 * row[f'{name}_low']:.1f}{UNKNOWN}{100 * row[f'{name}_high']:.1f})"
    return text


def as_text(board: "pd.DataFrame") -> str:
    """Aligned lines for a terminal."""
    found = rows(board)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in found
    )


def as_markdown(board: "pd.DataFrame") -> str:
    """A table for a README or an issue."""
    header, *body = rows(board)
    rule = ["---:" if i != 1 else "---" for i in range(len(header))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *body))


def as_latex(board: "pd.DataFrame") -> str:
    r"""A table for a paper; it needs ``\usepackage{booktabs}``."""
    header, *body = (" & ".join(map(_escaped, row)) + r" \\" for row in rows(board))
    columns = "r" + "l" + "r" * (len(rows(board)[0]) - 2)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
