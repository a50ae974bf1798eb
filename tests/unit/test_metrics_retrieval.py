"""Retrieval metrics, worked by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.metrics.retrieval import all_gold, judged, retrieval_metrics


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
        "mrr": pytest.approx((1 + 1 / 4 + 1) / 3),
        # Gains 1 at places 1 and 3, at place 4, and at 1 and 2; the best is at 1 and 2: 1 + 1 / log2(3).
        "ndcg@10": pytest.approx((1.5 / 1.6309297536 + 0.4306765581 / 1.6309297536 + 1) / 3),
        "all_gold_recall@1": 0,
        "all_gold_recall@2": pytest.approx(1 / 3),
        "all_gold_recall@5": pytest.approx(2 / 3),
        "all_gold_recall@10": pytest.approx(2 / 3),
    }


def test_a_question_for_which_nothing_was_found_counts_as_zero() -> None:
    gold = {"1": ["A"], "2": ["B"], "3": ["C"]}
    for rankings in ({"1": ["A"], "2": []}, {"1": ["A"]}):
        found = retrieval_metrics(rankings, gold)
        assert list(found.values()) == [pytest.approx(1 / 3)] * 10
    assert set(retrieval_metrics({}, gold).values()) == {0}


def test_further_cutoffs_may_be_asked_for() -> None:
    found = retrieval_metrics({"1": ["x", "y", "A"]}, {"1": ["A"]}, {2, 3})
    assert found == {
        "recall@2": 0,
        "recall@3": 1,
        "mrr": pytest.approx(1 / 3),
        "ndcg@10": pytest.approx(0.5),
        "all_gold_recall@2": 0,
        "all_gold_recall@3": 1,
    }


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


def test_only_questions_with_supporting_facts_are_judged(question: Any) -> None:
    questions = [question("1"), question("2", supporting_facts=[]), question("3", supporting_facts=None)]
    assert judged(questions) == {"1": ["A", "B"]}


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
