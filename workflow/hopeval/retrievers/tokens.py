"""Texts into words for lexical search: three tokenizers, English stop words, a stemmer.

``word`` is that of bm25s and scikit-learn: two letters or digits and more. ``standard`` is that of Lucene's and
Elasticsearch's standard analyzer: words as Unicode has them (UAX #29), so that ``U.S`` or ``don't`` is one and
``x-ray`` two. ``whitespace`` splits on blanks and keeps punctuation. All take lower case. The stemmer is Snowball's for
English, known as Porter2; Anserini's is the older one of Porter (1980).
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

_ALONE = "\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Hiragana and Chinese characters: each is a word."""


@cache
def _standard() -> Callable[[str], list[str]]:
    """Words after UAX #29: a mark belongs to its letter, a stop or apostrophe between two letters or digits to both."""
    found: dict[str, list[str]] = {"L": [], "M": [], "Nd": []}
    for character in map(chr, range(0x10000)):
        category = unicodedata.category(character)
        kind = "M" if category == "Cf" else category if category == "Nd" else category[0]
        if kind in found and not re.match(f"[{_ALONE}]", character):
            found[kind].append(character)
    letters, marks, digits = ("".join(re.escape(character) for character in those) for those in found.values())
    inside = rf"(?<=[{letters}{marks}])[.:'‘’·](?=[{letters}])|(?<=[{digits}])[.,;'‘’](?=[{digits}])"
    start, rest = f"[{letters}{digits}_]", f"[{letters}{marks}{digits}_]*"
    return re.compile(f"[{_ALONE}]|{start}{rest}(?:(?:{inside}){rest})*").findall


def _words_of(tokenizer: str) -> Callable[[str], list[str]]:
    match tokenizer:
        case "standard":
            return _standard()
        case "whitespace":
            return str.split
    return re.compile(r"\b\w\w+\b").findall


class Analyzer:
    """From a text to the terms that are searched for: words in lower case, without stop words, stemmed.

    ``settings`` has ``tokenizer``, ``stopwords`` and ``stemmer``; the last two may be None.
    """

    def __init__(self, settings: Any) -> None:
        self._words = _words_of(settings.tokenizer)
        self._stopwords = frozenset(_english_stopwords() if settings.stopwords else ())
        self._stem = _english_stemmer() if settings.stemmer else str

    def words(self, text: str) -> list[str]:
        """All words of a text, in order."""
        return self._words(text.lower())

    def term(self, word: str) -> str | None:
        """The term that a word stands for; None for a stop word."""
        return None if word in self._stopwords else self._stem(word)

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order; one that comes twice is there twice."""
        return [term for term in map(self.term, self.words(text)) if term is not None]


def _english_stopwords() -> tuple[str, ...]:
    from bm25s.stopwords import STOPWORDS_EN

    return tuple(STOPWORDS_EN)


def _english_stemmer() -> Callable[[str], str]:
    import Stemmer

    stem: Callable[[str], str] = Stemmer.Stemmer("english").stemWord
    return stem
