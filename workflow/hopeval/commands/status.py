"""Say how far a run is: what is done, running, failed and to do. Reads files only.

hopeval status results/hotpot            works while jobs run and after a crash, from any machine
hopeval status results/hotpot --watch    the same again and again, until all shards are done
hopeval status results/hotpot --failed   what failed, with the end of each log
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hopeval.claims import Claim
from hopeval.errors import InputError, printable
from hopeval.state import Fault, Shard, Work, faults, shards, tail, works

_LISTED = 50
_TAIL_LINES = 10
_EVERY_S = 2.0
_ELSEWHERE = (
    "A job that failed before it could open its log speaks in .snakemake/log, and on SLURM in "
    "slurm-logdir (.snakemake/slurm_logs) as well"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("results", type=Path, help="results folder of a dataset, such as results/sample")
    parser.add_argument("--watch", action="store_true", help="show it every two seconds, until all is done")
    parser.add_argument(
        "--failed", action="store_true", help="what failed, with the end of each log; asks squeue, where there is one"
    )


def run(args: argparse.Namespace) -> None:
    """Print it. Raises InputError when this is no results folder."""
    if not args.results.is_dir():
        raise InputError(f"{args.results}: no such folder; name the results of a dataset, such as results/sample")
    if args.failed:
        print("\n".join(_failed(args.results)))
        return
    while True:
        found = {work: shards(args.results, work) for work in works(args.results)}
        page = "\n".join(_page(args.results, found))
        print(f"\x1b[H\x1b[J{page}" if args.watch and sys.stdout.isatty() else page, flush=True)
        if not args.watch or _is_done(found):
            return
        time.sleep(_EVERY_S)


def _is_done(found: dict[Work, list[Shard]]) -> bool:
    """Whether every work has shards, and all of them are done; where there are hops, experiments are to come."""
    answers = any(not work.is_hop for work in found)
    return answers and all(each and all(shard.state == "done" for shard in each) for each in found.values())


def _page(results: Path, found: dict[Work, list[Shard]]) -> Iterator[str]:
    yield f"{results}: {_leaderboard(results)}"
    for work, each in found.items():
        yield ""
        yield f"{work}: {_summary(each)}"
        yield from _lines(each)
    for fault in faults(results):
        yield ""
        yield f"{fault.job} failed: {_first_line(fault.reason)}"
        yield f"  log: {fault.log}"


def _leaderboard(results: Path) -> str:
    path = results / "leaderboard.csv"
    return (
        f"leaderboard of {time.strftime('%F %T', time.localtime(path.stat().st_mtime))}"
        if path.exists()
        else ("no leaderboard yet")
    )


def _summary(each: Sequence[Shard]) -> str:
    if not each:
        return "not divided into shards yet"
    states = Counter(shard.state for shard in each)
    counts = ", ".join(f"{states[state]} {state}" for state in ("done", "running", "failed", "to do") if states[state])
    return f"{len(each)} shards, {counts}{_outlook(each)}"


def _outlook(each: Sequence[Shard]) -> str:
    """Speed and time left, where something runs; shards that nobody counted yet have the mean of the others."""
    rate = sum(shard.rate for shard in each)
    totals = [shard.claim.total for shard in each if shard.claim and shard.claim.total is not None]
    if not rate or not totals:
        return ""
    mean = sum(totals) / len(totals)
    left = sum(mean if shard.left is None and shard.state != "done" else shard.left or 0 for shard in each)
    return f"; {_rate(rate)}, about {_duration(left / rate)} left"


def _lines(each: Sequence[Shard]) -> Iterator[str]:
    shown = [shard for shard in each if shard.state in ("running", "failed")]
    width = max((len(shard.name) for shard in shown), default=0)
    for shard in shown[:_LISTED]:
        yield f"  {shard.name.rjust(width)}  {shard.state:7}  {_what(shard)}"
        if shard.log:
            yield f"  {'':{width}}           log: {shard.log}"
    if len(shown) > _LISTED:
        yield f"  and {len(shown) - _LISTED} more"


def _what(shard: Shard) -> str:
    if shard.state == "failed" or shard.claim is None:
        return _first_line(shard.reason)
    claim = shard.claim
    if claim.total is None:
        counts = "has just begun"
    else:
        counts = f"{claim.through} of {claim.total} requests{_pace(shard, claim)}"
    failed = f", {claim.failed} failed" if claim.failed else ""
    return f"{counts}{failed}; {claim.owner}"


def _pace(shard: Shard, claim: Claim) -> str:
    """Speed and time left, as far as they are known."""
    if not claim.working_s:
        return ", engine not ready yet"
    if not shard.rate or shard.left is None:
        return ", none answered yet"
    return f", {_rate(shard.rate)}, about {_duration(shard.left / shard.rate)} left"


def _failed(results: Path) -> Iterator[str]:
    """What failed, with the end of each log."""
    found = [(work, shard) for work in works(results) for shard in shards(results, work, ask_slurm=True)]
    failed = [(work, shard) for work, shard in found if shard.state == "failed"]
    others = list(faults(results))
    if not failed and not others:
        yield f"{results}: no log ends with an error"
        yield _ELSEWHERE
    for work, shard in failed[:_LISTED]:
        log = shard.log or Path("no log")
        yield from _block(f"shard {shard.name} of {work} failed", shard.reason, log)
    if len(failed) > _LISTED:
        yield f"and {len(failed) - _LISTED} more shards"
    for fault in others:
        yield from _fault(fault)


def _fault(fault: Fault) -> Iterator[str]:
    yield from _block(f"{fault.job} failed", fault.reason, fault.log)


def _block(title: str, reason: str, log: Path) -> Iterator[str]:
    end = tail(log).splitlines()[-_TAIL_LINES:] or ["(empty)"]
    # The log of a job that could still speak ends with the reason.
    told = any(line.endswith(_first_line(reason)) for line in map(printable, end))
    yield title if told else f"{title}: {printable(reason)}"
    yield f"  {log} ends with:"
    for line in end:
        yield f"  | {printable(line)}"
    yield ""


def _first_line(reason: str) -> str:
    return printable(next(iter(reason.splitlines()), ""))


def _rate(per_second: float) -> str:
    return f"{per_second:.1f} requests/s" if per_second >= 1 else f"{60 * per_second:.1f} requests/min"


def _duration(seconds: float) -> str:
    """The time in words.

    >>> [_duration(seconds) for seconds in (7, 160, 7300)]
    ['7 s', '3 min', '2 h 2 min']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
