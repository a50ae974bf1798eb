"""Whole files in the official format: what is refused and how, and the official script's own results."""

import doctest
import json
import random
from pathlib import Path
from typing import Any

import pytest

from hopeval.errors import InputError
from hopeval.metrics import official
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.official import Evaluation, evaluate, load_predictions

DATA = Path(__file__).parents[3] / "shared" / "data"
SCORES = DATA / "predictions" / "official_scores.json"
needs_data = pytest.mark.skipif(not SCORES.exists(), reason=f"real predictions are not here: {SCORES}")


def test_documented_examples() -> None:
    outcome = doctest.testmod(official)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def write(folder: Path, content: Any) -> Path:
    path = folder / "predictions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# Loading


def test_load_gives_both_parts(tmp_path: Path) -> None:
    content = {"answer": {"q1": "Beyonc\u00e9", "q2": ""}, "sp": {"q1": [["A", 0]], "q2": []}, "more": 1}
    assert load_predictions(write(tmp_path, content)) == (content["answer"], content["sp"])


@pytest.mark.parametrize(
    ("content", "loaded"),
    [
        ({"answer": {"q": "x"}}, ({"q": "x"}, {})),
        ({"sp": {"q": [["A", 0]]}}, ({}, {"q": [["A", 0]]})),
        ({"answer": {}, "sp": {}}, ({}, {})),
        # What the official script counts as wrong without a word is not refused.
        ({"sp": {"q": [["A", "0"], ["A"], ["A", 0, 1], ["A", 1.0]]}},
         ({}, {"q": [["A", "0"], ["A"], ["A", 0, 1], ["A", 1.0]]})),
    ],
)  # fmt: skip
def test_load_takes_what_can_be_scored(tmp_path: Path, content: Any, loaded: Any) -> None:
    assert load_predictions(write(tmp_path, content)) == loaded


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"answer": {},\n "sp": {"q": [}}', ":2: malformed JSON: "),
        ("", ":1: malformed JSON: "),
        ([{"_id": "q"}], ': $: expected an object, found [{"_id": "q"}]; write {"answer": '),
        (None, ": $: expected an object, found null; "),
        ({}, ": $: neither 'answer' nor 'sp' is there, found {}; write "),
        ({"q1": "Paris"}, ": $: neither 'answer' nor 'sp' is there, found {\"q1\": \"Paris\"}; write "),
        ({"answer": ["x"]}, ': $.answer: expected an object, found ["x"]; give it question ids as keys'),
        ({"answer": {}, "sp": None}, ": $.sp: expected an object, found null; "),
        ({"answer": {"q1": "x", "q2": None}}, ': $.answer["q2"]: expected a text, found null; quote it'),
        ({"answer": {"q1": 1945}}, ': $.answer["q1"]: expected a text, found 1945; quote it'),
        ({"answer": {"q1": ["x"]}}, ': $.answer["q1"]: expected a text, found ["x"]; quote it'),
        ({"sp": {"q1": [], "q2": None}}, ': $.sp["q2"]: expected a list of [title, sentence index], found '),
        ({"sp": {"q1": 7}}, ': $.sp["q1"]: expected a list of [title, sentence index], found 7; write [] '),
        ({"sp": {"q1": ["A", 0]}}, ': $.sp["q1"][1]: expected [title, sentence index], found 0; write it'),
        ({"sp": {"q1": [["A", 0], ["A", [1]]]}},
         ': $.sp["q1"][1]: expected [title, sentence index], found ["A", [1]]; write it'),
        ({"sp": {"q1": [{"A": 0}, None]}}, ': $.sp["q1"][1]: expected [title, sentence index], found null; '),
    ],
)  # fmt: skip
def test_load_names_place_finding_and_repair(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as caught:
        load_predictions(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_load_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read: No such file"):
        load_predictions(tmp_path / "nowhere.json")


def test_long_findings_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path, [["x" * 1_000]])
    with pytest.raises(InputError) as caught:
        load_predictions(path)
    assert len(str(caught.value)) < len(str(path)) + 200


# Evaluating

GOLD: list[official.GoldRow] = [
    ("q1", "New York", [["A", 0], ["B", 1]]),
    ("q2", "yes", [["C", 0]]),
    ("q3", "cat", [["D", 0]]),
    ("q4", "dog", [["E", 0]]),
]


def test_evaluate_by_hand() -> None:
    answers = {"q1": "york", "q2": "Yes.", "q3": "cat", "q8": "?"}
    facts: dict[str, list[Any]] = {"q1": [["A", 0]], "q2": [["C", 0], ["C", 0]], "q4": [["X", 9]], "q9": []}
    found = evaluate(iter(GOLD), (answers, facts))
    # Over four questions. EM: q2, q3. Precision: q1 1/1, q2, q3. Recall: q1 1/2. F1: q1 2/3.
    # SP: q1 precision 1, recall 1/2, F1 2/3; q2 right; q3 missing; q4 wrong.
    # Joint: q1 precision 1, recall 1/4, F1 2/5; q2 right; q3 and q4 each lack one.
    expected = {
        "em": 2 / 4, "f1": (2 / 3 + 2) / 4, "prec": 3 / 4, "recall": 2.5 / 4,
        "sp_em": 1 / 4, "sp_f1": (2 / 3 + 1) / 4, "sp_prec": 2 / 4, "sp_recall": 1.5 / 4,
        "joint_em": 1 / 4, "joint_f1": (2 / 5 + 1) / 4, "joint_prec": 2 / 4, "joint_recall": 1.25 / 4,
    }  # fmt: skip
    assert found.metrics == pytest.approx(expected, abs=1e-15)
    assert list(found.rows) == ["q1", "q2", "q3", "q4"]
    assert found.rows["q1"]["joint_recall"] == 1 / 4
    assert found.rows["q4"] == dict.fromkeys(METRICS, 0.0)
    assert found.missing_answers == ["q4"]
    assert found.missing_supporting_facts == ["q3"]
    assert found.malformed_supporting_facts == []
    assert found.unknown_ids == 2  # q8 and q9


def test_predicted_to_have_none_is_not_missing() -> None:
    found = evaluate([("q1", "", []), ("q2", "x", [])], ({"q1": ""}, {"q1": []}))
    assert (found.missing_answers, found.missing_supporting_facts) == (["q2"], ["q2"])
    assert found.metrics["joint_em"] == 1 / 2


def test_a_repeated_gold_id_counts_once_a_row() -> None:
    gold: list[official.GoldRow] = [("q1", "cat", []), ("q2", "cat", []), ("q1", "dog", []), ("q3", "x", [])]
    found = evaluate(gold, ({"q1": "cat", "q2": "cat"}, {}))
    assert found.metrics["em"] == 2 / 4
    assert found.rows["q1"]["em"] == 0  # the last of its rows
    assert found.missing_supporting_facts == ["q1", "q2", "q1", "q3"]  # the official script says it each time
    assert found.unknown_ids == 0


@pytest.mark.parametrize("fact", [["A", "0"], ["A"], ["A", 0, 1], [0, 0], "A0", ["A", 1.5], {"A": 0}, {"A": 0, "B": 1}])
def test_malformed_facts_are_wrong_and_told(fact: Any) -> None:
    found = evaluate(GOLD, ({}, {"q1": [["A", 0], fact], "q2": [["C", 0]], "unknown": [fact]}))
    assert found.rows["q1"]["sp_prec"] == 1 / 2
    assert found.malformed_supporting_facts == ["q1"]


def test_gold_without_a_part_cannot_score_it() -> None:
    with pytest.raises(InputError, match=r'gold: question "q7" has no answer.*; add the answer to gold'):
        evaluate([("q7", None, [])], ({"q7": "x"}, {}))
    with pytest.raises(InputError, match=r'gold: question "q7" has no supporting facts.*; add the supporting'):
        evaluate([("q7", "x", None)], ({}, {"q7": []}))
    # As with the official script, it does not matter where nothing is predicted.
    assert evaluate([("q7", "x", None)], ({"q7": "x"}, {})).metrics["em"] == 1
    assert evaluate([("q7", None, [])], ({}, {"q7": []})).metrics["sp_em"] == 1


def test_no_gold_rows_is_an_error() -> None:
    with pytest.raises(InputError, match="no questions to score"):
        evaluate([], ({"q": "x"}, {}))


def test_order_of_gold_is_irrelevant() -> None:
    chance = random.Random(1)
    answers = {f"q{number}": chance.choice(["a b c", "b c", "d"]) for number in range(200)}
    gold: list[official.GoldRow] = [(key, "b c d", [["A", 0]]) for key in answers]
    shuffled = chance.sample(gold, len(gold))
    assert shuffled != gold
    assert evaluate(shuffled, (answers, {})).metrics == evaluate(gold, (answers, {})).metrics


# Real predictions, and what the official script itself printed for them


def gold_rows(path: Path) -> list[official.GoldRow]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [(row["_id"], row["answer"], row.get("supporting_facts")) for row in rows]


@needs_data
def test_equals_the_official_script_on_real_predictions() -> None:
    pairs = json.loads(SCORES.read_text(encoding="utf-8"))
    assert len(pairs) >= 6
    for pair, expected in pairs.items():
        predictions, gold = (DATA / name for name in pair.split(" | "))
        found = evaluate(gold_rows(gold), load_predictions(predictions))
        assert found.metrics == pytest.approx(expected, abs=1e-12, rel=0), pair


@needs_data
@pytest.mark.parametrize(
    ("name", "em", "f1"),
    [("hp_model_6", 0.4572586, 0.5975003), ("hp_remove_linear_120", 0.4873734, 0.6305232)],
)
def test_published_scores_on_the_whole_dev_set(name: str, em: float, f1: float) -> None:
    found = evaluate_answers(name)
    assert (found.metrics["em"], found.metrics["f1"]) == pytest.approx((em, f1), abs=5e-8)
    assert len(found.rows) == 7_405
    assert len(found.missing_answers) == 29


def evaluate_answers(name: str) -> Evaluation:
    answers, _ = load_predictions(DATA / "predictions" / f"{name}.json")
    return evaluate(gold_rows(DATA / "hotpotqa" / "dev_7405_answers_only.json"), (answers, {}))


@needs_data
def test_perfect_answers_to_the_dev_set_lack_two_f1() -> None:
    gold = gold_rows(DATA / "hotpotqa" / "dev_7405_answers_only.json")
    found = evaluate(gold, ({key: answer or "" for key, answer, _ in gold}, {}))
    assert found.metrics["em"] == 1
    assert found.metrics["f1"] == pytest.approx(7_403 / 7_405, abs=1e-12)
