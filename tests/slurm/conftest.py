"""A cluster of two nodes with eight GPUs each, in name only, and places to run the workflow on it."""

import os
from pathlib import Path

import pytest

from places import copy_checkout
from slurm.bed import Bed, missing_programs
from slurm.places import PYTHON, OnSlurm, run_place


@pytest.fixture(scope="session")
def bed():
    """The cluster; what it left running when the tests are over is a failure."""
    yield from run_bed()


@pytest.fixture(scope="session")
def confined_bed():
    """One node whose jobs can open only their own GPUs, and see them renumbered from 0."""
    if os.getuid() or not Path("/sys/fs/cgroup/devices").is_dir():
        pytest.skip("confining jobs takes root and cgroup v1, and this machine lacks one of them")
    yield from run_bed(nodes=1, confined=True)


def run_bed(**how):
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed here, missing: {', '.join(missing)}; apt-get install slurm-wlm munge")
    if not PYTHON.exists():
        pytest.skip(f"no snakemake with the SLURM plugin here: {PYTHON} is missing; run make .venv-slurm/made.stamp")
    bed = Bed(**how)
    try:
        bed.start()
        yield bed
    finally:
        left = bed.stop()
    assert not left, f"left running by the tests, logs in {bed.folder}: {left}"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """What a clone has of the workflow."""
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def place(tmp_path, checkout, bed):
    """A working directory of a user of the cluster. All nodes are well when a test begins, and idle when it ends."""
    yield from run_place(OnSlurm(tmp_path / "place", checkout, bed))
