"""What the answers took: tokens, seconds, money, and the jobs that gave them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from hopeval.io import read_records

_SAME_START_S = 0.5  # calls of one job agree about its start to a few milliseconds
_PERCENTILES = (50, 90, 95, 99)


class Call(Struct, omit_defaults=True):
    """A response without its text."""

    key: str
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    queue_s: float = 0.0
    latency_s: float = 0.0
    attempts: int = 1
    retried_for: list[str] = []
    shard: str = ""
    host: str = ""
    devices: list[str] = []
    engine: str = ""
    at: str = ""

    @property
    def ended(self) -> float:
        """Seconds since 1970; 0 where the time was not recorded."""
        try:
            return datetime.fromisoformat(self.at).timestamp()
        except ValueError:
            return 0.0

    @property
    def began(self) -> float:
        """The same for the start of the call."""
        return self.ended - self.latency_s


class Asked(NamedTuple):
    """Calls of one reader, and its prices for a million tokens."""

    calls: Sequence[Call]
    prices: Mapping[str, float | None] | None = None


class Attempt(NamedTuple):
    """A job that answered part of a shard; times in seconds since 1970."""

    shard: str
    host: str
    devices: Sequence[str]
    started: float
    """Of the job; its first call came when devices were free and the model loaded."""
    first_call: float
    ended: float
    answers: int
    errors: int
    journal: bool
    """Whether a later job found these answers in the journal."""


def read_calls(path: Path) -> dict[str, Call]:
    """The calls of a reader's responses.jsonl by their key."""
    return {call.key: call for call in read_records(path, Call)}


def usage(*asked: Asked) -> dict[str, float | None]:
    """Tokens, seconds and cost of all these calls together.

    ``busy_s`` is the time during which at least one of them was in flight, whatever ran side by side;
    ``tokens_per_s`` the generated tokens in that time. ``cost`` is that of the readers with prices, None without any.
    """
    calls = [call for each in asked for call in each.calls]
    prompt, completion, cached = _tokens(calls)
    busy = busy_seconds(calls)
    costs = [cost(*_tokens(each.calls), each.prices) for each in asked if each.prices]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "busy_s": round(busy, 3),
        "tokens_per_s": round(completion / busy, 3) if busy else None,
        "cost": sum(costs) if costs else None,
    }


def _tokens(calls: Sequence[Call]) -> tuple[int, int, int]:
    """Of the prompts, generated, and those of the prompts that were cached."""
    return (
        sum(call.prompt_tokens for call in calls),
        sum(call.completion_tokens for call in calls),
        sum(call.cached_tokens for call in calls),
    )


def cost(prompt: int, completion: int, cached: int, prices: Mapping[str, float | None]) -> float:
    """What the tokens cost, at prices for a million; cached ones cost what others do unless they have a price.

    >>> cost(2_000_000, 500_000, 1_000_000, {"prompt": 1.0, "completion": 4.0, "cached": 0.5})
    3.5
    """
    price_prompt, price_completion = prices["prompt"] or 0.0, prices["completion"] or 0.0
    price_cached = prices.get("cached")
    if price_cached is None:
        price_cached = price_prompt
    cached = min(cached, prompt)
    return ((prompt - cached) * price_prompt + cached * price_cached + completion * price_completion) / 1e6


def busy_seconds(calls: Iterable[Call]) -> float:
    """Seconds during which at least one of the calls was in flight; without recorded times, their sum.

    >>> at = "2026-01-01T00:00:0{}+00:00".format
    >>> busy_seconds([Call("a", latency_s=3, at=at(3)), Call("b", latency_s=2, at=at(4)), Call("c", at=at(9))])
    4.0
    """
    total, reached = 0.0, 0.0
    for call in sorted(calls, key=lambda call: call.began):
        if not call.at:
            total += call.latency_s
            continue
        total += max(0.0, call.ended - max(call.began, reached))
        reached = max(reached, call.ended)
    return total


def attempts(calls: Iterable[Call]) -> list[Attempt]:
    """The jobs that these calls were made by, in the order of their start.

    A job is known by its shard, host and start, which each call's times tell. Its answers were found in the
    journal when a later job worked on the same shard, or the work was split into another number of shards.
    """
    known = [call for call in calls if call.at]
    known.sort(key=lambda call: (call.shard, call.host, call.devices, call.began - call.queue_s))
    found = [
        _attempt(list(job))
        for _, same in groupby(known, key=lambda call: (call.shard, call.host, call.devices))
        for job in _jobs(list(same))
    ]
    found.sort(key=lambda attempt: attempt.started)
    last = {attempt.shard: attempt for attempt in found}
    split = found[-1].shard.rpartition("-of-")[2] if found else ""
    return [
        attempt._replace(journal=last[attempt.shard] is not attempt or attempt.shard.rpartition("-of-")[2] != split)
        for attempt in found
    ]


def _jobs(calls: Sequence[Call]) -> Iterable[list[Call]]:
    """Calls of one shard on one host, parted where the start of their job differs."""
    job: list[Call] = []
    for call in calls:
        if job and (call.began - call.queue_s) - (job[-1].began - job[-1].queue_s) > _SAME_START_S:
            yield job
            job = []
        job.append(call)
    if job:
        yield job


def _attempt(calls: Sequence[Call]) -> Attempt:
    first = calls[0]
    return Attempt(
        shard=first.shard,
        host=first.host,
        devices=first.devices,
        started=min(call.began - call.queue_s for call in calls),
        first_call=min(call.began for call in calls),
        ended=max(call.ended for call in calls),
        answers=sum(call.error is None for call in calls),
        errors=sum(call.error is not None for call in calls),
        journal=False,
    )


def latencies(calls: Sequence[Call]) -> dict[str, float]:
    """Percentiles of the calls' seconds, as ``p50`` and so on, with their mean and the longest."""
    import numpy as np

    seconds = [call.latency_s for call in calls]
    if not seconds:
        return {}
    found = {f"p{p}": float(value) for p, value in zip(_PERCENTILES, np.percentile(seconds, _PERCENTILES), strict=True)}
    return {"mean": float(np.mean(seconds)), **found, "max": max(seconds)}


def kinds(reasons: Iterable[str]) -> dict[str, int]:
    """How often something failed, by the kind of the reason, the most frequent first.

    The kind is the reason with its numbers, but for a status at its head, and quoted parts taken out: what
    differs from call to call.
    """
    from collections import Counter

    return dict(Counter(map(_kind, reasons)).most_common())


def _kind(reason: str) -> str:
    import re

    found = re.match(r"\d{3}(?=:|$)", reason)
    status = found[0] if found else ""
    return status + re.sub(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?", "…", reason.removeprefix(status))[:120]


def tally(calls: Sequence[Call]) -> dict[str, Any]:
    """What a reader's answers took, for the page that says how it ran."""
    found = attempts(calls)
    prompt = sum(call.prompt_tokens for call in calls)
    return {
        "calls": len(calls),
        "journal_hits": sum(attempt.answers for attempt in found if attempt.journal),
        "cached_share": sum(call.cached_tokens for call in calls) / prompt if prompt else None,
        "retries": kinds(reason for call in calls for reason in call.retried_for),
        "retried": sum(call.attempts > 1 for call in calls),
        "errors": kinds(call.error for call in calls if call.error is not None),
        "latency": latencies(calls),
        "attempts": [attempt._asdict() for attempt in found],
        **usage(Asked(calls)),
    }
