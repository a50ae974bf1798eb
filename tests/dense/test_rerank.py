"""Reranking with a small cross-encoder that prefers passages with the question's words."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dense.conftest import HANG_S, arguments
from hopeval.io import read_records, write_records
from hopeval.records import Context, Question
from hopeval.runs import RunFile

Rerank = Callable[..., dict[str, list[str]]]
TEXTS = ["bada bafe koli kono", "misu miza ruda rufe", "teli teno vosu voza", "koli misu teli bada"]


@pytest.fixture
def commands(models: Path) -> Callable[..., list[Any]]:
    """The words of the verb that reranks what the fixture below has written."""

    def made(*, kept: Path | None = None, model: str = "overlap", **settings: Any) -> list[Any]:
        section = {"kind": "rerank", "of": "found", "model": str(models / model / "model"), **settings}
        bases = {"found": {"kind": "run", "file": "found.trec"}}
        return [
            *("retrieve", "--retriever", "mine", "--settings", json.dumps(section), "--bases", json.dumps(bases)),
            *("--runs", "found=found.trec", "--questions", "questions.jsonl", "--passages", "passages.jsonl"),
            *("--output", "contexts.jsonl", "--run-file", "run.trec", "--metrics", "metrics.json"),
            *(("--kept", kept) if kept else ()),
        ]

    return made


@pytest.fixture
def rerank(
    tmp_path: Path, commands: Callable[..., list[Any]], passages: Callable[..., Path], hopeval: Callable[..., Any]
) -> Rerank:
    """Reranks all passages, which were found in the order of the corpus: ids by question."""

    def run(*questions: str, kept: Path | None = None, **settings: Any) -> dict[str, list[str]]:
        passages(*TEXTS)
        asked = {text.replace(" ", "-"): text for text in questions}
        write_records(tmp_path / "questions.jsonl", [Question(id=key, text=text) for key, text in asked.items()])
        lines = [f"{key} Q0 p{i} {i + 1} {-i} found" for key in asked for i in range(len(TEXTS))]
        (tmp_path / "found.trec").write_text("\n".join(lines) + "\n")
        hopeval(*commands(kept=kept, **settings))
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


def kept_files(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.json")}


ORDER = ["p1", "p3", "p0", "p2"]
SCORES = "[0.0, 1.0, -1.0, 0.5]"
"""Those of that order, which the model would never give."""


def test_kept_scores_are_not_worked_out_again(rerank: Rerank, tmp_path: Path) -> None:
    """They are taken from the files: other scores in there give another order."""
    assert rerank("voza", "bada", kept=tmp_path / "kept")["voza"][0] == "p2"
    files = kept_files(tmp_path / "kept")
    assert len(files) == 2
    for file in files:
        file.write_text(f"[40.0, {SCORES}]")
    assert rerank("voza", "bada", kept=tmp_path / "kept") == {"voza": ORDER, "bada": ORDER}
    speed = json.loads((tmp_path / "metrics.json").read_text())["own_speed"]
    assert speed["open_s"] > 40, "what another job has spent on it counts"
    assert speed["latency_s"] == pytest.approx(40, abs=5)


@pytest.mark.parametrize(
    "change", [{"model": "wide overlap"}, {"max_length": 8}, {"options": {"revision": "main"}}, {"first": 3}]
)
def test_scores_of_another_model_or_of_other_pairs_are_not_taken(
    rerank: Rerank, models: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    other = models / "wide overlap" / "model"
    if not other.exists():  # the same weights, and one more file
        shutil.copytree(models / "overlap" / "model", other)
        (other / "notes.txt").write_text("another")
    rerank("voza", kept=tmp_path / "kept")
    (file,) = kept_files(tmp_path / "kept")
    file.write_text(f"[1.0, {SCORES}]")
    assert rerank("voza", kept=tmp_path / "kept", **change)["voza"][0] == "p2"
    assert len(kept_files(tmp_path / "kept")) == 2


@pytest.mark.parametrize(
    "content", ["", "[1.0", "[1.0, [2.0]]", '{"a": 1}', '[1.0, [0.0, 1.0, "high", 0.5]]', "[1.0, [0.0, 1.0, NaN, 0.5]]"]
)
def test_a_file_that_holds_no_scores_is_made_anew(rerank: Rerank, tmp_path: Path, content: str) -> None:
    expected = rerank("voza", kept=tmp_path / "kept")
    (file,) = kept_files(tmp_path / "kept")
    file.write_text(content)
    assert rerank("voza", kept=tmp_path / "kept") == expected
    assert len(json.loads(file.read_text())[1]) == len(TEXTS)


def test_a_killed_job_leaves_what_it_has_scored(
    rerank: Rerank, python: Path, commands: Callable[..., list[Any]], tmp_path: Path
) -> None:
    questions = [f"{word} {number}" for number in range(75) for word in ("misu", "voza", "bada", "teno")]
    expected = rerank(*questions)
    kept = tmp_path / "kept"
    job = subprocess.Popen(**arguments(python, *commands(kept=kept)), cwd=tmp_path, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + HANG_S
    while len(kept_files(kept)) < 3:
        assert job.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < give_up
        time.sleep(0.005)
    job.kill()
    job.wait()
    left = kept_files(kept)
    assert rerank(*questions, kept=kept) == expected
    now = kept_files(kept)
    assert {file: now[file] for file in left} == left
    assert len(now) > len(left)


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
