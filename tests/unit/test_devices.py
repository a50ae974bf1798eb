"""No device to two jobs, none lost, none that stays taken when its job is gone."""

import gc
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from types import SimpleNamespace

import pytest

from hopeval import devices
from hopeval.errors import HopevalError, InputError
from waiting import wait_until

HOLD = """
import subprocess, sys
from hopeval.devices import lease
count, share, child = map(int, sys.argv[1:])
with lease(count, share) as leased:
    if child:  # it inherits the lock files, as what an engine forks does
        child = subprocess.Popen(["sleep", "600"], close_fds=False).pid
    print(",".join(leased), child, flush=True)
    sys.stdin.read()
"""
TAKE_TURNS = """
import os, random, sys, time
from hopeval.devices import lease
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(what):
    os.write(file, f"{what} {time.monotonic()} {share} {os.environ['CUDA_VISIBLE_DEVICES']}\\n".encode())
chance = random.Random(int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    count, share = chance.randint(1, int(sys.argv[4])), chance.choice(list(map(int, sys.argv[5].split(","))))
    with lease(count, share):
        note("start")
        time.sleep(chance.uniform(0.01, 0.08))
        note("end")
"""


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Lock files of this test's own, outside any SLURM job."""
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path / "locks"


@pytest.fixture
def visible(monkeypatch):
    """Makes these the devices that may be used."""
    return lambda names: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


@pytest.fixture
def hold(environment):
    """Starts a process that holds a lease until its stdin is closed, or waits for one."""
    holders = []

    def start(count=1, share=1, child=0, **variables):
        command = [sys.executable, "-c", HOLD, str(count), str(share), str(child)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        holders.append(subprocess.Popen(command, env=environment(**variables), text=True, **pipes))
        return holders[-1]

    yield start
    for holder in holders:
        with holder:
            holder.kill()


def leased(holder):
    """What the process got, as soon as it gets something."""
    line = holder.stdout.readline()
    assert line, holder.stderr.read()
    return line.split()[0].split(",")


def waits(holder):
    return holder.stderr.readline().startswith("waiting for")


def let_go(holder):
    holder.stdin.close()
    assert holder.wait(60) == 0


def free(names="0", share=1):
    """Whether a part of each of these devices could be had now."""
    names = names.split(",")
    locks = devices._try(len(names), share, names)
    devices._release(locks or [])
    return locks is not None


def open_files():
    gc.collect()  # what earlier tests have dropped is no business of this one
    return len(os.listdir("/proc/self/fd"))


# Which devices there are.


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0", ["0"]),
        ("3,1", ["3", "1"]),
        (" 0 , 1 ", ["0", "1"]),
        ("", []),
        (" ", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("NoDevFiles", []),
        ("0,0,1", ["0", "1"]),
        ("GPU-8932f937-d72c,GPU-1", ["GPU-8932f937-d72c", "GPU-1"]),
        ("MIG-GPU-8932f937/1/0,MIG-c6d4f1ef", ["MIG-GPU-8932f937/1/0", "MIG-c6d4f1ef"]),
    ],
)
def test_visible_devices_are_those_of_cuda(listed, expected, visible):
    visible(listed)
    assert devices.visible() == expected


def driver(count):
    def fail():
        raise RuntimeError("Driver/library version mismatch")

    return SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetCount=(lambda: count) if count is not None else fail)


