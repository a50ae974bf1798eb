"""Whole runs on the cluster."""

import json
import shutil

from places import REPOSITORY
from slurm.places import RESPONSES

MODEL = "resources/models/SmolLM2-135M-Instruct.Q4_1.gguf"


def without_times(value):
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: without_times(each) for key, each in value.items() if not key.endswith("_s")}


def test_the_embedded_default_has_the_results_that_it_has_locally(place):
    if (REPOSITORY / MODEL).is_file():
        (place.folder / MODEL).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / MODEL, place.folder / MODEL)
    config = {"dataset": {"max_questions": 4}, "experiments": ["gold.*"], "readers": {"smollm2": {"mem_mb": 2000}}}
    (place.folder / "mine.yaml").write_text(json.dumps(config))
    found = {}
    for profile in ("profiles/default", "profiles/slurm"):
        run = place.do(profile=profile)
        assert run.jobs["infer"] == 2
        path = place.folder / "results/sample/experiments/gold.cited.smollm2/metrics.json"
        found[profile] = json.dumps(without_times(json.loads(path.read_text())))
        hosts = {response["host"] for response in place_responses(place)}
        assert len(hosts) == 1
        (place.folder / "results").rename(place.folder / profile.replace("/", "-"))
    assert found["profiles/default"] == found["profiles/slurm"]


def place_responses(place):
    path = place.folder / "results/sample/readers/smollm2/responses.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_cpu_stages_as_jobs(place):
    place.questions(4)
    retrievers = {"bm25": {"kind": "bm25", "mem_mb": 300, "runtime": 5}}
    place.configure(retrievers=retrievers, reader=place.reader("CountingEngine"))
    config = (place.folder / "mine.yaml").read_text() + "cpu_stages: submitted\n"
    (place.folder / "mine.yaml").write_text(config)
    place.do("results/tiny/contexts/bm25.jsonl", "--default-resources", "mem_mb=100", "runtime=5", "nodes=1")
    jobs = {comment for _, comment in place.bed.jobs().values()}
    assert all(any(job.startswith(f"rule_{stage}") for job in jobs) for stage in ("prepare", "index", "retrieve"))


def test_a_second_attempt_gets_more_memory_and_time(place):
    place.questions(2)
    place.configure(reader=place.reader("CountingEngine", shards=1))
    for attempt, resources in [("1", ["mem_mb=100", "runtime=30"]), ("3", ["mem_mb=300", "runtime=90"])]:
        run = place.do(RESPONSES, "--dry-run", "--attempt", attempt)
        assert all(resource in run.output for resource in resources)
    assert not place.calls()
