"""What was found: the texts behind the ids of a ranking, how long finding it took, how to find more."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any, Self

import msgspec

from hopeval.errors import InputError
from hopeval.passages import PassageStore
from hopeval.records import Hit, Passage, Question, RankedPassage


class Search(msgspec.Struct):
    """Where and how a run searched: sections by name, manifests of indexes, and files of passages."""

    sections: dict[str, Any]
    indexes: dict[str, str]
    passages: str
    corpus: str


class Texts:
    """The passages behind hits: the questions' own paragraphs, the corpus, and what hits bring themselves."""

    def __init__(self, own: PassageStore, corpus: PassageStore) -> None:
        self.own, self.corpus = own, corpus

    @classmethod
    def opened(cls, passages: Path, corpus: Path | None) -> Self:
        """From the files of the own paragraphs and of the corpus, which may be the same. Raises InputError."""
        own = PassageStore(passages)
        return cls(own, own if corpus in (None, passages) else PassageStore(corpus))

    def ranked(self, hit: Hit) -> RankedPassage:
        """The passage with its score. Raises InputError when there is none."""
        passage = hit.passage or self._store(hit).by_id(hit.id)
        return RankedPassage(id=passage.id, title=passage.title, sentences=passage.sentences, score=hit.score)

    def title(self, hit: Hit) -> str:
        """The passage's title. Raises InputError when there is none."""
        return hit.passage.title if isinstance(hit.passage, Passage) else self._store(hit).title(hit.id)

    def absent(self, question: Question, hits: Iterable[Hit]) -> list[str]:
        """Ids of passages that are judged relevant, but neither among these texts nor brought by a hit."""
        brought = {hit.id for hit in hits if hit.passage}
        wanted = (identifier for identifier in question.relevant if identifier not in brought)
        return [identifier for identifier in wanted if identifier not in self.corpus and identifier not in self.own]

    def _store(self, hit: Hit) -> PassageStore:
        # Nearly all hits are of the corpus. What is in both is the same: own ids are made of the contents.
        return self.own if hit.id not in self.corpus and hit.id in self.own else self.corpus


def checked(found: Any, questions: Sequence[Question], name: str, depth: int | None) -> list[list[Hit]]:
    """What a retriever found, if it is what one has to give: a passage that comes twice keeps its first place, and
    what is deeper than ``depth`` is cut off.

    Raises InputError: the retriever may be the user's own.
    """
    where = f"retrievers.{name}"
    try:
        lists = msgspec.convert(found, list[list[Hit]])
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: retrieve() must give lists of Hit: {error}; mend the retriever") from None
    if len(lists) != len(questions):
        raise InputError(
            f"{where}: retrieve() gave {len(lists)} lists for {len(questions)} questions; give one for each"
        )
    return [
        _once(_plain(hit, question.id, where) for hit in hits)[:depth]
        for question, hits in zip(questions, lists, strict=True)
    ]


def _once(hits: Iterable[Hit]) -> list[Hit]:
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.id, hit)
    return list(first.values())


def _plain(hit: Hit, question: str, where: str) -> Hit:
    """The same hit of Python's own types, which msgspec takes on trust in a Hit that somebody else has made."""
    if (type(hit), type(hit.id), type(hit.score), hit.passage) == (Hit, str, float, None) and isfinite(hit.score):
        return hit
    if not isinstance(hit.id, str):
        raise InputError(f"{where}: found the passage {hit.id!r} for question {question!r}; give its id, a str")
    try:
        passage = hit.passage and msgspec.convert(msgspec.to_builtins(hit.passage), Passage)
    except (TypeError, msgspec.ValidationError) as error:
        raise InputError(
            f"{where}: the passage of the hit {hit.id!r} for question {question!r} is none: {error}; give a Passage"
        ) from None
    try:
        score = float(hit.score)
    except (TypeError, ValueError):
        score = nan
    if not isfinite(score):
        raise InputError(
            f"{where}: passage {hit.id!r} has the score {hit.score} for question {question!r}, which has "
            "no place in an order; give a finite number"
        )
    return Hit(str(hit.id), score, passage)


class Speed(msgspec.Struct):
    """``open_s``: seconds until the first answer; ``latency_s``: of one question alone, the median; both and
    ``queries_per_second`` None where there were too few questions to tell, or where it is not known.
    """

    open_s: float | None = None
    latency_s: float | None = None
    queries_per_second: float | None = None


def altogether(speeds: Sequence[Speed]) -> Speed:
    """The speed of one search that waits for all of these, one after the other.

    >>> altogether([Speed(1.0, 0.5, 20.0), Speed(2.0, 0.25, 5.0)])
    Speed(open_s=3.0, latency_s=0.75, queries_per_second=4.0)
    >>> altogether([Speed(1.0, 0.5, 20.0), Speed()])
    Speed(open_s=None, latency_s=None, queries_per_second=None)
    """
    rates = [speed.queries_per_second for speed in speeds]
    seconds = _sum([1 / rate if rate else None for rate in rates])
    return Speed(
        open_s=_sum([speed.open_s for speed in speeds]),
        latency_s=_sum([speed.latency_s for speed in speeds]),
        queries_per_second=round(1 / seconds, 2) if seconds else None,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 9) if len(known) == len(values) else None


class Clock:
    """Takes the time of searching, batch by batch. The first batch has opened the retriever besides."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, float]] = []
        self._start = time.monotonic()

    @contextmanager
    def measure(self, questions: int) -> Iterator[None]:
        """Time a batch of so many questions."""
        start = time.monotonic() if self._batches else self._start
        yield
        self._batches.append((questions, time.monotonic() - start))

    def add(self, seconds: float) -> None:
        """Count what other jobs spent on the last batch."""
        questions, spent = self._batches[-1]
        self._batches[-1] = (questions, spent + seconds)

    def speed(self) -> Speed:
        """What was measured until now."""
        first, *others = self._batches or [(0, 0.0)]
        singles = [seconds for questions, seconds in others if questions == 1]
        questions, seconds = sum(n for n, _ in others), sum(s for _, s in others)
        return Speed(
            open_s=round(first[1], 4) if first[0] else None,
            latency_s=round(median(singles), 6) if singles else None,
            queries_per_second=round(questions / seconds, 2) if seconds else None,
        )


def from_0_to_1(scores: Sequence[float]) -> Iterator[float]:
    """Scores brought to 0 for the lowest of a ranking and 1 for the highest; 1 for all where all are equal.

    >>> list(from_0_to_1([8.0, 5.0, 4.0]))
    [1.0, 0.25, 0.0]
    """
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return ((score - low) / (high - low) if high > low else 1.0 for score in scores)
