"""One shard of four fails."""

import re

RESPONSES = "results/tiny/readers/reader/responses.jsonl"


def test_the_others_finish_and_it_alone_runs_again(place, fake):
    place.questions(12)
    place.configure(reader=fake("engines:FailingEngine", shards=4, options={"questions": ["q5"], "mended": "mended"}))
    run = place.run(RESPONSES)
    assert run.code != 0
    assert len(place.asked()) == 12
    folder = place.results / "readers/reader"
    finished = {path.stem for path in (folder / "responses").glob("*.jsonl")}
    assert len(finished) == 3
    (failed,) = {f"{i}-of-4" for i in range(1, 5)} - finished
    assert "q5" in (folder / "shards" / f"{failed}.jsonl").read_text()

    # The end of the log is on the screen, and says which shard, which question and why.
    log = run.output.split(f"shard {failed} of reader reader failed")[1]
    assert f"results/tiny/logs/infer/reader/{failed}.log" in log
    assert re.search(rf"shard {failed} of reader 'reader': 1 of \d requests failed", log)
    assert "q5: the engine was told to fail" in log
    assert "Traceback" not in run.output

    (place.folder / "mended").touch()
    run = place.do(RESPONSES)
    assert run.jobs == {"infer": 1, "merge": 1}
    assert f"scatteritem={failed}" in run.output
    assert len(place.asked()) == 1
    assert len(place.keys("readers/reader/responses.jsonl")) == 12


def test_allowed_failures_are_counted_and_not_hidden(place, fake):
    place.questions(4)
    place.configure(reader=fake("engines:FailingEngine", shards=1, max_failures=1, options={"questions": ["q2"]}))
    run = place.do()
    metrics = place.read("experiments/given.cited.reader/metrics.json")
    assert metrics["counts"] == {"ok": 3, "truncated": 0, "unparsable": 0, "error": 1, "missing": 0}
    assert "q2" not in place.read("experiments/given.cited.reader/predictions.json")["answer"]
    header, row = run.output.split("Finished jobid: 0")[1].splitlines()[2:4]
    assert header.endswith("error")
    assert row.endswith(" 1")
