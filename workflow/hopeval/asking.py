"""Asking an engine for one answer: again where that helps, no longer where it does not.

The one policy of retries, for engines of every kind. An engine says of a failure only whether it may be
asked again (Busy); how often, after what pause, and when to give the whole engine up is decided here.
"""

import asyncio
import random
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from hopeval.engines.base import Busy, Completion, Engine, EngineFailed, RequestFailed
from hopeval.errors import InputError, printable
from hopeval.pacing import Pace
from hopeval.rates import Rate, pause
from hopeval.records import Request

_LONGEST_PAUSE_S = 15.0
_LONGEST_WAIT_S = 60.0
"""For other calls to end and make room."""
_HOPELESS = 10
_REASON_CHARACTERS = 200
_RETRIES_BESIDE = 100


@dataclass
class Policy:
    """How patient a job is; the reader's settings of the same names."""

    timeout_s: float = 600.0
    attempts: int = 1
    give_up_s: float = 180.0
    grace_s: float = 20.0
    shard_timeout_s: float | None = None
    max_failures: int = 0
    requests: Rate | None = None
    tokens: Rate | None = None
    answer_tokens: int = 0
    """What an answer may take, as the endpoint counts it beforehand (sampling.max_tokens)."""
    answered_before: int = 0
    """Answers that this engine gave to others of these requests, in an earlier job."""
    pause_s: float = 0.5
    """The pause before the second try, on average three quarters of it; doubled before each further one."""


class Asked(NamedTuple):
    """What came of a request: a completion, or the error for which there is none."""

    completion: Completion
    error: str | None
    begun: float
    retried_for: list[str]
    """Why each attempt before the last failed."""

    @property
    def attempts(self) -> int:
        """How often it was asked."""
        return len(self.retried_for) + 1


@dataclass
class Patience:
    """What has come back so far, and whether there is still hope. Times are those of time.monotonic()."""

    policy: Policy
    requests: int
    answers: int = 0
    last_answer: float = field(default_factory=time.monotonic)
    failed_since: set[str] = field(default_factory=set)
    """The requests of which a call has failed since the last answer."""
    retries: int = 0
    refusals: int = 0

    def answered(self) -> None:
        """Count an answer."""
        self.answers += 1
        self.last_answer = time.monotonic()
        self.failed_since.clear()

    def is_outage(self, since: float) -> bool:
        """Whether nothing has been answered since then: a failure then says nothing of the one request."""
        return self.policy.attempts > 1 and self.last_answer <= since and not self._is_too_long()

    def _is_too_long(self) -> bool:
        return time.monotonic() - self.last_answer >= self.policy.give_up_s

    def failed(self, key: str, reason: str, oldest_s: float) -> None:
        """Count a call that failed for now. Raises EngineFailed when for too long nothing else came.

        ``oldest_s``: how long the oldest call is under way: one that is slow may still be answered.
        """
        self.failed_since.add(key)
        alone = len(self.failed_since) < min(2, self.requests)
        if self._is_too_long() and oldest_s < self.policy.give_up_s and not alone:
            silent_s = time.monotonic() - self.last_answer
            raise EngineFailed(f"no answer for {silent_s:.0f} s (give_up_s), only failures; the last: {reason}")

    def retried(self, reason: str) -> None:
        """Count a further try. Raises EngineFailed when all requests together have had too many."""
        self.retries += 1
        most = self.requests + _RETRIES_BESIDE
        if self.retries > most:
            raise EngineFailed(f"{most} calls had to be repeated for {self.requests} requests; the last: {reason}")

    def refused(self, reason: str, under_way: int) -> None:
        """Count a request that failed for good. Raises EngineFailed when from the start nothing else came.

        ``under_way``: the calls that may still be answered; refusals are quicker than answers.
        """
        self.refusals += 1
        if not self.answers and self.refusals >= max(_HOPELESS, self.policy.max_failures + 1, under_way):
            raise EngineFailed(f"the first {self.refusals} requests were all refused, the last for: {reason}")


