"""What goes wrong on a cluster: the same command again asks only for what is missing."""

import json
import os
import signal

import pytest

from slurm.places import RESPONSES
from waiting import wait_until


def keys(calls):
    return [line.split()[1] for line in calls]


def journaled(place):
    files = (place.results / "readers/reader/journal").glob("*.jsonl")
    return {json.loads(line)["key"] for file in files for line in file.read_text().splitlines()}


def wanted(place):
    return set(place.keys("readers/reader/requests.jsonl"))


def untouched(place):
    """When each response file was written."""
    return {path.name: path.stat().st_mtime_ns for path in (place.results / "readers/reader/responses").iterdir()}


def test_a_killed_shard_is_named_with_question_and_log_and_alone_runs_again(place):
    place.questions(8)
    crashing = {"only_question": "q5", "mended": "mended"}
    place.configure(reader=place.reader("CrashingEngine", shards=4, gpus=1, options=crashing))

    run = place.run(RESPONSES)
    assert run.code != 0
    before, kept = place.asked(), untouched(place)
    assert len(kept) == 3
    (failed,) = {f"{i}-of-4" for i in range(1, 5)} - {name.removesuffix(".jsonl") for name in kept}
    told = run.output.split("What failed")[1]
    assert f"shard {failed} of reader reader failed" in told
    assert "ended without a word while asking 'q5'" in told
    assert f"results/tiny/logs/infer/reader/{failed}.log ends with:" in told
    assert "  | engines:CrashingEngine ready" in told
    assert f"{failed}  failed" in place.status()

    (place.folder / "mended").touch()
    run = place.do(RESPONSES)
    after = place.asked()
    assert run.jobs == {"infer": 1, "merge": 1}
    assert not set(before) & set(after)
    assert set(before) | set(after) == wanted(place)
    assert kept.items() <= untouched(place).items()
    assert "asking 'q5'; that one is gone: taken over" in place.log(failed)
    assert "4 shards, 4 done" in place.status()


def test_cancelled_and_out_of_time(place):
    place.questions(12)
    place.configure(reader=place.reader("HoldingEngine", shards=3, options={"after": 2, "go": "go"}))
    process = place.start(RESPONSES, "--configfile", "mine.yaml")
    # Two answers and one request in flight in each shard.
    place.wait_for_calls(9)
    wait_until(lambda: len(journaled(place)) == 6)
    answered = journaled(place)
    place.bed.call("scancel", place.bed.job_of("1-of-3"))
    place.bed.call("scontrol", "update", f"jobid={place.bed.job_of('2-of-3')}", "timelimit=00:00:01")
    wait_until(lambda: [state for state, _ in place.bed.active().values()] == ["RUNNING"])
    (place.folder / "go").touch()
    output, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "status is: 'CANCELLED'" in output
    assert "status is: 'TIMEOUT'" in output
    kept = untouched(place)
    assert set(kept) == {"3-of-3.jsonl"}
    answered |= journaled(place)
    place.asked()

    run = place.do(RESPONSES)
    assert run.jobs == {"infer": 2, "merge": 1}
    asked = place.asked()
    assert len(asked) == len(set(asked))
    assert set(asked) == wanted(place) - answered
    assert kept.items() <= untouched(place).items()


def test_a_node_goes_down_and_its_jobs_are_requeued(place):
    place.questions(8)
    place.configure(reader=place.reader("HoldingEngine", shards=2, gpus=5, options={"after": 2, "go": "go"}))
    process = place.start(RESPONSES, "--configfile", "mine.yaml")
    place.wait_for_calls(6)
    wait_until(lambda: len(journaled(place)) == 4)
    answered, before = journaled(place), keys(place.calls())
    # Five of eight GPUs each: one shard on each node, and the lost one waits for the other's.
    lost = place.bed.jobs_on("n0")
    place.bed.crash("n0")
    wait_until(lambda: [job for job, (state, _) in place.bed.active().items() if state == "PENDING"] == lost)
    # SLURM lets a requeued job wait for two minutes; an administrator need not.
    place.bed.call("scontrol", "update", f"jobid={lost[0]}", "starttime=now")
    (place.folder / "go").touch()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert "that one is gone: taken over" in place.log("1-of-2") + place.log("2-of-2")
    again = keys(place.calls())[len(before) :]
    assert not answered & set(again)
    assert set(before) | set(again) == wanted(place)
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(wanted(place))


