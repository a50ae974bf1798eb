"""Dense retrieval and reranking as rules: jobs under another interpreter, shards, and what runs again."""

import subprocess
import sys
from pathlib import Path

import pytest

from places import Place, copy_checkout, fake

CONTEXTS = "results/tiny/contexts/reranked.jsonl"


@pytest.fixture
def place(tmp_path: Path, python: Path, models: Path) -> Place:
    """Where passages are embedded in two jobs, and what is found is reranked."""
    place = Place(tmp_path / "place", copy_checkout(tmp_path / "checkout"))
    place.questions(4)
    place.configure(retrievers=sections(python, models), reader=fake())
    return place


def sections(python: Path, models: Path, **settings: object) -> dict[str, dict[str, object]]:
    both = {"python": str(python)}
    encoder, overlap = (str(models / name / "model") for name in ("encoder", "overlap"))
    dense = {"kind": "dense", "model": encoder, "shards": 2, **both, **settings}
    return {"dense": dense, "reranked": {"kind": "rerank", "of": "dense", "model": overlap, "first": 5, **both}}


def kept_scores(place: Place) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (place.results / "kept").rglob("*.json")}


def test_passages_are_embedded_indexed_searched_and_reranked(place: Place, python: Path, models: Path) -> None:
    run = place.do(CONTEXTS)
    assert run.jobs == {"prepare": 1, "embed": 2, "index": 1, "retrieve": 2}
    assert place.do(CONTEXTS).nothing_to_do

    place.configure(retrievers=sections(python, models, batch_size=4, threads=2), reader=fake())
    assert place.do(CONTEXTS).nothing_to_do
    place.configure(retrievers=sections(python, models, query_prefix="? "), reader=fake())
    assert place.do(CONTEXTS).jobs == {"retrieve": 2}

    scored = kept_scores(place)
    assert scored
    assert place.do(CONTEXTS, "--forcerun", "retrieve").jobs == {"retrieve": 2}
    assert kept_scores(place) == scored

    search = [sys.executable, "-m", "hopeval", "search", "bada", "--retriever", "dense", "-k", "2"]
    environment = place.environment() | {"PYTHONPATH": str(place.checkout / "workflow")}
    said = subprocess.run(search, cwd=place.folder, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(" 1  ")


def test_a_model_and_an_interpreter_that_are_not_there_are_told_at_once(place: Place, models: Path) -> None:
    place.configure(retrievers=sections(Path("nowhere/python"), models, model="models/none"), reader=fake())
    run = place.run(CONTEXTS)
    assert "retrievers.dense.model: no file at 'models/none'" in run.output
    assert "retrievers.dense.python: found 'nowhere/python'; there is no such program" in run.output
    assert not (place.results / "questions.jsonl").exists()
