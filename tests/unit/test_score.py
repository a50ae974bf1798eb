"""The score verb: the official numbers of any pair of files, and where each question went wrong."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hopeval.io import write_records
from hopeval.metrics.hotpotqa import METRICS
from hopeval.records import Prediction

GOLD = [
    {"_id": "right", "question": "?", "answer": "Paris", "type": "bridge", "level": "easy"},
    {"_id": "read", "question": "?", "answer": "yes", "type": "comparison", "level": "hard"},
    {"_id": "lost", "question": "?", "answer": "Rome", "type": "bridge", "level": "hard"},
    {"_id": "cut", "question": "?", "answer": "Bonn", "type": "bridge", "level": "hard"},
    {"_id": "odd", "question": "?", "answer": "Oslo", "type": "bridge", "level": "hard"},
    {"_id": "failed", "question": "?", "answer": "Wien", "type": None, "level": "hard"},
    {"_id": "gone", "question": "?", "answer": "Bern", "type": "bridge", "level": "hard"},
    {"_id": "cut but right", "question": "?", "answer": "Prag", "type": "bridge", "level": "hard"},
]
GOLD = [{**row, "supporting_facts": [["A", 0], ["B", 1]], "context": []} for row in GOLD]
ANSWERS = {"right": "Paris", "read": "no", "lost": "Athens", "cut but right": "Prag"}
OFFICIAL = {"answer": ANSWERS, "sp": {key: [["A", 0], ["B", 1]] for key in ANSWERS}}
STATUSES = {"cut": "truncated", "odd": "unparsable", "failed": "error", "gone": "missing", "cut but right": "truncated"}
CELLS = {
    "right": "all/right",
    "read": "all/wrong",
    "lost": "some/wrong",
    "cut": "all/truncated",
    "odd": "all/unparsable",
    "failed": "all/error",
    "gone": "all/missing",
    "cut but right": "all/right",
}
NOBODY = {"right": 0, "wrong": 0, "unparsable": 0, "truncated": 0, "error": 0, "missing": 0}


@pytest.fixture
def score(tmp_path: Path, write: Any, hopeval: Any) -> Callable[..., Any]:
    """Scores: what is printed, the metrics, and the table by id."""

    def run(gold: Any = GOLD, predictions: Any = OFFICIAL, *more: Any) -> tuple[Any, Any, Any]:
        arguments = ["--questions", write("gold.json", gold), "--predictions", write("predictions.json", predictions)]
        files = ["--output", tmp_path / "metrics.json", "--table", tmp_path / "questions.csv"]
        printed = json.loads(hopeval("score", *arguments, *files, *more), parse_constant=pytest.fail)
        metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
        with open(tmp_path / "questions.csv", newline="", encoding="utf-8") as file:
            return printed, metrics, {row["id"]: row for row in csv.DictReader(file)}

    return run


@pytest.fixture
def details(tmp_path: Path, context: Any) -> list[Any]:
    """The options with each question's status, and with contexts that lack B for "lost"."""
    statuses = [
        Prediction(question_id=row["_id"], status=STATUSES.get(row["_id"], "ok"), answer=ANSWERS.get(row["_id"]))
        for row in GOLD
    ]
    statuses[0].unknown_labels, statuses[1].unknown_labels = 2, 1
    write_records(tmp_path / "records.jsonl", statuses)
    contexts = [context(row["_id"], "A", "X" if row["_id"] == "lost" else "B", "C") for row in GOLD]
    write_records(tmp_path / "contexts.jsonl", contexts)
    return ["--records", tmp_path / "records.jsonl", "--contexts", tmp_path / "contexts.jsonl"]


def test_the_twelve_official_numbers_are_printed(score: Any) -> None:
    printed, metrics, _ = score()
    assert list(printed) == list(METRICS)
    assert printed["em"] == 2 / 8
    assert printed["sp_em"] == 4 / 8
    assert printed["joint_em"] == 2 / 8
    assert {name: metrics[name] for name in METRICS} == printed


def test_each_question_is_in_one_cell(score: Any, details: Any) -> None:
    _, metrics, table = score(GOLD, OFFICIAL, *details)
    assert {identifier: row["cell"] for identifier, row in table.items()} == CELLS
    assert metrics["cells"] == {
        "all": {"right": 2, "wrong": 1, "unparsable": 1, "truncated": 1, "error": 1, "missing": 1},
        "some": {**NOBODY, "wrong": 1},
        "none": NOBODY,
    }
    assert metrics["coverage"] == 4 / 8
    assert metrics["gold_retrieved"] == pytest.approx((7 + 1 / 2) / 8)
    assert metrics["counts"] == {"ok": 3, "truncated": 2, "unparsable": 1, "error": 1, "missing": 1}
    assert (metrics["questions"], metrics["scored"], metrics["unknown_labels"]) == (8, 8, 3)
    assert metrics["all_gold_retrieved"] == 7 / 8


