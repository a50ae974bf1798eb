"""Retrievers that are built on others or on files of others, from the verbs' point of view, and ``search``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.config import parse_retriever
from hopeval.io import write_records
from hopeval.keys import file_sha256
from hopeval.records import Hit, Passage
from hopeval.retrievers.hybrid import HybridRetriever
from hopeval.runs import RunFile

TITLES = ("Apple", "Pear", "Plum", "A", "B")


class Fixed:
    """Stands where a base would, with rankings given."""

    def __init__(self, *hits: tuple[str, float]) -> None:
        self.hits = [Hit(*hit) for hit in hits]

    def ranking(self, questions: Any) -> list[list[Hit]]:
        return [self.hits for _ in questions]


def fused(*bases: Fixed, depth: int = 10, **settings: Any) -> list[tuple[str, float]]:
    names = [f"r{i}" for i in range(len(bases))]
    section = parse_retriever({"kind": "hybrid", "of": names, **settings})
    retriever = HybridRetriever(section, None, None, bases=dict(zip(names, bases, strict=True)))  # type: ignore[arg-type]
    (hits,) = retriever.retrieve([None], depth)  # type: ignore[list-item]
    return [(hit.id, pytest.approx(hit.score)) for hit in hits]


def test_reciprocal_ranks_are_added() -> None:
    one, other = Fixed(("a", 9.0), ("b", 8.0)), Fixed(("b", 0.3), ("c", 0.2))
    assert fused(one, other) == [("b", 1 / 62 + 1 / 61), ("a", 1 / 61), ("c", 1 / 62)]
    assert fused(one, other, k=0, weights=[1.0, 3.0]) == [("b", 1 / 2 + 3), ("c", 3 / 2), ("a", 1)]
    assert fused(one, other, depth=1) == [("b", 1 / 62 + 1 / 61)]


def test_scores_are_added_when_each_ranking_is_brought_to_0_to_1() -> None:
    one, other = Fixed(("a", 9.0), ("b", 8.0), ("c", 5.0)), Fixed(("c", 0.3), ("a", 0.1))
    assert fused(one, other, fusion="sum") == [("a", 1.0), ("c", 1.0), ("b", 0.75)]
    assert fused(one, other, fusion="sum", weights=[1.0, 2.0]) == [("c", 2.0), ("a", 1.0), ("b", 0.75)]
    assert fused(Fixed(), Fixed(("a", 4.0)), fusion="sum") == [("a", 1.0)]
    assert fused(Fixed(), Fixed()) == fused(Fixed(), Fixed(), fusion="sum") == []


hits = st.dictionaries(st.sampled_from("abcdef"), st.floats(-5, 5), max_size=6).map(
    lambda found: sorted(found.items(), key=lambda item: -item[1])
)


@given(hits, hits, st.sampled_from(["rrf", "sum"]))
def test_fusion_finds_all_that_any_found_and_of_one_twice_keeps_the_order(one: Any, other: Any, fusion: str) -> None:
    assert {name for name, _ in fused(Fixed(*one), Fixed(*other), fusion=fusion)} == {n for n, _ in [*one, *other]}
    same = [name for name, _ in fused(Fixed(*one), Fixed(*one), fusion=fusion)]
    distinct = len({score for _, score in one}) == len(one)
    assert set(same) == {name for name, _ in one}
    assert fusion == "sum" or not distinct or same == [name for name, _ in one]


# The verbs


@pytest.fixture
def data(tmp_path: Path, question: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with two questions and five passages."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results" / "mine"
    facts = [("Apple", 0), ("Pear", 0)]
    questions = [question("q1", text="Which apple or pear?", supporting_facts=facts), question("q 2", text="A plum?")]
    write_records(results / "questions.jsonl", questions)
    texts = ("An apple a day.", "A pear. Its tree.", "Plums\x1b[31m are blue.", "nothing", "nothing")
    passages = [Passage(id=f"{t} id", title=t, sentences=[x]) for t, x in zip(TITLES, texts, strict=True)]
    write_records(results / "passages.jsonl", passages)
    return results


@pytest.fixture
def retrieve(data: Path, hopeval: Any) -> Callable[..., dict[str, Any]]:
    """Runs a retriever, on top of what has run before: its metrics."""
    sections: dict[str, Any] = {}

    def run(name: str, *more: Any, **settings: Any) -> dict[str, Any]:
        given = arguments(data, name, settings, *more)
        if settings["kind"] == "bm25":
            corpus = ["--corpus", data / "passages.jsonl", "--output", data / "indexes" / f"{name}.json"]
            hopeval("index", "--retriever", name, "--settings", json.dumps(settings), *corpus)
        of = settings.get("of", [])
        runs = [f"{base}={data / 'runs' / base}.trec" for base in of]
        made = data.glob("indexes/*.json")
        indexes = [f"{path.stem}={path}" for path in made if path.stem in (name, *of)]
        bases = json.dumps({base: sections[base] for base in of})
        hopeval(*given, "--bases", bases, "--runs", *runs, "--indexes", *indexes)
        sections[name] = settings
        return json.loads((data / "contexts" / f"{name}.metrics.json").read_text())

    return run


def arguments(data: Path, name: str, settings: Any, *more: Any) -> list[Any]:
    return [
        *("retrieve", "--retriever", name, "--settings", json.dumps(settings), *more),
        *("--questions", data / "questions.jsonl", "--passages", data / "passages.jsonl"),
        *("--output", data / "contexts" / f"{name}.jsonl", "--run-file", data / "runs" / f"{name}.trec"),
        *("--metrics", data / "contexts" / f"{name}.metrics.json"),
    ]


def titles(data: Path, name: str, records: Any) -> list[list[str]]:
    return [[p["title"] for p in context["passages"]] for context in records(data / "contexts" / f"{name}.jsonl")]


def test_hybrid_reads_the_runs_of_its_bases(data: Path, retrieve: Any, records: Any) -> None:
    retrieve("words", kind="bm25")
    retrieve("stems", kind="bm25", stemmer=None)
    metrics = retrieve("fused", kind="hybrid", of=["words", "stems"], top_k=1)
    assert set(titles(data, "fused", records)[0]) == {"Apple", "Pear"}
    assert metrics["all_gold_recall@2"] == 0.5
    assert (metrics["judged"], metrics["empty"], metrics["index"]) == (2, 0, None)
    assert set(metrics["search"]["sections"]) == {"words", "stems", "fused"}
    assert RunFile(data / "runs" / "fused.trec").ranking("q 2")[0].id == "Plum id"


@pytest.fixture
def own(data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Lays down a module of one's own where it is found."""
    folder = data.parents[1]
    monkeypatch.syspath_prepend(folder)

    def lay(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)

    return lay


