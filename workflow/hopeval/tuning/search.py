"""What is known of each set-up, which to measure next, and which to take in the end. Pure functions."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from msgspec import Struct

from hopeval.tuning.cells import Cell, simplest

HOPELESS = 0.9
"""A set-up below this part of the best is not measured again."""
AS_GOOD = 0.97
"""Of those from this part of the best on, the simplest is taken: 3 % are less than one can tell apart."""
NOISY_SPREAD = 0.1
"""Repeats of the recommended set-up may differ by this part of their median."""
NOISY_OTHERS = 0.1
"""Other programs may take this share of our cores' time."""
NO_TIME = "no time was left"
"""Why a set-up was not measured that else would have been."""
MOST_FAILED = 0.05
"""So many calls may fail without that being the fault of too many at once."""
_GROWTH = 1.1
"""Twice as many requests in flight have to give a tenth more, to be worth going on."""
_MOST_IN_FLIGHT = 1024
_CLOSE = 1.25
"""Between two numbers of requests in flight that are as close as this there is nothing to look for."""


class Result(Struct, kw_only=True, omit_defaults=True):
    """What is known of a set-up; a number for each repeat, in order.

    ``rates`` are answers a second of all jobs together, ``tokens`` those of prompts and answers a second;
    ``failed`` is the share of calls that failed, ``others`` the share of our cores' time that other programs
    took. ``memory_mb`` is the most that all jobs had at once. ``left_out`` says why it was not measured, or
    not any more.
    """

    cell: Cell
    model: str = ""
    rates: list[float] = []
    tokens: list[float] = []
    failed: list[float] = []
    others: list[float] = []
    memory_mb: float = 0.0
    left_out: str = ""

    @property
    def median(self) -> float:
        """Answers a second."""
        return median(self.rates) if self.rates else 0.0

    @property
    def spread(self) -> float:
        """The difference between the fastest and the slowest repeat, as a part of the median."""
        return (max(self.rates) - min(self.rates)) / self.median if self.median else 0.0

    @property
    def is_disturbed(self) -> bool:
        """Whether others took so much of our cores' time that its rate says little."""
        return fmean(self.others or [0.0]) > NOISY_OTHERS

    @property
    def is_sound(self) -> bool:
        """Whether it can be recommended: measured, to the end, and its calls went well."""
        return bool(self.median) and not self.left_out and fmean(self.failed or [0.0]) <= MOST_FAILED


def next_cell(results: Iterable[Result], repeats: int) -> Cell | None:
    """The set-up to measure next, None when enough is known.

    First each of them once; then those that may still be the best, in turn, until they have all repeats:
    also one that was slow while other programs disturbed it.
    """
    open_ones = [result for result in results if not result.left_out]
    best = max((result.median for result in open_ones if result.is_sound), default=0.0)

    def is_candidate(result: Result) -> bool:
        return result.is_sound and (result.median >= HOPELESS * best or result.is_disturbed)

    wanted = [result for result in open_ones if len(result.rates) < (repeats if is_candidate(result) else 1)]
    return min(wanted, key=lambda result: len(result.rates)).cell if wanted else None


def next_level(results: Sequence[Result]) -> int | None:
    """How many requests to have in flight next at an endpoint, None when the curve is known.

    1, 2, 4, … until throughput grows by less than a tenth, twice measured, or until calls fail. Then, between
    the last number that went well and the first that did not, half the way, until they are close.
    """
    if not results:
        return 1
    well = [result for result in results if result.is_sound]
    level = max((result.cell.concurrency or 0 for result in well), default=0)
    ill = min((n for r in results if not r.is_sound and (n := r.cell.concurrency or 0) > level), default=None)
    if ill is not None:
        between = (level + ill) // 2
        return between if level and ill / level > _CLOSE and between > level else None
    top = next(result for result in well if result.cell.concurrency == level)
    below = max((result.median for result in well if result is not top), default=0.0)
    if top.median < _GROWTH * below:
        return level if len(top.rates) < 2 else None
    return 2 * level if level < _MOST_IN_FLIGHT else None


class Verdict(NamedTuple):
    """The set-up to take, None where nothing could be measured, and why one had better not rely on it."""

    best: Result | None
    doubts: list[str]

    @property
    def is_sure(self) -> bool:
        """Whether it is recommended."""
        return self.best is not None and not self.doubts


def verdict(results: Iterable[Result]) -> Verdict:
    """The simplest of the set-ups that are as good as the best.

    It is in doubt when it was measured only once, when its repeats differ by more than NOISY_SPREAD, when
    other programs took more than NOISY_OTHERS of our cores' time while all was measured, or when for want of
    time another one was not measured.
    """
    results = list(results)
    sound = [result for result in results if result.is_sound]
    if not sound:
        return Verdict(None, [])
    top = max(result.median for result in sound)
    equal = {result.cell: result for result in sound if result.median >= AS_GOOD * top}
    best = equal[simplest(list(equal))]
    others = fmean([share for result in results for share in result.others] or [0.0])
    doubts = []
    if len(best.rates) < 2:
        doubts.append("it was measured only once")
    if best.spread > NOISY_SPREAD:
        doubts.append(f"its repeats differ by {best.spread:.0%} (more than {NOISY_SPREAD:.0%})")
    if others > NOISY_OTHERS:
        doubts.append(f"other programs took {others:.0%} of the cores' time (more than {NOISY_OTHERS:.0%})")
    if waiting := sum(not result.rates and result.left_out in ("", NO_TIME) for result in results):
        doubts.append(f"for {waiting} other set-up{'s' if waiting > 1 else ''} {NO_TIME}")
    return Verdict(best, doubts)
