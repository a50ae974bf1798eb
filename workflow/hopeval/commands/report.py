"""Compare experiments: leaderboard.csv, a row each, best first."""

import argparse
from pathlib import Path
from typing import Any

from hopeval.errors import InputError
from hopeval.io import atomic_write, read_json
from hopeval.metrics.hotpotqa import METRICS
from hopeval.records import STATUSES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--metrics", required=True, type=Path, nargs="+", help="the experiments' metrics.json; the folder names each"
    )
    parser.add_argument("--output", required=True, type=Path, help="leaderboard (CSV)")


def run(args: argparse.Namespace) -> None:
    """Write the leaderboard, sorted by joint F1, then answer F1, as HotpotQA's own is."""
    import pandas as pd

    board = pd.DataFrame([_row(path) for path in args.metrics])
    board = board.sort_values(["joint_f1", "f1", "experiment"], ascending=[False, False, True])
    with atomic_write(args.output) as file:
        board.to_csv(file, index=False)


def _row(path: Path) -> dict[str, Any]:
    metrics = read_json(path)
    if not {*METRICS, "counts", "intervals"} <= set(metrics):
        raise InputError(f"{path}: is no metrics.json of an experiment; name those that score --output wrote")
    intervals = metrics["intervals"]
    bounds = {
        f"{name}_{end}": intervals[name][i] if name in intervals else None
        for name in ("em", "f1", "joint_f1")
        for i, end in enumerate(("low", "high"))
    }
    return {
        "experiment": path.parent.name,
        "questions": metrics["questions"],
        **{name: metrics[name] for name in METRICS},
        **bounds,
        **{status: metrics["counts"][status] for status in STATUSES},
        "all_gold_retrieved": metrics["all_gold_retrieved"],
        "unknown_labels": metrics["unknown_labels"],
        "omitted_passages": metrics["omitted_passages"],
    }
