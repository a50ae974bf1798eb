"""From the answers of jobs that ran side by side to a rate. Pure functions.

Jobs are stopped in the middle of their work, so that whole shards are never waited for. What is counted is
therefore from answer to answer: an answer that was never finished neither counts nor takes time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from hopeval.records import Response


class Answer(NamedTuple):
    """An answer as far as speed goes: begun and ended in seconds of one clock; ``work`` 1 is a mean request's."""

    begun: float
    ended: float
    work: float = 1.0
    tokens: int = 0
    failed: bool = False


class Rate(NamedTuple):
    """Answers and tokens (of prompts and answers) a second, and the share of calls that failed."""

    answers: float
    tokens: float
    failed: float


def answer_of(response: Response, work: Mapping[str, float]) -> Answer:
    """What a response says of its own time. A request that is not in ``work`` counts as a mean one."""
    ended = datetime.fromisoformat(response.at).timestamp()
    tokens = response.prompt_tokens + response.completion_tokens
    failed = response.error is not None
    return Answer(ended - response.latency_s, ended, work.get(response.key, 1.0), tokens, failed)


def throughput(jobs: Sequence[Sequence[Answer]]) -> Rate | None:
    """The rate of all jobs together while all of them were at work; None when one has not answered anything.

    Each job is counted from the first answer after all had begun, and after as many answers as it has requests
    in flight: those warm it up. Where it has given no more than these, they have to count.
    """
    if not jobs or not all(jobs):
        return None
    all_begun = max(min(answer.begun for answer in job) for job in jobs)
    first_ended = min(max(answer.ended for answer in job) for job in jobs)
    rates = [_rate(sorted(job, key=lambda answer: answer.ended), all_begun, first_ended) for job in jobs]
    calls = [answer.failed for job in jobs for answer in job]
    answers, tokens = (sum(parts) for parts in zip(*rates, strict=True))
    return Rate(answers, tokens, sum(calls) / len(calls))


def in_flight(job: Sequence[Answer]) -> int:
    """How many requests a job asked before it had the first answer."""
    first = min(answer.ended for answer in job)
    return sum(answer.begun < first for answer in job)


def _rate(job: Sequence[Answer], all_begun: float, first_ended: float) -> tuple[float, float]:
    """Answers and tokens a second of one job, its answers in the order in which they ended."""
    ends = [answer.ended for answer in job]
    warm = max(in_flight(job) - 1, bisect_left(ends, all_begun))
    last = bisect_right(ends, first_ended) - 1
    if warm < last:
        counted, seconds = job[warm + 1 : last + 1], ends[last] - ends[warm]
    else:
        counted, seconds = job, ends[-1] - min(answer.begun for answer in job)
    good = [answer for answer in counted if not answer.failed]
    seconds = max(seconds, 1e-6)
    return sum(answer.work for answer in good) / seconds, sum(answer.tokens for answer in good) / seconds
