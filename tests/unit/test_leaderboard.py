"""Experiments side by side: order, shared places, columns, and what is printed and written of them."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hopeval.io import write_records
from hopeval.metrics.compare import compare_all
from hopeval.metrics.hotpotqa import METRICS
from hopeval.records import RankedPassage, Response
from hopeval.report.board import retrieval_losses
from small_run import SmallRun, answer, passage

NAMES = [f"q{i:02d}" for i in range(40)]
RIGHT = {"gold": 36, "bm25@2": 20, "bm25@1": 19, "none": 2}
"""How many of the questions each answers rightly, the first ones."""


@pytest.fixture
def run(tmp_path: Path, hopeval: Any, question: Any) -> Callable[..., SmallRun]:
    """A run of these experiments: what each replies to each question."""

    def make(replies: dict[str, dict[str, Any]], prices: Any = None, **fields: Any) -> SmallRun:
        ids = list(dict.fromkeys(identifier for found in replies.values() for identifier in found))
        ranked = {
            key: [passage("A", "A is one.", " A is two."), passage("B", "B is one.", " B is two.")] for key in ids
        }
        questions = [question(key, **fields) for key in ids]
        return SmallRun(tmp_path / "results", hopeval, prices).write(questions, ranked, replies)

    return make


def replies(right: int, *, cited: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {key: answer("Paris" if i < right else "Rome", *(cited if i < right else ())) for i, key in enumerate(NAMES)}


def four() -> dict[str, dict[str, Any]]:
    return {f"{name}.cited.r": replies(right) for name, right in RIGHT.items()}


def board(run: SmallRun) -> list[dict[str, str]]:
    with open(run.folder / "leaderboard.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def comparisons(run: SmallRun) -> list[dict[str, str]]:
    with open(run.folder / "comparisons.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_best_comes_first_and_ties_share_a_place(run: Any) -> None:
    rows = board(run(four()))
    assert [(row["place"], row["experiment"]) for row in rows] == [
        ("1", "gold.cited.r"),
        ("2", "bm25@2.cited.r"),
        ("2", "bm25@1.cited.r"),
        ("4", "none.cited.r"),
    ]


def test_equal_ones_come_by_name_and_all_are_first(run: Any) -> None:
    rows = board(run({f"{name}.cited.r": replies(20, cited=()) for name in ("none", "gold", "given")}))
    assert [(row["place"], row["experiment"]) for row in rows] == [
        ("1", "given.cited.r"),
        ("1", "gold.cited.r"),
        ("1", "none.cited.r"),
    ]


def test_a_row_has_all_metrics_with_intervals_counts_and_costs(run: Any) -> None:
    row = board(run(four(), {"prompt": 1.0, "completion": 2.0, "cached": 0.5}))[1]
    retrieval = ["gold_retrieved", "all_gold_retrieved", "mrr@10", "ndcg@10"]
    ends = ("", "_low", "_high")
    assert list(row) == [
        *["place", "experiment", "retriever", "top_k", "prompt", "reader", "questions", "coverage"],
        *[f"{name}{end}" for name in [*METRICS, *retrieval] for end in ends],
        *["ok", "truncated", "unparsable", "error", "missing", "near_close", "near_contains"],
        *["unknown_labels", "omitted_passages"],
        *[f"retrieval_loss_em{end}" for end in ends],
        *["prompt_tokens", "completion_tokens", "cached_tokens", "busy_s", "tokens_per_s", "cost"],
    ]
    assert (row["em"], row["coverage"], row["ok"], row["all_gold_retrieved"]) == ("0.5", "1.0", "40", "1.0")
    assert 0.3 < float(row["em_low"]) < 0.5 < float(row["em_high"]) < 0.7
    prompt = int(row["prompt_tokens"])
    assert (row["completion_tokens"], row["cached_tokens"]) == ("400", "1600")
    assert float(row["cost"]) == pytest.approx((prompt - 1600 + 1600 * 0.5 + 400 * 2) / 1e6)


def hop(run: SmallRun, work: str, *keys: str) -> None:
    """Queries of one second each, long after the answers."""
    second = "2026-01-02T00:00:{:02d}+00:00".format
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100}
    calls = [Response(key=key, latency_s=1.0, at=second(int(key)), **tokens) for key in keys]
    write_records(run.folder / "readers" / work / "responses.jsonl", calls)


def test_queries_count_where_the_experiments_of_their_retriever_stand(run: Any, hopeval: Any) -> None:
    found = run(four(), {"prompt": 1.0, "completion": 2.0})
    before = {row["experiment"]: row for row in board(found)}
    hop(found, "r/hops/a-2", "01", "02")
    hop(found, "r/hops/b-2", "02", "03")  # one of them was asked before
    hop(found, "other/hops/c-2", "02")
    dear = {"prompt": 10.0, "completion": 0.0}
    queries = {"r/hops/a-2": None, "r/hops/b-2": None, "other/hops/c-2": dear}
    compared = found.compared()
    compared["bm25@2.cited.r"]["queries"] = queries
    compared["none.cited.r"] |= {"prices": None, "queries": {"r/hops/a-2": None}}
    hopeval("leaderboard", "--results", found.folder, "--experiments", json.dumps(compared))
    after = {row["experiment"]: row for row in board(found)}

    def more(experiment: str, column: str) -> float:
        return float(after[experiment][column]) - float(before[experiment][column])

    took = [more("bm25@2.cited.r", column) for column in ("prompt_tokens", "completion_tokens", "busy_s", "cost")]
    assert took == pytest.approx([4000, 400, 3, 1000 * 10 / 1e6])
    row = after["bm25@2.cited.r"]
    assert float(row["tokens_per_s"]) == pytest.approx(int(row["completion_tokens"]) / float(row["busy_s"]), rel=1e-4)
    assert (more("none.cited.r", "prompt_tokens"), after["none.cited.r"]["cost"]) == (2000, "")
    assert after["bm25@1.cited.r"] == before["bm25@1.cited.r"]


def test_what_retrieval_costs_is_stated_where_gold_passages_were_tried(run: Any) -> None:
    rows = {row["experiment"]: row for row in board(run(four()))}
    assert float(rows["bm25@2.cited.r"]["retrieval_loss_em"]) == pytest.approx((36 - 20) / 40)
    low, high = (float(rows["bm25@2.cited.r"][f"retrieval_loss_em_{end}"]) for end in ("low", "high"))
    assert 0.2 < low < 0.4 < high < 0.6
    assert rows["gold.cited.r"]["retrieval_loss_em"] == ""
    alone = {name: found for name, found in four().items() if not name.startswith("gold")}
    assert {row["retrieval_loss_em"] for row in board(run(alone))} == {""}


def test_of_two_with_gold_passages_the_first_is_the_measure() -> None:
    def experiment(kind: str) -> dict[str, str]:
        return {"kind": kind, "prompt": "cited", "reader": "r"}

    kinds = {"none": "none", "gold": "gold", "bm25": "bm25", "gold@1": "gold"}
    right = {"none": 2, "gold": 36, "bm25": 20, "gold@1": 30}
    scores = {name: {"em": (np.arange(40) < number).astype(float)} for name, number in right.items()}
    found = retrieval_losses({name: experiment(kind) for name, kind in kinds.items()}, compare_all(scores, ["em"]))
    assert {name: (c.a, c.b) for name, c in found.items()} == {"none": ("gold", "none"), "bm25": ("gold", "bm25")}
    assert (found["none"].difference, found["bm25"].difference) == (34 / 40, 16 / 40)


def test_every_pair_is_compared_by_every_metric(run: Any) -> None:
    rows = comparisons(run(four()))
    assert len(rows) == 6 * 6
    found = {(row["a"], row["b"], row["metric"]): row for row in rows}
    tie = found["bm25@2.cited.r", "bm25@1.cited.r", "em"]
    assert (tie["questions"], tie["a_better"], tie["b_better"], tie["better"]) == ("40", "1", "0", "")
    # One toss of a coin that tells them apart.
    assert float(tie["p_mcnemar"]) == 1.0
    clear = found["gold.cited.r", "none.cited.r", "em"]
    assert (clear["a_better"], clear["better"]) == ("34", "gold.cited.r")
    assert float(clear["p_mcnemar"]) == pytest.approx(2 / 2**34)
    assert float(clear["p_holm"]) == pytest.approx(6 * 2 / 2**34)
    assert found["gold.cited.r", "none.cited.r", "f1"]["p_mcnemar"] == ""


def test_one_experiment_and_one_question(run: Any) -> None:
    alone = run({"given.cited.r": {"q": answer("Paris", 1, 4)}})
    assert comparisons(alone) == []
    assert [row["place"] for row in board(alone)] == ["1"]
    assert board(alone)[0]["em_low"] == "0.025000000000000022"  # 1 of 1 leaves room for 97.5 % of others


def test_nothing_answered_is_a_board_all_the_same(run: Any, hopeval: Any) -> None:
    nothing = {key: {"error": "no answer"} for key in NAMES}
    found = run({"given.cited.r": nothing, "none.cited.r": nothing})
    assert [(row["place"], row["coverage"], row["error"]) for row in board(found)] == [("1", "0.0", "40")] * 2
    assert "nan" not in hopeval("show", found.folder).splitlines()[1].lower()


def test_without_gold_nothing_is_scored_and_all_is_written(run: Any, hopeval: Any) -> None:
    found = run({f"{name}.cited.r": replies(3) for name in ("given", "none")}, answer=None, supporting_facts=None)
    assert {row["em"] for row in board(found)} == {""}
    assert comparisons(found) == []
    assert "  –" in hopeval("show", found.folder)


def test_recall_rises_with_k(run: Any) -> None:
    found = run(four())
    with open(found.folder / "recall.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["retriever"], row["k"]) for row in rows] == [("bm25", "1"), ("bm25", "2")]
    assert [(row["recall"], row["all_gold_recall"]) for row in rows] == [("0.5", "0.0"), ("1.0", "1.0")]
    assert float(rows[0]["all_gold_recall_high"]) == pytest.approx(1 - 0.025 ** (1 / 40))


def test_judged_passages_are_gold_by_their_ids(tmp_path: Path, hopeval: Any, question: Any) -> None:
    twins = [RankedPassage(id=i, title="A", sentences=[f"It is {i}."]) for i in ("wrong", "right")]
    asked = question("q1", relevant={"right": 2, "lost": 1})
    found = SmallRun(tmp_path, hopeval).write([asked], {"q1": twins}, {"bm25@1.cited.r": {"q1": answer("Paris")}})
    with open(found.folder / "recall.csv", newline="") as file:
        assert [row["recall"] for row in csv.DictReader(file)] == ["0.0", "0.5"]
    metrics = json.loads((found.folder / "experiments" / "bm25@1.cited.r" / "metrics.json").read_text())
    assert (metrics["gold_retrieved"], metrics["retrieval"]["recall@2"]) == (0.0, 0.5)
    assert metrics["retrieval"]["ndcg@10"] == pytest.approx((2 / log2(3)) / (2 + 1 / log2(3)))


def test_show_prints_the_board_in_percent_and_where_things_lie(run: Any, hopeval: Any) -> None:
    found = run(four())
    lines = hopeval("show", found.folder).splitlines()
    assert lines[0].split()[:4] == ["place", "experiment", "n", "EM"]
    assert lines[1].split()[:4] == ["1", "gold.cited.r", "40", "90.0"]
    assert lines[2].startswith("    2  bm25@2.cited.r  40  50.0 (35.0–65.0)")
    assert f"{found.folder}/" in lines
    assert any(line.startswith("  report.html") for line in lines)


def test_faults_are_columns_only_where_there_are_any(run: Any, hopeval: Any) -> None:
    faulty = replies(3) | {"q00": {"error": "failed"}, "q01": "no idea"}
    header, *_ = hopeval("show", run({"given.cited.r": faulty}).folder).splitlines()
    assert header.split()[-2:] == ["unparsable", "error"]


def test_show_without_a_board_says_what_to_do(refused: Any, tmp_path: Path) -> None:
    assert "leaderboard.csv: not there; run snakemake first" in refused("show", tmp_path)


def test_tables_for_papers(run: Any) -> None:
    found = run(four())
    markdown = (found.folder / "leaderboard.md").read_text().splitlines()
    assert markdown[0].startswith("| place | experiment | n | EM |")
    assert markdown[2].startswith("| 1 | gold.cited.r | 40 | 90.0 (")
    latex = (found.folder / "leaderboard.tex").read_text()
    assert latex.startswith("\\begin{tabular}{rlrrrrrrrr}\n\\toprule\n")
    assert r"bm25@2.cited.r & 40 & 50.0 (35.0--65.0) &" in latex
    assert latex.count(r"\\") == 5


def test_figures_are_there_and_the_same_on_every_run(run: Any) -> None:
    first = run(four())
    names = [f"{name}.{form}" for name in ("leaderboard", "recall") for form in ("svg", "png")]
    before = {name: (first.folder / name).read_bytes() for name in names}
    for name in names[::2]:
        ElementTree.fromstring(before[name])
    assert before["leaderboard.png"].startswith(b"\x89PNG")
    again = run(four())
    assert {name: (again.folder / name).read_bytes() for name in names} == before


def test_a_bad_file_is_named(run: Any, refused: Any) -> None:
    found = run(four())
    arguments = ["leaderboard", "--results", found.folder, "--experiments", json.dumps(found.compared())]
    metrics = found.folder / "experiments" / "gold.cited.r" / "metrics.json"
    metrics.write_text("{\n\n")
    assert "gold.cited.r/metrics.json:3: malformed JSON" in refused(*arguments)
    metrics.write_text("{}")
    assert "is no metrics.json of this version; score again" in refused(*arguments)
    assert "given.cited.r: found {}" in refused(*arguments[:-1], '{"given.cited.r": {}}')
