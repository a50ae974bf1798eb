"""What SLURM itself says of a job that works on a shard elsewhere."""

import os

import pytest

from hopeval import owners
from hopeval.owners import Owner
from waiting import wait_until


@pytest.fixture
def asking(bed, monkeypatch):
    """This process as one that may ask squeue."""
    bed.idle()
    for name, value in bed.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(owners, "_FRESH_S", 0.1)
    owners._cluster.cache_clear()
    owners._jobs.cache_clear()
    yield bed
    bed.cancel()
    owners._cluster.cache_clear()


def elsewhere(job, **differs):
    owner = {"host": "n1", "process": 1, "started": 1, "machine": "another", "user": os.getuid(), "cluster": "bed"}
    return Owner(**owner | {"job": job, **differs})


def test_a_running_job_is_there_and_a_cancelled_one_is_gone(asking, monkeypatch):
    job = asking.call("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 600").stdout.strip()
    wait_until(lambda: asking.active().get(job, ("",))[0] == "RUNNING")
    owner = elsewhere(job)
    assert owners.fate(owner) == "living"
    # Filters of the user's own hide nothing.
    with monkeypatch.context() as filters:
        filters.setenv("SQUEUE_STATES", "PENDING")
        filters.setenv("SLURM_CLUSTERS", "other")
        owners.ask_anew()
        assert owners.fate(owner) == "living"
    # A job that was requeued is there, but not that process of it.
    asking.call("scontrol", "requeue", job)
    wait_until(lambda: owners.fate(owner) == "gone")
    asking.call("scontrol", "release", job, check=False)
    asking.call("scancel", job)
    wait_until(lambda: job not in asking.active())
    wait_until(lambda: owners.fate(elsewhere(job, restart=1)) == "gone")
    assert owners.fate(elsewhere("999999")) == "gone"


@pytest.mark.parametrize(
    "differs", [{"cluster": "other"}, {"cluster": ""}, {"user": 12345}], ids=["cluster", "no cluster", "user"]
)
def test_of_jobs_that_are_not_shown_to_us_nothing_is_known(asking, differs):
    assert owners.fate(elsewhere("999999", **differs)) == "unknown"


def test_without_slurm_nothing_is_known(asking, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "bed")
    assert owners.fate(elsewhere("999999")) == "unknown"
    assert owners.fate(elsewhere("999999"), ask_slurm=False) == "unknown"
