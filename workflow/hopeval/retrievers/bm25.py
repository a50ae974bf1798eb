"""BM25 (Robertson and Zaragoza 2009) by the bm25s library (Lù 2024), over a memory-mapped index."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from hopeval.errors import InputError
from hopeval.passages import PassageStore
from hopeval.records import Hit, Question
from hopeval.retrievers.base import IndexedRetriever
from hopeval.retrievers.bm25_index import Index, build

_LARGE = 20_000
"""Passages from which on compiled code is worth the seconds until it is loaded or made."""


class BM25Retriever(IndexedRetriever):
    """Lexical search. The defaults are those of the reproducible baselines: Lucene's variant, k1 0.9, b 0.4.

    ``method``, ``k1`` and ``b`` are BM25's; ``fields`` says what of a passage is searched, ``tokenizer``,
    ``stopwords`` and ``stemmer`` how texts become terms.
    """

    FORMAT: ClassVar[str] = "2"

    @classmethod
    def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
        """Index the passages, one after the other. Raises InputError where there is no word to search for."""
        if not len(corpus):
            raise InputError(f"{corpus.path}: holds no passages, so bm25 has nothing to search; set dataset.corpus")
        try:
            build(settings, _texts(settings, corpus), folder)
        except InputError as error:
            raise InputError(f"{corpus.path}: {error}") from None

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The passages that share a term with the question, those with the highest scores."""
        found = self._index.search([question.text for question in questions], depth)
        return [self._named(*hits) for hits in found]

    def _named(self, positions: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        return list(map(Hit, self.corpus.ids(positions), scores))

    @cached_property
    def _index(self) -> Index:
        assert self.index is not None  # as of every kind that has one
        fast = len(self.corpus) >= _LARGE and find_spec("numba") is not None
        return Index(self.index, self.settings, fast, self.settings.threads)


def _texts(settings: Any, corpus: PassageStore) -> Iterator[str]:
    if settings.fields == "text":
        return (passage.text for passage in corpus)
    return (f"{passage.title} {passage.text}" for passage in corpus)
