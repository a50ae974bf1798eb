"""What ``hopeval infer`` costs when the engine costs nothing: requests/s and memory, beside a bare loop.

    PYTHONPATH=workflow python benchmarks/runner.py

The engine answers at once. ``hopeval infer`` reads requests of ten paragraphs, tells how far it is, and writes
each response into the journal and, when all are there, into the output. The bare loop reads the same
requests by the same parser and writes responses of the same size. Each is a process of its own; the clock runs
from its start to its end. With so many requests starting up does not count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from goals import goal

from hopeval.io import write_records
from hopeval.records import Message, Request

ROOT = Path(__file__).resolve().parents[1]
GOAL_RATE, GOAL_MB = 5000, 500
ENGINE = """
from hopeval.engines.base import Completion, Engine

class Instant(Engine):
    async def complete(self, request):
        return Completion('{"answer": "Kariba", "supporting_facts": [2, 5]}', "stop", 900, 20)
"""
BARE = """
import sys
from hopeval.io import RecordWriter, read_records
from hopeval.records import Request, Response

with RecordWriter(sys.argv[2]) as writer:
    for request in read_records(sys.argv[1], Request):
        text = '{"answer": "Kariba", "supporting_facts": [2, 5]}'
        tokens = {"prompt_tokens": 900, "completion_tokens": 20}
        writer.write(Response(key=request.key, text=text, finish_reason="stop", **tokens))
"""


class Took(NamedTuple):
    """Seconds on the clock and of the processors, and the most memory, in MB."""

    seconds: float
    cpu_s: float
    mb: float


def requests(count: int) -> Iterator[Request]:
    """Prompts of ten paragraphs' length, two for each question."""
    context = "The Zambezi is the fourth-longest river in Africa. " * 80
    for number in range(count):
        yield Request(
            key=f"{number:064x}",
            question_id=f"q{number // 2}",
            messages=[Message("system", "Answer from the context."), Message("user", f"{context}Question {number}?")],
            schema={"type": "object", "properties": {"answer": {"type": "string"}}},
            sentences={"2": ("Kariba", 1), "5": ("Zambezi", 0)},
        )


def took(command: list[str], folder: Path) -> Took:
    """What a Python process takes. Ends the benchmark when it fails."""
    path = os.pathsep.join([str(folder), str(ROOT / "workflow")])
    begun = time.perf_counter()
    with open(folder / "log", "w+") as log:
        running = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=log, stderr=log
        )
        _, status, used = os.wait4(running.pid, 0)
        if status:
            log.seek(0)
            sys.exit(log.read())
    return Took(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "instant.py").write_text(ENGINE)
        write_records(folder / "requests.jsonl", requests(count))
        options = {"reader": "r", "settings": json.dumps({"engine": "instant:Instant"}), "journal": "journal"}
        options |= {"requests": "requests.jsonl", "output": "responses.jsonl"}
        bare = took(["-c", BARE, "requests.jsonl", "bare.jsonl"], folder)
        ours = took(["-m", "hopeval", "infer", *(f"--{key}={value}" for key, value in options.items())], folder)
    print(f"{count} requests")
    for what, cost in (("hopeval infer", ours), ("bare loop", bare)):
        print(f"{what:14}{count / cost.seconds:8.0f} requests/s, {cost.cpu_s:.1f} s of CPU, {cost.mb:.0f} MB")
    print(f"ratio to the bare loop: {bare.seconds / ours.seconds:.2f}")
    met = [
        goal("requests/s of infer with an instant engine", count / ours.seconds, least=GOAL_RATE),
        goal("MB of infer with an instant engine", ours.mb, most=GOAL_MB),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
