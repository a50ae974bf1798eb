"""From a questions file to the leaderboard, once through everything."""

import csv
import json

METRICS = [
    *("em", "f1", "prec", "recall", "sp_em", "sp_f1", "sp_prec", "sp_recall"),
    *("joint_em", "joint_f1", "joint_prec", "joint_recall"),
]
READING = "own_engines:ReadingEngine"


def test_every_file_is_there_and_a_second_run_has_nothing_to_do(place, fake):
    place.questions(6)
    place.configure(
        retrievers={"given": {"kind": "given"}, "bm25": {"kind": "bm25", "top_k": [1, 2]}, "none": {"kind": "none"}},
        prompts={"plain": {"template": "plain.jinja", "output": "text"}},
        experiments=["given.*", "bm25@1.cited.first", "none.cited.first"],
        **{"first": fake(READING, shards=2), "llama-3.1": fake(READING, shards=3, concurrency=4)},
    )
    plan = place.do("-n")
    assert plan.jobs["infer"] == 5
    assert not place.results.exists()

    run = place.do()
    assert run.jobs == plan.jobs
    names = ["bm25@1.cited.first", "none.cited.first"]
    names += [f"given.{prompt}.{reader}" for prompt in ("cited", "plain") for reader in ("first", "llama-3.1")]
    assert_all_files(place, names, {"first": 2, "llama-3.1": 3}, ["given", "bm25", "none"])
    assert_numbers(place, names)
    # The board's columns are aligned, the best experiment first.
    board = run.output.split("Finished jobid: 0")[1]
    assert all(name in board for name in names)
    assert board.index("given.cited.first") < board.index("bm25@1.cited.first") < board.index("none.cited.first")
    assert "leaderboard.csv" in board
    assert "report.html" in board

    place.asked()
    assert place.do().nothing_to_do
    assert place.do("-n").nothing_to_do
    assert place.asked() == []


def assert_all_files(place, experiments, shards, retrievers):
    expected = {
        "questions.jsonl",
        "passages.jsonl",
        "passages.jsonl.index",
        "skipped.jsonl",
        "dataset.json",
        "leaderboard.csv",
    }
    expected |= {"provenance.json", "report.html", "comparisons.csv", "recall.csv"}
    expected |= {f"leaderboard.{form}" for form in ("md", "tex", "svg", "png")} | {"recall.svg", "recall.png"}
    expected |= {f"contexts/{name}.{end}" for name in retrievers for end in ("jsonl", "metrics.json")}
    expected |= {f"runs/{name}.trec" for name in retrievers} | {"indexes/bm25.json"}
    for reader, n in shards.items():
        expected |= {f"readers/{reader}/{name}.jsonl" for name in ("requests", "responses")}
        names = [f"{i}-of-{n}.jsonl" for i in range(1, n + 1)]
        expected |= {f"readers/{reader}/{folder}/{name}" for folder in ("shards", "responses") for name in names}
    files = ("predictions.json", "predictions.jsonl", "results.jsonl", "metrics.json", "questions.csv")
    expected |= {f"experiments/{name}/{file}" for name in experiments for file in files}
    found = {path.relative_to(place.results).as_posix() for path in place.results.rglob("*") if path.is_file()}
    journals = {path for path in found if "/journal/" in path}
    assert {path.split("/")[1] for path in journals} == set(shards)
    assert {p for p in found - journals if not p.startswith(("logs/", "benchmarks/"))} == expected


