"""hopeval status on many shards: its time, that of a hopeval that does nothing, and the ratio.

    PYTHONPATH=workflow python benchmarks/status.py --shards 1000

Half of the shards are done, a tenth is running, the others are to do; every one that began has a claim. The
reference is ``hopeval --version``. Both are whole processes; the best run of ``--repeat`` counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from hopeval.claims import Claim, claim_path
from hopeval.owners import this_process


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
    """The best time of a hopeval process."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hopeval", *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    """Print both times and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        lay_out(results, args.shards)
        status, nothing = seconds(args.repeat, "status", str(results)), seconds(args.repeat, "--version")
    print(f"hopeval status, {args.shards} shards: {status:.2f} s")
    print(f"hopeval --version: {nothing:.2f} s")
    print(f"ratio: {status / nothing:.1f}")


if __name__ == "__main__":
    main()
