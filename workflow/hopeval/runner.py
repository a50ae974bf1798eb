"""Feeding an engine: many chains at once, each in order, every response into the journal as it comes."""

import asyncio
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import msgspec

from hopeval.engines.base import Completion, Engine, EngineFailed, RequestFailed
from hopeval.errors import HopevalError
from hopeval.journal import Journal
from hopeval.records import Request, Response


@dataclass
class Job:
    """Who answers, where: what every response of this job says of its origin."""

    shard: str
    engine: str
    devices: Sequence[str] = ()
    timeout_s: float = 600.0
    host: str = field(default_factory=socket.gethostname)
    started: float = field(default_factory=time.monotonic)


def chains(requests: Iterable[Request]) -> Iterator[list[Request]]:
    """The requests by question, in order: what shares a beginning stays together."""
    for _, chain in groupby(requests, key=lambda request: request.question_id):
        yield list(chain)


async def answer(
    requests: Iterable[Request],
    engine: Engine,
    journal: Journal,
    job: Job,
    on_response: Callable[[Response], None] = lambda response: None,
) -> list[Response]:
    """The responses to these requests in the order in which they came; each is in the journal already.

    A request that fails is a response with ``error``. Raises EngineFailed when the engine is of no more
    use, HopevalError when answers cannot be kept, and asyncio.CancelledError when the job was told to
    end (SIGTERM): what was in flight is finished and kept, no more is begun.
    """
    feed = chains(requests)
    responses: list[Response] = []
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    async def work() -> None:
        for chain in feed:
            for request in chain:
                if stop.is_set():
                    return
                response = await _respond(request, engine, job)
                journal.append(response)
                responses.append(response)
                on_response(response)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(engine.concurrency):
                workers.create_task(work())
    except* HopevalError as failures:
        raise failures.exceptions[0] from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    if stop.is_set():
        raise asyncio.CancelledError("SIGTERM")
    return responses


async def _respond(request: Request, engine: Engine, job: Job) -> Response:
    begun = time.monotonic()
    completion, error = await _complete(request, engine, job.timeout_s)
    return Response(
        key=request.key,
        text=_encodable(completion.text),
        finish_reason=completion.finish_reason,
        error=None if error is None else _encodable(error),
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cached_tokens=completion.cached_tokens,
        queue_s=round(begun - job.started, 6),
        latency_s=round(time.monotonic() - begun, 6),
        shard=job.shard,
        host=job.host,
        devices=list(job.devices),
        engine=job.engine,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


async def _complete(request: Request, engine: Engine, timeout_s: float) -> tuple[Completion, str | None]:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return _checked(await engine.complete(request)), None
    except EngineFailed as error:
        raise EngineFailed(f"question {request.question_id!r}: {error}") from error
    except RequestFailed as error:
        return Completion(""), str(error)
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _told_to_end():
            raise
        if limit.expired():
            return Completion(""), f"no answer within {timeout_s:g} s (timeout_s)"
        # An engine of the user's own may raise anything: it costs this request.
        traceback.print_exc()
        return Completion(""), f"{type(error).__name__}: {error}"


def _told_to_end() -> bool:
    """Whether this task was cancelled, rather than something that the engine waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _checked(completion: Any) -> Completion:
    """The completion, if it is one. Raises TypeError or msgspec.ValidationError."""
    if not isinstance(completion, Completion):
        raise TypeError(f"complete() must return a Completion, found {type(completion).__name__}")
    return msgspec.convert(tuple(completion), Completion)


def _encodable(text: str) -> str:
    """The text with ``?`` for what UTF-8 cannot hold: halves of surrogate pairs."""
    return text.encode(errors="replace").decode()
