"""hopeval status: what the files of a run say, as it goes on and after a crash."""

import os
import re
import time

import msgspec
import pytest

from hopeval import state
from hopeval.claims import Claim, claim_path
from hopeval.owners import Owner, this_process

ELSEWHERE = Owner(host="n1", process=7, started=1, machine="another", job="12")


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results" / "tiny")


class Results:
    """A results folder with the reader ``reader``, made by hand."""

    def __init__(self, folder):
        self.folder, self.reader = folder, folder / "readers" / "reader"

    def shards(self, count, answered=()):
        for number in range(1, count + 1):
            chunk = self.write("shards", f"{number}-of-{count}.jsonl")
            os.utime(chunk, (time.time() - 1000,) * 2)
            if number in answered:
                self.write("responses", f"{number}-of-{count}.jsonl")

    def write(self, *path, text=""):
        file = self.reader.joinpath(*path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def claim(self, shard, owner=ELSEWHERE, asking="", silent_s=0.0, **fields):
        claim = Claim(shard=shard, owner=owner, since="2026-01-01T00:00:00+00:00", **fields)
        (self.reader / "journal").mkdir(parents=True, exist_ok=True)
        path = claim_path(self.reader / "journal", shard, 1)
        path.write_bytes(msgspec.json.encode(claim))
        if asking:
            path.with_suffix(".asking").write_text(asking)
        os.utime(path, (time.time() - silent_s,) * 2)
        return path

    def log(self, name, text):
        file = self.folder / "logs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


def states(results):
    return [shard.state for shard in state.shards(results.folder, state.Work("reader"))]


def test_a_run_in_the_middle(results, hopeval):
    results.shards(5, answered=[1])
    results.claim("1-of-5", total=10, through=10, state="done")
    results.claim("2-of-5", total=10, through=6, journaled=2, working_s=2.0, failed=1)
    results.claim("3-of-5", total=10, through=3, state="failed", reason="no more\nat all")
    results.claim("4-of-5")
    out = hopeval("status", results.folder)
    assert out.splitlines() == [
        f"{results.folder}: no leaderboard yet",
        "",
        # 4 + 7 of those counted, and 10 each of the two that are not; 2 requests a second.
        "reader reader: 5 shards, 1 done, 2 running, 1 failed, 1 to do; 2.0 requests/s, about 16 s left",
        "  2-of-5  running  6 of 10 requests, 2.0 requests/s, about 2 s left, 1 failed; SLURM job 12, process 7 on n1",
        "  3-of-5  failed   no more",
        f"                   log: {results.folder}/logs/infer/reader/3-of-5.log",
        "  4-of-5  running  has just begun; SLURM job 12, process 7 on n1",
    ]


def test_silence_is_death_and_the_questions_that_were_asked_are_named(results, hopeval):
    results.shards(1)
    results.claim("1-of-1", silent_s=400, working_s=9.0, asking="q1\nq2\n\n\n")
    assert states(results) == ["failed"]
    told = hopeval("status", results.folder)
    assert re.search(r"ended without a word while asking 'q1', 'q2'; last sign of life 40\d s ago", told)


def test_process_of_this_machine_that_is_gone_is_dead_at_once(results):
    results.shards(2)
    me = this_process()
    results.claim("1-of-2", owner=me)
    results.claim("2-of-2", owner=msgspec.structs.replace(me, started=me.started - 1))
    assert states(results) == ["running", "failed"]


def test_what_is_older_than_the_division_does_not_count(results):
    results.shards(2, answered=[1, 2])
    results.claim("2-of-2", state="failed", reason="x")
    for path in results.reader.glob("shards/*"):
        os.utime(path, (time.time() + 100,) * 2)
    assert states(results) == ["to do", "to do"]


def test_responses_outweigh_the_death_of_who_wrote_them(results):
    results.shards(1, answered=[1])
    results.claim("1-of-1", silent_s=400, working_s=9.0)
    assert states(results) == ["done"]


@pytest.mark.parametrize(
    ("owner", "silent_s", "expected"),
    [(this_process(), 9000, "running"), (ELSEWHERE, 100, "running"), (ELSEWHERE, 400, "failed")],
    ids=["known to live", "silent for a while", "silent for long"],
)
def test_what_silence_means(results, owner, silent_s, expected):
    results.shards(1)
    os.utime(results.reader / "shards" / "1-of-1.jsonl", (1, 1))
    results.claim("1-of-1", owner=owner, silent_s=silent_s, total=3)
    assert states(results) == [expected]


def test_an_engine_is_ready_once_it_was_asked(results, hopeval):
    results.shards(2)
    results.claim("1-of-2", total=4)
    results.claim("2-of-2", total=4, working_s=7.0)
    out = hopeval("status", results.folder)
    assert "1-of-2  running  0 of 4 requests, engine not ready yet;" in out
    assert "2-of-2  running  0 of 4 requests, none answered yet;" in out


def test_mistake_before_the_claim_is_found_in_the_log(results, hopeval):
    results.shards(1)
    results.log("infer/reader/1-of-1.log", "warming up\nhopeval infer: readers.reader.gpus: 2 needed\n")
    assert "1-of-1  failed   hopeval infer: readers.reader.gpus: 2 needed" in hopeval("status", results.folder)


def test_other_jobs_that_failed(results, hopeval):
    results.log("prepare.log", "hopeval prepare: mine.json:3: malformed\nmend it\n")
    results.log("score/a.b.log", "fine\n")
    results.log("retrieve/bm25.log", "Traceback (most recent call last):\n  x\nKeyError: 1\n")
    out = hopeval("status", results.folder)
    assert "prepare failed: hopeval prepare: mine.json:3: malformed" in out
    assert "retrieve bm25 failed: Traceback" in out
    assert "score" not in out
    ends = hopeval("status", results.folder, "--failed")
    assert "  | KeyError: 1" in ends
    assert f"{results.folder}/logs/prepare.log ends with:" in ends


def test_failure_that_the_run_went_on_without_is_past(results, hopeval):
    shard, prepare = (results.log(f"{name}.log", "hopeval x: no\n") for name in ("shard/reader", "prepare"))
    for log in (shard, prepare):
        os.utime(log, (time.time() - 500,) * 2)
    results.write("responses.jsonl")
    assert "shard reader failed" not in hopeval("status", results.folder)
    assert "prepare failed" in hopeval("status", results.folder)
    (results.folder / "leaderboard.csv").touch()
    assert "failed" not in hopeval("status", results.folder)


@pytest.mark.parametrize("goes_on", ["working", "done"])
def test_failure_is_told_although_jobs_of_an_earlier_run_go_on(goes_on, results, hopeval):
    results.shards(2, answered=[1])
    results.write("responses.jsonl")
    os.utime(results.reader / "responses.jsonl", (time.time() - 900,) * 2)
    log = results.log("shard/reader.log", "hopeval shard: jobs of an earlier run are still at work\n")
    os.utime(log, (time.time() - 5,) * 2)
    results.claim("1-of-2", state=goes_on)
    assert "shard reader failed: hopeval shard: jobs of an earlier run" in hopeval("status", results.folder)
    assert "shard reader failed\n" in hopeval("status", results.folder, "--failed")


def test_failed_shows_the_end_of_each_log_and_no_control_characters(results, hopeval):
    results.shards(1)
    results.log("infer/reader/1-of-1.log", "".join(f"line {n}\n" for n in range(30)) + "\x1b[31mred\n")
    results.claim("1-of-1", state="failed", reason="\x1b[2Jwiped")
    out = hopeval("status", results.folder, "--failed")
    assert "shard 1-of-1 of reader reader failed: \\x1b[2Jwiped" in out
    assert "  | line 29\n  | \\x1b[31mred" in out
    assert "line 20\n" not in out
    assert "\x1b" not in out


def test_nothing_failed(results, hopeval):
    results.shards(1, answered=[1])
    out = hopeval("status", results.folder, "--failed")
    assert "no log ends with an error" in out
    assert ".snakemake/slurm_logs" in out


def test_watch_ends_when_all_is_done(results, hopeval, monkeypatch):
    results.shards(2, answered=[1])
    monkeypatch.setattr("time.sleep", lambda seconds: results.write("responses", "2-of-2.jsonl"))
    assert hopeval("status", results.folder, "--watch").count("reader reader:") == 2


def test_watch_begins_before_there_is_anything(results, hopeval, monkeypatch):
    (results.folder / "readers").mkdir(parents=True)
    steps = [
        lambda: (results.folder / "readers" / "other").mkdir(),
        lambda: results.shards(1, answered=[1]),
        lambda: (results.folder / "readers" / "other").rmdir(),
    ]
    monkeypatch.setattr("time.sleep", lambda seconds: steps.pop(0)())
    hopeval("status", results.folder, "--watch")
    assert not steps


def test_long_lists_are_cut(results, hopeval):
    results.shards(60)
    for number in range(1, 61):
        results.claim(f"{number}-of-60")
    out = hopeval("status", results.folder)
    assert out.count("has just begun") == 50
    assert "and 10 more" in out


def test_the_queries_of_a_hop_are_a_work_of_their_own(results, hopeval):
    hop = Results(results.folder)
    hop.reader = results.reader / "hops" / "twice-two-3"
    hop.shards(2, answered=[2])
    hop.claim("1-of-2", state="failed", reason="no room")
    log = hop.log("infer/reader/hops/twice-two-3/1-of-2.log", "hopeval infer: no room\n")
    out = hopeval("status", results.folder)
    assert "reader reader for hop 3 of twice-two: 2 shards, 1 done, 1 failed" in out
    assert "reader reader:" not in out
    assert f"log: {log}" in out
    assert "shard 1-of-2 of reader reader for hop 3 of twice-two failed" in hopeval(
        "status", results.folder, "--failed"
    )
    (results.reader / "requests.jsonl").touch()
    assert "reader reader: not divided into shards yet" in hopeval("status", results.folder)


def test_watch_goes_on_from_the_hops_to_the_experiments(results, hopeval, monkeypatch):
    hop = Results(results.folder)
    hop.reader = results.reader / "hops" / "twice-2"
    hop.shards(1, answered=[1])
    steps = [lambda: results.shards(1), lambda: results.shards(1, answered=[1])]
    monkeypatch.setattr("time.sleep", lambda seconds: steps.pop(0)())
    hopeval("status", results.folder, "--watch")
    assert not steps


def test_a_hop_that_could_not_be_divided_is_told_until_it_is(results, hopeval):
    log = results.log("shard/reader/hops/twice-2.log", "hopeval shard: still at work\n")
    os.utime(log, (time.time() - 100,) * 2)
    assert "shard reader/hops/twice-2 failed: hopeval shard: still at work" in hopeval("status", results.folder)
    results.write("hops", "twice-2", "responses.jsonl")
    assert "failed" not in hopeval("status", results.folder)


def test_before_anything_is_there(tmp_path, refused, hopeval):
    assert "no such folder" in refused("status", tmp_path / "none")
    (tmp_path / "readers" / "reader").mkdir(parents=True)
    assert "reader reader: not divided into shards yet" in hopeval("status", tmp_path)
