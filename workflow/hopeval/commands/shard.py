"""Split requests into N chunks of about equal work; a question's requests stay together.

The longest chain goes to the lightest shard, again and again (Graham 1969, longest processing time
first). The same requests and N always give the same shards; within one, the order is that of the requests.
"""

import argparse
import heapq
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from hopeval.claims import refuse_if_worked_on
from hopeval.errors import InputError
from hopeval.io import atomic_write, open_binary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--requests", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, nargs="+", help="the chunks' paths, one a shard")
    parser.add_argument("--journal", type=Path, help="the reader's journal folder, where jobs say what they work on")


def run(args: argparse.Namespace) -> None:
    """Write the chunks. Raises HopevalError while jobs of an earlier run work on other ones."""
    _take_back(args)
    chains = read_chains(args.requests)
    with open_binary(args.requests) as source:
        for path, chunk in zip(args.output, assign(chains, len(args.output)), strict=True):
            with atomic_write(path) as target:
                for chain in chunk:
                    source.seek(chain.offset)
                    target.write(source.read(chain.length))


def _take_back(args: argparse.Namespace) -> None:
    """Remove an earlier division's chunks: a job that still waits in a queue would ask for them as well."""
    if args.journal is None:
        return
    refuse_if_worked_on(args.journal)
    for path in set(args.output[0].parent.glob("*-of-*.jsonl")) - set(args.output):
        path.unlink(missing_ok=True)
    # A job claims before it reads: whichever began in between is seen now, or found its chunk gone.
    refuse_if_worked_on(args.journal)


class Chain(NamedTuple):
    """Where one question's requests stand in the file, in bytes, and their estimated tokens."""

    offset: int
    length: int
    tokens: int


class _Sized(msgspec.Struct):
    question_id: str
    tokens_estimate: int = 0


class _Line(NamedTuple):
    question_id: str
    offset: int
    length: int
    tokens: int


def read_chains(path: Path) -> list[Chain]:
    """The chains of a requests file, in order. Raises InputError with file and line for a bad record."""
    chains = []
    for _, lines in groupby(_lines(path), key=lambda line: line.question_id):
        first, *others = lines
        last = others[-1] if others else first
        tokens = first.tokens + sum(line.tokens for line in others)
        chains.append(Chain(first.offset, last.offset + last.length - first.offset, tokens))
    return chains


def _lines(path: Path) -> Iterable[_Line]:
    decoder = msgspec.json.Decoder(_Sized)
    offset = 0
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            try:
                request = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{path}:{number}: {error}; plan the requests again") from None
            yield _Line(request.question_id, offset, len(line), request.tokens_estimate)
            offset += len(line)


def assign(chains: Sequence[Chain], shards: int) -> list[list[Chain]]:
    """The chains of each shard; none is empty unless there are fewer chains than shards.

    >>> assign([Chain(0, 1, 5), Chain(1, 1, 3), Chain(2, 1, 3)], 2)
    [[Chain(offset=0, length=1, tokens=5)], [Chain(offset=1, length=1, tokens=3), Chain(offset=2, length=1, tokens=3)]]
    """
    loads = [(0, 0, shard) for shard in range(shards)]
    chunks: list[list[Chain]] = [[] for _ in range(shards)]
    for chain in sorted(chains, key=lambda chain: (-chain.tokens, chain.offset)):
        # The number of chains breaks ties, so that chains without any tokens spread out, too.
        tokens, count, shard = heapq.heappop(loads)
        chunks[shard].append(chain)
        heapq.heappush(loads, (tokens + chain.tokens, count + 1, shard))
    return [sorted(chunk) for chunk in chunks]
