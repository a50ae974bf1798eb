"""A sweep over top-k in one run against a run for each k: prompt tokens computed, and time.

    PYTHONPATH=workflow python benchmarks/sweep.py --questions 12

Every run is the real workflow, from the sample's questions to the leaderboard, in a temporary directory of its
own: the embedded model on llama.cpp, BM25 over the sample's passages. First all values of k in one run, then each
k in a run by itself, as whoever has no plan would do it. Computed tokens are those of the prompts less those that
the engine found in its cache, as it counts them itself. The goals: at most 1.25 times the tokens of the largest k
alone, and at most 0.6 of the time of the separate runs; ends with 1 when one is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from goals import goal

from hopeval.io import read_records
from hopeval.records import Response

REPOSITORY = Path(__file__).resolve().parents[1]
GOAL_TOKENS, GOAL_TIME = 1.25, 0.6


class Run(NamedTuple):
    """What a run of the workflow took; the time of all inference jobs together stands beside the whole."""

    seconds: float
    infer_s: float
    prompt: int
    cached: int

    @property
    def computed(self) -> int:
        """Tokens of prompts that the engine had to read."""
        return self.prompt - self.cached

    def __str__(self) -> str:
        return (
            f"{self.seconds:8.1f}{self.infer_s:10.1f}{self.prompt:10}{self.computed:10}{self.cached / self.prompt:8.0%}"
        )


def configuration(top_k: Sequence[int], questions: int, shards: int) -> dict[str, Any]:
    """The embedded default with one retriever and these values of k."""
    return {
        "dataset": {"max_questions": questions},
        "retrievers": {"none": None, "gold": None, "bm25": {"top_k": list(top_k)}},
        "readers": {"smollm2": {"shards": shards}},
    }


def run(top_k: Sequence[int], args: argparse.Namespace) -> Run:
    """The whole workflow in a directory of its own. Ends the benchmark with Snakemake's words when it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.json").write_text(json.dumps(configuration(top_k, args.questions, args.shards)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        command += ["--workflow-profile", str(REPOSITORY / "profiles/default"), "--cores", str(args.cores)]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, "--configfile", "mine.json", "--", "results/sample/leaderboard.csv"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")},
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - begun
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        responses = list(read_records(folder / "results/sample/readers/smollm2/responses.jsonl", Response))
        times = (folder / "results/sample/benchmarks/infer").rglob("*.tsv")
        infer_s = sum(float(path.read_text().splitlines()[1].split("\t")[0]) for path in times)
    return Run(seconds, infer_s, sum(r.prompt_tokens for r in responses), sum(r.cached_tokens for r in responses))


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top-k", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shards", type=int, default=2)
    args = parser.parse_args()
    print(f"{args.questions} questions, {args.cores} cores, {args.shards} shards")
    print(f"{'':16}{'seconds':>8}{'in infer':>10}{'tokens':>10}{'computed':>10}{'cached':>8}")
    together = run(args.top_k, args)
    print(f"{'all in one run':16}{together}", flush=True)
    apart = []
    for k in sorted(args.top_k):
        apart.append(run([k], args))
        print(f"{f'k = {k} alone':16}{apart[-1]}", flush=True)
    tokens, seconds = together.computed / apart[-1].computed, together.seconds / sum(each.seconds for each in apart)
    alone = sum(each.computed for each in apart) / apart[-1].computed
    print(f"runs apart compute {alone:.3f} times the tokens of the largest k alone")
    met = [
        goal("tokens that a sweep over k computes, to those of the largest k alone", tokens, most=GOAL_TOKENS),
        goal("seconds of a sweep over k, to those of a run for each", seconds, most=GOAL_TIME),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
