"""Feeding an engine: many chains at once, each in order, every response into the journal as it comes."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Protocol

from hopeval.asking import Asked, Asker, Policy
from hopeval.engines.base import Engine
from hopeval.errors import HopevalError, printable
from hopeval.journal import Journal
from hopeval.pacing import Pace
from hopeval.records import Request, Response

_OPENED, _CLOSED = "<think>", "</think>"


@dataclass
class Job:
    """Who answers, where: what every response of this job says of its origin; and how patiently it is asked."""

    shard: str
    engine: str
    devices: Sequence[str] = ()
    policy: Policy = field(default_factory=Policy)
    host: str = field(default_factory=socket.gethostname)
    started: float = field(default_factory=time.monotonic)


def chains(requests: Iterable[Request]) -> Iterator[list[Request]]:
    """The requests by question, in order: what shares a beginning stays together."""
    for _, chain in groupby(requests, key=lambda request: request.question_id):
        yield list(chain)


class Requests(Protocol):
    """Requests of a known number that need not all be in memory: a list will do."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Request]: ...


async def answer(
    requests: Requests,
    engine: Engine,
    journal: Journal,
    job: Job,
    on_response: Callable[[Response], None] = lambda response: None,
    on_request: Callable[[Request], None] = lambda request: None,
) -> list[Response]:
    """The responses to these requests in the order in which they came; each is in the journal already.

    A request that fails is a response with ``error``. Raises EngineFailed when the engine is of no more
    use, HopevalError when answers cannot be kept, and asyncio.CancelledError with the reason when the job
    was told to end (SIGTERM) or had its time: what is answered within ``grace_s`` is kept, no more begun.
    """
    feed = chains(requests)
    responses: list[Response] = []
    workers: list[asyncio.Task[None]] = []
    stop, reasons = asyncio.Event(), list[str]()
    pace = Pace(engine.concurrency)
    asker = Asker(engine, job.policy, pace, len(requests), stop)

    async def work() -> None:
        for chain in feed:
            async with pace.turn():
                for request in chain:
                    on_request(request)
                    asked = await asker.ask(request)
                    if asked is None:
                        return
                    response = _response(request, asked, job)
                    journal.append(response)
                    responses.append(response)
                    on_response(response)

    def end(reason: str) -> None:
        reasons.append(reason)
        stop.set()
        loop.call_later(job.policy.grace_s, lambda: [worker.cancel() for worker in workers])

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end, "told to end")
    if job.policy.shard_timeout_s is not None:
        left_s = job.started + job.policy.shard_timeout_s - time.monotonic()
        loop.call_later(left_s, end, f"not done after {job.policy.shard_timeout_s:g} s (shard_timeout_s)")
    try:
        async with asyncio.TaskGroup() as group:
            workers += [group.create_task(work()) for _ in range(min(pace.most, len(requests)))]
    except* HopevalError as failures:
        raise failures.exceptions[0] from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        if engine.concurrency is None:
            print(printable(str(pace)), flush=True)
    if stop.is_set():
        raise asyncio.CancelledError(reasons[0])
    return responses


def _response(request: Request, asked: Asked, job: Job) -> Response:
    completion = asked.completion
    reasoning, text = split_reasoning(completion.text)
    return Response(
        key=request.key,
        text=_encodable(text),
        reasoning=_encodable(completion.reasoning or reasoning),
        finish_reason=completion.finish_reason,
        error=None if asked.error is None else _encodable(asked.error),
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cached_tokens=completion.cached_tokens,
        queue_s=round(asked.begun - job.started, 6),
        latency_s=round(time.monotonic() - asked.begun, 6),
        attempts=asked.attempts,
        retried_for=[_encodable(reason) for reason in asked.retried_for],
        shard=job.shard,
        host=job.host,
        devices=list(job.devices),
        engine=job.engine,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def split_reasoning(text: str) -> tuple[str, str]:
    r"""A model's thinking, and what it says after it.

    >>> split_reasoning("<think>Who was it?</think>\n\nKariba")
    ('Who was it?', 'Kariba')
    >>> split_reasoning("<think>Who was")
    ('Who was', '')
    >>> split_reasoning("Kariba")
    ('', 'Kariba')
    """
    # No regular expression: what a model says must not take long, a megabyte of line ends neither.
    thinking, closed, rest = text.rpartition(_CLOSED)
    if closed:  # some chat templates open the tag in the prompt
        return thinking.strip().removeprefix(_OPENED).strip(), rest.lstrip()
    if text.lstrip().startswith(_OPENED):  # cut off: it holds no answer yet
        return text.lstrip().removeprefix(_OPENED).strip(), ""
    return "", text


def _encodable(text: str) -> str:
    """The text with ``?`` for what UTF-8 cannot hold: halves of surrogate pairs."""
    return text.encode(errors="replace").decode()