OWN = """
from hopeval.records import Question
from hopeval.retrievers.base import Retriever


class Backwards(Retriever):
    def retrieve(self, questions, depth):
        base = self.bases["words"]
        (plum,) = base.open().retrieve([Question(id="mine", text="plums")], 1)
        return [plum + hits[::-1] for hits in base.ranking(questions)]
"""


def test_a_class_of_ones_own_may_be_built_on_others(data: Path, retrieve: Any, records: Any, own: Any) -> None:
    own("built_on_others", OWN)
    retrieve("words", kind="bm25")
    (first, _) = titles(data, "words", records)
    retrieve("own", kind="built_on_others:Backwards", of=["words"])
    assert titles(data, "own", records)[0] == ["Plum", *first[::-1]]


BRINGING = """
from hopeval.records import Hit, Passage
from hopeval.retrievers.base import Retriever


class Bringing(Retriever):
    def retrieve(self, questions, depth):
        return [[Hit(f"of {q.id}", 1.0, Passage(id=f"of {q.id}", title="A", sentences=[]))] for q in questions]
"""


def test_one_that_brings_its_passages_is_no_base(data: Path, retrieve: Any, refused: Any, own: Any) -> None:
    own("bringing_retriever", BRINGING)
    retrieve("words", kind="bm25")
    retrieve("mine", kind="bringing_retriever:Bringing")
    bases = {"words": {"kind": "bm25"}, "mine": {"kind": "bringing_retriever:Bringing"}}
    runs = [f"{name}={data / 'runs' / name}.trec" for name in bases]
    more = ["--bases", json.dumps(bases), "--runs", *runs]
    said = refused(*arguments(data, "fused", {"kind": "hybrid", "of": list(bases)}, *more))
    assert said.startswith("hopeval retrieve: retrievers.mine: its run file ")
    assert "has the passage 'of q1', which is neither in " in said
    assert "no other retriever can be built on one that brings passages of its own; take 'mine' out of 'of'" in said
    assert said.count("\n") == 1


def test_a_run_of_others_may_have_ids_that_look_like_escapes(data: Path, retrieve: Any, records: Any) -> None:
    passages = [Passage(id=f"http://x/{title}%20id", title=title, sentences=[]) for title in TITLES]
    write_records(data / "passages.jsonl", passages)
    (data / "other.trec").write_text("q1 Q0 http://x/Pear%20id 1 0.5 t\nq%202 Q0 http://x/Plum%2520id 1 1 t\n")
    retrieve("theirs", kind="run", file=str(data / "other.trec"))
    assert titles(data, "theirs", records) == [["Pear"], ["Plum"]]


