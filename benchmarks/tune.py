"""Does tune recommend what is best? The speed of its recommendation, that of the best set-up, and the ratio.

    PYTHONPATH=workflow python benchmarks/tune.py

``hopeval tune`` measures for some seconds each. The reference takes the time to do it whole: for each split of
the cores all requests are divided by ``hopeval shard`` and answered by that many ``hopeval infer`` jobs at once,
from the first request asked to the last answer (loading the model is not counted). All splits take turns,
so that other work on the machine slows each of them; the best of each counts. An endpoint of tests/endpoint.py that
serves so many requests at once comes first: there the best is known beforehand.

Two quiet cores need ten minutes; on busy ones tune says that it recommends nothing, and the ratio is that of
what it is unsure of.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from goals import goal
from infer import MODEL, READER, ROOT, plan_sample, verb

from hopeval.io import read_records
from hopeval.records import Response
from hopeval.tuning.cells import Cell, thread_cells
from hopeval.tuning.findings import Findings, described, read_findings
from hopeval.tuning.machine import cores

sys.path.insert(0, str(ROOT / "tests"))
from endpoint import Endpoint

GOAL = 0.95
_CAPACITY, _LATENCY_S = 24, 0.25


def tune(settings: dict[str, Any], requests: Path, folder: Path, minutes: float, *more: str) -> Findings:
    """What ``hopeval tune`` finds; its words go to the terminal."""
    arguments = ["--reader", "r", "--settings", json.dumps(settings), "--requests", str(requests)]
    arguments += ["--output", str(folder / "tuning.json"), "--minutes", str(minutes), "--measure-only", *more]
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hopeval", "tune", *arguments], check=True, stderr=subprocess.DEVNULL)
    found = read_findings(folder / "tuning.json")
    print("\n".join(described(found)))
    print(f"took     {(time.perf_counter() - begun) / 60:.1f} of {minutes:g} minutes")
    return found


def at_an_endpoint(requests: Path, folder: Path, minutes: float) -> bool:
    """Print how near the recommendation comes to what the endpoint can serve; whether the goal is met."""
    with Endpoint(latency_s=_LATENCY_S, capacity=_CAPACITY) as endpoint:
        settings = {"engine": "openai", "base_url": endpoint.url, "model": "m"}
        found = tune(settings, requests, folder, minutes)
    best, possible = found.verdict.best, _CAPACITY / _LATENCY_S
    taken = best.median if best else 0.0
    print(f"endpoint with room for {_CAPACITY}: {taken:.1f} answers/s of {possible:.1f} possible")
    return goal("answers/s with tune's concurrency at an endpoint, to the most possible", taken / possible, least=GOAL)


def splits(requests: Path, folder: Path, minutes: float, rounds: int, model: Path) -> bool:
    """Print how near the recommendation comes to the best split, measured whole; whether the goal is met."""
    found = tune(READER, requests, folder, minutes, "--model", str(model))
    cells = thread_cells(cores())
    best = found.verdict.best
    if best is None:
        sys.exit("tune could measure nothing")
    cells += [best.cell] if best.cell not in cells else []
    rates: dict[Cell, list[float]] = {cell: [] for cell in cells}
    for turn in range(1, rounds + 1):
        for cell in cells:
            rates[cell].append(answer_all(cell, requests, folder / f"{turn}-{cells.index(cell)}", model))
            print(f"round {turn}  {cell!s:<40} {rates[cell][-1]:6.2f} answers/s", flush=True)
    tops = {cell: max(found) for cell, found in rates.items()}
    fastest = max(tops, key=lambda cell: tops[cell])
    print(f"best     recommended ({best.cell}) {tops[best.cell]:.2f}, fastest ({fastest}) {tops[fastest]:.2f}")
    ratio = tops[best.cell] / tops[fastest]
    return goal("answers/s with tune's split of the cores, to the best split", ratio, least=GOAL)


def answer_all(cell: Cell, requests: Path, folder: Path, model: Path) -> float:
    """Answers per second of a whole run with this set-up, all jobs together."""
    shards = [folder / f"{i}-of-{cell.jobs}.jsonl" for i in range(1, cell.jobs + 1)]
    verb("shard", "--output", *map(str, shards), requests=requests, journal=folder / "journal")
    jobs = [subprocess.Popen(_infer(cell, shard, folder, model)) for shard in shards]
    codes = [job.wait() for job in jobs]
    if any(codes):
        sys.exit(f"an infer job failed; see {folder}/*.log")
    responses = [response for shard in shards for response in read_records(_answers(shard), Response)]
    ends = [datetime.fromisoformat(response.at).timestamp() for response in responses]
    begun = min(end - response.latency_s for end, response in zip(ends, responses, strict=True))
    return len(responses) / (max(ends) - begun)


def _infer(cell: Cell, shard: Path, folder: Path, model: Path) -> list[str]:
    options = {"--reader": "r", "--settings": json.dumps(cell.laid_upon(READER)), "--model": model}
    options |= {"--requests": shard, "--shard": shard.stem, "--journal": folder / "journal"}
    options |= {"--output": _answers(shard), "--threads": cell.threads, "--log": shard.with_suffix(".log")}
    return [sys.executable, "-m", "hopeval", "infer", *(str(p) for pair in options.items() for p in pair)]


def _answers(shard: Path) -> Path:
    return shard.with_suffix(".responses.jsonl")


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a GGUF file")
    parser.add_argument("--questions", type=int, default=8, help="of the sample")
    parser.add_argument("--minutes", type=float, default=4.0, help="for tune at each of both")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not args.model.is_file():
        sys.exit(f"--model {args.model}: no file there; hopeval fetch --embedded --output {MODEL}")
    os.environ.setdefault("no_proxy", "127.0.0.1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        requests = plan_sample(folder / "plan", args.model, args.questions)
        met = [
            at_an_endpoint(requests, folder, min(args.minutes, 2.0)),
            splits(requests, folder, args.minutes, args.rounds, args.model),
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
