"""Several hops of one retriever: what they are called, and their rankings made one."""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Protocol, TypeVar


class _Identified(Protocol):
    id: str


_T = TypeVar("_T", bound=_Identified)


def interleaved(rankings: Iterable[Sequence[_T]]) -> list[_T]:
    """The first of each ranking, then the second of each, and so on; what comes again keeps its first place.

    Each hop looks for something else, so that a place in one says nothing about places in the others.
    """
    in_turn = chain.from_iterable(zip_longest(*rankings))
    found: dict[str, _T] = {}
    for each in in_turn:
        if each is not None:
            found.setdefault(each.id, each)
    return list(found.values())


def hop_name(number: int | str) -> str:
    """What a hop is called among the bases; no retriever can be called so."""
    return f"hop {number}"
