"""Passages and questions that nobody wrote, with the statistics of Wikipedia's abstracts, the same each time.

A passage has 55 words on average (log-normal). Words follow a Zipf law with a knee: beyond the first three
thousand their shares fall off faster. Against 18,780 real passages of HotpotQA with 1.7 million words: 80,236
different words (real: 79,744), the first hundred are .39 of all (.40), the first thousand .67 (.65). Five
million passages have 1.3 million different ones. A question has nine words drawn like those of a text, stop
words among them, and five that are rarer.
"""

from collections.abc import Iterator

import numpy as np
from bm25s.stopwords import STOPWORDS_EN

from hopeval.records import Passage, Question

_WORDS, _KNEE = 4_000_000, 3000
_SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprstvwz" for vowel in "aeiou"]
_BLOCK = 20_000


class MadeUp:
    """Draws words: of an equal seed the same ones."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = np.random.default_rng(seed)
        ranks = np.arange(_WORDS) + 2.7
        shares = ranks**-0.95
        shares[_KNEE:] *= (ranks[_KNEE:] / ranks[_KNEE]) ** -0.75
        self._upto = np.cumsum(shares / shares.sum())

    def passages(self, count: int) -> Iterator[Passage]:
        """So many passages of two sentences."""
        for first in range(0, count, _BLOCK):
            lengths = np.clip(self._chance.lognormal(3.85, 0.55, min(_BLOCK, count - first)), 8, 400).astype(int)
            words = self._drawn(int(lengths.sum()))
            ends = np.cumsum(lengths).tolist()
            for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), first):
                yield _passage(str(number), words[start:end])

    def questions(self, count: int) -> Iterator[Question]:
        """So many questions."""
        for number in range(count):
            rarer = [word(rank) for rank in self._chance.integers(100, 200_000, 5).tolist()]
            yield Question(id=f"q{number}", text=f"{' '.join([*self._drawn(9), *rarer])}?")

    def _drawn(self, count: int) -> list[str]:
        return list(map(word, np.searchsorted(self._upto, self._chance.random(count)).tolist()))


def _passage(identifier: str, words: list[str]) -> Passage:
    half = len(words) // 2
    sentences = [f"{' '.join(words[:half])}. ", f"{' '.join(words[half:])}."]
    return Passage(id=identifier, title=" ".join(words[-2:]).title(), sentences=sentences)


_SPELLED: dict[int, str] = dict(enumerate(STOPWORDS_EN))


def word(rank: int) -> str:
    """The word of a rank, from 0: a stop word, else syllables that spell the number."""
    found = _SPELLED.get(rank)
    if found is None:
        rest, found = rank + len(_SYLLABLES), ""
        while rest:
            rest, place = divmod(rest, len(_SYLLABLES))
            found += _SYLLABLES[place]
        _SPELLED[rank] = found
    return found