def test_without_records_what_is_predicted_is_ok_and_the_rest_is_missing(score: Any) -> None:
    _, metrics, table = score()
    assert metrics["counts"] == {"ok": 4, "truncated": 0, "unparsable": 0, "error": 0, "missing": 4}
    assert table["lost"]["cell"] == "unknown/wrong"  # without contexts nobody can say that retrieval missed
    assert metrics["cells"]["unknown"] == {**NOBODY, "right": 2, "wrong": 2, "missing": 4}
    assert metrics["all_gold_retrieved"] is None
    assert metrics["retrieval"] == {}


def test_passages_beyond_top_k_and_those_left_out_were_not_in_the_prompt(
    score: Any, details: Any, tmp_path: Path
) -> None:
    def retrieved(*more: Any) -> float:
        return score(GOLD, OFFICIAL, *details, *more)[1]["all_gold_retrieved"]

    assert retrieved("--top-k", 2) == 7 / 8
    assert retrieved("--top-k", 1) == 0
    left_out = [Prediction(question_id="right", omitted_passages=2), Prediction(question_id="gone", omitted_passages=1)]
    write_records(tmp_path / "records.jsonl", left_out)
    assert retrieved() == 6 / 8
    assert retrieved("--top-k", 2) == 5 / 8


def test_a_table_holds_any_text_and_its_scores_come_back(score: Any, tmp_path: Path) -> None:
    texts = ["\r", "a\rb", "a\r\nb", "\n", '"', ",\r,", "'", " ", "=1+1"]
    gold = [{**GOLD[0], "_id": f"id{text}", "question": text, "answer": "Rome"} for text in texts]
    answers = {row["_id"]: row["question"] if i % 2 else "Rome" for i, row in enumerate(gold)}
    _, _, table = score(gold, {"answer": answers, "sp": {}})
    assert {key: (row["question"], row["answer"]) for key, row in table.items()} == {
        row["_id"]: (row["question"], answers[row["_id"]]) for row in gold
    }
    read = pd.read_csv(tmp_path / "questions.csv", keep_default_na=False, dtype={"id": str})
    assert read["id"].to_list() == list(answers)
    assert read["em"].to_list() == [float(answer == "Rome") for answer in answers.values()]


def test_half_a_character_in_an_id_is_no_reason_to_die(score: Any, details: Any) -> None:
    _, metrics, table = score([*GOLD, {**GOLD[0], "_id": "\ud83d"}], OFFICIAL, *details)
    assert metrics["questions"] == len(GOLD) + 1
    assert metrics["retrieval"]["recall@2"] == pytest.approx((len(GOLD) - 0.5) / (len(GOLD) + 1))
    assert table["?"]["status"] == "missing"


def test_half_a_character_is_no_reason_to_lose_a_table(score: Any) -> None:
    _, _, table = score(GOLD, {"answer": {**ANSWERS, "lost": "a\ud800b"}, "sp": {}})
    assert table["lost"]["answer"] == "a?b"


def test_breakdowns_are_means_over_their_questions(score: Any, details: Any) -> None:
    _, metrics, _ = score(GOLD, OFFICIAL, *details)
    assert {name: row["questions"] for name, row in metrics["by_type"].items()} == {"bridge": 6, "comparison": 1}
    assert metrics["by_type"]["bridge"]["em"] == pytest.approx(2 / 6)
    assert {name: row["em"] for name, row in metrics["by_level"].items()} == {"easy": 1, "hard": pytest.approx(1 / 7)}
    assert {name: row["questions"] for name, row in metrics["by_all_gold_retrieved"].items()} == {"false": 1, "true": 7}
    assert list(metrics["by_level"]["easy"]) == ["questions", *METRICS, "intervals", "cells"]
    assert {name: row["questions"] for name, row in metrics["by_answer_kind"].items()} == {"span": 7, "yes/no": 1}
    assert {name: row["questions"] for name, row in metrics["by_hops"].items()} == {"2": 8}
    for breakdown in ("by_type", "by_level", "by_hops", "by_answer_kind", "by_all_gold_retrieved"):
        for row in metrics[breakdown].values():
            assert sum(sum(cells.values()) for cells in row["cells"].values()) == row["questions"]
            low, high = row["intervals"]["em"]
            assert 0 <= low <= row["em"] <= high <= 1


