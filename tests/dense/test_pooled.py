"""The published figures of all-MiniLM-L6-v2 on 500 questions over one pool of 4,937 passages.

Beside them that project's own rankings, question by question. The vectors are kept for all test runs.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dense.conftest import POOLED, Pool, Worker, alone
from hopeval.io import read_json, read_records
from hopeval.records import Context

PUBLISHED = {
    **{"any@2": 0.884, "any@5": 0.962, "any@10": 0.986},
    **{"full@2": 0.244, "full@5": 0.502, "full@10": 0.664},
    **{"recall@5": 0.732, "mrr@10": 0.869},
}


@pytest.fixture(scope="session")
def rankings(worker: Worker, minilm: Path, pool: Pool) -> SimpleNamespace:
    """The contexts and metrics of dense, bm25 and both as hybrid."""
    folder = pool.passages.parent
    sections: dict[str, dict[str, Any]] = {
        "dense": {"kind": "dense", "model": str(minilm), "title": False},
        "bm25": {"kind": "bm25"},
        "both": {"kind": "hybrid", "of": ["bm25", "dense"]},
    }
    dense = ["--retriever", "dense", "--settings", json.dumps(sections["dense"]), "--corpus", pool.passages]
    with alone(pool.store / "tests.lock"):
        worker.run(folder, "embed", *dense, "--store", pool.store, "--output", "report.json", "--threads", 2)
    for name in ("dense", "bm25"):
        mine = ["--retriever", name, "--settings", json.dumps(sections[name]), "--corpus", pool.passages]
        worker.run(folder, "index", *mine, "--store", pool.store, "--output", f"{name}.json")
    for name, section in sections.items():
        bases = {each: sections[each] for each in section.get("of", [])}
        worker.run(
            folder,
            *("retrieve", "--retriever", name, "--settings", json.dumps(section), "--bases", json.dumps(bases)),
            *("--questions", pool.questions, "--passages", pool.passages),
            *("--indexes", "bm25=bm25.json", "dense=dense.json", "--runs", *(f"{each}={each}.trec" for each in bases)),
            *("--output", f"{name}.jsonl", "--run-file", f"{name}.trec", "--metrics", f"{name}.metrics.json"),
        )
    return SimpleNamespace(
        contexts={name: list(read_records(folder / f"{name}.jsonl", Context)) for name in sections},
        metrics={name: read_json(folder / f"{name}.metrics.json") for name in sections},
    )


@pytest.fixture
def titles(rankings: SimpleNamespace) -> dict[str, list[str]]:
    """The ten best titles of dense for each question."""
    return {
        context.question_id: [passage.title for passage in context.passages] for context in rankings.contexts["dense"]
    }


def mean(values: Callable[[str], float], questions: Any) -> float:
    found = [values(question) for question in questions]
    return sum(found) / len(found)


def test_dense_has_the_published_figures(rankings: SimpleNamespace, titles: dict[str, list[str]], pool: Pool) -> None:
    def rank(question: str) -> float:
        return next((1 / n for n, title in enumerate(titles[question], 1) if title in pool.gold[question]), 0.0)

    def hits(k: int) -> Callable[[str], int]:
        return lambda question: len(pool.gold[question] & set(titles[question][:k]))

    found = {f"any@{k}": mean(lambda q, k=k: hits(k)(q) > 0, titles) for k in (2, 5, 10)}
    found |= {f"full@{k}": mean(lambda q, k=k: hits(k)(q) == len(pool.gold[q]), titles) for k in (2, 5, 10)}
    found |= {"recall@5": mean(lambda q: hits(5)(q) / len(pool.gold[q]), titles), "mrr@10": mean(rank, titles)}
    assert len(titles) == 500
    assert found == pytest.approx(PUBLISHED, abs=0.005)
    metrics = rankings.metrics["dense"]
    assert metrics["recall@5"] == pytest.approx(found["recall@5"])
    assert metrics["all_gold_recall@10"] == pytest.approx(found["full@10"])


def test_dense_ranks_as_the_other_project_does(titles: dict[str, list[str]]) -> None:
    with open(POOLED / "dense_results.csv", newline="") as file:
        theirs = {
            row["example_id"]: row["retrieved_titles"].split(" | ")[:10]
            for row in csv.DictReader(file)
            if row["setting"] == "pooled"
        }
    same = sum(ours == other for q in theirs for ours, other in zip(titles[q], theirs[q], strict=True))
    assert same / 5000 > 0.98


def test_hybrid_beats_both_it_is_made_of(rankings: SimpleNamespace) -> None:
    recall = {name: metrics["recall@5"] for name, metrics in rankings.metrics.items()}
    assert recall["both"] > max(recall["bm25"], recall["dense"])
