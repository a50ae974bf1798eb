"""Cores and memory that are ours: by affinity, by cgroups of both versions; and what processes take of them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hopeval.tuning import machine
from hopeval.tuning.machine import Cores, busy_s, cores, free_memory, memory_of, worked_s

GB = 1 << 30


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A machine of 8 hardware threads on 4 cores, of which a process may use all, 32 GB free."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 32 * GB}))
    for cpu in range(8):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_hardware_threads_of_one_core_are_one_core(root):
    found = cores(root)
    assert (found.logical, found.physical, found.by_quota) == (8, 4, False)


def test_affinity_counts(root, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 2})
    assert cores(root)[:3] == (3, 2, (1, 2, 5))


def test_where_nobody_says_each_is_a_core(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert cores(tmp_path)[:2] == (3, 3)


@pytest.mark.parametrize(
    ("quota", "logical", "physical", "by_quota"),
    [
        ("max 100000", 8, 4, False),
        ("250000 100000", 2, 2, True),
        ("50000 100000", 1, 1, True),
        ("600000 100000", 6, 4, True),
        ("900000 100000", 8, 4, False),
    ],
)
def test_quota_of_cgroup_2(root, quota, logical, physical, by_quota):
    write(root, "proc/self/cgroup", "0::/user/job\n")
    write(root, "sys/fs/cgroup/user/cpu.max", quota)
    write(root, "sys/fs/cgroup/user/job/cpu.max", "max 100000")
    found = cores(root)
    assert (found.logical, found.physical, found.by_quota) == (logical, physical, by_quota)


@pytest.mark.parametrize(("quota", "logical"), [("-1", 8), ("300000", 3)])
def test_quota_of_cgroup_1(root, quota, logical):
    write(root, "proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n")
    # In a container the path is the host's, and what is mounted is the container's own folder.
    write(root, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota)
    write(root, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
    assert cores(root).logical == logical


def test_no_more_cores_than_were_granted(root):
    assert cores(root).at_most(2)[:2] == (2, 2)
    assert cores(root).at_most(6)[:2] == (6, 4)
    assert cores(root).at_most(None) == cores(root)


def test_what_others_took():
    four = Cores(4, 4, (0, 1, 2, 3))
    assert four.taken_by_others(busy=40.0, ours=40.0, seconds=10.0) == 0.0
    assert four.taken_by_others(busy=40.0, ours=30.0, seconds=10.0) == 0.25
    assert four.taken_by_others(busy=30.0, ours=40.5, seconds=10.0) == 0.0  # clocks that differ by a tick


def test_cores_that_were_not_granted_are_for_others():
    two_of_four = Cores(4, 4, (0, 1, 2, 3)).at_most(2)
    assert two_of_four.taken_by_others(busy=40.0, ours=20.0, seconds=10.0) == 0.0
    assert two_of_four.taken_by_others(busy=40.0, ours=15.0, seconds=10.0) == 0.25


def test_free_memory_is_that_of_the_narrowest_cgroup(root):
    assert free_memory(root) == 32 * GB
    write(root, "proc/self/cgroup", "0::/slurm/job\n")
    write(root, "sys/fs/cgroup/slurm/memory.max", "max")
    write(root, "sys/fs/cgroup/slurm/job/memory.max", str(8 * GB))
    write(root, "sys/fs/cgroup/slurm/job/memory.current", str(5 * GB))
    write(root, "sys/fs/cgroup/slurm/job/memory.stat", f"anon 1\ninactive_file {GB}\nactive_file {GB}\n")
    assert free_memory(root) == 5 * GB


def test_free_memory_in_cgroup_1(root):
    write(root, "proc/self/cgroup", "3:memory:/\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2 * GB))
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", str(3 * GB))
    assert free_memory(root) == 0
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    assert free_memory(root) == 32 * GB


def test_this_machine():
    found = cores()
    assert 1 <= found.physical <= found.logical <= (os.cpu_count() or 1)
    assert free_memory() > 0


HOLD = """
import mmap, subprocess, sys, time
own = bytearray(b"x") * 30_000_000
file = open(sys.argv[1], "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[i] for i in range(0, len(mapped), 4096))
if len(sys.argv) > 2:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells mapped files apart")
def test_memory_of_a_family_tells_own_from_mapped(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"m" * 50_000_000)
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(big), HOLD], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2  # its child writes to the same pipe
        memory = memory_of([parent.pid])
        assert 60e6 < memory.private < 100e6  # twice 30 MB and two interpreters
        assert 50e6 < memory.shared < 70e6  # once
        assert memory_of([2**22 + 1]) == (0, 0)
    finally:
        os.killpg(parent.pid, 9)
        parent.communicate()


def test_work_is_seen():
    before, mine = busy_s(machine.cores().cpus), worked_s([os.getpid()])
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    assert worked_s([os.getpid()]) - mine >= 0.4
    assert busy_s(machine.cores().cpus) - before >= 0.4


def test_the_folders_of_cgroups_are_within_their_mount(root):
    write(root, "proc/self/cgroup", "0::/a/b\n")
    folders = [folder.relative_to(root) for folder in machine._cgroups("cpu", root)]
    assert folders == [Path("sys/fs/cgroup/a/b"), Path("sys/fs/cgroup/a"), Path("sys/fs/cgroup")]