def test_hops_are_the_gold_passages_where_they_are_named(score: Any) -> None:
    four = {**GOLD[0], "_id": "four", "supporting_facts": [["A", 0], ["B", 0], ["C", 1], ["D", 0], ["D", 1]]}
    unnamed = {key: value for key, value in {**GOLD[1], "_id": "unnamed"}.items() if key != "supporting_facts"}
    _, metrics, table = score([*GOLD, four, unnamed])
    assert {name: row["questions"] for name, row in metrics["by_hops"].items()} == {"2": 8, "4": 1}
    assert table["unnamed"]["hops"] == ""


def test_intervals_hold_their_means(score: Any, details: Any) -> None:
    printed, metrics, _ = score()
    assert list(metrics["intervals"]) == list(METRICS)
    for name, (low, high) in metrics["intervals"].items():
        assert 0 <= low <= printed[name] <= high <= 1
    _, metrics, _ = score(GOLD, OFFICIAL, *details)
    assert {"all_gold_retrieved", "gold_retrieved", "recall@5", "mrr@10", "ndcg@10"} <= set(metrics["intervals"])
    for name, value in metrics["retrieval"].items():
        low, high = metrics["intervals"][name]
        assert 0 <= low <= value <= high <= 1


def test_an_interval_at_the_end_of_the_range_has_a_width(score: Any) -> None:
    # Nobody has a whole set of facts right, everybody's answer is: 0 of 8 leaves room for 1 - 0.025^(1/8) = 36.9 %.
    answers = {row["_id"]: row["answer"] for row in GOLD}
    _, metrics, _ = score(GOLD, {"answer": answers, "sp": {key: [["X", 9]] for key in answers}})
    assert metrics["intervals"]["sp_em"] == [0, pytest.approx(0.3694, abs=1e-4)]
    assert metrics["intervals"]["em"] == [pytest.approx(1 - 0.3694, abs=1e-4), 1]


def test_retrieval_metrics_are_those_of_the_retriever(score: Any, hopeval: Any, write: Any, tmp_path: Path) -> None:
    rows = [{**row, "context": [["C", ["x"]], ["A", ["x", "y"]], ["B", ["x", "y"]]]} for row in GOLD]
    hopeval("prepare", "--questions", write("dev.json", rows), "--output", tmp_path / "records")
    files = ["--questions", tmp_path / "records" / "questions.jsonl"]
    given = ["--retriever", "given", "--settings", '{"kind": "given"}', "--passages"]
    outputs = ["--output", tmp_path / "given.jsonl", "--metrics", tmp_path / "given.json"]
    outputs += ["--run-file", tmp_path / "given.trec"]
    hopeval("retrieve", *files, *given, tmp_path / "records" / "passages.jsonl", *outputs)
    _, metrics, _ = score(rows, OFFICIAL, "--contexts", tmp_path / "given.jsonl")
    expected = json.loads((tmp_path / "given.json").read_text())
    assert metrics["retrieval"] == {name: expected[name] for name in metrics["retrieval"]}
    assert metrics["retrieval"]["mrr@10"] == 0.5


@pytest.mark.parametrize("file", ["records.jsonl", "contexts.jsonl"])
def test_the_order_of_records_makes_no_difference(score: Any, details: Any, tmp_path: Path, file: str) -> None:
    expected = score(GOLD, OFFICIAL, *details)
    lines = (tmp_path / file).read_text().splitlines(keepends=True)
    (tmp_path / file).write_text("".join(lines[3:] + lines[2::-1]))
    assert score(GOLD, OFFICIAL, *details) == expected


@pytest.mark.parametrize("file", ["records.jsonl", "contexts.jsonl"])
@pytest.mark.parametrize("place", [0, 4, len(GOLD)])
def test_two_records_of_a_question_are_refused(
    details: Any, refused: Any, write: Any, tmp_path: Path, file: str, place: int
) -> None:
    lines = (tmp_path / file).read_text().splitlines(keepends=True)
    (tmp_path / file).write_text("".join([*lines[:place], lines[1], *lines[place:]]))
    files = ["--questions", write("gold.json", GOLD), "--predictions", write("predictions.json", OFFICIAL), *details]
    said = refused("score", *files, "--output", tmp_path / "metrics.json")
    assert f"{file}: question 'read' has two records; drop one" in said
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("file", ["records.jsonl", "contexts.jsonl"])
@pytest.mark.parametrize("place", [0, len(GOLD)])
def test_records_of_another_data_set_are_refused(
    details: Any, refused: Any, write: Any, tmp_path: Path, file: str, place: int
) -> None:
    lines = (tmp_path / file).read_text().splitlines(keepends=True)
    (tmp_path / file).write_text("".join([*lines[:place], lines[0].replace("right", "wrong"), *lines[place:]]))
    files = ["--questions", write("gold.json", GOLD), "--predictions", write("predictions.json", OFFICIAL), *details]
    said = refused("score", *files, "--output", tmp_path / "metrics.json")
    assert f"{file}: question 'wrong' is not among the gold questions" in said


