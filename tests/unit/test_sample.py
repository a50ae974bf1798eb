"""Checks on the embedded sample dataset in resources/sample."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[2] / "resources" / "sample"
KEYS = {"_id", "question", "answer", "type", "level", "supporting_facts", "context"}


@pytest.fixture(scope="module")
def passages():
    lines = (SAMPLE / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def by_title(passages):
    return {p["title"]: p["sentences"] for p in passages}


@pytest.fixture(scope="module")
def questions():
    return json.loads((SAMPLE / "questions.json").read_text(encoding="utf-8"))


def gold_titles(question):
    return {title for title, _ in question["supporting_facts"]}


def supporting_sentences(question):
    context = dict(question["context"])
    return [context[title][index] for title, index in question["supporting_facts"]]


def test_passages_have_the_documented_keys_and_types(passages):
    for p in passages:
        assert set(p) == {"id", "title", "sentences"}
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", p["id"]), p["id"]
        assert p["title"]
        assert p["title"] == p["title"].strip()
        assert isinstance(p["sentences"], list)
        assert all(isinstance(s, str) for s in p["sentences"])


def test_passages_are_many_and_unique(passages):
    assert len(passages) >= 150
    for key in ("id", "title"):
        repeated = [v for v, n in Counter(p[key] for p in passages).items() if n > 1]
        assert repeated == []
    assert len({"".join(p["sentences"]) for p in passages}) == len(passages)


def test_passages_are_short_and_joinable(passages):
    for p in passages:
        first, *rest = p["sentences"]
        assert 2 <= len(p["sentences"]) <= 4, p["title"]
        assert not first.startswith(" "), p["title"]
        assert all(re.match(r" \S", s) for s in rest), p["title"]
        assert 20 <= len("".join(p["sentences"]).split()) <= 60, p["title"]


def test_titles_cover_awkward_characters(by_title):
    assert sum("(" in t and t.endswith(")") for t in by_title) >= 5
    assert any('"' in t for t in by_title)
    assert any("'" in t for t in by_title)
    decomposed = (unicodedata.normalize("NFD", t) for t in by_title)
    assert sum(any(unicodedata.combining(c) for c in t) for t in decomposed) >= 10


def test_text_is_composed_and_unescaped(passages):
    for name in ("passages.jsonl", "questions.json"):
        text = (SAMPLE / name).read_text(encoding="utf-8")
        assert unicodedata.is_normalized("NFC", text), name
        assert "\\u" not in text, name


def test_questions_have_the_official_keys_and_types(questions):
    for q in questions:
        assert set(q) == KEYS
        for key in KEYS - {"supporting_facts", "context"}:
            assert isinstance(q[key], str)
            assert q[key].strip() == q[key] != ""
        assert q["type"] in {"bridge", "comparison"}
        assert q["level"] in {"easy", "medium", "hard"}
        for title, index in q["supporting_facts"]:
            assert isinstance(title, str)
            assert type(index) is int
        for title, sentences in q["context"]:
            assert isinstance(title, str)
            assert isinstance(sentences, list)


def test_questions_are_many_unique_and_numbered(questions):
    assert len(questions) >= 60
    expected = [f"sample-{n:03d}" for n in range(1, len(questions) + 1)]
    assert [q["_id"] for q in questions] == expected
    assert len({q["question"] for q in questions}) == len(questions)


def test_every_context_has_two_gold_and_eight_distractor_passages(questions):
    for q in questions:
        titles = [title for title, _ in q["context"]]
        assert len(titles) == len(set(titles)) == 10, q["_id"]
        assert len(gold_titles(q)) == 2, q["_id"]
        assert gold_titles(q) <= set(titles), q["_id"]


def test_every_context_equals_the_passages(questions, by_title):
    for q in questions:
        for title, sentences in q["context"]:
            assert by_title.get(title) == sentences, (q["_id"], title)


def test_every_supporting_fact_exists(questions):
    for q in questions:
        context = dict(q["context"])
        facts = [tuple(fact) for fact in q["supporting_facts"]]
        assert 2 <= len(facts) <= 4, q["_id"]
        assert len(set(facts)) == len(facts), q["_id"]
        for title, index in facts:
            assert 0 <= index < len(context[title]), (q["_id"], title, index)


def test_answer_is_yes_or_no_or_stands_in_a_supporting_sentence(questions):
    for q in questions:
        if q["answer"] in {"yes", "no"}:
            assert q["type"] == "comparison", q["_id"]
        else:
            assert any(q["answer"] in s for s in supporting_sentences(q)), q["_id"]


def test_bridge_answers_are_not_given_away(questions):
    for q in questions:
        if q["type"] == "bridge":
            assert q["answer"] not in q["question"], q["_id"]
            with_answer = [t for t, s in q["context"] if q["answer"] in "".join(s)]
            assert set(with_answer) <= gold_titles(q), q["_id"]
            assert len(with_answer) == 1, q["_id"]


def test_gold_positions_vary(questions):
    positions = {n for q in questions for n, (title, _) in enumerate(q["context"]) if title in gold_titles(q)}
    assert positions == set(range(10))


def test_types_levels_and_yes_no_are_all_present(questions):
    types = Counter(q["type"] for q in questions)
    assert types["bridge"] > types["comparison"] >= 15
    for level in ("easy", "medium", "hard"):
        assert sum(q["level"] == level for q in questions) >= 10
    answers = Counter(q["answer"] for q in questions)
    assert answers["yes"] >= 4
    assert answers["no"] >= 4
    assert abs(answers["yes"] - answers["no"]) <= 2


def test_first_twenty_questions_are_a_mix(questions):
    head = questions[:20]
    types = Counter(q["type"] for q in head)
    assert types["bridge"] >= 10
    assert types["comparison"] >= 5
    assert {q["level"] for q in head} == {"easy", "medium", "hard"}
    assert {"yes", "no"} <= {q["answer"] for q in head}
