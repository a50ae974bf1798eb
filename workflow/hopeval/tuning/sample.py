"""A small balanced sample of a run's own requests, and feeds for jobs that are made of it."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import msgspec

from hopeval.errors import InputError
from hopeval.io import read_records
from hopeval.records import Message, Request
from hopeval.runner import chains

Chain = list[Request]


def pick(path: Path, most: int) -> list[Chain]:
    """At most ``most`` questions' requests, of all lengths alike; whatever one takes from the start is balanced.

    The same file gives the same sample. Raises InputError when it holds no request.
    """
    sizes = [sum(request.tokens_estimate for request in chain) for chain in chains(read_records(path, Request))]
    if not sizes:
        raise InputError(f"{path}: holds no requests; plan them first, with at least one question")
    by_size = sorted(range(len(sizes)), key=sizes.__getitem__)
    chosen = min(most, len(sizes))
    places = [by_size[(2 * i + 1) * len(sizes) // (2 * chosen)] for i in evenly(chosen)]
    wanted = set(places)
    found = {i: chain for i, chain in enumerate(chains(read_records(path, Request))) if i in wanted}
    return [found[place] for place in places]


def evenly(number: int) -> list[int]:
    """0 to ``number`` - 1, ordered so that the first ones, however many, are spread over all (bits reversed).

    >>> evenly(8)
    [4, 2, 6, 1, 5, 3, 7, 0]
    """
    bits = max(number - 1, 1).bit_length()
    places = sorted(range(number), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [*places[1:], *places[:1]]  # not with the smallest first


def feed(sample: Sequence[Chain], start: int, length: int, first: int = 0) -> Iterator[Request]:
    """``length`` requests from the sample's chain ``start`` on, in a circle; ``first`` is the first round's number.

    In all rounds but 0 the requests are copies that an engine has not seen: a mark stands where the last
    message begins, so that it may use of its cache what it would use for another question, and no more.
    They have keys of their own.
    """
    rounds = (_marked(request, n) for n in count(first) for request in _circle(sample, start))
    return islice(rounds, length)


def _circle(sample: Sequence[Chain], start: int) -> Iterator[Request]:
    turn = start % len(sample)
    return (request for chain in [*sample[turn:], *sample[:turn]] for request in chain)


def copy_key(key: str, number: int) -> str:
    """The key of a request's copy; the first is the request itself."""
    return key if number == 0 else hashlib.sha256(f"{key}/{number}".encode()).hexdigest()


def _marked(request: Request, number: int) -> Request:
    # Without the digest of its reader: an address of our own may stand in for a server that a job would start.
    fields: dict[str, Any] = {"key": copy_key(request.key, number), "reader": ""}
    if number:
        *others, last = request.messages
        fields |= {
            "messages": [*others, Message(last.role, f"({number}) {last.content}")],
            "question_id": f"{request.question_id} ({number})",
        }
    return msgspec.structs.replace(request, **fields)