@pytest.mark.parametrize(
    ("pynvml", "expected"),
    [(None, []), (driver(3), ["0", "1", "2"]), (driver(None), [])],
    ids=["no library", "three devices", "broken driver"],
)
def test_without_the_variable_they_are_those_of_the_driver(pynvml, expected, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    assert devices.visible() == expected


# What a lease does in its own process.


@pytest.mark.parametrize("before", ["0,1", "", None])
def test_lease_of_none_hides_all_devices_and_locks_nothing(before, monkeypatch, locks):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with devices.lease(0) as names:
        assert names == []
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    assert not locks.exists()


def test_lease_shows_what_it_took_and_restores_what_was_there(visible):
    visible("4, 7,9")
    files = open_files()
    with devices.lease(2) as names:
        assert names == ["4", "7"]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
        assert [free("4"), free("7"), free("9")] == [False, False, True]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4, 7,9"
    assert free("4,7,9")
    assert open_files() == files


def test_lease_ends_with_an_error_inside_even_when_the_variable_was_removed(visible):
    visible("0")

    def forget_and_fail():
        del os.environ["CUDA_VISIBLE_DEVICES"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), devices.lease(1):
        forget_and_fail()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert free()


def test_the_drivers_devices_are_leased_like_those_of_the_variable(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", driver(2))
    with devices.lease(2) as names:
        assert names == ["0", "1"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("listed", "words"),
    [("0,1", "3 asked for, 2 visible: 0,1; lower"), ("", "3 asked for, 0 visible; lower"), ("5,5,5", "1 visible: 5;")],
)
def test_more_than_there_are_is_the_users_mistake_with_both_numbers(listed, words, visible, locks):
    visible(listed)
    with pytest.raises(InputError, match=words), devices.lease(3):
        pass
    assert os.environ["CUDA_VISIBLE_DEVICES"] == listed
    assert not locks.exists()


@pytest.mark.parametrize("names", ["GPU-8932f937-d72c", "MIG-GPU-8932f937/1/0", " 2 "])
def test_every_kind_of_name_can_be_locked(names, visible):
    visible(names)
    with devices.lease(1) as got:
        assert got == [names.strip()]
        assert not free(names.strip())


def test_failed_attempt_leaves_neither_locks_nor_open_files():
    files = open_files()
    held = devices._try(1, 1, ["1"])
    assert devices._try(3, 1, ["0", "1", "2"]) is None
    assert devices._try(1, 2, ["1"]) is None
    devices._release(held)
    assert free("0,1,2")
    assert open_files() == files


def test_lock_folder_belongs_to_the_slurm_job(monkeypatch, locks):
    on_host = devices.lock_folder()
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    in_job = devices.lock_folder()
    assert on_host.parent == in_job.parent == locks
    assert (on_host.name, in_job.name) == (f"hopeval-devices-{os.getuid()}-host", f"hopeval-devices-{os.getuid()}-42")


def test_folders_of_ended_slurm_jobs_are_removed_but_not_those_of_living_ones(locks, hold, visible, monkeypatch):
    visible("0")
    for job in ("1", "2", "3"):
        holder = hold(SLURM_JOB_ID=job)
        assert leased(holder) == ["0"]
        if job != "2":
            let_go(holder)
    folders = {job: locks / f"hopeval-devices-{os.getuid()}-{job}" for job in "1234"}
    for job in "12":
        os.utime(folders[job], (0, 0))
    monkeypatch.setenv("SLURM_JOB_ID", "4")
    with devices.lease(1):
        assert {job for job, folder in folders.items() if folder.exists()} == {"2", "3", "4"}
    assert waits(hold(SLURM_JOB_ID="2"))


def test_lock_on_a_file_that_was_just_removed_is_none(tmp_path, monkeypatch):
    lock = devices.fcntl.fcntl
    files = open_files()

    def late(*arguments):
        (tmp_path / "0").unlink()
        return lock(*arguments)

    monkeypatch.setattr(devices.fcntl, "fcntl", late)
    assert devices._locked(tmp_path / "0", os.O_CREAT, 0, devices.UNITS) is None
    assert open_files() == files


def test_lock_folder_that_cannot_be_used_is_told_with_a_way_out(tmp_path, monkeypatch, visible):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path / "file"))
    visible("0")
    with pytest.raises(HopevalError, match=r"file/\S+: cannot hold lock files: .*HOPEVAL_LOCKS"), devices.lease(1):
        pass


# Between processes.


def test_second_job_waits_for_the_first(hold, visible):
    visible("0")
    first = hold()
    assert leased(first) == ["0"]
    second = hold()
    assert waits(second)
    let_go(first)
    assert leased(second) == ["0"]


def test_jobs_take_different_devices(hold, visible):
    visible("0,1,2")
    assert sorted(leased(hold(1)) + leased(hold(2))) == ["0", "1", "2"]