def test_blocks_of_questions_make_no_difference(score: Any, details: Any, monkeypatch: Any) -> None:
    expected = score(GOLD, OFFICIAL, *details)
    monkeypatch.setattr("hopeval.metrics.table._QUESTIONS_PER_BLOCK", 3)
    assert score(GOLD, OFFICIAL, *details) == expected


def test_near_misses_are_counted_and_marked(score: Any) -> None:
    answers = {
        "right": "Paris",
        "read": "Yes, they are",
        "lost": "Rome Italy",
        "cut": "in the town of Bonn by the Rhine",
    }
    _, metrics, table = score(GOLD, {"answer": {**answers, "odd": "Bergen"}, "sp": {}})
    assert {key: row["near_miss"] for key, row in table.items() if row["near_miss"]} == {
        "read": "contains",
        "lost": "close",
        "cut": "contains",
    }
    assert metrics["near_misses"] == {"close": 1, "contains": 2}


def test_gold_of_answers_alone_says_nothing_of_supporting_facts(score: Any) -> None:
    gold = [{key: row[key] for key in ("_id", "question", "answer", "type")} for row in GOLD]
    for predictions in (OFFICIAL, {"answer": ANSWERS}):
        printed, metrics, table = score(gold, predictions)
        assert printed["em"] == 2 / 8
        assert [printed[name] for name in METRICS[4:]] == [None] * 8
        assert list(metrics["intervals"]) == list(METRICS[:4])
        assert metrics["by_type"]["bridge"]["em"] == pytest.approx(2 / 6)
        assert [metrics["by_type"]["bridge"][name] for name in METRICS[4:]] == [None] * 8
        assert (table["right"]["em"], table["right"]["sp_em"], table["right"]["joint_f1"]) == ("1.0", "", "")


def test_a_test_set_without_answers_has_counts_but_no_scores(score: Any, details: Any) -> None:
    gold = [{key: row[key] for key in ("_id", "question", "context")} for row in GOLD]
    printed, metrics, table = score(gold, OFFICIAL, *details)
    assert printed == dict.fromkeys(METRICS)
    assert (metrics["scored"], metrics["intervals"], metrics["by_type"]) == (0, {}, {})
    assert metrics["cells"] == dict.fromkeys(("all", "some", "none"), NOBODY)
    assert metrics["counts"]["truncated"] == 2
    assert (table["right"]["answer"], table["right"]["cell"], table["right"]["em"]) == ("Paris", "", "")


def test_a_repeated_id_counts_as_often_as_it_comes(score: Any) -> None:
    # As in the official script, which goes through the rows of gold.
    printed, _, _ = score([GOLD[0], GOLD[0], GOLD[2]])
    assert printed["em"] == pytest.approx(2 / 3)


def test_our_own_questions_are_gold_as_well(score: Any, write: Any, hopeval: Any, tmp_path: Path) -> None:
    hopeval("prepare", "--questions", write("dev.json", GOLD), "--output", tmp_path / "records")
    assert score((tmp_path / "records" / "questions.jsonl").read_bytes())[0] == score()[0]


@pytest.mark.parametrize(
    ("gold", "predictions", "said"),
    [
        ([], OFFICIAL, "gold.json: holds no question to score; name the gold file"),
        ("", OFFICIAL, "gold.json: holds no question to score"),
        ([{"answer": "a"}], OFFICIAL, "gold.json:1: Object missing required field"),
        (
            [{"id": "a", "supporting_facts": {"title": ["A"], "sent_id": []}}],
            OFFICIAL,
            "gold.json:1: 'supporting_facts' has columns of unequal length",
        ),
        (GOLD, [], "predictions.json: $: expected an object, found []"),
        (GOLD, {"answers": {}}, "neither 'answer' nor 'sp' is there"),
        (GOLD, {"answer": {"right": 5}}, '$.answer["right"]: expected a text, found 5'),
        (GOLD, '{"answer": {\n', "predictions.json:2: malformed JSON"),
    ],
)
def test_what_cannot_be_scored_is_told(
    write: Any, refused: Any, tmp_path: Path, gold: Any, predictions: Any, said: str
) -> None:
    files = ["--questions", write("gold.json", gold), "--predictions", write("predictions.json", predictions)]
    assert said in refused("score", *files, "--output", tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()


def test_real_predictions_have_their_published_scores(shared: Callable[[str], Path], hopeval: Any) -> None:
    gold = shared("hotpotqa/dev_7405_answers_only.json")
    printed = json.loads(hopeval("score", "--questions", gold, "--predictions", shared("predictions/hp_model_6.json")))
    assert printed["em"] == pytest.approx(0.4572586, abs=1e-7)
    assert printed["f1"] == pytest.approx(0.5975003, abs=1e-7)
