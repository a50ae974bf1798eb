"""Retrieval metrics, worked by hand."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.metrics.retrieval import CUTOFFS, RetrievalMeans, all_gold, judged, question_metrics
from hopeval.records import Passage, Question


def retrieval_metrics(
    rankings: Mapping[str, Sequence[str]], gold: Mapping[str, Sequence[str]], cutoffs: Collection[int] = CUTOFFS
) -> dict[str, Any]:
    """The means, from a batch for each question."""
    means = RetrievalMeans(cutoffs)
    for name, titles in gold.items():
        question = Question(id=name, text="?", supporting_facts=[(title, 0) for title in titles])
        means.add([question], {name: rankings[name]} if name in rankings else {})
    found = means.result()
    assert (found.pop("judged"), found.pop("by_type")) == (len(gold), {})
    return found


@pytest.mark.parametrize(
    ("gold", "titles", "k", "found"),
    [
        ("AB", "BCA", None, True),
        ("AB", "BCA", 3, True),
        ("AB", "BCA", 2, False),
        ("AB", "AB", 5, True),
        ("AA", "A", 1, True),
        ("A", "", None, False),
        ("A", "A", 0, False),
        ("", "", 0, True),
    ],
)
def test_all_gold(gold: str, titles: str, k: int | None, found: bool) -> None:
    assert all_gold(gold, titles, k) is found


def test_worked_by_hand() -> None:
    rankings = {"1": ["A", "x", "B"], "2": ["x", "y", "z", "C"], "3": ["D", "E"]}
    gold = {"1": ["A", "B"], "2": ["C", "never"], "3": ["E", "D"]}
    found = retrieval_metrics(rankings, gold)
    assert found == {
        "recall@1": pytest.approx((1 / 2 + 0 + 1 / 2) / 3),
        "recall@2": pytest.approx((1 / 2 + 0 + 1) / 3),
        "recall@5": pytest.approx((1 + 1 / 2 + 1) / 3),
        "recall@10": pytest.approx((1 + 1 / 2 + 1) / 3),
        "mrr@10": pytest.approx((1 + 1 / 4 + 1) / 3),
        "mrr": pytest.approx((1 + 1 / 4 + 1) / 3),
        # Gains 1 at places 1 and 3, at place 4, and at 1 and 2; the best is at 1 and 2: 1 + 1 / log2(3).
        "ndcg@10": pytest.approx((1.5 / 1.6309297536 + 0.4306765581 / 1.6309297536 + 1) / 3),
        # Precisions at 1 and 3, at 4, and at 1 and 2, each over two gold passages.
        "map": pytest.approx(((1 + 2 / 3) / 2 + 1 / 4 / 2 + 1) / 3),
        "all_gold_recall@1": 0,
        "all_gold_recall@2": pytest.approx(1 / 3),
        "all_gold_recall@5": pytest.approx(2 / 3),
        "all_gold_recall@10": pytest.approx(2 / 3),
    }


def test_a_question_for_which_nothing_was_found_counts_as_zero() -> None:
    gold = {"1": ["A"], "2": ["B"], "3": ["C"]}
    for rankings in ({"1": ["A"], "2": []}, {"1": ["A"]}):
        found = retrieval_metrics(rankings, gold)
        assert list(found.values()) == [pytest.approx(1 / 3)] * 12
    assert set(retrieval_metrics({}, gold).values()) == {0}


def test_further_cutoffs_may_be_asked_for() -> None:
    found = retrieval_metrics({"1": ["x", "y", "A"]}, {"1": ["A"]}, {2, 3})
    assert found == {
        "recall@2": 0,
        "recall@3": 1,
        "mrr@10": pytest.approx(1 / 3),
        "mrr": pytest.approx(1 / 3),
        "ndcg@10": pytest.approx(0.5),
        "map": pytest.approx(1 / 3),
        "all_gold_recall@2": 0,
        "all_gold_recall@3": 1,
    }


def test_only_mrr_without_a_cutoff_sees_the_whole_ranking() -> None:
    found = retrieval_metrics({"1": [*"abcdefghij", "A"]}, {"1": ["A"]})
    assert (found["mrr@10"], found["mrr"], found["map"]) == (0, pytest.approx(1 / 11), pytest.approx(1 / 11))
    # Of experiments none does: their contexts are not so deep.
    assert {"mrr@10", "ndcg@10"} == {name for name in question_metrics({}, {"1": {"A": 1}}) if "recall" not in name}


def test_nothing_judged_is_nothing_said() -> None:
    assert retrieval_metrics({"1": ["A"]}, {}) == {}


def test_a_second_passage_of_a_title_takes_up_a_place_and_is_worth_nothing() -> None:
    found = retrieval_metrics({"1": ["A", "A", "A", "B"]}, {"1": ["A", "B"]})
    assert (found["recall@2"], found["all_gold_recall@2"], found["recall@5"], found["all_gold_recall@5"]) == (
        0.5,
        0,
        1,
        1,
    )
    assert found["mrr"] == 1


def test_types_are_measured_apart(question: Any) -> None:
    means = RetrievalMeans([2])
    questions = [question("1", type="bridge"), question("2", type="comparison"), question("3", type="bridge")]
    means.add([*questions, question("4"), question("5", supporting_facts=None)], {"1": ["A"], "3": ["A", "B"]})
    found = means.result()
    assert (found["judged"], found["recall@2"], found["all_gold_recall@2"]) == (4, 1.5 / 4, 1 / 4)
    assert set(found["by_type"]) == {"bridge", "comparison"}
    assert {name: (by["judged"], by["recall@2"]) for name, by in found["by_type"].items()} == {
        "bridge": (2, 0.75),
        "comparison": (1, 0),
    }


def test_only_questions_with_supporting_facts_are_judged(question: Any) -> None:
    questions = [question("1"), question("2", supporting_facts=[]), question("3", supporting_facts=None)]
    assert judged(questions) == {"1": {"A": 1, "B": 1}}


def test_judged_passages_are_gold_by_their_ids_whatever_facts_are_known(question: Any) -> None:
    asked = question("1", relevant={"7": 2, "9": 1})
    assert judged([asked]) == {"1": {"7": 2, "9": 1}}
    assert asked.names([Passage(id="7", title="A", sentences=[]), Passage(id="8", title="A", sentences=[])]) == [
        "7",
        "8",
    ]


def test_grades_are_gains() -> None:
    found = question_metrics({"1": ["low", "x", "high"]}, {"1": {"high": 3, "low": 1, "nowhere": 2}})
    # Gains 1 and 3 at places 1 and 3; the best are 3, 2 and 1 at 1, 2 and 3: 3 + 2 / log2(3) + 1 / 2.
    assert found["ndcg@10"]["1"] == pytest.approx((1 + 3 / 2) / (3 + 2 / 1.5849625007 + 1 / 2))
    assert (found["recall@5"]["1"], found["all_gold_recall@5"]["1"]) == (pytest.approx(2 / 3), 0)


titles = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), unique=True, max_size=12)


@given(titles, titles.filter(bool))
def test_measures_are_shares_and_recall_grows_with_k(ranking: list[str], gold: list[str]) -> None:
    found = retrieval_metrics({"q": ranking}, {"q": gold})
    assert all(0 <= value <= 1 + 1e-9 for value in found.values())
    for k in (1, 2, 5, 10):
        assert found[f"recall@{k}"] == pytest.approx(len(set(gold) & set(ranking[:k])) / len(gold))
        assert found[f"all_gold_recall@{k}"] == (set(gold) <= set(ranking[:k]))
    first = next((rank for rank, title in enumerate(ranking, 1) if title in gold), None)
    assert found["mrr"] == pytest.approx(1 / first if first else 0)
