"""Experiments side by side: the leaderboard's order and columns, and what ``show`` prints of it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopeval.metrics.hotpotqa import METRICS

COUNTS = {"ok": 10, "truncated": 0, "unparsable": 0, "error": 0, "missing": 0}
SHOWN = """\
experiment                n                EM                F1  SP EM  SP F1  joint EM          joint F1  all gold  truncated
gold.cited.smollm2       10  50.0 (20.0–50.0)  60.0 (40.0–60.0)   20.0   70.0      10.0  45.7 (10.0–34.0)     100.0          0
bm25@2.cited.smollm2     10  50.0 (20.0–50.0)  60.0 (40.0–60.0)   20.0   70.0      10.0  30.0 (10.0–34.0)      62.5          0
bm25@10.cited.llama-3.1  10  50.0 (20.0–50.0)  50.0 (40.0–60.0)   20.0   70.0      10.0  30.0 (10.0–34.0)      62.5         12
none.cited.smollm2       10   0.0 (20.0–50.0)   0.0 (40.0–60.0)    0.0    0.0       0.0   0.0 (10.0–34.0)         –          0

In percent, with 95 % bootstrap intervals. all gold: questions with every gold passage in the prompt.
"""  # noqa: E501


def metrics(f1: float, joint_f1: float, **more: Any) -> dict[str, Any]:
    values = dict.fromkeys(METRICS, 0.0)
    if f1:
        values |= {"em": 0.5, "f1": f1, "sp_em": 0.2, "sp_f1": 0.7, "joint_em": 0.1, "joint_f1": joint_f1}
    return {
        "questions": 10,
        **values,
        "intervals": {
            **{name: [0.0, 0.1] for name in METRICS},
            "em": [0.2, 0.5],
            "f1": [0.4, 0.6],
            "joint_f1": [0.1, 0.34],
        },
        "counts": COUNTS,
        "all_gold_retrieved": 0.625,
        "unknown_labels": 0,
        "omitted_passages": 0,
        **more,
    }


EXPERIMENTS = {
    "none.cited.smollm2": metrics(0, 0, all_gold_retrieved=None),
    "bm25@10.cited.llama-3.1": metrics(0.5, 0.3, counts={**COUNTS, "truncated": 12}),
    "bm25@2.cited.smollm2": metrics(0.6, 0.3),
    "gold.cited.smollm2": metrics(0.6, 0.457, all_gold_retrieved=1.0),
}


@pytest.fixture
def board(tmp_path: Path, write: Any, hopeval: Any) -> Callable[..., list[dict[str, str]]]:
    """The leaderboard of these experiments, given in this order."""

    def report(experiments: dict[str, Any]) -> list[dict[str, str]]:
        paths = [write(f"results/experiments/{name}/metrics.json", found) for name, found in experiments.items()]
        hopeval("report", "--metrics", *paths, "--output", tmp_path / "results" / "leaderboard.csv")
        with open(tmp_path / "results" / "leaderboard.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return report


def test_the_best_comes_first_by_joint_f1_then_f1_then_name(board: Any) -> None:
    order = ["gold.cited.smollm2", "bm25@2.cited.smollm2", "bm25@10.cited.llama-3.1", "none.cited.smollm2"]
    for experiments in (EXPERIMENTS, dict(reversed(EXPERIMENTS.items()))):
        assert [row["experiment"] for row in board(experiments)] == order
    same = board({name: metrics(0.5, 0.3) for name in ("b", "c", "a")})
    assert [row["experiment"] for row in same] == ["a", "b", "c"]


def test_a_row_has_all_metrics_intervals_and_counts(board: Any) -> None:
    row = board(EXPERIMENTS)[2]
    assert list(row) == [
        *["experiment", "questions", *METRICS],
        *[f"{name}_{end}" for name in ("em", "f1", "joint_f1") for end in ("low", "high")],
        *[*COUNTS, "all_gold_retrieved", "unknown_labels", "omitted_passages"],
    ]
    assert (row["questions"], row["f1"], row["joint_f1_low"], row["joint_f1_high"]) == ("10", "0.5", "0.1", "0.34")
    assert (row["truncated"], row["ok"], row["all_gold_retrieved"]) == ("12", "10", "0.625")


def test_what_was_not_scored_stays_empty(board: Any, hopeval: Any, tmp_path: Path) -> None:
    answers_only = metrics(0.5, 0.3) | dict.fromkeys(METRICS[4:]) | {"intervals": {"em": [0.2, 0.5], "f1": [0.4, 0.6]}}
    unscored = metrics(0.5, 0.3) | dict.fromkeys(METRICS) | {"intervals": {}}
    for found, shown in ((answers_only, "50.0 (20.0–50.0)  50.0 (40.0–60.0)      –"), (unscored, " –   –      –")):
        (row, other) = board({"b": found, "a": found})
        assert (row["experiment"], other["experiment"]) == ("a", "b")
        assert (row["joint_f1"], row["joint_f1_low"], row["sp_em"]) == ("", "", "")
        assert shown in hopeval("show", tmp_path / "results").splitlines()[1]


def test_show_prints_the_board_in_percent_and_where_things_lie(board: Any, hopeval: Any, tmp_path: Path) -> None:
    board(EXPERIMENTS)
    printed = hopeval("show", tmp_path / "results")
    assert printed.startswith(SHOWN)
    assert f"{tmp_path}/results/\n  leaderboard.csv" in printed


def test_faults_are_columns_only_where_there_are_any(board: Any, hopeval: Any, tmp_path: Path) -> None:
    board({"a": metrics(0.5, 0.3), "b": metrics(0.5, 0.3, counts={**COUNTS, "error": 1, "missing": 2})})
    header, first, second, *_ = hopeval("show", tmp_path / "results").splitlines()
    assert header.split()[-2:] == ["error", "missing"]
    assert first.split()[-2:] == ["0", "0"]
    assert second.split()[-2:] == ["1", "2"]


def test_show_without_a_board_says_what_to_do(refused: Any, tmp_path: Path) -> None:
    assert "leaderboard.csv: not there; run snakemake first" in refused("show", tmp_path)


def test_report_names_a_bad_file(write: Any, refused: Any, tmp_path: Path) -> None:
    message = refused("report", "--metrics", write("e/metrics.json", "{\n\n"), "--output", tmp_path / "board.csv")
    assert "e/metrics.json:3: malformed JSON" in message
    assert not (tmp_path / "board.csv").exists()