def test_metrics_say_what_was_searched_and_how_fast(retrieve: Any) -> None:
    metrics = retrieve("words", kind="bm25", top_k=[3])
    assert metrics["index"]["passages"] == 5
    assert metrics["index"]["bytes"] > 0
    assert metrics["index"]["seconds"] > 0
    assert metrics["queries_per_second"] > 0
    assert metrics["open_s"] > 0
    assert metrics["latency_s"] > 0
    cutoffs = {1, 2, 3, 5, 10, 20, 100}
    assert {f"{name}@{k}" for name in ("recall", "all_gold_recall") for k in cutoffs} <= set(metrics)
    assert {"mrr", "ndcg@10", "map", "by_type"} <= set(metrics)


def test_speed_counts_what_a_retriever_is_built_on(data: Path, retrieve: Any) -> None:
    bases = {}
    for name, speed in {"slow": (5.0, 0.5, 2.0), "fast": (1.0, 0.25, 4.0)}.items():
        found = retrieve(name, kind="bm25")
        assert found["own_speed"] == {key: found[key] for key in ("open_s", "latency_s", "queries_per_second")}
        found["own_speed"] = dict(zip(found["own_speed"], speed, strict=True))
        bases[name] = data / "contexts" / f"{name}.metrics.json"
        bases[name].write_text(json.dumps(found))
    fused = {"kind": "hybrid", "of": list(bases)}
    metrics = retrieve("fused", "--run-metrics", *bases.values(), **fused)
    own = metrics["own_speed"]
    assert metrics["open_s"] == pytest.approx(6.0 + own["open_s"])
    assert metrics["latency_s"] == pytest.approx(0.75 + own["latency_s"])
    assert metrics["queries_per_second"] == pytest.approx(1 / (1 / 2 + 1 / 4 + 1 / own["queries_per_second"]), abs=0.01)
    # Of run files alone nobody can tell how long they took.
    alone = retrieve("fused", **fused)
    assert [alone[key] for key in own] == [None] * 3
    assert alone["own_speed"]["queries_per_second"] > 0


