"""Answer one shard's requests, from the journal where they were answered before.

Each response is appended to the journal the moment it exists. When more requests fail than the reader's
max_failures, all others are finished first; then the command fails, and the next run asks only for those.
"""

import argparse
import asyncio
import gc
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from hopeval.asking import Policy
from hopeval.commands import mapping
from hopeval.config import parse_reader
from hopeval.devices import check_granted, lease
from hopeval.engines.base import Engine, Setup
from hopeval.errors import HopevalError, InputError, listed
from hopeval.heartbeat import Heartbeat, claimed
from hopeval.io import read_records, write_records
from hopeval.journal import Journal
from hopeval.keys import digest, reader_identity
from hopeval.plugins import load_class
from hopeval.progress import Progress, redirect_output
from hopeval.rates import shared_rate
from hopeval.readers import ENGINES
from hopeval.records import Request, Response
from hopeval.runner import Job, Requests, answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--reader", required=True, help="the reader's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--model", type=Path, help="the model's file or folder")
    parser.add_argument("--requests", required=True, type=Path, help="one shard's requests")
    parser.add_argument("--shard", default="1-of-1", help="its name, <i>-of-<n>")
    parser.add_argument("--journal", required=True, type=Path, help="the reader's journal folder")
    parser.add_argument("--claims", type=Path, help="where jobs claim shards; by default the journal folder")
    parser.add_argument("--output", required=True, type=Path, help="responses in the order of the requests")
    parser.add_argument("--threads", type=int, default=1, help="CPU cores for this job")
    parser.add_argument("--granted-gpus", type=int, help="GPUs that the scheduler counted for this job")
    parser.add_argument("--log", type=Path, help="file for all output; a terminal keeps the progress line")


def run(args: argparse.Namespace, on_response: Callable[[Response], None] = lambda response: None) -> None:
    """Write the responses; ``on_response`` hears of each, those from the journal first.

    Raises HopevalError when too many requests failed or the engine did.
    """
    terminal = redirect_output(args.log)
    settings = parse_reader(args.settings, args.reader)
    wanted = settings.gpus if settings.share == 1 else 0
    check_granted(wanted, args.granted_gpus, f"readers.{args.reader}.gpus")
    # What others have answered is looked for once they are through: claim first, read then.
    with claimed(args.claims or args.journal, args.shard, _teller(terminal if args.log else None)) as heartbeat:
        _answer_shard(args, settings, terminal, heartbeat, on_response)


def _teller(terminal: TextIO | None) -> Callable[[str], None]:
    """Prints a line to the log and, where there is one beside it, to the terminal: waiting can take hours."""

    def tell(line: str) -> None:
        for file in filter(None, (sys.stdout, terminal)):
            print(line, file=file, flush=True)

    return tell


def _answer_shard(
    args: argparse.Namespace,
    settings: Any,
    terminal: TextIO | None,
    heartbeat: Heartbeat,
    on_response: Callable[[Response], None],
) -> None:
    planned = _planned(args.requests)
    with Journal(args.journal, args.shard) as journal:
        responses, damaged = journal.answered(planned)
        for damage in damaged:
            print(f"warning: {damage.path}:{damage.line}: not a response (torn or damaged), passed over", flush=True)
        if damaged:
            print(f"warning: {len(damaged)} damaged lines passed over; what they held is asked again", flush=True)
        missing = {key: request for key, request in planned.items() if key not in responses}
        _check_model(args, settings, missing)
        for response in responses.values():
            on_response(response)
        heartbeat.counted(len(planned), len(responses))
        progress = Progress(args.shard, len(planned), len(responses), terminal, _both(heartbeat.add, on_response))
        try:
            if missing:
                responses |= _infer(args, settings, _Streamed(args.requests, missing), journal, progress, heartbeat)
        finally:
            progress.close()
    _check_failures(args, settings, planned, responses)
    write_records(args.output, (responses[key] for key in planned))


def _both(*hear: Callable[[Response], None]) -> Callable[[Response], None]:
    def add(response: Response) -> None:
        for each in hear:
            each(response)

    return add


class _Planned(NamedTuple):
    """What has to be known of a request as long as the job runs."""

    question_id: str
    reader: str


def _planned(path: Path) -> dict[str, _Planned]:
    """The requests by key, in order; of those with one key, the first. Raises InputError for a bad line."""
    planned: dict[str, _Planned] = {}
    for request in read_records(path, Request):
        planned.setdefault(request.key, _Planned(request.question_id, sys.intern(request.reader)))
    return planned


