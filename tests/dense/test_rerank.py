"""Reranking with a small cross-encoder that prefers passages with the question's words."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopeval.io import read_records, write_records
from hopeval.records import Context, Question
from hopeval.runs import RunFile

Rerank = Callable[..., dict[str, list[str]]]
TEXTS = ["bada bafe koli kono", "misu miza ruda rufe", "teli teno vosu voza", "koli misu teli bada"]


@pytest.fixture
def rerank(tmp_path: Path, models: Path, passages: Callable[..., Path], hopeval: Callable[..., Any]) -> Rerank:
    """Reranks all passages, which were found in the order of the corpus: ids by question."""

    def run(*questions: str, model: str = "overlap", **settings: Any) -> dict[str, list[str]]:
        corpus, asked = passages(*TEXTS), tmp_path / "questions.jsonl"
        write_records(asked, [Question(id=text, text=text) for text in questions])
        lines = [f"{text} Q0 p{i} {i + 1} {-i} found" for text in questions for i in range(len(TEXTS))]
        (tmp_path / "found.trec").write_text("\n".join(lines) + "\n")
        section = {"kind": "rerank", "of": "found", "model": str(models / model / "model"), **settings}
        bases = {"found": {"kind": "run", "file": "found.trec"}}
        hopeval(
            *("retrieve", "--retriever", "mine", "--settings", json.dumps(section), "--bases", json.dumps(bases)),
            *("--runs", "found=found.trec", "--questions", asked, "--passages", corpus),
            *("--output", "contexts.jsonl", "--run-file", "run.trec", "--metrics", "metrics.json"),
        )
        contexts = read_records(tmp_path / "contexts.jsonl", Context)
        return {context.question_id: [passage.id for passage in context.passages] for context in contexts}

    return run


def test_passages_with_the_questions_word_come_first(rerank: Rerank) -> None:
    found = rerank("misu", "voza", "bada", "teno")
    assert set(found["misu"][:2]) == {"p1", "p3"}
    assert found["voza"][0] == "p2"
    assert set(found["bada"][:2]) == {"p0", "p3"}
    assert found["teno"][0] == "p2"
    assert all(sorted(ids) == ["p0", "p1", "p2", "p3"] for ids in found.values())


def test_all_but_the_first_keep_their_old_order(rerank: Rerank, tmp_path: Path) -> None:
    assert rerank("ruda", first=2)["ruda"] == ["p1", "p0", "p2", "p3"]
    scores = [hit.score for hit in RunFile(tmp_path / "run.trec").ranking("ruda")]
    assert scores == sorted(scores, reverse=True)


def test_a_ranking_is_as_deep_as_asked(rerank: Rerank, tmp_path: Path) -> None:
    rerank("voza", first=3)
    assert len(RunFile(tmp_path / "run.trec").ranking("voza")) == 4


def test_a_model_that_gives_no_single_score_is_refused(
    tmp_path: Path, models: Path, passages: Callable[..., Path], hopeval: Callable[..., SimpleNamespace]
) -> None:
    section = json.dumps({"kind": "rerank", "of": "words", "model": str(models / "labels" / "model")})
    write_records(tmp_path / "questions.jsonl", [Question(id="q", text="bada")])
    (tmp_path / "words.trec").write_text("q Q0 p0 1 1.0 words\n")
    said = hopeval(
        *("retrieve", "--retriever", "mine", "--settings", section, "--bases", '{"words": {"kind": "bm25"}}'),
        *("--runs", "words=words.trec", "--questions", "questions.jsonl", "--passages", passages(*TEXTS)),
        *("--output", "contexts.jsonl", "--run-file", "run.trec", "--metrics", "metrics.json"),
        code=2,
    ).err
    assert "gives 3 numbers for a pair, and ranking needs one" in said
    assert not (tmp_path / "contexts.jsonl").exists()
