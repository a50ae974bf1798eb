"""A shard is one job's at a time: at the same moment, after kill -9, after silence, whatever the clocks say."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from hopeval import claims, heartbeat, owners
from hopeval.claims import Claim, asked_last, claim_path, latest, refuse_if_worked_on, take
from hopeval.errors import HopevalError
from hopeval.heartbeat import claimed
from hopeval.owners import Owner, fate, this_process
from hopeval.records import Request, Response
from waiting import wait_until

SHARD = "1-of-2"
HOLDER = """
import sys, time
from pathlib import Path
from hopeval import claims, heartbeat
from hopeval.records import Request
claims._LOOK_S, heartbeat.BEAT_S = 0.05, 0.1
folder, events, holds_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with heartbeat.claimed(folder, "1-of-2") as beat:
    beat.counted(4, 1)
    beat.begin(Request(key="k", question_id="q7", messages=[]))
    with open(events, "a") as file:
        file.write("in\\n")
    print("in", flush=True)
    {hold}
    with open(events, "a") as file:
        file.write("out\\n")
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def quick(monkeypatch):
    """Waits that a test can wait for."""
    monkeypatch.setattr(claims, "_LOOK_S", 0.02)
    monkeypatch.setattr(claims, "SILENCE_S", 0.5)
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)


