"""Files of the user's own that are replaced or edited: questions, a retriever, an engine, a section."""

import json
import os

import pytest

RESPONSES = "results/tiny/readers/reader/responses.jsonl"
READING = "own_engines:ReadingEngine"
RETRIEVER = """
from hopeval.records import Hit
from hopeval.retrievers.base import Retriever


class First(Retriever):
    def retrieve(self, questions, depth):
        found = [[Hit(i) for i in question.passages] for question in questions]
        return [passages[:depth] for passages in found]
"""
ENGINE = """
from engines import CountingEngine
from hopeval.engines.base import Completion


class Mine(CountingEngine):
    async def complete(self, request):
        await super().complete(request)
        return Completion('{"answer": "first", "supporting_facts": []}', "stop", 10, 5)
"""


def make_old(path):
    os.utime(path, (1_577_836_800, 1_577_836_800))  # 2020


def answers(place):
    return {response["text"] for response in place.read("readers/reader/responses.jsonl")}


def titles(place, retriever):
    contexts = place.read(f"contexts/{retriever}.jsonl")
    return [[passage["title"] for passage in context["passages"]] for context in contexts]


def test_questions_replaced_by_older_ones_are_scored(place, fake, question):
    place.questions(4)
    place.configure(reader=fake(READING))
    place.do()
    first = place.asked()
    assert len(first) == 4

    questions = place.folder / "questions.json"
    size = questions.stat().st_size
    questions.write_text(json.dumps([question(i) for i in range(4, 8)]))
    assert questions.stat().st_size == size
    make_old(questions)
    place.do()
    asked = place.asked()
    assert len(set(asked) - set(first)) == len(asked) == 4
    predictions = place.read("experiments/given.cited.reader/predictions.json")
    assert predictions["answer"] == {f"q{i}": f"Town {i}" for i in range(4, 8)}
    metrics = place.read("experiments/given.cited.reader/metrics.json")
    assert (metrics["em"], metrics["questions"], metrics["counts"]["ok"]) == (1.0, 4, 4)
    assert place.do().nothing_to_do


def test_corpus_replaced_by_an_older_one_is_searched(place, fake):
    place.questions(2)
    corpus = place.folder / "corpus.jsonl"
    passage = {"id": "p", "title": "Before", "sentences": ["Where clocks are born."]}
    corpus.write_text(json.dumps(passage))
    dataset = {"questions": "questions.json", "corpus": "corpus.jsonl"}
    place.configure(dataset=dataset, retrievers={"bm25": {"kind": "bm25", "top_k": 1}}, reader=fake())
    place.do(RESPONSES)
    first = place.asked()
    assert titles(place, "bm25") == [["Before"]] * 2

    corpus.write_text(json.dumps({**passage, "title": "Behind"}))
    make_old(corpus)
    place.do(RESPONSES)
    assert titles(place, "bm25") == [["Behind"]] * 2
    assert len(set(place.asked()) - set(first)) == 2


def test_queries_beside_judgements_that_are_replaced_are_read(place, fake):
    folder = place.folder / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "Who?"}\n{"_id": "q2", "text": "When?"}\n')
    (folder / "corpus.jsonl").write_text('{"_id": "p1", "title": "A", "text": "It is."}\n')
    qrels = folder / "qrels" / "test.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    place.configure(dataset={"questions": "beir/qrels/test.tsv", "corpus": "beir/corpus.jsonl"}, reader=fake())
    place.do("results/tiny/questions.jsonl")
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "Where?"}\n')
    make_old(folder / "queries.jsonl")
    place.do("results/tiny/questions.jsonl")
    assert [question["text"] for question in place.read("questions.jsonl")] == ["Where?"]


def test_edited_retriever_of_ones_own_retrieves_and_asks_again(place, fake):
    place.questions(4)
    module = place.folder / "my_retr.py"
    module.write_text(RETRIEVER)
    retrievers = {"mine": {"kind": "my_retr:First", "top_k": 2}}
    place.configure(retrievers=retrievers, reader=fake(READING))
    place.do()
    first = place.asked()
    assert len(first) == 4
    # Depth is that of the measures: all three paragraphs are there, though prompts take two.
    assert titles(place, "mine") == [[f"Clock {i}", f"Maker {i}", f"Spoon {i}"] for i in range(4)]
    assert place.read("contexts/mine.metrics.json")["all_gold_recall@2"] == 1.0
    assert place.read("experiments/mine@2.cited.reader/metrics.json")["em"] == 1.0
    assert place.do().nothing_to_do

    module.write_text(RETRIEVER.replace("passages[:depth]", "passages[::-1][:depth]"))
    run = place.do()
    assert run.jobs["retrieve"] == 1
    assert "prepare" not in run.jobs
    assert titles(place, "mine") == [[f"Spoon {i}", f"Maker {i}", f"Clock {i}"] for i in range(4)]
    asked = place.asked()
    assert len(set(asked) - set(first)) == len(asked) == 4
    assert place.read("contexts/mine.metrics.json")["all_gold_recall@2"] == 0.0
    assert place.do().nothing_to_do


def test_edited_engine_of_ones_own_infers_again_and_its_version_asks_anew(place, fake):
    place.questions(4)
    module = place.folder / "my_engine.py"
    module.write_text(ENGINE)
    place.configure(reader=fake("my_engine:Mine"))
    place.do(RESPONSES)
    first = place.asked()
    assert len(first) == 4
    before = answers(place)

    module.write_text(ENGINE.replace('"first"', '"another"'))
    run = place.do(RESPONSES)
    assert run.jobs == {"infer": 2, "merge": 1}
    # The keys do not see a class's code: its answers are in the journal.
    assert place.asked() == []
    assert answers(place) == before

    place.configure(reader=fake("my_engine:Mine", options={"version": 2}))
    place.do(RESPONSES)
    asked = place.asked()
    assert len(set(asked) - set(first)) == len(asked) == 4
    assert answers(place) == {text.replace("first", "another") for text in before}


@pytest.mark.parametrize(("key", "text"), [("stemmer", "Who painted?"), ("stopwords", "Which of the?")])
def test_null_in_a_section_reaches_the_verb(place, fake, question, key, text):
    paragraph = ["Painter", ["He paints the sea."]]
    row = {**question(0), "question": text, "context": [paragraph], "supporting_facts": [["Painter", 0]]}
    (place.folder / "questions.json").write_text(json.dumps([row]))
    contexts = "results/tiny/contexts/bm25.jsonl"
    found = {}
    for value in ("english", None):
        place.configure(retrievers={"bm25": {"kind": "bm25", key: value}}, reader=fake())
        place.do(contexts)
        found[value] = titles(place, "bm25")
    # "painted" is "paints" for the stemmer alone, and "the" is a word where there are no stop words.
    hit = "english" if key == "stemmer" else None
    assert found == {value: [["Painter"]] if value == hit else [[]] for value in ("english", None)}
