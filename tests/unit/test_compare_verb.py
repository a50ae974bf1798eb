"""hopeval compare: any two prediction files, on the questions that they share."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

GOLD = [
    {"_id": f"q{i}", "question": "?", "answer": "Paris", "supporting_facts": [["A", 0]], "context": []}
    for i in range(20)
]


def official(right: int, ids: range = range(20)) -> dict[str, Any]:
    answers = {f"q{i}": "Paris" if i < right else "Rome" for i in ids}
    return {"answer": answers, "sp": {key: [["A", 0]] for key in answers}}


@pytest.fixture
def compare(write: Any, hopeval: Any) -> Any:
    """Compares predictions: the lines that are printed."""

    def run(a: Any, b: Any, *more: Any, gold: Any = GOLD) -> list[str]:
        files = [write("a.json", a), write("b.json", b), "--questions", write("gold.json", gold)]
        return hopeval("compare", *files, *more).splitlines()

    return run


def rows(lines: list[str]) -> dict[str, list[str]]:
    """The table by metric."""
    found = (re.match(r"((?:SP |joint )?(?:EM|F1)) +(.*)", line) for line in lines)
    return {line[1]: line[2].split() for line in found if line}


def test_a_clear_difference_and_a_tie(compare: Any) -> None:
    lines = compare(official(18), official(4))
    assert lines[2] == "20 questions"
    assert rows(lines)["EM"][:3] == ["90.0", "20.0", "+70.0"]
    assert rows(lines)["EM"][6:] == ["14", "0", "<", "0.001", "A", "is", "better"]
    assert rows(lines)["SP EM"][-2:] == ["1.000", "tie"]
    assert rows(compare(official(4), official(18)))["EM"][-3:] == ["B", "is", "better"]


def test_other_questions_are_left_out_and_that_is_said(compare: Any) -> None:
    lines = compare(official(18, range(15)), official(4, range(5, 20)))
    assert lines[2] == "10 questions that both answer; A answers 15 of 20 in gold, B 15"
    assert rows(lines)["EM"][:3] == ["100.0", "0.0", "+100.0"]
    lines = compare(official(18, range(15)), official(4, range(5, 20)), "--missing-as-wrong")
    assert lines[2] == "20 gold questions; A answers 15, B 15, and what is missing counts as 0"
    assert rows(lines)["EM"][:3] == ["75.0", "0.0", "+75.0"]


def test_gold_of_answers_alone_compares_answers_alone(compare: Any) -> None:
    gold = [{key: row[key] for key in ("_id", "question", "answer")} for row in GOLD]
    assert set(rows(compare(official(18), official(4), gold=gold))) == {"EM", "F1"}


def test_one_question_and_a_file_with_itself(compare: Any, tmp_path: Path, hopeval: Any) -> None:
    lines = compare(official(1, range(1)), official(0, range(1)))
    assert rows(lines)["EM"][-2:] == ["1.000", "tie"]
    printed = hopeval("compare", tmp_path / "a.json", tmp_path / "a.json", "--questions", tmp_path / "gold.json")
    assert "nan" not in printed
    assert "(again)" in printed


def test_the_comparison_as_a_file(compare: Any, tmp_path: Path) -> None:
    compare(official(18), official(4), "--output", tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        found = {row["metric"]: row for row in csv.DictReader(file)}
    assert found["em"]["difference"] == "0.7"
    assert found["em"]["better"] == str(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (official(1, range(5)), official(1, range(5, 9)), "have no question of"),
        (official(1, range(30, 33)), official(1), "in common (0 and 20 of 20)"),
        ([], official(1), "a.json: $: expected an object"),
    ],
)
def test_nothing_in_common_is_a_mistake(write: Any, refused: Any, a: Any, b: Any, said: str) -> None:
    files = [write("a.json", a), write("b.json", b), "--questions", write("gold.json", GOLD)]
    assert said in refused("compare", *files)


def test_gold_has_to_be_named_and_to_have_answers(write: Any, refused: Any) -> None:
    files = [write("a.json", official(1)), write("b.json", official(2))]
    assert "--questions: " in refused("compare", *files)
    bare = write("gold.json", [{"_id": "q1", "question": "?"}])
    assert "holds no question with an answer" in refused("compare", *files, "--questions", bare)


def test_two_experiments_of_a_run_by_their_folders(tmp_path: Path, write: Any, hopeval: Any) -> None:
    hopeval("prepare", "--questions", write("dev.json", GOLD), "--output", tmp_path / "results")
    for name, found in (("one", official(18, range(19))), ("two", official(4))):
        write(f"results/experiments/{name}/predictions.json", found)
    folders = [tmp_path / "results" / "experiments" / name for name in ("one", "two")]
    lines = hopeval("compare", *folders).splitlines()
    # What has no answer in a run failed, and counts.
    assert lines[2] == "20 gold questions; A answers 19, B 20, and what is missing counts as 0"


def test_runs_of_different_size_are_compared_on_what_both_asked(
    tmp_path: Path, write: Any, hopeval: Any, refused: Any
) -> None:
    def run(name: str, gold: Any, predictions: Any) -> Path:
        hopeval("prepare", "--questions", write(f"{name}.json", gold), "--output", tmp_path / name)
        return write(f"{name}/experiments/e/predictions.json", predictions).parent

    large, small = run("large", GOLD, official(20)), run("small", GOLD[4:10], official(10, range(4, 9)))
    for a, b, counts in ((large, small, ("20", "6", "6", "5")), (small, large, ("6", "20", "5", "6"))):
        lines = hopeval("compare", a, b, "--questions", tmp_path / "large.json").splitlines()
        said = "6 questions that both runs asked (A {}, B {}); A answers {}, B {}, and what is missing counts as 0"
        assert lines[2] == said.format(*counts)
    # One of the six failed; the fourteen that the small run never asked are not held against it.
    assert rows(hopeval("compare", large, small).splitlines())["EM"][:3] == ["100.0", "83.3", "+16.7"]
    other = run("other", GOLD[10:], official(20, range(10, 20)))
    assert "in common (6 and 10 of 20)" in refused("compare", small, other, "--questions", tmp_path / "large.json")


def test_real_systems(shared: Any, hopeval: Any) -> None:
    names = ("hp_remove_linear_120", "hp_model_6")
    files = [shared(f"predictions/{name}.json") for name in names]
    lines = hopeval("compare", *files, "--questions", shared("hotpotqa/dev_7405_answers_only.json")).splitlines()
    assert lines[2] == "7376 questions of 7405 in gold"
    assert rows(lines)["EM"][2:] == ["+3.0", "+2.0", "to", "+4.0", "857", "634", "<", "0.001", "A", "is", "better"]