class _Streamed:
    """The shard's requests that have one of these keys, each once, in order; read from disk as they are asked.

    A shard may hold more text than a machine's memory has room for.
    """

    def __init__(self, path: Path, keys: Collection[str]) -> None:
        self._path, self._keys = path, keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Request]:
        waiting = set(self._keys)
        for request in read_records(self._path, Request):
            if request.key in waiting:  # two questions may have one prompt
                waiting.remove(request.key)
                yield request


def _check_model(args: argparse.Namespace, settings: Any, planned: Mapping[str, _Planned]) -> None:
    """Raise InputError when keys were made for another model: its answers must not be kept under them."""
    own = digest(reader_identity(settings, args.model)) if planned else ""
    if any(request.reader not in ("", own) for request in planned.values()):
        raise InputError(
            f"{args.requests}: planned for another model or sampling than reader {args.reader!r} has now "
            f"({args.model or settings.engine}); plan the requests again"
        )


def _infer(
    args: argparse.Namespace,
    settings: Any,
    requests: Requests,
    journal: Journal,
    progress: Progress,
    heartbeat: Heartbeat,
) -> dict[str, Response]:
    """The responses by key, with the devices leased and the engine open for just as long."""
    engine_class = load_class(settings.engine, ENGINES, Engine, f"readers.{args.reader}.engine")
    with lease(settings.gpus, settings.share) as leased:
        policy = policy_of(settings, answered_before=progress.journaled)
        job = Job(args.shard, settings.engine, leased, policy)
        with _explained(f"readers.{args.reader}.engine: {settings.engine}"):
            engine = engine_class(Setup(settings, args.model, args.threads, leased))
            return asyncio.run(serve(engine, requests, journal, job, progress, heartbeat.begin))


def policy_of(settings: Any, answered_before: int = 0) -> Policy:
    """How patiently this reader's engine is asked; its rates are shared by all jobs with the same quota."""
    names = ("timeout_s", "attempts", "give_up_s", "grace_s", "shard_timeout_s", "max_failures")
    quota = digest(settings.quota)[:16]
    return Policy(
        **{name: getattr(settings, name) for name in names},
        requests=shared_rate(f"{quota}-requests", settings.requests_per_minute),
        tokens=shared_rate(f"{quota}-tokens", settings.tokens_per_minute),
        answer_tokens=settings.sampling.max_tokens,
        answered_before=answered_before,
    )


@contextmanager
def _explained(engine: str) -> Iterator[None]:
    """Whatever an engine raises while it starts or stops as one message, its traceback before it."""
    try:
        yield
    except HopevalError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise HopevalError(f"{engine} failed: {type(error).__name__}: {error}; see the traceback above") from None


async def serve(
    engine: Engine,
    requests: Requests,
    journal: Journal,
    job: Job,
    progress: Progress,
    on_request: Callable[[Request], None] = lambda request: None,
) -> dict[str, Response]:
    """The responses by key, with the engine open for just as long. Raises what runner.answer raises."""
    begun = time.monotonic()
    try:
        await engine.open()
        if engine.concurrency is not None and engine.concurrency < 1:
            raise InputError(f"{job.engine}: concurrency is {engine.concurrency}; make it 1 or more")
        print(f"{job.engine} ready after {time.monotonic() - begun:.1f} s, devices {job.devices or 'none'}", flush=True)
        progress.start()
        gc.freeze()  # the requests are here to stay: no need to look at each of them again and again
        responses = await answer(requests, engine, journal, job, progress.add, on_request)
    except asyncio.CancelledError as error:
        reason = str(error) or "told to end"
        raise HopevalError(f"{reason}; all answers so far are kept, run the same command again") from None
    finally:
        await engine.close()
    return {response.key: response for response in responses}


def _check_failures(
    args: argparse.Namespace, settings: Any, planned: Mapping[str, _Planned], responses: Mapping[str, Response]
) -> None:
    failed = [key for key in planned if responses[key].error is not None]
    shown = listed([f"question {planned[key].question_id!r}: {responses[key].error}" for key in failed])
    if len(failed) > settings.max_failures:
        raise HopevalError(
            f"shard {args.shard} of reader {args.reader!r}: {len(failed)} of {len(planned)} requests failed, "
            f"{settings.max_failures} allowed (max_failures); the others are kept, run the same command again{shown}"
        )
    if failed:
        print(f"warning: {len(failed)} of {len(planned)} requests failed:{shown}", file=sys.stderr)
