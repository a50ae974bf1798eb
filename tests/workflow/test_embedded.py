"""The real model: the embedded default as it is, and HotpotQA's own files where they are."""

import csv
import shutil

import pytest
import yaml

MODEL = "resources/models/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def with_model(place, own_checkout, repository):
    """A place whose checkout has the model, if ours has; else a rule fetches it."""
    place.checkout = own_checkout
    if (repository / MODEL).is_file():
        (own_checkout / MODEL).parent.mkdir()
        shutil.copy(repository / MODEL, own_checkout / MODEL)
    return place


def board(place, dataset):
    with open(place.folder / "results" / dataset / "leaderboard.csv") as file:
        return {row["experiment"]: row for row in csv.DictReader(file)}


def test_the_default(with_model, repository):
    (with_model.folder / "mine.yaml").write_text(yaml.safe_dump({"dataset": {"max_questions": 4}}))
    run = with_model.do()
    assert ("embedded_model" in run.jobs) != (repository / MODEL).is_file()
    names = ["none", "bm25@2", "bm25@5", "gold"]
    rows = board(with_model, "sample")
    assert set(rows) == {f"{name}.cited.smollm2" for name in names}
    assert all(name in run.output.split("Finished jobid: 0")[1] for name in rows)
    for row in rows.values():
        assert row["questions"] == "4"
        # The schema is enforced, so that whatever is finished can be read.
        assert int(row["ok"]) + int(row["truncated"]) == 4
        assert 0 <= float(row["em"]) <= float(row["f1"]) <= 1
    assert with_model.do().nothing_to_do


@pytest.mark.parametrize(
    ("file", "retriever", "depth"), [("dev_distractor_1000.json", "given", 10), ("dev_fullwiki_400.json", "bm25", 10)]
)
def test_hotpotqa_itself(with_model, shared, file, retriever, depth):
    with_model.configure(
        dataset={"questions": str(shared(f"hotpotqa/{file}")), "max_questions": 4},
        retrievers={"given": {"kind": "given"}, "bm25": {"top_k": 2}},
        experiments=[f"{retriever}*"],
        smollm2={"shards": 2},
    )
    with_model.do()
    (row,) = board(with_model, "tiny").values()
    assert int(row["ok"]) + int(row["truncated"]) == 4
    assert 0 <= float(row["joint_f1"]) <= float(row["sp_f1"]) <= 1
    found = [len(context["passages"]) for context in with_model.read(f"contexts/{retriever}.jsonl")]
    assert found == [depth] * 4
