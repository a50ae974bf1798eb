"""BM25 over title and text (Robertson and Zaragoza 2009), by the bm25s library (Lù 2024)."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from hopeval.errors import InputError
from hopeval.records import Question, RankedPassage
from hopeval.retrievers.base import Retriever, ranked


class BM25Retriever(Retriever):
    """Lexical search: lower case, words of two letters and more, English stop words out, stemmed.

    ``method``, ``k1``, ``b``, ``stemmer`` and ``stopwords`` come from the configuration; the defaults are
    those of the reproducible baselines (Lucene's variant, k1 0.9, b 0.4).
    """

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[RankedPassage]]:
        """The passages with the highest scores above 0: without a common term there is none to lucene's BM25."""
        depth = min(depth, len(self.corpus))
        found, scores = self._index.retrieve(
            self._tokens(question.text for question in questions),
            k=depth,
            show_progress=False,
            backend_selection="numpy",  # else it is JAX where that is installed, with ties in another order
        )
        return [
            [ranked(self.corpus[int(i)], float(s)) for i, s in zip(*row, strict=True) if s > 0]
            for row in zip(found, scores, strict=True)
        ]

    @cached_property
    def _index(self) -> Any:
        import bm25s

        if not len(self.corpus):
            raise InputError(
                f"{self.corpus.path}: holds no passages, so bm25 has nothing to search; set dataset.corpus"
            )
        tokens = self._tokens(f"{p.title} {p.text}" for p in self.corpus)
        if not any(tokens.ids):
            raise InputError(f"{self.corpus.path}: holds no word to search for but stop words; set stopwords: null")
        index = bm25s.BM25(method=self.settings.method, k1=self.settings.k1, b=self.settings.b)
        index.index(tokens, show_progress=False)
        return index

    def _tokens(self, texts: Iterable[str]) -> Any:
        import bm25s

        return bm25s.tokenize(
            list(texts), stopwords=self.settings.stopwords or [], stemmer=self._stemmer, show_progress=False
        )

    @cached_property
    def _stemmer(self) -> Any:
        import Stemmer

        return Stemmer.Stemmer(self.settings.stemmer) if self.settings.stemmer else None
