"""``hopeval score`` in the place of the official script: the same files, the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hopeval.metrics.hotpotqa import METRICS

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
SCORES = DATA / "predictions" / "official_scores.json"
PAIRS: dict[str, Any] = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
ROW = {"_id": "q1", "answer": "He", "supporting_facts": [["A", 0]]}
RIGHT = {"answer": {"q1": "he"}, "sp": {"q1": [["A", 0]]}}


def score(gold: Path, predictions: Path) -> tuple[dict[str, float], str]:
    """The numbers and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "hopeval", "score", "--questions", str(gold), "--predictions", str(predictions)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.skipif(not PAIRS, reason=f"real predictions are not here: {SCORES}")
@pytest.mark.parametrize("pair", PAIRS or ["none"])
def test_numbers_are_the_official_ones(pair: str) -> None:
    predictions, gold = (DATA / name for name in pair.split(" | "))
    found, _ = score(gold, predictions)
    assert list(found) == list(METRICS)
    assert found == pytest.approx(PAIRS[pair], abs=1e-12, rel=0)


@pytest.mark.parametrize("more", [{}, {"context": None}, {"question": "Who?", "context": None}, {"context": []}])
def test_gold_needs_only_what_is_scored(write: Any, more: dict[str, Any]) -> None:
    found, said = score(write("gold.json", [{**ROW, **more}]), write("predictions.json", RIGHT))
    assert found == dict.fromkeys(METRICS, 1.0)
    assert said == ""


def test_rows_need_not_be_alike(write: Any) -> None:
    rows = [ROW, {**ROW, "_id": "q2", "question": "Who?", "context": [["A", ["He did."]]]}]
    found, _ = score(write("gold.json", rows), write("predictions.json", RIGHT))
    assert found == dict.fromkeys(METRICS, 0.5)


def test_predicted_ids_that_are_not_in_gold_are_told(write: Any) -> None:
    predictions = {"answer": {"q1": "he", "q8": "she"}, "sp": {"q1": [["A", 0]], "q9": []}}
    path = write("predictions.json", predictions)
    found, said = score(write("gold.json", [ROW]), path)
    assert found == dict.fromkeys(METRICS, 1.0)
    assert said == f"warning: {path}: 2 ids are not in gold; they do not count\n"