def assert_numbers(place, experiments):
    ids = [f"q{i}" for i in range(6)]
    for name in experiments:
        metrics = place.read(f"experiments/{name}/metrics.json")
        assert list(metrics)[:12] == METRICS
        # Who is given the maker's paragraph reads the town off it; closed book, nobody knows.
        assert metrics["em"] == {"given": 1.0, "none": 0.0}.get(name.split(".")[0], metrics["em"])
        assert metrics["counts"] == {"ok": 6, "truncated": 0, "unparsable": 0, "error": 0, "missing": 0}
        official = place.read(f"experiments/{name}/predictions.json")
        assert set(official) == {"answer", "sp"}
        assert list(official["answer"]) == list(official["sp"]) == ids
        assert [r["question_id"] for r in place.read(f"experiments/{name}/predictions.jsonl")] == ids
        with open(place.results / f"experiments/{name}/questions.csv") as file:
            assert [row["id"] for row in csv.DictReader(file)] == ids
    given = place.read("experiments/given.plain.llama-3.1/predictions.json")
    assert given["answer"] == {f"q{i}": f"Town {i}" for i in range(6)}
    assert given["sp"] == {f"q{i}": [[f"Maker {i}", 1]] for i in range(6)}
    assert place.read("contexts/given.metrics.json")["judged"] == 6
    with open(place.results / "leaderboard.csv") as file:
        assert {row["experiment"] for row in csv.DictReader(file)} == set(experiments)
    # One request each for the prompts of given (two), bm25@1 and none.
    assert len(place.keys("readers/first/responses.jsonl")) == 24
    assert sorted(place.keys("readers/first/responses.jsonl")) == sorted(place.keys("readers/first/requests.jsonl"))
    assert set(place.read("provenance.json")["configuration"]["readers"]) == {"first", "llama-3.1"}


def test_contexts_file(place, fake, question):
    paragraphs = [[sentences for _, sentences in question(i)["context"]] for i in range(5)]
    items = [
        {
            "id": i,
            "query": question(i)["question"],
            "context": ["".join(sentences) if i % 2 else "\n".join(sentences) for sentences in paragraphs[i]],
            "retrieval_time": 0.25,
            "success": i != 2,
        }
        for i in range(5)
    ]
    (place.folder / "contexts.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    place.configure(dataset={"questions": "contexts.jsonl"}, reader=fake(READING))
    run = place.do()

    results = {item["id"]: item for item in place.read("experiments/given.cited.reader/results.jsonl")}
    assert set(results) == set(range(5))
    assert {i for i, item in results.items() if not item["success"]} == {2}
    assert results[2]["answer"] is None
    assert results[2]["error"]
    for i in (0, 1, 3, 4):
        assert results[i]["query"] == items[i]["query"]
        assert results[i]["retrieval_time"] == 0.25
        assert results[i]["worker_rank"] in (0, 1)
        assert results[i]["total_time"] >= results[i]["inference_time"] >= 0
    assert results[0]["answer"] == "Town 0"
    assert_not_scored(place, questions=4)
    assert "given.cited.reader" in run.output.split("Finished jobid: 0")[1]


def test_questions_without_answers(place, fake, question):
    hidden = ("answer", "supporting_facts", "type", "level")
    rows = [{key: value for key, value in question(i).items() if key not in hidden} for i in range(4)]
    (place.folder / "questions.json").write_text(json.dumps(rows))
    place.configure(reader=fake(READING))
    place.do()

    official = place.read("experiments/given.cited.reader/predictions.json")
    assert official["answer"] == {f"q{i}": f"Town {i}" for i in range(4)}
    assert official["sp"] == {f"q{i}": [[f"Maker {i}", 1]] for i in range(4)}
    assert_not_scored(place, questions=4)


def assert_not_scored(place, questions):
    metrics = place.read("experiments/given.cited.reader/metrics.json")
    assert {name: metrics[name] for name in METRICS} == dict.fromkeys(METRICS)
    assert metrics["questions"] == metrics["counts"]["ok"] == questions
    assert metrics["scored"] == 0


def test_answers_without_supporting_facts(place, fake, question):
    rows = [{key: value for key, value in question(i).items() if key != "supporting_facts"} for i in range(4)]
    (place.folder / "questions.json").write_text(json.dumps(rows))
    place.configure(reader=fake(READING))
    run = place.do()

    metrics = place.read("experiments/given.cited.reader/metrics.json")
    assert metrics["em"] == metrics["f1"] == 1.0
    assert {name: metrics[name] for name in METRICS[4:]} == dict.fromkeys(METRICS[4:])
    assert set(metrics["intervals"]) == set(METRICS[:4])
    assert "NaN" not in (place.results / "experiments/given.cited.reader/metrics.json").read_text()
    assert "±nan" not in run.output.split("Finished jobid: 0")[1]
