"""Whose shard it is: a job claims its shard before it reads it, and shows from then on that it lives.

A claim is a file ``<shard>.<number>.claim`` in the journal folder, made exclusively: of several that want
the same number at the same moment every file system, NFS included, lets one have it. Nothing is locked.
The highest number counts. It is over when it says so, when its owner is known to be gone, or, where nothing
is known of its owner, after SILENCE_S without a sign of life; then, and only then, the next number may be
made. Whoever had been given up too early finds the next number there, and ends.

Who takes a claim over has itself seen it unchanged, by its own clock. Who only looks has to compare clocks:
that of the file server with itself where a file may be made, with this machine's where not.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from hopeval.errors import HopevalError, printable
from hopeval.owners import Owner, ask_anew, fate

SILENCE_S = 180.0
"""After it a claim whose owner may live or not can be taken over. A client of NFS may show a file as it was a
minute ago."""
_LOOK_S = 2.0
_NAME = re.compile(r"(?P<shard>.+)\.(?P<number>[0-9]+)\.claim")


class Claim(Struct, kw_only=True, omit_defaults=True):
    """What a job says of its shard. Requests are counted: all, those through, and of these the failed.

    ``journaled`` of those through were there before; ``working_s`` is the time since the first of the others
    was asked, 0 before.
    """

    shard: str
    owner: Owner
    since: str
    at: str = ""
    beat: int = 0
    state: Literal["working", "done", "failed"] = "working"
    reason: str = ""
    total: int | None = None
    through: int = 0
    journaled: int = 0
    failed: int = 0
    working_s: float = 0.0


class Found(NamedTuple):
    """A claim as it lies there. None: made a moment ago, and not yet written.

    ``written`` is its time, in nanoseconds since 1970 by the file server's clock, -1 when it cannot be read; a
    touch is a sign of life, too.
    """

    path: Path
    number: int
    claim: Claim | None
    written: int = -1


def latest(folder: Path) -> dict[str, Found]:
    """Each shard's claim that counts, of all in a journal folder."""
    return {shard: _found(folder, shard, number) for shard, number in _numbers(folder).items()}


def _numbers(folder: Path) -> dict[str, int]:
    """Each shard's highest number."""
    numbers: dict[str, int] = {}
    for path in folder.glob("*.claim"):
        if name := _NAME.fullmatch(path.name):
            numbers[name["shard"]] = max(int(name["number"]), numbers.get(name["shard"], 0))
    return numbers


def asked_last(found: Found) -> list[str]:
    """The questions that were being asked; of a job that died, those of which one may have killed it."""
    try:
        lines = asking_path(found.path).read_text(errors="replace").split("\n")
    except OSError:
        return []
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def asking_path(path: Path) -> Path:
    """The file beside a claim that holds the questions that are being asked, a line each."""
    return path.with_suffix(".asking")


def claim_path(folder: Path, shard: str, number: int) -> Path:
    """Where a claim lies."""
    return folder / f"{shard}.{number}.claim"


def _found(folder: Path, shard: str, number: int) -> Found:
    path = claim_path(folder, shard, number)
    written = -1
    try:
        with open(path, "rb") as file:  # opened, it is not as a client of NFS remembers it
            written = os.fstat(file.fileno()).st_mtime_ns
            return Found(path, number, msgspec.json.decode(file.read(), type=Claim), written)
    except (OSError, msgspec.DecodeError):
        return Found(path, number, None, written)


def take(folder: Path, claim: Claim, tell: Callable[[str], None] = print) -> int:
    """The number under which the claim was made, by nobody else; ``tell`` hears for whom it has to wait."""
    number = _numbers(folder).get(claim.shard, 0)
    while True:
        if number:
            _wait_until_over(folder, claim.shard, number, tell)
        number += 1
        with suppress(FileExistsError):
            _make(claim_path(folder, claim.shard, number), claim)
            return number


def _make(path: Path, claim: Claim) -> None:
    with open(path, "xb", buffering=0) as file:
        try:
            file.write(msgspec.json.encode(claim))
        except OSError:  # a full disk; an empty claim would keep others waiting for nobody
            path.unlink()
            raise


def _wait_until_over(folder: Path, shard: str, number: int, tell: Callable[[str], None]) -> None:
    """Return once nobody works under this number any more."""
    found, unchanged_since, told = _found(folder, shard, number), time.monotonic(), False
    ask_anew()
    while not _is_over(found, time.monotonic() - unchanged_since):
        if not told:
            tell(f"{_described(found)}: waiting until it is done or gone")
            told = True
        time.sleep(_LOOK_S)
        if (now := _found(folder, shard, number)) != found:
            if found.claim is None:
                ask_anew()
            found, unchanged_since = now, time.monotonic()
    if found.claim is None or found.claim.state == "working":
        tell(f"{_described(found)}{_while_asking(found)}; that one is gone: taken over")


def _is_over(found: Found, silence: float) -> bool:
    """Whether nobody works under this claim, which has given no sign of life for ``silence`` seconds."""
    if found.claim is None:
        return silence >= SILENCE_S
    return found.claim.state != "working" or is_dead(found.claim, silence)


def is_dead(claim: Claim, silence: float, ask_slurm: bool = True) -> bool:
    """Whether the owner counts as gone: silence is a sign only where nothing is known."""
    known = fate(claim.owner, ask_slurm)
    return known == "gone" or (known == "unknown" and silence >= SILENCE_S)


def _described(found: Found) -> str:
    if found.claim is None:
        return f"{found.path}: somebody has just begun with this shard"
    counts = f", {found.claim.through} of {found.claim.total} requests through" if found.claim.total else ""
    return printable(f"shard {found.claim.shard} is with {found.claim.owner}{counts}")


def _while_asking(found: Found) -> str:
    names = asked_last(found)
    return printable(f", asking {', '.join(map(repr, names))}") if names else ""


def refuse_if_worked_on(folder: Path) -> None:
    """Raise HopevalError when jobs of an earlier run still work in this journal folder.

    A look is all it takes: for those who would change what is asked.
    """
    now = _file_servers_time(folder)
    claims = latest(folder)
    ask_anew()
    living = [found for found in claims.values() if not _is_over(found, silence_s(found, now))]
    if not living:
        return
    lines = "".join(f"\n  {_described(found)}" for found in living)
    jobs = sorted({found.claim.owner.job for found in living if found.claim and found.claim.owner.job})
    cancel = f" (scancel {' '.join(jobs)})" if jobs else ""
    raise HopevalError(
        f"{folder}: jobs of an earlier run are still at work on another division of the requests:{lines}\n"
        f"wait until they are done, or end them{cancel}; then run the same command again"
    )


def _file_servers_time(folder: Path) -> float:
    """What a new file's time says. Its making has a client of NFS look at the folder anew, too."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now.") as file:
        return os.fstat(file.fileno()).st_mtime


def silence_s(found: Found, now: float) -> float:
    """Seconds since the last sign of life, of which the file system says when it was; 0 where it does not."""
    return max(now - found.written / 1e9, 0.0) if found.written >= 0 else 0.0
