"""What provenance.json says of the jobs."""

from pathlib import Path

from hopeval.commands.provenance import durations


def test_durations_are_of_the_jobs_that_made_these_results(tmp_path: Path) -> None:
    jobs = ["prepare", "infer/r/1-of-2", "infer/r/1-of-4", "infer/r/hops/it-2/1-of-1", "infer/r/hops/old-2/1-of-1"]
    for number, job in enumerate(jobs):
        path = tmp_path / "benchmarks" / f"{job}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"h:m:s\ts\n0:00:0{number}\t{number}.5\n")
    for shard in ("r/shards/1-of-2", "r/hops/it-2/shards/1-of-1"):
        path = tmp_path / "readers" / f"{shard}.jsonl"
        path.parent.mkdir(parents=True)
        path.touch()
    assert durations(tmp_path) == {"prepare": 0.5, "infer/r/1-of-2": 1.5, "infer/r/hops/it-2/1-of-1": 3.5}
