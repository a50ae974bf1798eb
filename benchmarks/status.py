"""hopeval status on many shards, and the start of a verb: their times, and those of a process that does nothing.

    PYTHONPATH=workflow python benchmarks/status.py --shards 1000

Half of the shards are done, a tenth is running, the others are to do; every one that began has a claim. What a verb
takes to start is that of ``hopeval plan --help``, which reads all that the verb needs. The reference is Python with
the libraries that read configurations and records, and nothing done with them. All are whole processes; the best
run of ``--repeat`` counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from goals import goal

from hopeval.claims import Claim, claim_path
from hopeval.owners import this_process

GOAL_S, GOAL_START_S = 1.0, 0.3
LIBRARIES = "import argparse, jinja2, jsonlines, msgspec, pydantic, yaml; pydantic.BaseModel"


def lay_out(results: Path, count: int) -> None:
    """The files of a run in the middle."""
    reader = results / "readers" / "reader"
    for name in ("shards", "responses", "journal"):
        (reader / name).mkdir(parents=True)
    for number in range(1, count + 1):
        shard = f"{number}-of-{count}"
        (reader / "shards" / f"{shard}.jsonl").touch()
        done, begun = number <= count // 2, number <= count * 6 // 10
        if done:
            (reader / "responses" / f"{shard}.jsonl").touch()
        if begun:
            claim = Claim(shard=shard, owner=this_process(), since="", total=100, through=100 if done else 40)
            claim.state, claim.working_s = "done" if done else "working", 10.0
            claim_path(reader / "journal", shard, 1).write_bytes(msgspec.json.encode(claim))


def seconds(repeat: int, *arguments: str) -> float:
    """The best time of a Python process."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> int:
    """Print the times and ratios, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        lay_out(results, args.shards)
        status = seconds(args.repeat, "-m", "hopeval", "status", str(results))
    start, bare = seconds(args.repeat, "-m", "hopeval", "plan", "--help"), seconds(args.repeat, "-c", LIBRARIES)
    print(f"hopeval status, {args.shards} shards: {status:.2f} s")
    print(f"hopeval plan --help: {start:.2f} s")
    print(f"Python with pydantic, jinja2 and jsonlines: {bare:.2f} s")
    print(f"ratio of a verb's start to that: {start / bare:.2f}")
    met = [
        goal(f"seconds of hopeval status over {args.shards:,} shards", status, most=GOAL_S),
        goal("seconds that a verb takes to start", start, most=GOAL_START_S),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
