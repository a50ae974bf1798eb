"""Which GPUs a job gets."""

import json
from collections import defaultdict

import pytest

from slurm.places import RESPONSES, OnSlurm, run_place


def by_node(place):
    """The devices of the jobs on each node, a list for each job."""
    found = defaultdict(list)
    for line in place.calls():
        node, devices = line.split()
        found[node].append(devices.split(","))
    return found


@pytest.mark.parametrize(("shards", "gpus"), [(16, 1), (4, 4)])
def test_two_nodes_full_at_once(place, shards, gpus):
    place.questions(16)
    meeting = {"together": shards}
    place.configure(reader=place.reader("MeetingEngine", shards=shards, gpus=gpus, options=meeting))
    place.do(RESPONSES)
    # The engines answered, so that all of them were open at the same time.
    found = by_node(place)
    assert set(found) == {"n0", "n1"}
    for jobs in found.values():
        assert [len(devices) for devices in jobs] == [gpus] * (8 // gpus)
        assert sorted(device for devices in jobs for device in devices) == list("01234567")


@pytest.fixture
def confined(tmp_path, checkout, confined_bed):
    yield from run_place(OnSlurm(tmp_path / "place", checkout, confined_bed))


def test_confined_jobs_all_see_device_0_and_never_wait_for_each_other(confined):
    confined.questions(4)
    confined.configure(reader=confined.reader("MeetingEngine", shards=2, gpus=2, options={"together": 2}))
    confined.do(RESPONSES)
    assert confined.calls() == ["n0 0,1", "n0 0,1"]


def test_snakemake_inside_an_allocation_shares_its_devices_out(place):
    place.questions(4)
    meeting = {"together": 2}
    place.configure(reader=place.reader("MeetingEngine", shards=2, gpus=1, options=meeting))
    command = place.command(RESPONSES, "--configfile", "mine.yaml", "--resources", "gpu=2", profile="profiles/default")
    allocation = ["srun", "--nodes=1", "--ntasks=1", "--cpus-per-task=4", "--gpus=2"]
    done = place.bed.call(*allocation, *command, cwd=place.folder, env=place.environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ((_, jobs),) = by_node(place).items()
    assert sorted(jobs) == [["0"], ["1"]]


def test_a_model_over_several_nodes_is_refused(place):
    settings = {"engine": "engines:CountingEngine", "gpus": 16}
    (place.folder / "requests.jsonl").write_text(json.dumps({"key": "0" * 64, "question_id": "q", "messages": []}))
    infer = ["-m", "hopeval", "infer", "--reader", "large", "--settings", json.dumps(settings)]
    files = ["--requests", "requests.jsonl", "--journal", "journal", "--output", "responses.jsonl"]
    environment = place.environment()
    environment["PYTHONPATH"] = f"{place.checkout / 'workflow'}:{environment['PYTHONPATH']}"
    allocation = ["srun", "--nodes=2", "--gpus=16", "--ntasks=2"]
    command = [*allocation, place.python, *infer, *files]
    done = place.bed.call(*command, cwd=place.folder, env=environment, check=False)
    assert done.returncode == 2
    assert "gpus: 16 asked for, 8 visible" in done.stderr
    assert "one of 2 of the SLURM job, and a model cannot be spread over several" in done.stderr


def test_gpus_cannot_be_shared_between_jobs(place):
    place.questions(4)
    place.configure(reader=place.reader("CountingEngine", gpus=1, share=2))
    run = place.run(RESPONSES)
    assert run.code == 2
    assert "readers.reader.share: found 2, but jobs on a cluster cannot share GPUs" in run.output
    assert not place.bed.active()
    assert not list((place.folder / ".snakemake").glob("locks/*"))
