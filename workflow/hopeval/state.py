"""How far a run is, read off its files alone: at any time, from any machine that sees them.

What is older than a shard's chunk of requests belongs to an earlier division, and does not count.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from hopeval.claims import Claim, Found, asked_last, is_dead, latest, silence_s
from hopeval.owners import ask_anew

State = Literal["done", "running", "failed", "to do"]
_SHARD = re.compile(r"([0-9]+)-of-([0-9]+)")
_TAIL_BYTES = 16_384
_FAULT = re.compile(r"^(hopeval \w+: |Traceback \(most recent call last\))", re.MULTILINE)


class Shard(NamedTuple):
    """A shard's state; ``reason`` and ``log`` say why it failed, ``claim`` who works or worked on it."""

    name: str
    state: State
    claim: Claim | None = None
    reason: str = ""
    log: Path | None = None

    @property
    def rate(self) -> float:
        """Requests a second that the running job gets through."""
        claim = self.claim
        if self.state != "running" or claim is None or not claim.working_s:
            return 0.0
        return (claim.through - claim.journaled) / claim.working_s

    @property
    def left(self) -> int | None:
        """Requests without a response; None when their number is not known."""
        if self.claim is None or self.claim.total is None:
            return None
        return 0 if self.state == "done" else self.claim.total - self.claim.through


class Fault(NamedTuple):
    """A job other than a shard's that ended with an error, known by its log."""

    job: str
    log: Path
    reason: str


class Work(NamedTuple):
    """What a reader is asked for: the answers of its experiments, or the queries of one hop of a retriever."""

    path: str
    """Under readers/: ``<reader>`` or ``<reader>/hops/<retriever>-<hop>``."""

    @property
    def is_hop(self) -> bool:
        """Whether it is queries that are asked for."""
        return "/" in self.path

    @property
    def retriever(self) -> str:
        """Whose hop it is, '' for a reader's experiments."""
        return self.path.partition("/hops/")[2].rpartition("-")[0]

    def __str__(self) -> str:
        """Its name in words."""
        reader, _, hop = self.path.partition("/hops/")
        return f"reader {reader}" + (f" for hop {hop.rpartition('-')[2]} of {self.retriever}" if hop else "")


def works(results: Path) -> list[Work]:
    """The works of a results folder, each reader's hops before its experiments, as they come about."""
    found = []
    for reader in sorted(path for path in results.glob("readers/*") if path.is_dir()):
        hops = sorted(path for path in reader.glob("hops/*") if path.is_dir())
        found += [Work(path.relative_to(results / "readers").as_posix()) for path in hops]
        # A reader that writes queries need not answer questions.
        if not hops or (reader / "requests.jsonl").exists() or (reader / "shards").exists():
            found.append(Work(reader.name))
    return found


def shards(results: Path, work: Work, ask_slurm: bool = False) -> list[Shard]:
    """The work's shards in order; none before its requests were divided."""
    folder = results / "readers" / work.path
    chunks, responses = _times(folder / "shards"), _times(folder / "responses")
    claims = latest(folder / "journal")
    ask_anew()
    found = []
    for name in sorted(chunks, key=lambda name: int(name.partition("-")[0])):
        log = results / "logs" / "infer" / work.path / f"{name}.log"
        answered = responses.get(name, 0) >= chunks[name]
        found.append(_shard(name, chunks[name], answered, claims.get(name), log, ask_slurm))
    return found


def _times(folder: Path) -> dict[str, int]:
    """When each shard's file in this folder was written, in nanoseconds."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name.removesuffix(".jsonl"): entry.stat().st_mtime_ns
                for entry in entries
                if _SHARD.fullmatch(entry.name.removesuffix(".jsonl"))
            }
    except FileNotFoundError:
        return {}


def _shard(name: str, since: int, answered: bool, found: Found | None, log: Path, ask_slurm: bool) -> Shard:
    claim = found.claim if found and found.written >= since else None
    if found and claim and claim.state == "working":
        silence = silence_s(found, time.time())
        if not is_dead(claim, silence, ask_slurm):
            return Shard(name, "running", claim)
        if not answered:
            return Shard(name, "failed", claim, _death(found, claim, silence), log)
    if answered:
        return Shard(name, "done", claim)
    if claim and claim.state == "failed":
        return Shard(name, "failed", claim, claim.reason, log)
    if not claim and _written(log) >= since and (reason := fault(log)):
        return Shard(name, "failed", None, reason, log)
    return Shard(name, "to do", claim)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def _death(found: Found, claim: Claim, silence: float) -> str:
    names = asked_last(found)
    asking = f" while asking {', '.join(map(repr, names))}" if names else ""
    return f"{claim.owner} ended without a word{asking}; last sign of life {silence:.0f} s ago"


def faults(results: Path) -> Iterator[Fault]:
    """The jobs that ended with an error, but for shards, as far as the end of their logs says so."""
    for log in sorted(results.glob("logs/**/*.log")):
        job = log.relative_to(results / "logs").with_suffix("")
        if job.parts[0] != "infer" and (reason := fault(log)) and not _is_past(results, job, log):
            yield Fault(" ".join([job.parts[0], "/".join(job.parts[1:])]).strip(), log, reason)


def _is_past(results: Path, job: Path, log: Path) -> bool:
    """Whether the run went on without this job, after it failed."""
    later = [results / "leaderboard.csv"]
    if job.parts[0] == "shard":
        # Not what shards write: those of an earlier run, for whose sake this job may have been refused, go on.
        later.append(results / "readers" / job.relative_to("shard") / "responses.jsonl")
    return any(_written(path) > _written(log) for path in later)


def fault(log: Path) -> str:
    """The error that a log ends with, '' when it ends with none."""
    end = tail(log)
    faults = list(_FAULT.finditer(end))
    return end[faults[-1].start() :].strip() if faults else ""


def tail(log: Path) -> str:
    """The end of a log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
