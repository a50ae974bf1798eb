"""What every stage but inference costs: seconds, CPU and peak memory, and how they grow with the questions.

    PYTHONPATH=workflow python benchmarks/stages.py                    # as many questions as HotpotQA's dev set
    PYTHONPATH=workflow python benchmarks/stages.py --times 1 10 100   # and what ten and a hundred times as many cost

The whole workflow runs on made-up questions of ten paragraphs each (made_up_run.py), in a temporary directory
and on one core: BM25 over the paragraphs of the first ``--questions`` of them, ten passages a prompt, an engine that
answers at once. Each verb notes at its end what the kernel says that it used. The goals are 60 s of CPU for 7,405
questions in all, and a gigabyte for each stage; ends with 1 when one is missed. With several sizes, ``growth`` is
how much more CPU a question costs than at the size before: 1 is linear.

A hundred times HotpotQA's dev set takes 40 GB of disk and two hours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from goals import goal
from made_up_run import Words, questions

from hopeval.io import write_records
from hopeval.records import Passage

REPOSITORY = Path(__file__).resolve().parents[1]
QUESTIONS = 7405
GOAL_CPU_S, GOAL_MB = 60.0, 1000.0
NOT_COUNTED = {"infer", "leaderboard", "report", "provenance"}
"""Inference, and what compares experiments."""
ENGINE = """
from hopeval.engines.base import Completion, Engine

class Instant(Engine):
    async def complete(self, request):
        return Completion('{"answer": "x", "supporting_facts": []}', "stop")
"""
NOTE = """
import atexit, json, os, resource, sys, time

def note(begun=time.monotonic()):
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(used.ru_utime + used.ru_stime for used in (own, below))
    line = {"verb": sys.argv[1], "wall_s": time.monotonic() - begun, "cpu_s": cpu, "mb": own.ru_maxrss / 1000}
    with open(os.environ["HOPEVAL_COSTS"], "a") as file:
        file.write(json.dumps(line) + "\\n")

if "hopeval" in sys.orig_argv:
    atexit.register(note)
"""
"""Python imports a module of the name ``sitecustomize`` by itself at every start."""


class Cost(NamedTuple):
    """What a stage used: seconds on the clock and of the processors, and the most memory of a process, in MB."""

    wall_s: float
    cpu_s: float
    mb: float


def rows(count: int) -> Iterator[dict[str, Any]]:
    """The questions as the official files have them."""
    for question, passages in questions(Words(), count):
        yield {
            "_id": question.id,
            "question": question.text,
            "answer": question.answer,
            "type": question.type,
            "level": question.level,
            "supporting_facts": question.supporting_facts,
            "context": [[passage.title, passage.sentences] for passage in passages],
        }


def corpus(count: int) -> Iterator[Passage]:
    """The paragraphs of so many questions as passages of one's own; equal titles are parted by their numbers."""
    for number, row in enumerate(rows(count)):
        for place, (title, sentences) in enumerate(row["context"]):
            yield Passage(id=f"{number}-{place}", title=title, sentences=sentences)


def configuration(shards: int) -> dict[str, Any]:
    """One experiment over passages that stay as many, however many the questions are."""
    return {
        "dataset": {"name": "made-up", "questions": "questions.jsonl", "corpus": "corpus.jsonl"},
        "retrievers": {"none": None, "gold": None, "bm25": {"kind": "bm25", "top_k": 10}},
        "readers": {"smollm2": None, "instant": {"engine": "instant:Instant", "shards": shards}},
    }


def measure(count: int, searched: int, shards: int) -> dict[str, Cost]:
    """What each verb costs with so many questions, searching the paragraphs of the first ``searched`` of them.

    Ends the benchmark with Snakemake's words when it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "questions.jsonl", rows(count))
        write_records(folder / "corpus.jsonl", corpus(searched))
        (folder / "mine.json").write_text(json.dumps(configuration(shards)))
        (folder / "instant.py").write_text(ENGINE)
        (folder / "sitecustomize.py").write_text(NOTE)
        path = os.pathsep.join([name, str(REPOSITORY / "workflow")])
        environment = os.environ | {"PYTHONPATH": path, "HOPEVAL_COSTS": str(folder / "costs.jsonl")}
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
        command += ["--workflow-profile", str(REPOSITORY / "profiles" / "default"), "--configfile", "mine.json"]
        target = "results/made-up/leaderboard.csv"
        done = subprocess.run([*command, "--", target], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        return added_up(map(json.loads, (folder / "costs.jsonl").read_text().splitlines()))


def added_up(lines: Iterator[dict[str, Any]]) -> dict[str, Cost]:
    """What all calls of a verb cost together; of their memory the most."""
    costs: dict[str, Cost] = {}
    for line in lines:
        before = costs.get(line["verb"], Cost(0.0, 0.0, 0.0))
        wall_s, cpu_s, mb = before.wall_s + line["wall_s"], before.cpu_s + line["cpu_s"], max(before.mb, line["mb"])
        costs[line["verb"]] = Cost(wall_s, cpu_s, mb)
    return costs


def show(costs: dict[str, Cost], before: dict[str, Cost], times: float) -> None:
    """A line a verb; with costs before, those of so many times fewer questions, the growth."""
    print(f"{'':14}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}{'growth' if before else '':>10}")
    for verb, cost in costs.items():
        growth = f"{cost.cpu_s / before[verb].cpu_s / times:10.2f}" if verb in before else ""
        print(f"{verb:14}{cost.wall_s:10.1f}{cost.cpu_s:10.1f}{cost.mb:10.0f}{growth}", flush=True)


def judge(costs: dict[str, Cost], count: int) -> bool:
    """Print the two goals; whether both are met."""
    counted = {verb: cost for verb, cost in costs.items() if verb not in NOT_COUNTED}
    cpu_s, allowed_s = sum(cost.cpu_s for cost in counted.values()), GOAL_CPU_S * count / QUESTIONS
    largest = max(counted, key=lambda verb: counted[verb].mb)
    print(f"counted: {', '.join(counted)}; most memory: {largest}")
    met = [
        goal(f"CPU seconds of all stages but inference, {count:,} questions", cpu_s, most=allowed_s),
        goal(f"MB of the largest stage, {count:,} questions", counted[largest].mb, most=GOAL_MB),
    ]
    return all(met)


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--times", type=int, nargs="+", default=[1], help="multiples of the questions, ascending")
    parser.add_argument("--shards", type=int, default=8)
    arguments = parser.parse_args()
    met, before, last = True, dict[str, Cost](), 0
    for times in arguments.times:
        count = arguments.questions * times
        print(f"\n{count} questions, {arguments.shards} shards")
        costs = measure(count, arguments.questions, arguments.shards)
        show(costs, before, times / last if last else 1)
        # The goals are those of one data set; more questions are there to see how it grows.
        met, before, last = (judge(costs, count) and met) if not last else met, costs, times
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
