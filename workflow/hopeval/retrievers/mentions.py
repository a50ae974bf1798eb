"""Names in a text, and titles that it mentions: what leads from one passage to the next without a model."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

_WORD = re.compile(r"\w+")
_QUALIFIER = re.compile(r"\s*\([^()]*\)$")
_COMMON = """
a all an and are as at be but by can did do does for from had has have he her his how i if in is it its many most
no not of on one or she so that the their they this to two was we were what when where which who whose why will
with you
"""
_TELLS_NOTHING = frozenset(_WORD.findall(_COMMON))
"""As a title of its own none of these tells what a text is about."""


def follow_up(question: str, passage: str) -> str:
    """What to search for once this passage is known: the question's words that it lacks, and the names it adds.

    A name is a word that does not begin with a small letter. Where nothing is left, the question again.

    >>> follow_up("Where was the director of Jaws born?", "Jaws is a film by the director Steven Spielberg.")
    'Where was of born Steven Spielberg'
    """
    asked, told = (dict.fromkeys(_WORD.findall(text)) for text in (question, passage))
    left = _without(asked, told)
    names = _without((word for word in told if not word[0].islower()), asked)
    return " ".join([*left, *names]) or question


def _without(words: Iterable[str], others: Iterable[str]) -> list[str]:
    known = {word.casefold() for word in others}
    return [word for word in words if word.casefold() not in known]


def mentioned(text: str, titles: Mapping[str, str]) -> set[str]:
    """The ids of those ``titles`` (by id) that stand in the text, with or without what is in brackets at their end.

    A mention does not begin with a small letter, and where titles overlap the longest counts.

    >>> sorted(mentioned("Was Ed Wood a film?", {"1": "Ed Wood", "2": "Ed Wood (film)", "3": "Wood", "4": "Film"}))
    ['1', '2']
    """
    known = _by_words(titles)
    longest = max(map(len, known), default=0)
    words = _WORD.findall(text)
    folded = [word.casefold() for word in words]
    found: set[str] = set()
    at = 0
    while at < len(words):
        ends = range(min(at + longest, len(words)), at, -1) if not words[at][0].islower() else ()
        end = next((end for end in ends if tuple(folded[at:end]) in known), None)
        found.update(known[tuple(folded[at:end])] if end else ())
        at = end or at + 1
    return found


def _by_words(titles: Mapping[str, str]) -> dict[tuple[str, ...], list[str]]:
    """The ids of the titles by their words in small letters."""
    known: dict[tuple[str, ...], list[str]] = {}
    for identifier, title in titles.items():
        for words in _names(title):
            known.setdefault(words, []).append(identifier)
    return known


@lru_cache(maxsize=2**16)
def _names(title: str) -> list[tuple[str, ...]]:
    """The title in words, and without what is in brackets at its end; nothing that would tell nothing."""
    names = {title, _QUALIFIER.sub("", title)}
    found = {tuple(word.casefold() for word in _WORD.findall(name)) for name in names}
    return [words for words in found if len(words) > 1 or (words and _tells(words[0]))]


def _tells(word: str) -> bool:
    return len(word) > 1 and not word.isdecimal() and word not in _TELLS_NOTHING
