"""Answer one shard's requests, from the journal where they were answered before.

Each response is appended to the journal the moment it exists. When more requests fail than the reader's
max_failures, all others are finished first; then the command fails, and the next run asks only for those.
"""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopeval.commands import mapping
from hopeval.config import parse_reader
from hopeval.devices import lease
from hopeval.engines.base import Engine, Setup
from hopeval.errors import HopevalError, InputError, printable
from hopeval.io import read_records, write_records
from hopeval.journal import Journal
from hopeval.keys import digest, reader_identity
from hopeval.plugins import load_class
from hopeval.progress import Progress, redirect_output
from hopeval.records import Request, Response
from hopeval.runner import Job, answer

ENGINES = {"llamacpp": "hopeval.engines.llamacpp:LlamaCppEngine"}
_FAILURES_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--reader", required=True, help="the reader's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--model", type=Path, help="the model's file or folder")
    parser.add_argument("--requests", required=True, type=Path, help="one shard's requests")
    parser.add_argument("--shard", default="1-of-1", help="its name, <i>-of-<n>")
    parser.add_argument("--journal", required=True, type=Path, help="the reader's journal folder")
    parser.add_argument("--output", required=True, type=Path, help="responses in the order of the requests")
    parser.add_argument("--threads", type=int, default=1, help="CPU cores for this job")
    parser.add_argument("--granted-gpus", type=int, help="GPUs that the scheduler counted for this job")
    parser.add_argument("--log", type=Path, help="file for all output; a terminal keeps the progress line")


def run(args: argparse.Namespace) -> None:
    """Write the responses. Raises HopevalError when too many requests failed or the engine did."""
    terminal = redirect_output(args.log) if args.log else (sys.stderr if sys.stderr.isatty() else None)
    settings = parse_reader(args.settings, args.reader)
    _check_grant(args, settings)
    requests = _distinct(read_records(args.requests, Request))
    with Journal(args.journal, args.shard) as journal:
        responses, damaged = journal.answered([request.key for request in requests])
        for damage in damaged:
            print(f"warning: {damage.path}:{damage.line}: not a response (torn or damaged), passed over", flush=True)
        missing = [request for request in requests if request.key not in responses]
        _check_planned(args, settings, missing)
        progress = Progress(args.shard, len(requests), len(responses), terminal)
        try:
            if missing:
                responses |= _infer(args, settings, missing, journal, progress)
        finally:
            progress.close()
    _check_failures(args, settings, requests, responses)
    write_records(args.output, (responses[request.key] for request in requests))


def _distinct(requests: Iterable[Request]) -> list[Request]:
    """The first request with each key; two questions may have one prompt."""
    first: dict[str, Request] = {}
    for request in requests:
        first.setdefault(request.key, request)
    return list(first.values())


def _check_grant(args: argparse.Namespace, settings: Any) -> None:
    # Snakemake lowers a job's request to what --resources gives, in silence.
    wanted = settings.gpus if settings.share == 1 else 0
    if args.granted_gpus is not None and args.granted_gpus < wanted:
        raise InputError(
            f"readers.{args.reader}.gpus: {wanted} needed for each job, but only {args.granted_gpus} granted; "
            f"run snakemake with --resources gpu={wanted} or more, or lower gpus"
        )


def _check_planned(args: argparse.Namespace, settings: Any, requests: Sequence[Request]) -> None:
    """Raise InputError when the keys were made for another model: its answers must not be kept under them."""
    own = digest(reader_identity(settings, args.model)) if requests else ""
    for request in requests:
        if request.reader not in ("", own):
            raise InputError(
                f"{args.requests}: planned for another model or sampling than reader {args.reader!r} has now "
                f"({args.model or settings.engine}); plan the requests again"
            )


def _infer(
    args: argparse.Namespace, settings: Any, requests: Sequence[Request], journal: Journal, progress: Progress
) -> dict[str, Response]:
    """The responses by key, with the devices leased and the engine open for just as long."""
    engine_class = load_class(settings.engine, ENGINES, Engine, f"readers.{args.reader}.engine")
    with lease(settings.gpus, settings.share) as leased:
        job = Job(args.shard, settings.engine, leased, settings.timeout_s)
        with _explained(f"readers.{args.reader}.engine: {settings.engine}"):
            engine = engine_class(Setup(settings, args.model, args.threads, leased))
            if engine.concurrency < 1:
                raise InputError(f"{settings.engine}: concurrency is {engine.concurrency}; make it 1 or more")
            return asyncio.run(_serve(engine, requests, journal, job, progress))


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


async def _serve(
    engine: Engine, requests: Sequence[Request], journal: Journal, job: Job, progress: Progress
) -> dict[str, Response]:
    begun = time.monotonic()
    try:
        await engine.open()
        print(f"{job.engine} ready after {time.monotonic() - begun:.1f} s, devices {job.devices or 'none'}", flush=True)
        progress.start()
        responses = await answer(requests, engine, journal, job, progress.add)
    except asyncio.CancelledError:
        raise HopevalError("told to end; all answers so far are kept, run the same command again") from None
    finally:
        await engine.close()
    return {response.key: response for response in responses}


def _check_failures(
    args: argparse.Namespace, settings: Any, requests: Sequence[Request], responses: Mapping[str, Response]
) -> None:
    failed = [request for request in requests if responses[request.key].error is not None]
    for request in failed[:_FAILURES_SHOWN]:
        print(printable(f"question {request.question_id!r}: {responses[request.key].error}"), file=sys.stderr)
    if len(failed) > settings.max_failures:
        raise HopevalError(
            f"shard {args.shard} of reader {args.reader!r}: {len(failed)} of {len(requests)} requests failed, "
            f"{settings.max_failures} allowed (max_failures); the others are kept, run the same command again"
        )