@pytest.mark.parametrize("share", [2, 3])
def test_a_share_lets_so_many_jobs_in_and_no_whole_lease_beside_them(hold, visible, share):
    visible("0")
    inside = [hold(1, share) for _ in range(share)]
    assert [leased(holder) for holder in inside] == [["0"]] * share
    one_more = hold(1, share)
    assert waits(one_more)
    let_go(inside[0])
    assert leased(one_more) == ["0"]
    for holder in inside[1:]:
        let_go(holder)
    whole = hold(1, 1)
    assert waits(whole)
    let_go(one_more)
    assert leased(whole) == ["0"]
    assert waits(hold(1, share))


def test_jobs_of_different_slurm_jobs_never_wait_for_each_other(hold, visible):
    visible("0")
    assert leased(hold(SLURM_JOB_ID="1")) == leased(hold(SLURM_JOB_ID="2")) == ["0"]
    assert waits(hold(SLURM_JOB_ID="1"))


def test_kill_9_frees_the_devices(hold, visible):
    visible("0,1")
    first = hold(2)
    assert leased(first) == ["0", "1"]
    second = hold(2)
    assert waits(second)
    first.kill()
    assert leased(second) == ["0", "1"]


def test_surviving_child_keeps_the_devices_of_a_killed_holder_until_it_ends(hold, visible):
    visible("0")
    holder = hold(child=1)
    child = int(holder.stdout.readline().split()[1])
    try:
        holder.kill()
        holder.wait(60)
        assert not free()
    finally:
        os.kill(child, signal.SIGKILL)
    wait_until(free)


def take_turns(environment, log, processes, *arguments):
    """The leases (start, end, share, devices) that processes took side by side."""
    command = [sys.executable, "-c", TAKE_TURNS, str(log)]
    jobs = [
        subprocess.Popen([*command, str(seed), *arguments], env=environment(), stderr=subprocess.DEVNULL)
        for seed in range(processes)
    ]
    try:
        assert [job.wait(60) for job in jobs] == [0] * processes
    finally:
        for job in jobs:
            job.kill()
    return [line.split() for line in log.read_text().splitlines()]


def most_at_once(lines):
    """The largest part of each device that was ever leased, in 840ths, and the devices of each lease."""
    load, most = defaultdict(int), defaultdict(int)
    # Devices are noted as free before they are freed, and as taken after: at equal times the end counts first.
    for what, _, share, names in sorted(lines, key=lambda line: (float(line[1]), line[0])):
        for name in names.split(","):
            load[name] += devices.UNITS // int(share) * (1 if what == "start" else -1)
            most[name] = max(most[name], load[name])
    assert not any(load.values())
    return most


def test_24_jobs_of_1_to_3_devices_over_8_never_overlap(environment, tmp_path, visible):
    visible("0,1,2,3,4,5,6,7")
    lines = take_turns(environment, tmp_path / "log", 24, "2", "3", "1")
    assert len(lines) == 24 * 2 * 2
    most = most_at_once(lines)
    assert len(most) > 1
    assert set(most.values()) == {devices.UNITS}


def test_mixed_shares_never_overcommit_a_device(environment, tmp_path, visible):
    visible("0,1")
    lines = take_turns(environment, tmp_path / "log", 6, "8", "2", "1,2,3,4,7")
    assert len(lines) == 6 * 8 * 2
    most = most_at_once(lines)
    assert set(most) == {"0", "1"}
    assert max(most.values()) == devices.UNITS


def test_any_order_of_takes_and_releases_keeps_each_device_within_its_units():
    chance = random.Random(0)
    held = []
    for _ in range(2000):
        if held and chance.random() < 0.5:
            devices._release(held.pop(chance.randrange(len(held)))[0])
            continue
        count, share = chance.randint(1, 3), chance.randint(1, 8)
        locks = devices._try(count, share, ["0", "1", "2"])
        if locks is not None:
            held.append((locks, share))
        load = defaultdict(int)
        for locks, share in held:
            for lock in locks:
                load[lock.device] += devices.UNITS // share
        assert all(units <= devices.UNITS for units in load.values())
    for locks, _ in held:
        devices._release(locks)
    assert free("0,1,2")
