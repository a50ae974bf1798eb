"""Two hops over corpora small enough to follow by hand, and over real data where it is."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hopeval.config import parse_retriever
from hopeval.errors import ConfigError
from hopeval.indexes import made_index
from hopeval.io import write_json, write_records
from hopeval.passages import PassageStore
from hopeval.records import Hit, Passage, Question
from hopeval.retrievers.bases import Base, retriever_class, with_bases
from hopeval.retrievers.mentions import follow_up, mentioned
from hopeval.runs import RunWriter

Found = Callable[..., list[str]]
QUESTION = "Where was the director of the film Silent Harbour born?"
FILMS = {
    "Silent Harbour": "Silent Harbour is a silent film about a harbour, by Mara Voss.",
    "Mara Voss": "Mara Voss (1950 Elmstead) makes films.",
    "Loud Harbour": "Loud Harbour is a book about a director.",
    "Village": "A place in which people are born.",
    "Silent Night": "A song.",
    "Voss": "A brand of water.",
}


class World:
    """Passages in a folder, and retrievers over them."""

    def __init__(self, folder: Path, texts: dict[str, str]) -> None:
        self.folder = folder
        write_records(folder / "p.jsonl", [Passage(id=t, title=t, sentences=[text]) for t, text in texts.items()])
        self.store = PassageStore(folder / "p.jsonl")

    def retriever(self, name: str, runs: dict[str, Path] | None = None, **sections: Any) -> Base:
        """The retriever of this name, with what its settings are built on."""
        parsed = {each: parse_retriever(section) for each, section in sections.items()}
        manifests = {each: self._index(each, settings) for each, settings in parsed.items() if settings.INDEXED}
        return with_bases(name, parsed, self.store, self.store, manifests, runs or {})

    def _index(self, name: str, settings: Any) -> Path:
        index, _ = made_index(
            settings, retriever_class(settings, name), self.store.path, self.folder / "indexes", PassageStore
        )
        write_json(self.folder / f"{name}.json", msgspec.to_builtins(index))
        return self.folder / f"{name}.json"

    def found(self, question: str = QUESTION, depth: int = 10, **settings: Any) -> list[Hit]:
        """What two hops over bm25 find."""
        two = {"kind": "two-hop", "of": "bm25", **settings}
        opened = self.retriever("two", two=two, bm25={"kind": "bm25"}).open()
        return opened.retrieve([Question(id="q", text=question)], depth)[0]


@pytest.fixture
def films(tmp_path: Path) -> World:
    return World(tmp_path, FILMS)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_the_second_passage_is_found_through_the_name_in_the_first(films: World) -> None:
    first = films.retriever("bm25", bm25={"kind": "bm25"}).open().retrieve([Question(id="q", text=QUESTION)], 10)[0]
    assert ids(first)[0] == "Silent Harbour"
    assert "Mara Voss" not in ids(first)[:3]
    assert ids(films.found())[:2] == ["Silent Harbour", "Mara Voss"]


def test_without_any_weight_the_first_hop_stays_as_it_is(films: World) -> None:
    first = films.retriever("bm25", bm25={"kind": "bm25"}).open().retrieve([Question(id="q", text=QUESTION)], 10)[0]
    found = films.found(second=0, link=0, mention=0)
    assert [hit.id for hit in found if hit.id in ids(first)] == ids(first)
    assert not any(hit.score for hit in found if hit.id not in ids(first))


def test_each_weight_lifts_what_it_is_for(films: World) -> None:
    only = dict.fromkeys(("second", "link", "mention"), 0)
    assert ids(films.found(**{**only, "mention": 2}))[0] == "Silent Harbour"
    scores = {hit.id: hit.score for hit in films.found(**{**only, "link": 5, "passages": 1})}
    assert max(scores, key=scores.__getitem__) == "Mara Voss"  # mentioned by the first passage; "Voss" is a part of it
    assert scores["Voss"] == 0.0
    scores = {hit.id: hit.score for hit in films.found(**{**only, "second": 5, "passages": 1})}
    assert max(scores, key=scores.__getitem__) == "Mara Voss"


def test_only_the_first_passages_are_followed(tmp_path: Path) -> None:
    texts = {"Alpha": "apple apple Gamma", "Beta": "apple Delta", "Gamma": "one", "Delta": "two"}
    world = World(tmp_path, texts)
    assert set(ids(world.found("apple", passages=1))) == {"Alpha", "Beta", "Gamma"}
    assert set(ids(world.found("apple", passages=2))) == set(texts)


def test_a_question_without_a_known_term_finds_nothing(films: World) -> None:
    assert films.found("Zzz?") == []


def test_rankings_are_as_deep_as_asked_fall_and_hold_nothing_twice(films: World) -> None:
    for depth in (1, 2, 3, 100):
        found = films.found(depth=depth)
        assert found == films.found()[:depth]
        assert len(found) == len(set(ids(found))) == min(depth, len(films.found()))
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_many_questions_find_what_each_finds_alone(films: World) -> None:
    sections = {"two": {"kind": "two-hop", "of": "bm25"}, "bm25": {"kind": "bm25"}}
    texts = [QUESTION, "Zzz?", "Who is Mara Voss?", "water"]
    questions = [Question(id=text, text=text) for text in texts]
    together = films.retriever("two", **sections).open().retrieve(questions, 5)
    assert together == [films.found(text, depth=5) for text in texts]


def test_the_second_hop_searches_although_there_are_run_files(films: World, tmp_path: Path) -> None:
    sections = {
        "two": {"kind": "two-hop", "of": "both", "passages": 1},
        "both": {"kind": "hybrid", "of": ["bm25", "flat"]},
        "bm25": {"kind": "bm25"},
        "flat": {"kind": "bm25", "k1": 0.5},
    }
    runs = {name: tmp_path / f"{name}.trec" for name in ("both", "bm25", "flat")}
    for path in runs.values():
        with RunWriter(path, "run") as run:
            run.write("q", [Hit("Silent Harbour", 1.0)])  # the first hop, as the run files have it
    (found,) = films.retriever("two", runs, **sections).on_runs.retrieve([Question(id="q", text=QUESTION)], 10)
    assert ids(found)[:2] == ["Silent Harbour", "Mara Voss"]


def test_what_it_is_built_on_is_one_name() -> None:
    with pytest.raises(ConfigError, match=r"of: .*string"):
        parse_retriever({"kind": "two-hop", "of": ["a", "b"]})


# What leads on


@pytest.mark.parametrize(
    ("question", "passage", "expected"),
    [
        ("Who wrote it?", "Who wrote it? Ann did.", "Ann"),
        ("Where was ANN born?", "Ann, a poet.", "Where was born"),  # a known name is no new one
        ("Ann?", "ann", "Ann?"),  # nothing left: the question again
        ("when", "In 1990, Émile left Ōsaka", "when In 1990 Émile Ōsaka"),
        ("", "", ""),
    ],
)
def test_a_follow_up_has_what_is_open_and_what_is_new(question: str, passage: str, expected: str) -> None:
    assert follow_up(question, passage) == expected


@pytest.mark.parametrize(
    ("text", "titles", "expected"),
    [
        ("Ed Wood directed it.", ["Ed Wood", "Ed Wood (film)", "Ed", "Wood"], ["Ed Wood", "Ed Wood (film)"]),
        ("ed wood directed it.", ["Ed Wood"], []),
        ("The The is a band; It is a novel", ["The The", "The", "It", "It (novel)"], ["The The"]),
        ("In 1990 and on A", ["1990", "A"], []),
        ("In 1990 Grand Prix", ["1990 Grand Prix"], ["1990 Grand Prix"]),
        ("Schindler's List, by Spielberg.", ["Schindler's List", "List"], ["Schindler's List"]),
        ("the émigré of Ōsaka", ["Ōsaka", "émigré"], ["Ōsaka"]),
        ("", ["A B"], []),
        ("A B", ["", "()", "?"], []),
    ],
)
def test_a_mention_is_the_longest_title_that_begins_large(text: str, titles: list[str], expected: list[str]) -> None:
    assert sorted(mentioned(text, {title: title for title in titles})) == expected


# Real data


def test_two_hops_beat_a_published_reranker_on_its_own_pool(shared: Any, tmp_path: Path) -> None:
    lines = shared("pooled500/pooled_corpus_validation_500_title_text.jsonl").read_text().splitlines()
    world = World(tmp_path, {each["title"]: each["text"] for each in map(json.loads, lines)})
    with open(shared("pooled500/bm25_results.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["method"], row["setting"]) == ("bm25", "pooled")]
    with open(shared("pooled500/main_results_v1.csv"), newline="") as file:
        published = {row["Method"]: float(row["Full Evidence Hit Rate@5"]) for row in csv.DictReader(file)}
    opened = world.retriever("two", two={"kind": "two-hop", "of": "bm25"}, bm25={"kind": "bm25"}).open()
    found = opened.retrieve([Question(id=row["example_id"], text=row["question"]) for row in rows], 5)
    full = [set(row["gold_titles"].split(" | ")) <= set(ids(hits)) for row, hits in zip(rows, found, strict=True)]
    assert len(full) == 500
    assert sum(full) / len(full) > max(published.values()) + 0.15


def test_two_hops_beat_bm25_on_real_questions(shared: Any, hopeval: Any, tmp_path: Path) -> None:
    hopeval("prepare", "--questions", shared("hotpotqa/dev_distractor_1000.json"), "--output", tmp_path)
    bm25 = {"kind": "bm25"}
    base = ["--questions", tmp_path / "questions.jsonl", "--passages", tmp_path / "passages.jsonl"]
    manifest = tmp_path / "index.json"
    index = ["--corpus", tmp_path / "passages.jsonl", "--store", tmp_path / "indexes", "--output", manifest]
    hopeval("index", "--retriever", "bm25", "--settings", json.dumps(bm25), *index)
    base += ["--indexes", f"bm25={manifest}"]
    means = {}
    for name, settings in {"bm25": bm25, "two": {"kind": "two-hop", "of": "bm25"}}.items():
        files = ["--output", tmp_path / f"{name}.jsonl", "--run-file", tmp_path / f"{name}.trec"]
        beneath = (
            ["--bases", json.dumps({"bm25": bm25}), "--runs", f"bm25={tmp_path}/bm25.trec"] if name == "two" else []
        )
        metrics = ["--metrics", tmp_path / f"{name}.json"]
        hopeval("retrieve", "--retriever", name, "--settings", json.dumps(settings), *base, *beneath, *files, *metrics)
        by_type = json.loads((tmp_path / f"{name}.json").read_text())["by_type"]
        means[name] = {kind: by_type[kind]["all_gold_recall@5"] for kind in ("bridge", "comparison")}
    assert means["two"]["bridge"] > means["bm25"]["bridge"] + 0.35
    assert means["two"]["comparison"] > means["bm25"]["comparison"] + 0.25
