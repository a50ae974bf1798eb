"""Which retrievers are built on which, by the names in their ``of``; and what is wrong with that."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

_DEAF = ("given", "gold", "none", "run", "iterative")
"""Kinds that have rankings for the questions alone."""


def built_on(retriever: Any) -> list[str]:
    """The names of the retrievers that this one is built on. Takes a section, checked or not."""
    of = retriever.get("of") if isinstance(retriever, Mapping) else getattr(retriever, "of", None)
    names = [of] if isinstance(of, str) else of
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def beneath(name: str, retrievers: Mapping[str, Any]) -> list[str]:
    """All that a retriever is built on, directly or not, each once; what others are built on comes first.

    >>> beneath("c", {"a": {}, "b": {"of": "a"}, "c": {"of": ["b", "a"]}})
    ['a', 'b']
    """
    found: dict[str, None] = {}
    for base in built_on(retrievers[name]):
        found |= dict.fromkeys([*beneath(base, retrievers), base])
    return list(found)


def searched(name: str, retrievers: Mapping[str, Any]) -> list[str]:
    """What a retriever searches while it retrieves: itself, and all beneath it where run files do not serve."""
    return [name] if retrievers[name].READS_RUNS else [*beneath(name, retrievers), name]


def mistaken_bases(retrievers: Mapping[str, Any]) -> list[str]:
    """A line for each name in an ``of`` that is no retriever's, or there twice, and for each circle of them."""
    return [line for name, section in retrievers.items() for line in _mistaken(name, built_on(section), retrievers)]


def mistaken_searchers(retrievers: Mapping[str, Any]) -> list[str]:
    """A line for each retriever that makes queries of its own and rests on one that cannot search for them.

    Takes retrievers of which mistaken_bases has nothing to say.
    """
    return [
        f"retrievers.{name}.of: found {of!r}, but {deaf} ({_kind(retrievers[deaf])}) cannot search for further "
        "queries; name a retriever that searches, such as one of kind bm25"
        for name, section in retrievers.items()
        if _kind(section) in ("two-hop", "iterative")
        for of in built_on(section)
        for deaf in [*beneath(of, retrievers), of]
        if _kind(retrievers[deaf]) in _DEAF
    ]


def mistaken_readers(retrievers: Mapping[str, Any], readers: Mapping[str, Any]) -> list[str]:
    """A line for each retriever whose reader there is not."""
    named = {name: section.get("reader") for name, section in retrievers.items() if _kind(section) == "iterative"}
    return [
        f"retrievers.{name}.reader: found {reader!r}{_meant(reader, readers)}; must be the name of a reader; "
        f"there are: {', '.join(map(str, readers))}"
        for name, reader in named.items()
        if isinstance(reader, str) and reader not in readers
    ]


def _kind(section: Any) -> Any:
    return section.get("kind") if isinstance(section, Mapping) else getattr(section, "kind", None)


def _meant(name: str, names: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(map(str, names)), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _mistaken(name: str, bases: list[str], retrievers: Mapping[str, Any]) -> Iterator[str]:
    for base in dict.fromkeys(bases):
        if base not in retrievers:
            there = ", ".join(map(str, retrievers))
            meant = _meant(base, retrievers)
            yield f"retrievers.{name}.of: found {base!r}{meant}; must be the name of a retriever; there are: {there}"
        if bases.count(base) > 1:
            yield f"retrievers.{name}.of: found {base!r} twice; name each retriever once"
    circle = _way_back(name, [name], retrievers)
    if circle and list(retrievers).index(name) == min(map(list(retrievers).index, circle)):
        way = " → ".join([*circle, name])
        yield f"retrievers.{name}.of: {way} is a circle; build a retriever on others than itself"


def _way_back(name: str, way: list[str], retrievers: Mapping[str, Any]) -> list[str] | None:
    """The names along ``of`` from the first of ``way`` until they come back to it; None if they never do."""
    for base in built_on(retrievers[name]):
        if base == way[0]:
            return way
        if base in retrievers and base not in way and (found := _way_back(base, [*way, base], retrievers)):
            return found
    return None
