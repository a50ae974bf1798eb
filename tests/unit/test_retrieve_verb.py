"""The verb ``retrieve``: who gets nothing is told, and what is measured reaches beyond the prompts."""

import json
import sys

import pytest

from hopeval.io import write_records
from hopeval.records import Passage

RETRIEVERS = """
from hopeval.retrievers.base import Retriever, ranked


class Own(Retriever):
    def retrieve(self, questions, depth):
        return [[ranked(self.corpus[int(i)]) for i in self.settings.options["order"]] for _ in questions]


class TooFew(Own):
    def retrieve(self, questions, depth):
        return super().retrieve(questions, depth)[1:]


class Strings(Own):
    def retrieve(self, questions, depth):
        return [[passage.title for passage in passages] for passages in super().retrieve(questions, depth)]


class Nothing(Own):
    def retrieve(self, questions, depth):
        return None
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The kind of one of the retrievers above."""
    (tmp_path / "checked_retrievers.py").write_text(RETRIEVERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: f"checked_retrievers:{name}"
    sys.modules.pop("checked_retrievers", None)


@pytest.fixture
def arguments(tmp_path):
    """Writes questions and passages with these titles: the arguments of retrieve."""

    def make(questions, titles, **settings):
        passages = [Passage(id=str(i), title=t, sentences=[f"Where is {t}?"]) for i, t in enumerate(titles)]
        write_records(tmp_path / "questions.jsonl", questions)
        write_records(tmp_path / "passages.jsonl", passages)
        files = {"questions": "questions.jsonl", "passages": "passages.jsonl"}
        files |= {"output": "contexts.jsonl", "metrics": "metrics.json"}
        paths = [part for name, file in files.items() for part in (f"--{name}", tmp_path / file)]
        return ["retrieve", "--retriever", "mine", "--settings", json.dumps(settings), *paths]

    return make


@pytest.fixture
def retrieve(tmp_path, arguments, hopeval, records):
    """The ranked titles of each question, and the metrics."""

    def run(*data, **settings):
        hopeval(*arguments(*data, **settings))
        contexts = records(tmp_path / "contexts.jsonl")
        titles = [[passage["title"] for passage in context["passages"]] for context in contexts]
        return titles, json.loads((tmp_path / "metrics.json").read_text())

    return run


def test_gold_without_supporting_facts_is_refused(tmp_path, arguments, refused, question):
    said = refused(*arguments([question(supporting_facts=None)], ["A"], kind="gold"))
    assert said.startswith("hopeval retrieve: retrievers.mine: no question of ")
    assert "has supporting facts" in said
    assert "take it out: retrievers: {mine: null}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "contexts.jsonl").exists()


def test_gold_with_some_supporting_facts_is_taken(retrieve, question):
    facts = [("A", 0)]
    questions = [question("q1", supporting_facts=facts), question("q2", supporting_facts=None)]
    titles, metrics = retrieve(questions, ["A"], kind="gold")
    assert titles == [["A"], []]
    assert (metrics["judged"], metrics["recall@1"]) == (1, 1.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TooFew", "retrieve() gave 1 lists for 2 questions; give one for each"),
        ("Strings", "retrieve() must give lists of RankedPassage: Expected `object`, got `str`"),
        ("Nothing", "retrieve() must give lists of RankedPassage: Expected `array`, got `null`"),
    ],
)
def test_retriever_of_ones_own_that_gives_something_else_is_told(
    tmp_path, arguments, refused, question, own, name, words
):
    questions = [question("q1"), question("q2")]
    said = refused(*arguments(questions, ["A", "B"], kind=own(name), options={"order": [0, 1]}))
    assert said.startswith(f"hopeval retrieve: retrievers.mine: {words}")
    assert said.count("\n") == 1
    assert not (tmp_path / "contexts.jsonl").exists()


def test_retriever_of_ones_own_is_measured(retrieve, question, own):
    titles, metrics = retrieve([question()], ["A", "B", "C"], kind=own("Own"), options={"order": [2, 1, 0]})
    assert titles == [["C", "B", "A"]]
    assert (metrics["retriever"], metrics["judged"]) == ("mine", 1)
    assert (metrics["recall@1"], metrics["recall@2"], metrics["recall@5"]) == (0, 1 / 2, 1)
    assert metrics["mrr"] == 1 / 2


def test_measures_reach_deeper_than_prompts(retrieve, question):
    titles, metrics = retrieve([question()], [f"T{i}" for i in range(11)] + ["A", "B"], kind="bm25", top_k=[2])
    assert len(titles[0]) == 10
    assert {"recall@10", "all_gold_recall@10", "ndcg@10", "mrr"} <= set(metrics)
    assert "recall@3" not in metrics
    assert set(retrieve([question()], ["A", "B"], kind="bm25", top_k=3)[1]) - set(metrics) == {
        "recall@3",
        "all_gold_recall@3",
    }


def test_gold_beyond_the_prompts_counts_in_recall_at_10(retrieve, question, own):
    order = [2, 3, 4, 5, 0, 6, 7, 1]
    titles, metrics = retrieve(
        [question()], ["A", "B", *"CDEFGH"], kind=own("Own"), options={"order": order}, top_k=[2]
    )
    assert titles == [[*"CDEFAGHB"]]
    assert (metrics["recall@2"], metrics["recall@5"], metrics["recall@10"]) == (0, 1 / 2, 1)
    assert metrics["ndcg@10"] > 0


def test_contexts_are_as_deep_as_the_deepest_prompt(retrieve, question):
    titles, metrics = retrieve([question()], [f"T{i}" for i in range(20)], kind="bm25", top_k=[2, 12])
    assert len(titles[0]) == 12
    assert {"recall@10", "recall@12"} <= set(metrics)


def test_repeated_titles_take_up_places_as_score_has_it(tmp_path, retrieve, hopeval, write, question, own):
    titles, metrics = retrieve(
        [question()], ["A", "A", "A", "B"], kind=own("Own"), options={"order": [0, 1, 2, 3]}, top_k=[2, 4]
    )
    assert titles == [["A", "A", "A", "B"]]
    predictions = write("predictions.json", {"answer": {"q1": "Paris"}, "sp": {"q1": []}})
    for k, found in ((2, 0.0), (4, 1.0)):
        hopeval(
            *("score", "--questions", tmp_path / "questions.jsonl", "--predictions", predictions, "--top-k", k),
            *("--contexts", tmp_path / "contexts.jsonl", "--output", tmp_path / "scored.json"),
        )
        scored = json.loads((tmp_path / "scored.json").read_text())
        assert (metrics[f"all_gold_recall@{k}"], scored["all_gold_retrieved"]) == (found, found)
    assert (metrics["recall@2"], metrics["recall@4"]) == (1 / 2, 1)
