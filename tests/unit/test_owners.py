"""Whether the owner of a claim still lives: a process of this machine, of another, or a job of SLURM."""

import os
import subprocess

import msgspec
import pytest

from hopeval import owners
from hopeval.owners import Owner, fate, this_process


def test_this_process_is_there_and_another_with_its_number_is_not():
    me = this_process()
    assert fate(me) == "living"
    assert fate(msgspec.structs.replace(me, started=me.started - 1)) == "gone"


def test_zombie_is_gone():
    child = subprocess.Popen(["true"])
    owner = msgspec.structs.replace(this_process(), process=child.pid, started=owners._started(child.pid) or 1)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert fate(owner) == "gone"
    child.wait()


@pytest.mark.parametrize(("restarts", "known"), [("0", "unknown"), ("1", "gone")])
def test_requeued_job_is_not_its_former_self(restarts, known, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "c")
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    owner = Owner(host="n1", process=1, started=1, machine="another", user=os.getuid(), cluster="c", job="5")
    assert fate(owner) == known


def test_of_a_process_elsewhere_nothing_is_known():
    assert fate(Owner(host="n1", process=1, started=1, machine="another")) == "unknown"


def test_owner_on_slurm_is_described_by_job_and_node(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURMD_NODENAME", "n3")
    assert str(this_process()) == f"SLURM job 5, process {os.getpid()} on n3"


ON_SLURM = {"user": os.getuid(), "cluster": "c", "job": "5", "restart": 1}


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("5 RUNNING 1", "living"),
        ("5 SUSPENDED 1", "living"),
        ("5 COMPLETING 1", "unknown"),
        ("5 RUNNING 2", "gone"),
        ("5 RUNNING 0", "unknown"),
        ("5 PENDING 2", "gone"),
        ("6 RUNNING 1", "gone"),
        ("", "gone"),
        (None, "unknown"),
    ],
)
def test_what_squeue_says_is_known(answer, known, squeue):
    squeue(answer)
    assert fate(Owner(host="n1", process=1, started=1, machine="another", **ON_SLURM)) == known
