"""Read the responses of one hop as what an iterative retriever searches for next.

Each question keeps its id and gets the query as its text. Where there is no query, the question itself is
searched for again, and that is counted.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hopeval.errors import InputError
from hopeval.io import read_records, write_json, write_records
from hopeval.parsing import ParsedQuery, parse_query
from hopeval.records import STATUSES, Question, Request, Response


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--hop", required=True, help="the hop's name, as the requests have it")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--requests", required=True, type=Path)
    parser.add_argument("--responses", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="what to search for (JSON Lines, as questions)")
    parser.add_argument(
        "--counts", required=True, type=Path, help="how many queries there were, and of what kind (JSON)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the queries in the order of the questions. Raises InputError for requests of another hop."""
    requests = {r.question_id: r for r in read_records(args.requests, Request) if args.hop in r.experiments}
    if not requests and any(True for _ in read_records(args.questions, Question)):
        raise InputError(f"--hop {args.hop!r}: no request of {args.requests} is for it; plan it first")
    wanted = {request.key for request in requests.values()}
    responses = {r.key: r for r in read_records(args.responses, Response) if r.key in wanted}
    counts: Counter[str] = Counter()
    write_records(args.output, _queries(args.questions, requests, responses, counts))
    statuses = {status: counts[status] for status in STATUSES}
    tokens = {
        name: sum(getattr(response, name) for response in responses.values())
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    }
    write_json(args.counts, {"hop": args.hop, "questions": counts.total(), **statuses, **tokens})
    fallen = counts.total() - counts["ok"]
    print(f"{args.hop}: {counts['ok']} queries; {fallen} questions searched for again for want of one")


def _queries(
    questions: Path, requests: dict[str, Request], responses: dict[str, Response], counts: Counter[str]
) -> Iterator[Question]:
    for question in read_records(questions, Question):
        request = requests.get(question.id)
        parsed = _query(request, responses.get(request.key) if request else None)
        counts[parsed.status] += 1
        yield msgspec.structs.replace(question, text=parsed.query or question.text)


def _query(request: Request | None, response: Response | None) -> ParsedQuery:
    if request is None or response is None:
        return ParsedQuery(None, "missing")
    if response.error is not None:
        return ParsedQuery(None, "error")
    return parse_query(response.text, "text" if request.schema is None else "json", response.finish_reason)
