"""Retrievers over a corpus small enough to work out by hand, and the store that they read from."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.config import parse_retriever
from hopeval.errors import InputError
from hopeval.io import write_records
from hopeval.passages import PassageStore
from hopeval.records import Hit, Passage, Question
from hopeval.retrievers.bm25 import BM25Retriever
from hopeval.retrievers.found import Texts
from hopeval.retrievers.given import GivenRetriever
from hopeval.retrievers.gold import GoldRetriever
from hopeval.retrievers.none import NoneRetriever

Store = Callable[..., PassageStore]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Makes a store of passages from texts; ids and titles are given, or p0, p1, …"""

    def make(*texts: str, titles: tuple[str, ...] | None = None, ids: tuple[str, ...] | None = None) -> PassageStore:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        names = titles or tuple(f"p{i}" for i in range(len(texts)))
        passages = zip(ids or names, names, texts, strict=True)
        write_records(path, [Passage(id=i, title=n, sentences=[t]) for i, n, t in passages])
        return PassageStore(path)

    return make


def bm25(corpus: PassageStore, *texts: str, depth: int = 5, **settings: Any) -> list[list[tuple[str, float]]]:
    section = parse_retriever({"kind": "bm25", **settings})
    with TemporaryDirectory() as folder:
        BM25Retriever.build(section, corpus, Path(folder))
        retriever = BM25Retriever(section, corpus, corpus, index=Path(folder))
        found = retriever.retrieve([Question(id=text, text=text) for text in texts], depth)
    return [[(hit.id, hit.score) for hit in hits] for hits in found]


def ids(corpus: PassageStore, text: str, **settings: Any) -> list[str]:
    return [identifier for identifier, _ in bm25(corpus, text, **settings)[0]]


def test_given_are_a_questions_own_paragraphs_in_order(store: Store) -> None:
    own = store("a", "b", "c")
    questions = [Question(id="1", text="?", passages=["p2", "p0"]), Question(id="2", text="?")]
    found = GivenRetriever(None, own, store("x")).retrieve(questions, 0)
    assert [[hit.id for hit in hits] for hits in found] == [["p2", "p0"], []]


def test_gold_are_the_titles_of_the_supporting_facts(store: Store) -> None:
    own, corpus = store("own", titles=("A",), ids=("own A",)), store("other A", "B", titles=("A", "B"))
    facts = [("B", 0), ("A", 1), ("A", 0), ("Nowhere", 0)]
    questions = [
        Question(id="1", text="?", passages=["own A"], supporting_facts=facts),
        Question(id="2", text="?", supporting_facts=facts[1:]),
        Question(id="3", text="?"),
    ]
    found = GoldRetriever(None, own, corpus).retrieve(questions, 0)
    assert [[hit.id for hit in hits] for hits in found] == [
        ["B", "own A"],  # its own paragraph before the corpus's of the same title
        ["A"],
        [],
    ]


def test_none_is_nothing(store: Store) -> None:
    assert NoneRetriever(None, store(), store()).retrieve([Question(id="1", text="?")] * 2, 5) == [[], []]


def test_a_missing_paragraph_is_named(store: Store) -> None:
    with pytest.raises(InputError, match=r"jsonl: no passage has the id 'gone'; run prepare again"):
        Texts(store("a"), store()).ranked(Hit("gone"))


def test_a_file_that_is_both_own_paragraphs_and_corpus_is_opened_once(store: Store) -> None:
    own, other = store("a").path, store("b", titles=("q0",)).path
    for texts in (Texts.opened(own, own), Texts.opened(own, None)):
        assert texts.own is texts.corpus
    texts = Texts.opened(own, other)
    assert [texts.title(Hit(name)) for name in ("p0", "q0")] == ["p0", "q0"]
    assert texts.ranked(Hit("q0", 2.0)).score == 2.0


# BM25


def test_bm25_scores_are_those_of_the_formula(store: Store) -> None:
    # Words without title: p0 has 3 (with its title), p1 3, p2 4: 10 / 3 on average. "pear" is in one of three.
    corpus = store("apple tree", "pear tree", "apple pie apple")
    ((best, score),) = bm25(corpus, "pear", k1=1.2, b=0.75, stopwords=None, stemmer=None)[0]
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    assert best == "p1"
    assert score == pytest.approx(idf * 1 / (1 + 1.2 * (1 - 0.75 + 0.75 * 3 / (10 / 3))), rel=1e-5)


def test_bm25_prefers_more_and_rarer_terms(store: Store) -> None:
    corpus = store("apple tree", "pear tree", "apple pie apple")
    assert ids(corpus, "apple") == ["p2", "p0"]
    assert ids(corpus, "pear tree")[0] == "p1"