@pytest.fixture
def hold(folder, tmp_path, environment):
    """Starts a process that holds the shard for so many seconds."""
    started = []

    def start(holds_s=600.0, hold="time.sleep(holds_s)"):
        script = HOLDER.format(hold=hold)
        command = [sys.executable, "-c", script, str(folder), str(tmp_path / "events"), str(holds_s)]
        started.append(subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def claim(**differs):
    owner = Owner(**{"host": "n1", "process": 1, "started": 1, "machine": "another", **differs})
    return Claim(shard=SHARD, owner=owner, since="then")


def lay(folder, value, number=1):
    folder.mkdir(exist_ok=True)
    claim_path(folder, SHARD, number).write_bytes(msgspec.json.encode(value) if value else b"")


def test_of_many_at_the_same_moment_each_has_it_alone(hold, folder, tmp_path):
    processes = [hold(0.1) for _ in range(6)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 6
    assert (tmp_path / "events").read_text().split() == ["in", "out"] * 6
    assert latest(folder)[SHARD].number == 6
    assert latest(folder)[SHARD].claim.state == "done"
    assert not list(folder.glob("*.asking"))


def test_one_in_which_nothing_else_runs_gives_signs_of_life(hold, folder, quick, monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "SILENCE_S", 2.0)
    monkeypatch.setattr(claims, "fate", lambda owner, ask_slurm: "unknown")
    # A call of C by way of PyDLL keeps the interpreter's lock, as xllamacpp does while it loads a model.
    hold(1.0, "__import__('ctypes').PyDLL(None).sleep(6)").stdout.readline()
    assert take(folder, claim()) == 2
    assert (tmp_path / "events").read_text().split() == ["in", "out"]


@pytest.mark.parametrize("pipe", ["closed", "open"])
def test_signs_of_life_end_with_the_process(pipe, tmp_path):
    """Also when a child that it forked before it was killed holds the pipe open."""
    starting = "import os, subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[1:], str(os.getpid())])"
    command = [sys.executable, "-c", starting, str(heartbeat._PULSE), str(tmp_path), "0.1"]
    readable, writable = os.pipe()
    if pipe == "closed":
        command[-1] = "600"
        os.close(writable)
    # Returns once nobody holds the output any more.
    subprocess.run(command, stdin=readable, stdout=subprocess.PIPE, check=True, timeout=60)
    os.close(readable)
    if pipe == "open":
        os.close(writable)


def test_another_waits_and_says_for_whom(hold, folder, quick, capsys):
    holder = hold(1.0)
    holder.stdout.readline()
    with claimed(folder, SHARD):
        assert holder.poll() is not None or (folder / f"{SHARD}.1.claim").read_text().count('"done"')
    words = capsys.readouterr().out
    assert f"process {holder.pid} on " in words
    assert "1 of 4 requests through: waiting until it is done or gone" in words


def test_one_that_is_known_to_live_is_waited_for_however_silent(folder, quick):
    value = Claim(shard=SHARD, owner=this_process(), since="then")
    lay(folder, value)
    os.utime(claim_path(folder, SHARD, 1), (0, 0))
    with pytest.raises(HopevalError, match="at work on another division"):
        refuse_if_worked_on(folder)

    def end():
        value.state = "done"
        lay(folder, value)

    ending = threading.Timer(3 * claims.SILENCE_S, end)
    begun = time.monotonic()
    ending.start()
    assert take(folder, claim()) == 2
    assert time.monotonic() - begun >= 3 * claims.SILENCE_S
    ending.join()


def test_kill_9_frees_it_at_once_and_names_the_question(hold, folder, capsys):
    holder = hold()
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    assert asked_last(latest(folder)[SHARD]) == ["q7"]
    begun = time.monotonic()
    with claimed(folder, SHARD):
        assert time.monotonic() - begun < claims.SILENCE_S
    assert "asking 'q7'; that one is gone: taken over" in capsys.readouterr().out


def test_one_elsewhere_is_waited_for_as_long_as_it_gives_signs(folder, quick, monkeypatch):
    monkeypatch.setattr(claims, "SILENCE_S", 3.0)
    value, stop = claim(), threading.Event()
    lay(folder, value)
    beaten = []

    def beat():
        while not stop.wait(0.1):
            value.beat += 1
            replaced = folder / "new"
            replaced.write_bytes(msgspec.json.encode(value))
            beaten.append(time.monotonic())
            replaced.rename(claim_path(folder, SHARD, 1))

    thread = threading.Thread(target=beat)
    thread.start()
    threading.Timer(4.0, stop.set).start()
    try:
        assert take(folder, claim()) == 2
        assert stop.is_set()
        assert time.monotonic() - beaten[-1] >= claims.SILENCE_S
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00"])
def test_clocks_of_others_do_not_matter(folder, quick, at):
    value = claim()
    value.at = at
    lay(folder, value)
    os.utime(claim_path(folder, SHARD, 1), (0, 0))
    begun = time.monotonic()
    assert take(folder, claim()) == 2
    assert time.monotonic() - begun >= claims.SILENCE_S


def test_claim_that_nobody_has_written_yet_is_somebodys(folder, quick, capsys):
    lay(folder, None)
    begun = time.monotonic()
    assert take(folder, claim()) == 2
    assert time.monotonic() - begun >= claims.SILENCE_S
    assert "somebody has just begun with this shard" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_has_ended_is_free(folder, state):
    value = claim()
    value.state = state
    lay(folder, value)
    assert take(folder, claim()) == 2


def test_numbers_that_a_listing_does_not_show_yet_are_found_all_the_same(folder, monkeypatch):
    for number in (1, 2, 3):
        value = claim()
        value.state = "done"
        lay(folder, value, number)
    monkeypatch.setattr(claims, "_numbers", lambda folder: {SHARD: 1})
    assert take(folder, claim()) == 4


def test_full_disk_leaves_no_claim_behind(folder, monkeypatch):
    def full(value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(claims.msgspec.json, "encode", full)
    with pytest.raises(HopevalError, match="shard 1-of-2 cannot be claimed: No space left on device; make room"):
        claimed(folder, SHARD).__enter__()
    assert not list(folder.iterdir())


def test_whoever_was_given_up_too_early_is_told_to_end(hold, folder):
    holder = hold()
    holder.stdout.readline()
    lay(folder, claim(), number=2)
    assert holder.wait(timeout=60) == -signal.SIGTERM
    assert "this shard was taken over" in holder.stdout.read()


def test_the_beat_goes_on_after_an_error_of_the_file_server(folder, quick, monkeypatch):
    exists = heartbeat.Path.exists
    looks = []

    def stale(path):
        looks.extend([path] if path.suffix == ".claim" else [])
        if looks == [path]:
            raise OSError(errno.ESTALE, "Stale file handle")
        return exists(path)

    monkeypatch.setattr(heartbeat.Path, "exists", stale)
    with claimed(folder, SHARD):
        wait_until(lambda: latest(folder)[SHARD].claim.beat >= 2)
    assert len(looks) > 1


def test_failure_is_noted_with_its_reason(folder):
    def fail():
        with claimed(folder, SHARD) as beat:
            beat.counted(3, 1)
            raise HopevalError("no more")

    with pytest.raises(HopevalError):
        fail()
    found = latest(folder)[SHARD].claim
    assert (found.state, found.reason, found.total, found.through) == ("failed", "no more", 3, 1)


def test_requests_are_counted(folder):
    with claimed(folder, SHARD) as beat:
        beat.counted(5, 1)
        for number, error in enumerate([None, "broken"]):
            beat.begin(Request(key=str(number), question_id=f"q{number}", messages=[]))
            assert asked_last(latest(folder)[SHARD]) == [f"q{number}"]
            beat.add(Response(key=str(number), error=error))
            assert asked_last(latest(folder)[SHARD]) == []
    found = latest(folder)[SHARD].claim
    assert (found.total, found.through, found.journaled, found.failed) == (5, 3, 1, 1)


def test_time_at_work_goes_on_without_responses(folder, quick):
    with claimed(folder, SHARD) as beat:
        beat.counted(5, 0)
        assert latest(folder)[SHARD].claim.working_s == 0
        beat.begin(Request(key="k", question_id="q", messages=[]))
        assert latest(folder)[SHARD].claim.working_s > 0
        wait_until(lambda: latest(folder)[SHARD].claim.working_s >= 0.3)


def test_a_new_division_is_refused_while_jobs_of_an_earlier_one_work(folder):
    lay(folder, claim(job="17"))
    with pytest.raises(
        HopevalError, match=r"(?s)at work on another division.*SLURM job 17, process 1 on n1.*scancel 17"
    ):
        refuse_if_worked_on(folder)
    os.utime(claim_path(folder, SHARD, 1), (0, 0))
    refuse_if_worked_on(folder)
    assert [path.name for path in folder.iterdir()] == [f"{SHARD}.1.claim"]


def test_silence_before_a_new_division_is_told_by_the_file_servers_clock(folder, monkeypatch):
    lay(folder, claim(job="17"))
    monkeypatch.setattr(claims.time, "time", lambda: 1e12)
    with pytest.raises(HopevalError, match="at work on another division"):
        refuse_if_worked_on(folder)


def test_an_answer_from_before_a_claim_was_seen_does_not_condemn_its_owner(folder, quick, squeue):
    on_slurm = {"user": os.getuid(), "cluster": "c", "job": "5", "restart": 1}
    squeue("6 RUNNING 1")
    assert fate(claim(**on_slurm).owner) == "gone"
    squeue("5 RUNNING 1")
    lay(folder, claim(**on_slurm))
    with pytest.raises(HopevalError, match="scancel 5"):
        refuse_if_worked_on(folder)

    squeue("6 RUNNING 1")
    owners.ask_anew()
    assert fate(claim(**on_slurm).owner) == "gone"
    squeue("5 RUNNING 1")
    done = claim(**on_slurm)
    done.state = "done"
    ending = threading.Timer(3 * claims.SILENCE_S, lay, (folder, done))
    ending.start()
    told = []
    assert take(folder, claim(), told.append) == 2
    assert len(told) == 1
    assert "SLURM job 5" in told[0]
    assert told[0].endswith("waiting until it is done or gone")
    ending.join()