@pytest.mark.parametrize("known_by", ["process table", "squeue"])
def test_snakemake_killed_and_restarted_while_its_jobs_run(place, known_by):
    if known_by == "squeue":
        place.spread()
    place.questions(8)
    place.configure(reader=place.reader("HoldingEngine", shards=2, options={"after": 2, "go": "go"}))
    process = place.start(RESPONSES, "--configfile", "mine.yaml")
    place.wait_for_calls(6)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running = {place.bed.job_of(shard) for shard in ("1-of-2", "2-of-2")}
    told = place.status()
    assert "2 shards, 2 running" in told
    assert all(f"SLURM job {job}" in told for job in running)
    place.do("--unlock")

    # Other shards would ask what these are asking: refused, with the jobs' names.
    run = place.run(RESPONSES, "--set-scatter", "reader=3")
    assert run.code != 0
    assert "jobs of an earlier run are still at work" in run.output
    assert f"scancel {' '.join(sorted(running))}" in run.output

    process = place.start(RESPONSES, "--configfile", "mine.yaml")
    wait_until(lambda: all("waiting until it is done or gone" in place.log(shard) for shard in ("1-of-2", "2-of-2")))
    (place.folder / "go").touch()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert sorted(keys(place.calls())) == sorted(wanted(place))
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(wanted(place))
    assert "2 shards, 2 done" in place.status()


@pytest.fixture
def disk(place):
    """The results on a disk of their own, of one megabyte; resize it by calling."""
    if os.getuid():
        pytest.skip("to mount a small disk takes root")
    folder = place.bed.folder / "disk"
    folder.mkdir()
    (place.folder / "results").symlink_to(folder)
    place.bed.call("mount", "-t", "tmpfs", "-o", "size=1m", "hopeval-test", str(folder))
    yield lambda size: place.bed.call("mount", "-o", f"remount,size={size}", str(folder))
    place.end()
    place.bed.call("umount", str(folder))
    folder.rmdir()


def test_the_disk_is_full(place, disk):
    place.questions(8)
    place.configure(reader=place.reader("LongEngine", shards=1, options={"length": 200_000}))
    run = place.run(RESPONSES)
    assert run.code != 0
    assert "answers cannot be kept: No space left on device; make room" in run.output
    assert not list((place.results / "readers/reader/responses").glob("*"))
    (file,) = (place.results / "readers/reader/journal").glob("*.jsonl")
    whole = [json.loads(line)["key"] for line in file.read_bytes().split(b"\n")[:-1]]
    assert 0 < len(whole) < 8
    place.asked()

    disk("20m")
    place.do(RESPONSES)
    asked = place.asked()
    assert len(asked) == len(set(asked))
    assert set(asked) == wanted(place) - set(whole)
    assert {len(response["text"]) for response in place.read("readers/reader/responses.jsonl")} == {200_000}


def test_damaged_files_and_another_number_of_shards(place):
    place.questions(8)
    place.configure(reader=place.reader("CountingEngine", shards=2))
    place.do(RESPONSES)
    place.asked()
    folder = place.results / "readers/reader"

    # The journal of one shard: the last line torn, one in the middle corrupt. Its responses deleted by hand.
    (journal,) = (folder / "journal").glob("1-of-2.*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lost = {json.loads(line)["key"] for line in (lines[1], lines[-1])}
    damaged = lines[1][:90] + b"\xff\x00" + lines[1][92:]
    journal.write_bytes(b"".join([lines[0], damaged, *lines[2:-1], lines[-1][:-30]]))
    (folder / "responses/1-of-2.jsonl").unlink()
    # Those of the other truncated by hand: seen when they are merged, with what to do.
    truncated = folder / "responses/2-of-2.jsonl"
    os.truncate(truncated, truncated.stat().st_size - 10)
    run = place.run(RESPONSES)
    assert run.code != 0
    assert "2-of-2.jsonl" in run.output
    assert "delete the file and run infer again" in run.output
    assert f"{journal.name}:2: not a response" in place.log("1-of-2")
    assert "2 damaged lines passed over" in place.log("1-of-2")
    assert set(place.asked()) == lost

    truncated.unlink()
    run = place.do(RESPONSES, "--set-scatter", "reader=3")
    assert run.jobs["infer"] == 3
    assert place.asked() == []
    assert sorted(place.keys("readers/reader/responses.jsonl")) == sorted(wanted(place))