def test_bm25_searches_titles_and_stems_words(store: Store) -> None:
    corpus = store("a text", "another", titles=("Running Shoes", "Hat"))
    assert ids(corpus, "Who RUNS?") == ["Running Shoes"]
    assert ids(corpus, "Who runs?", stemmer=None) == []


def test_bm25_leaves_out_what_shares_no_term(store: Store) -> None:
    corpus = store("apple", "pear", "plum")
    found = bm25(corpus, "zebra", "", "the of", "?!", "apple")
    assert [[identifier for identifier, _ in passages] for passages in found] == [[], [], [], [], ["p0"]]
    assert bm25(corpus, "zebra") == [[]]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 100])
def test_bm25_gives_no_more_than_asked_for_or_there_is(store: Store, depth: int) -> None:
    assert len(ids(store("apple", "apple pie", "apple tree"), "apple", depth=depth)) == min(depth, 3)


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
def test_every_method_finds_the_passage_with_the_rare_word(store: Store, method: str) -> None:
    corpus = store("red apple", "green pear", "apple pie", "old house", "blue sea")
    assert ids(corpus, "pear", method=method)[0] == "p1"


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
def test_no_method_finds_what_shares_no_term(store: Store, method: str) -> None:
    corpus = store("red apple", "green pear", "apple pie", "old house", "blue sea")
    assert ids(corpus, "pear", method=method) == ["p1"]
    assert set(ids(corpus, "apple pear", method=method)) == {"p0", "p1", "p2"}
    assert ids(corpus, "zebra", method=method) == []


def test_bm25_without_anything_to_search_is_told(store: Store) -> None:
    with pytest.raises(InputError, match=r"holds no passages, so bm25 has nothing to search; set dataset.corpus"):
        bm25(store(), "apple")
    with pytest.raises(InputError, match="holds no word to search for but stop words; set stopwords: null"):
        bm25(store("the of", titles=("The",)), "apple")


words = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=1, max_size=4).map(" ".join)


@given(st.lists(words, min_size=1, max_size=30), words, st.integers(1, 30))
def test_bm25_ranks_alike_each_time_and_a_batch_alike_its_questions(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str, depth: int
) -> None:
    path = tmp_path_factory.mktemp("bm25") / "corpus.jsonl"
    write_records(path, [Passage(id=str(i), title="", sentences=[text]) for i, text in enumerate(texts)])
    corpus = PassageStore(path)
    (first,) = bm25(corpus, query, depth=depth)
    assert bm25(PassageStore(path), "alpha", query, "beta", depth=depth)[1] == first
    scores = [score for _, score in first]
    assert scores == sorted(scores, reverse=True)
    assert len({identifier for identifier, _ in first}) == len(first) <= depth
    assert all(set(query.split()) & set(texts[int(identifier)].split()) for identifier, _ in first)


# The store


def test_the_store_finds_passages_by_place_and_id(write: Any) -> None:
    lines = [{"id": f"é{i}", "title": "T", "sentences": ["\u2028"] * i, "more": 1} for i in range(3)]
    path = write("p.jsonl", "\n" + "\n\n".join(map(json.dumps, lines)))
    store = PassageStore(path)
    assert len(store) == 3
    assert [passage.id for passage in store] == ["é0", "é1", "é2"]
    assert store[1] == store.by_id("é1") == Passage(id="é1", title="T", sentences=["\u2028"])
    assert len(list(store)) == 3
    assert (store.id(2), store.title("é2"), "é2" in store, "é3" in store) == ("é2", "T", True, False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": "a", "title": "T"}', "missing required field `sentences`; a passage is {id, title, sentences}"),
        (b'{"id": "a", "title": "T", "sentences": "text"}', "Expected `array`, got `str` - at `$.sentences`"),
        (b'{"id": "a", "title": "\xff", "sentences": []}', "invalid start byte"),
        (
            b'{"id": "first", "title": "T", "sentences": []}',
            "passage id 'first' was already used on line 1; ids must be unique",
        ),
        (b'{"id": "a"', "truncated"),
    ],
)
def test_a_bad_passage_is_named_with_its_line(write: Any, line: bytes, said: str) -> None:
    path = write("p.jsonl", b'{"id": "first", "title": "T", "sentences": []}\n\n' + line + b"\n")
    with pytest.raises(InputError) as error:
        PassageStore(path)
    assert f"{path}:3: " in str(error.value)
    assert said in str(error.value)


def test_a_packed_or_missing_store_is_told(write: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p.jsonl.gz: packed, but passages are read at random; unpack it"):
        PassageStore(write("p.jsonl.gz", gzip.compress(b"")))
    with pytest.raises(InputError, match=r"nowhere.jsonl: cannot be read"):
        PassageStore(tmp_path / "nowhere.jsonl")