class Asker:
    """Asks ``engine`` one request after the other, or several at once; ``stop`` ends all waiting."""

    def __init__(self, engine: Engine, policy: Policy, pace: Pace, requests: int, stop: asyncio.Event) -> None:
        self._engine, self._policy, self._pace, self._stop = engine, policy, pace, stop
        self._patience = Patience(policy, requests, answers=policy.answered_before)
        self._under_way: dict[str, float] = {}
        """Since when each request's call is under way, oldest first."""
        self._reported: set[str] = set()
        self._latency_s = 0.0
        """What the last answer took."""

    async def ask(self, request: Request) -> Asked | None:
        """What came of the request; None when the job is to end before it has been answered.

        Attempts count while others are answered; in an outage it is asked on until ``give_up_s``. Raises
        EngineFailed or InputError when there is no hope for others either.
        """
        begun = since = time.monotonic()
        counted, reasons = 0, list[str]()
        while not self._stop.is_set():
            await self._take_rates(request)
            if self._stop.is_set():
                return None
            try:
                return Asked(await self._complete(request, len(reasons) + 1), None, begun, reasons)
            except Busy as busy:
                outage = self._patience.is_outage(since)
                counted, since = counted + (not outage), time.monotonic()
                if outage or counted < self._policy.attempts:
                    reasons.append(str(busy)[:_REASON_CHARACTERS])
                    await self._pause(len(reasons), busy, outage)
                    continue
                error = f"{busy} (tried {len(reasons) + 1} times)" if reasons else str(busy)
            except RequestFailed as failed:
                error = str(failed)
            self._patience.refused(error, len(self._under_way))
            return Asked(Completion(""), error, begun, reasons)
        return None

    async def _take_rates(self, request: Request) -> None:
        if self._policy.requests:
            await self._policy.requests.take(1, self._stop)
        if self._policy.tokens:
            await self._policy.tokens.take(request.tokens_estimate + self._policy.answer_tokens, self._stop)

    def _give_back(self, request: Request, used: int) -> None:
        """What of the tokens that were taken beforehand was not used."""
        if self._policy.tokens:
            self._policy.tokens.give_back(request.tokens_estimate + self._policy.answer_tokens - used)

    async def _complete(self, request: Request, times: int) -> Completion:
        """The call that is so many times the request's own. Raises Busy or RequestFailed for this request,
        EngineFailed or InputError for all.
        """
        limit = asyncio.timeout(self._policy.timeout_s)
        self._under_way[request.key] = called = time.monotonic()
        try:
            async with limit:
                completion = _checked(await self._engine.complete(request))
        except Busy as busy:
            self._trouble(request, busy, times)
            raise
        except EngineFailed as error:
            raise EngineFailed(f"question {request.question_id!r}: {error}") from error
        except (InputError, RequestFailed):
            raise
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _told_to_end():
                raise
            if limit.expired():
                timed_out = Busy(f"no answer within {self._policy.timeout_s:g} s (timeout_s)", overloaded=True)
                self._trouble(request, timed_out)  # one that never ends would do so with fewer in flight
                raise timed_out from None
            # An engine of the user's own may raise anything: it costs this request.
            traceback.print_exc()
            raise RequestFailed(f"{type(error).__name__}: {error}") from None
        finally:
            self._under_way.pop(request.key, None)
        self._patience.answered()
        self._latency_s = time.monotonic() - called
        self._pace.answered(self._latency_s)
        if used := completion.prompt_tokens + completion.completion_tokens:
            self._give_back(request, used)
        return completion

    def _trouble(self, request: Request, busy: Busy, times: int = 1) -> None:
        if busy.overloaded:
            self._pace.overloaded(str(busy), times)
        self._give_back(request, 0)
        others = (begun for key, begun in self._under_way.items() if key != request.key)
        oldest_s = time.monotonic() - next(others, time.monotonic())
        self._patience.failed(request.key, str(busy), oldest_s)
        if busy.after_s > self._policy.give_up_s:
            raise EngineFailed(f"{busy}, and is to be left alone for {busy.after_s:.0f} s, more than give_up_s")

    async def _pause(self, attempt: int, busy: Busy, outage: bool) -> None:
        if not outage:
            self._patience.retried(str(busy))
        longest = min(_LONGEST_PAUSE_S, self._policy.pause_s * 2 ** min(attempt - 1, 30))
        if busy.overloaded and not busy.after_s:  # there is no room until calls have ended
            longest = max(longest, min(self._latency_s, _LONGEST_WAIT_S))
        # Spread out, so that those who failed together do not come back together.
        pause_s = busy.after_s + random.uniform(longest / 2, longest)
        if str(busy) not in self._reported and len(self._reported) < _HOPELESS:
            self._reported.add(str(busy))
            print(printable(f"asking again after {pause_s:.1f} s: {busy} (told once for each reason)"), flush=True)
        await pause(pause_s, self._stop)


def _told_to_end() -> bool:
    """Whether this task was cancelled, rather than something that the engine waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _checked(completion: Any) -> Completion:
    """The completion, if it is one. Raises TypeError or msgspec.ValidationError."""
    if not isinstance(completion, Completion):
        raise TypeError(f"complete() must return a Completion, found {type(completion).__name__}")
    return msgspec.convert(tuple(completion), Completion)