def test_a_run_of_others_is_a_retriever(data: Path, retrieve: Any, records: Any) -> None:
    lines = ["q1 Q0 Pear%20id 1 0.5 other", "q1 Q0 Apple%20id 2 0.7 other", "later Q0 unheard-of 1 1 other"]
    (data / "other.trec").write_text("\n".join(lines))
    metrics = retrieve("theirs", kind="run", file=str(data / "other.trec"))
    assert titles(data, "theirs", records) == [["Apple", "Pear"], []]
    assert (metrics["unknown_questions"], metrics["empty"], metrics["recall@2"]) == (1, 1, 0.5)
    assert metrics["file_sha256"] == file_sha256(data / "other.trec")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "q1 Q0 Apple%20id 1 3 t\nq1 Q0 nowhere 2 2 t\nq%202 Q0 lost 1 1 t\n",
            "other.trec:2: there is no passage 'nowhere' in ",
        ),
        (
            "q9 Q0 Apple%20id 1 3 t\n",
            "other.trec: is a run of other questions (it has 'q9', for one); correct the path",
        ),
        ("", "other.trec: is a run of other questions (it has no line); correct the path"),
        ("q1 Apple 1 3 t\n", "other.trec:1: not a line of a TREC run"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(data: Path, refused: Any, text: str, said: str) -> None:
    path = data / "other.trec"
    path.write_text(text)
    found = refused(*arguments(data, "theirs", {"kind": "run", "file": str(path)}))
    assert said in found
    assert found.count("\n") == 1
    assert "nowhere" not in text or "and so it is with 2 of 3 lines; set dataset.corpus to what was searched" in found
    assert not (data / "contexts").exists() or not list((data / "contexts").iterdir())
    assert not (data / "runs").exists() or not list((data / "runs").iterdir())


def test_an_index_is_asked_for_where_one_is_needed(data: Path, refused: Any, retrieve: Any) -> None:
    said = refused(*arguments(data, "words", {"kind": "bm25"}))
    assert "retrievers.words: bm25 searches an index; make one with hopeval index" in said
    retrieve("words", kind="bm25")
    index = ["--indexes", f"words={data / 'indexes' / 'words.json'}"]
    said = refused(*arguments(data, "words", {"kind": "bm25", "k1": 2.0}, *index))
    assert "is an index of other passages than" in said
    assert "or of other settings, or made with another bm25s" in said


def test_questions_without_a_known_term_are_counted(data: Path, retrieve: Any, question: Any) -> None:
    texts = ["An apple?", "Zyzzyva?", "", "?!", "Is it of the?"]
    write_records(data / "questions.jsonl", [question(f"q{i}", text=text) for i, text in enumerate(texts)])
    metrics = retrieve("words", kind="bm25")
    assert metrics["empty"] == 4
    run = RunFile(data / "runs" / "words.trec")
    assert [hit.id for hit in run.ranking("q0")] == ["Apple id"]
    assert list(run.questions) == ["q0"]


def test_passages_without_text_are_found_by_their_titles(data: Path, retrieve: Any, records: Any, hopeval: Any) -> None:
    nothing = [Passage(id="1", title="Plum", sentences=[]), Passage(id="2", title="Apple", sentences=["", " "])]
    write_records(data / "passages.jsonl", [*nothing, Passage(id="3", title="", sentences=[])])
    metrics = retrieve("words", kind="bm25")
    assert titles(data, "words", records) == [["Apple"], ["Plum"]]
    assert metrics["index"]["passages"] == 3
    assert hopeval("search", "plum", "--retriever", "words").split()[2:] == ["Plum"]


def test_passages_with_the_same_id_are_refused(data: Path, refused: Any) -> None:
    write_records(data / "passages.jsonl", [Passage(id="1", title="Plum", sentences=[])] * 2)
    corpus = ["--corpus", data / "passages.jsonl", "--output", data / "indexes" / "words.json"]
    for arguments_of in (
        ["index", "--retriever", "words", "--settings", '{"kind": "bm25"}', *corpus],
        arguments(data, "words", {"kind": "none"}),
    ):
        assert "passages.jsonl:2: passage id '1'" in refused(*arguments_of)
    assert not (data / "indexes").exists()


# Search


def test_search_shows_what_a_run_would_find(data: Path, retrieve: Any, hopeval: Any) -> None:
    retrieve("words", kind="bm25")
    out = hopeval("search", "blue plums", "--retriever", "words")
    assert out.splitlines()[0].split() == ["1", out.split()[1], "Plum"]
    assert float(out.split()[1]) > 0
    # What a passage says does not steer the terminal.
    assert "0  Plums\\x1b[31m are blue." in out
    assert hopeval("search", "pear apple", "--retriever", "words", "-k", 1).count("\n") == 2


def test_search_goes_through_what_a_retriever_is_built_on(retrieve: Any, hopeval: Any) -> None:
    retrieve("words", kind="bm25")
    retrieve("stems", kind="bm25", stemmer=None)
    retrieve("fused", kind="hybrid", of=["words", "stems"])
    out = hopeval("search", "a pear tree", "--retriever", "fused", "--results", "results/mine")
    assert out.splitlines()[0].split() == ["1", f"{2 / 61:.4f}", "Pear"]


def test_search_knows_the_questions_of_the_data_set(data: Path, retrieve: Any, hopeval: Any) -> None:
    retrieve("gold", kind="gold")
    for name in ("q1", "Which apple or pear?"):
        out = hopeval("search", name, "--retriever", "gold")
        assert [line.split()[2:] for line in out.splitlines()[::2]] == [["Apple", "(gold)"], ["Pear", "(gold)"]]
    assert hopeval("search", "another", "--retriever", "gold") == ""


def test_search_marks_judged_passages_by_their_ids(data: Path, retrieve: Any, hopeval: Any, question: Any) -> None:
    twins = [Passage(id=i, title="Plum", sentences=["A plum."]) for i in ("right", "wrong")]
    write_records(data / "passages.jsonl", twins)
    write_records(data / "questions.jsonl", [question("q1", text="Plum?", relevant={"right": 1})])
    retrieve("words", kind="bm25")
    out = hopeval("search", "q1", "--retriever", "words")
    assert [line.split()[2:] for line in out.splitlines()[::2]] == [["Plum", "(gold)"], ["Plum"]]


def test_search_where_nothing_has_run_is_told(data: Path, retrieve: Any, refused: Any) -> None:
    said = refused("search", "?", "--retriever", "words")
    assert "--results: name the results folder in which 'words' has run; found no such folder" in said
    said = refused("search", "?", "--retriever", "words", "--results", data)
    assert "words.metrics.json: there is none, so 'words' has not run here; run it first" in said
    retrieve("words", kind="bm25")
    path = data / "contexts" / "words.metrics.json"
    path.write_text(json.dumps({"retriever": "words"}))
    said = refused("search", "?", "--retriever", "words")
    assert "does not say what was searched; retrieve again" in said
