"""How many calls are under way at once: a fixed number, or the one that turns out to be best."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import hypot, sqrt
from statistics import fmean, stdev
from time import monotonic
from typing import NamedTuple

MOST = 1024
"""No search goes beyond: a client's own limits (open files, one core) come first."""
_FIRST = 8
_FEWEST_MEASURED = 16
_MOST_MEASURED = 20
"""Answers for each request in flight, however much they vary."""
_WORTH_IT = 0.4
"""Growth counts when throughput gains at least this part of what it would gain if nothing were shared."""
_SMALLEST_STEP = 1 / 8
_FEW_REFUSED = 3
_SHARE_REFUSED = 0.1
"""So many calls, or this share of them, may be refused without that being an overload."""
_STARVED = 2
"""So often in a row a call is refused by chance only where chance refuses many."""
_BELOW_CEILING = 0.9
_QUIET_S = 60.0


class _Measured(NamedTuple):
    """Answers per second at a number of requests in flight, and the standard error of that, relative."""

    limit: int
    rate: float = 0.0
    error: float = 0.0


class Search:
    """The number of calls in flight at which throughput stops growing, found while working.

    It doubles while throughput follows. Where that does not, it goes back and tries half the step, down
    to an eighth, and settles on the last number that was worth its step. An overloaded engine (429 or
    time-outs at more than a tenth of the calls) halves it, and from there it climbs to just below the
    number that was too much. A call that is refused again and again ends the search and takes one off. A
    minute after it has settled it tries one small step more. ``now`` is in seconds of any clock that only
    goes forward.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.limit = 1
        self.why = "still looking"
        self._step = 1.0
        self._ceiling: int | None = None
        self._best: _Measured | None = None
        self._settled_at: float | None = None
        self._change(1, now)

    def answered(self, now: float, latency_s: float, busy: bool) -> None:
        """Count an answer. ``busy`` says whether more requests wait for their turn: else it tells nothing."""
        if self._stale > 0:  # begun under another limit
            self._stale -= 1
            self._begun = now
        elif not busy:
            self._change(self.limit, now)
        elif self.limit == 1 and self._settled_at is None and self._ceiling in (None, 1):
            # The first went alone, in case all are refused. One that is alone because more were too much is measured.
            self._change(_FIRST, now)
        else:
            self._latencies.append(latency_s)
            count = len(self._latencies)
            # Whole rounds, because what begins together comes back together.
            if count >= _FEWEST_MEASURED and count % self.limit == 0 and now > self._begun:
                self._judge(self._measured(now), now)

    def overloaded(self, now: float, reason: str, times: int = 1) -> None:
        """Halve the limit, once for all that was in flight when it was too much.

        ``times``: how often in a row this call has been refused.
        """
        self._refused += 1
        if self._refused <= max(_FEW_REFUSED, _SHARE_REFUSED * (self.limit + len(self._latencies))):
            # Now and then one, of a gateway or for a quota: fewer in flight would not help. But one that comes back
            # and finds no place again, because a new call takes each that comes free, is one too many.
            if times >= _STARVED and (self._stale == 0 or self._settled_at is not None):
                self.why = f"{reason} at {self.limit}, again and again"
                self._settled_at = self._settled_at or now
                self._change(max(1, self.limit - 1), now)
            return
        if self._ceiling is None or self._stale == 0 or self._settled_at is not None:
            self._ceiling, self.why = self.limit, f"{reason} at {self.limit}"
            self._settled_at, self._best, self._step = None, None, 0.5
            self._change(max(1, self.limit // 2), now)

    def _measured(self, now: float) -> _Measured:
        count, mean = len(self._latencies), fmean(self._latencies)
        return _Measured(self.limit, count / (now - self._begun), stdev(self._latencies) / mean / sqrt(count))

    def _judge(self, found: _Measured, now: float) -> None:
        if self._settled_at is not None:
            if now - self._settled_at > _QUIET_S:
                self._ceiling, self._settled_at, self._best, self._step = None, None, found, _SMALLEST_STEP
                self._grow(now)
            else:
                self._change(self.limit, now)
            return
        if self._best is not None:
            needed = _WORTH_IT * (self.limit / self._best.limit - 1)
            doubtful = hypot(found.error, self._best.error) > needed / 2
            if doubtful and len(self._latencies) < _MOST_MEASURED * self.limit:
                return  # they vary: measure on
            if found.rate / self._best.rate - 1 < needed:
                self._go_back(found, self._best, now)
                return
        self._best = found
        self._grow(now)

    def _go_back(self, found: _Measured, best: _Measured, now: float) -> None:
        self._step /= 2
        if self._step < _SMALLEST_STEP:
            self._settle(best.limit, f"{best.rate:.3g} answers/s, and {found.rate:.3g} with {found.limit}", now)
        else:
            self.limit = best.limit
            self._grow(now)

    def _grow(self, now: float) -> None:
        room = MOST if self._ceiling is None else max(1, int(self._ceiling * _BELOW_CEILING))
        if self.limit < room:
            self._change(min(max(self.limit + 1, int(self.limit * (1 + self._step))), room), now)
        else:
            self._settle(room, self.why if self._ceiling else "the most that it tries", now)

    def _settle(self, limit: int, why: str, now: float) -> None:
        self._settled_at, self.why = now, why
        self._change(limit, now)

    def _change(self, limit: int, now: float) -> None:
        # What is in flight was begun under the old limit; only what comes after it says something of the new.
        self._stale = max(self.limit, limit) if limit != self.limit else 0
        self.limit, self._begun = limit, now
        self._latencies: list[float] = []
        self._refused = 0


class Pace:
    """Turns for calls: at most so many at once as ``limit`` says; None: as a Search finds."""

    def __init__(self, limit: int | None, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._search = Search(clock()) if limit is None else None
        self._limit = 1 if limit is None else limit
        self._free = asyncio.Semaphore(self._limit)
        self._owed = 0  # turns that are to end without another taking their place
        self.most = MOST if limit is None else limit

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn, when one is free; first come, first served."""
        await self._free.acquire()
        try:
            yield
        finally:
            if self._owed:
                self._owed -= 1
            else:
                self._free.release()

    def answered(self, latency_s: float) -> None:
        """Tell of an answer, before its turn ends."""
        if self._search is not None:
            self._search.answered(self._clock(), latency_s, busy=self._free.locked())
            self._adopt(self._search.limit)

    def overloaded(self, reason: str, times: int = 1) -> None:
        """Tell that the engine has too much to do, and that so often in a row to one call."""
        if self._search is not None:
            self._search.overloaded(self._clock(), reason, times)
            self._adopt(self._search.limit)

    def _adopt(self, limit: int) -> None:
        more, self._limit = limit - self._limit, limit
        self._owed += max(0, -more)
        for _ in range(more):
            if self._owed:
                self._owed -= 1
            else:
                self._free.release()

    def __str__(self) -> str:
        return f"{self._limit} requests in flight" + (f" ({self._search.why})" if self._search else "")
