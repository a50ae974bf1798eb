"""What Snakemake and the starting of processes cost for each shard, with an engine that answers at once.

    PYTHONPATH=workflow python benchmarks/workflow.py --shards 4 16 64

Each number of shards is a run of its own, from the questions to the responses of all shards, in a temporary
directory. What a run costs in all stands under "a shard"; the slope is what each further shard adds, which
leaves out Snakemake's own start and the stages before and after. The reference is one bare ``hopeval infer``
of the same shard without Snakemake. CPU seconds count all processes. The goal is a slope of at most one CPU
second a shard. Last, how long a run of 1,000 shards is planned, of at most 20 s. Ends with 1 when a goal is missed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from goals import goal

REPOSITORY = Path(__file__).resolve().parents[1]
GOAL_S, GOAL_PLAN_S = 1.0, 20.0
RESPONSES = "results/instant/readers/instant"
ENGINE = """
from hopeval.engines.base import Completion, Engine

class Instant(Engine):
    async def complete(self, request):
        return Completion('{"answer": "x", "supporting_facts": []}', "stop")
"""


class Cost(NamedTuple):
    """Seconds on the clock, and of all processors together."""

    wall_s: float
    cpu_s: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)

    def __truediv__(self, number: float) -> "Cost":
        return Cost(self.wall_s / number, self.cpu_s / number)

    def __str__(self) -> str:
        return f"{self.wall_s:8.2f} {self.cpu_s:8.2f}"


def cost_so_far() -> Cost:
    """The clock, and what all processes that ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(time.monotonic(), used.ru_utime + used.ru_stime)


def cost_of(command: list[str], folder: Path) -> Cost:
    """What the command costs, its own children included. Ends the benchmark when it fails."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY / "workflow")])}
    before = cost_so_far()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return cost_so_far() - before


def prepare(folder: Path, questions: int, shards: int) -> None:
    """The engine, the questions and the configuration of a run."""
    rows = [
        {"_id": f"q{i}", "question": f"What is {i}?", "answer": "x", "context": [[f"Title {i}", [f"It is {i}."]]]}
        for i in range(questions)
    ]
    config = {
        "dataset": {"name": "instant", "questions": "questions.json"},
        "retrievers": {"none": None, "bm25": None, "gold": None, "given": {"kind": "given"}},
        "readers": {"smollm2": None, "instant": settings(shards)},
    }
    (folder / "instant.py").write_text(ENGINE)
    (folder / "questions.json").write_text(json.dumps(rows))
    (folder / "mine.json").write_text(json.dumps(config))


def settings(shards: int) -> dict[str, object]:
    """The reader's section."""
    return {"engine": "instant:Instant", "shards": shards}


def workflow(folder: Path, cores: int, *more: str) -> Cost:
    """What it costs to get from the questions to the responses of all shards."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    profile = ["--workflow-profile", str(REPOSITORY / "profiles" / "default")]
    target = f"{RESPONSES}/responses.jsonl"
    return cost_of([*command, *profile, "--cores", str(cores), target, "--configfile", "mine.json", *more], folder)


def bare(folder: Path, shards: int, repeat: int = 5) -> Cost:
    """What one shard costs without Snakemake, as the mean of a few."""
    options = {
        "reader": "instant",
        "settings": json.dumps(settings(shards)),
        "requests": f"{RESPONSES}/shards/1-of-{shards}.jsonl",
        "output": "bare.jsonl",
    }
    command = [sys.executable, "-m", "hopeval", "infer"]
    for name, value in options.items():
        command += [f"--{name}", value]
    runs = [cost_of([*command, "--journal", f"bare-{i}"], folder) for i in range(repeat)]
    return Cost(sum(run.wall_s for run in runs), sum(run.cpu_s for run in runs)) / repeat


def measure(shards: list[int], questions: int, cores: int) -> bool:
    """Print a line for each number of shards; whether the goal is met."""
    print(f"{questions} questions, {cores} cores; seconds: wall and CPU of all processes")
    print("shards              run           a shard             slope")
    print("           wall      CPU     wall      CPU     wall      CPU")
    last: tuple[int, Cost] | None = None
    slope = reference = Cost(0.0, 0.0)
    for n in sorted(set(shards)):
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), max(questions, n), n)
            cost = workflow(Path(folder), cores)
            reference = bare(Path(folder), n)
        slope = (cost - last[1]) / (n - last[0]) if last else cost / n
        print(f"{n:6} {cost} {cost / n} {slope if last else ''}".rstrip(), flush=True)
        last = n, cost
    print(f"one bare hopeval infer: {reference.wall_s:.2f} s, CPU {reference.cpu_s:.2f} s")
    print(f"ratio of the last slope to it, in CPU seconds: {slope.cpu_s / reference.cpu_s:.2f}")
    return goal("CPU seconds that Snakemake and infer add for each shard", slope.cpu_s, most=GOAL_S)


def plan(shards: int) -> bool:
    """Print how long Snakemake takes to find out what a run of so many shards has to do; whether the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, shards, shards)
        cost = workflow(folder, 1, "--dry-run", "--quiet")
    return goal(f"seconds until the jobs of {shards:,} shards are planned", cost.wall_s, most=GOAL_PLAN_S)


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--questions", type=int, default=128, help="in all, the same for every number of shards")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--planned", type=int, default=1000, help="shards of the run that is planned and not run")
    arguments = parser.parse_args()
    met = [measure(arguments.shards, arguments.questions, arguments.cores), plan(arguments.planned)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
