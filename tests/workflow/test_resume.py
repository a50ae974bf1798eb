"""Answered once, kept for good: what is asked again after kills, changes of N and damage."""

import json
import os
import signal

from waiting import wait_until

RESPONSES = "results/tiny/readers/reader/responses.jsonl"
CRASHING = "engines:CrashingEngine"


def journaled(place):
    files = (place.results / "readers/reader/journal").glob("*.jsonl")
    return [json.loads(line)["key"] for file in files for line in file.read_text().splitlines()]


def test_a_shard_killed_half_way_then_other_numbers_of_shards(place, fake):
    place.questions(12)
    crash = {"options": {"after": 2, "mended": "mended"}}
    place.configure(reader=fake(CRASHING, shards=4, **crash))

    assert place.run(RESPONSES).code != 0
    before = place.asked()
    assert len(before) == len(set(before)) == 8
    assert set(journaled(place)) == set(before)
    assert not list((place.results / "readers/reader/responses").glob("*.jsonl"))

    (place.folder / "mended").touch()
    place.do(RESPONSES)
    after = place.asked()
    wanted = place.keys("readers/reader/requests.jsonl")
    # Each request is asked once in the two runs together.
    assert sorted(before + after) == sorted(wanted)
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(wanted)
    assert len(wanted) == 12

    place.configure(reader=fake(CRASHING, shards=7, **crash))
    run = place.do(RESPONSES)
    assert run.jobs["infer"] == 7
    assert place.do(RESPONSES).nothing_to_do
    run = place.do(RESPONSES, "--set-scatter", "reader=3")
    assert run.jobs["infer"] == 3
    assert place.asked() == []
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(wanted)


def test_snakemake_and_its_jobs_killed(place, fake):
    place.questions(20)
    place.configure(reader=fake(shards=2, options={"delay_s": 1}))
    for kill in (signal.SIGINT, signal.SIGKILL):
        before = len(journaled(place))
        process = place.start(RESPONSES, "--configfile", "mine.yaml")
        wait_until(lambda before=before: len(journaled(place)) >= before + 2)
        known = journaled(place)
        os.killpg(process.pid, kill)
        process.communicate(timeout=60)
        assert process.returncode != 0
    kept = set(journaled(place))
    place.asked()

    # Nobody took the lock of the killed run away: the message says how.
    run = place.run(RESPONSES)
    assert run.code != 0
    assert "--unlock" in run.output
    place.do("--unlock")
    place.do(RESPONSES)
    asked = place.asked()
    assert set(known) <= kept
    assert not kept & set(asked)
    assert kept | set(asked) == set(place.keys("readers/reader/responses.jsonl"))
    assert len(place.keys("readers/reader/responses.jsonl")) == 20


def test_an_added_experiment_asks_for_what_is_new(place, fake):
    place.questions(6)

    def retrievers(*ks):
        return {"given": {"kind": "given"}, "bm25": {"kind": "bm25", "top_k": list(ks)}}

    place.configure(retrievers=retrievers(1), reader=fake())
    place.do(RESPONSES)
    first = place.asked()
    assert len(first) == len(set(first)) == 12

    place.configure(retrievers={**retrievers(1, 2), "none": {"kind": "none"}}, reader=fake())
    place.do(RESPONSES)
    second = place.asked()
    assert len(second) == len(set(second)) == 12
    assert not set(first) & set(second)
    assert set(place.keys("readers/reader/responses.jsonl")) == set(first) | set(second)

    place.configure(retrievers=retrievers(2), reader=fake())
    place.do(RESPONSES)
    assert place.asked() == []
    assert len(place.keys("readers/reader/responses.jsonl")) == 12


def test_damaged_files(place, fake):
    place.questions(6)
    place.configure(reader=fake())
    place.do(RESPONSES)
    place.asked()
    responses = place.results / "readers/reader/responses/1-of-2.jsonl"
    whole = responses.read_text()

    # A torn last line in the journal, and the responses gone: that one is asked again.
    journal = next((place.results / "readers/reader/journal").glob("1-of-2.*.jsonl"))
    torn = journal.read_text().splitlines()[-1]
    os.truncate(journal, journal.stat().st_size - len(torn) // 2)
    responses.unlink()
    (place.folder / RESPONSES).unlink()
    place.do(RESPONSES)
    assert place.asked() == [json.loads(torn)["key"]]
    assert len(place.keys("readers/reader/responses.jsonl")) == 6

    # Responses that were cut off by hand never make it into the numbers.
    keys = [json.loads(line)["key"] for line in whole.splitlines()]
    for kept in (0, len(whole) // 2):
        responses.write_text(whole[:kept])
        run = place.run(RESPONSES)
        assert run.code != 0
        assert "1-of-2.jsonl" in run.output
        assert keys[-1] in run.output or "delete the file" in run.output
        assert not (place.folder / RESPONSES).exists()
        responses.unlink()
        place.do(RESPONSES)
    assert place.asked() == []
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(place.keys("readers/reader/requests.jsonl"))
