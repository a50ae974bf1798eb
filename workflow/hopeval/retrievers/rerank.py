"""Another retriever's first passages, in the order of a cross-encoder (Nogueira and Cho 2019)."""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated

from msgspec import Meta

from hopeval.errors import InputError
from hopeval.indexes import library_versions
from hopeval.keys import digest, model_fingerprint
from hopeval.records import Hit, Passage, Question
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.models import Scorer, model_folder, passage_text

_FORMAT = "1"
"""Part of the key of kept scores. Change it when Scorer gives other scores for the same pairs."""
_PAIRS = 2_000
"""Pairs whose scores are kept together: what a job that is killed has to do again, at most."""


class RerankRetriever(Retriever):
    """Reads the question together with each of the first passages; the others follow in their old order.

    Scores are kept by content: those of the same texts, model, settings and libraries are not worked out again.
    """

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The same passages as the retriever in ``of`` finds; the scores of all but the first fall on from theirs."""
        scorer = self._scorer  # with the first question, though all may be kept: later ones tell how fast it is
        rankings = self.bases[self.settings.of].ranking(questions)
        found: list[list[Hit]] = []
        at_once = max(1, _PAIRS // self.settings.first)
        for start in range(0, len(questions), at_once):
            some = slice(start, start + at_once)
            firsts = [hits[: self.settings.first] for hits in rankings[some]]
            asked = zip(questions[some], firsts, strict=True)
            pairs = [(question.text, self._passage(hit)) for question, hits in asked for hit in hits]
            scores = iter(self._scores(scorer, pairs))
            reordered = zip(rankings[some], firsts, strict=True)
            found += [_reordered(hits, [next(scores) for _ in first])[:depth] for hits, first in reordered]
        return found

    def _passage(self, hit: Hit) -> Passage:
        return hit.passage or (self.own if hit.id in self.own else self.corpus).by_id(hit.id)

    def _scores(self, scorer: Scorer, pairs: Sequence[tuple[str, Passage]]) -> list[float]:
        texts = digest([[question, passage_text(passage)] for question, passage in pairs])
        one_for_each = Annotated[list[float], Meta(min_length=len(pairs), max_length=len(pairs))]
        return self.kept.get(f"{self._key}/{texts}", one_for_each, lambda: scorer.scores(pairs))

    @cached_property
    def _key(self) -> str:
        return self._made_of()

    def _made_of(self) -> str:
        """What, beside the texts, determines a score, of what is on disk now: 64 hex digits."""
        model, libraries = model_fingerprint(model_folder(self.settings)), library_versions(self.settings)
        return digest({**self.settings.scores_identity, "model": model, "libraries": libraries, "format": _FORMAT})

    @cached_property
    def _scorer(self) -> Scorer:
        key, scorer = self._key, Scorer(self.settings)
        if self._made_of() != key:
            raise InputError(f"{self.settings.model}: changed while it was loaded; leave it as it is, and run again")
        return scorer


def _reordered(hits: list[Hit], scores: list[float]) -> list[Hit]:
    """The hits by the scores of the first of them, the better one before where these are equal.

    >>> [(hit.id, hit.score) for hit in _reordered([Hit("a"), Hit("b"), Hit("c")], [0.5, 2.0])]
    [('b', 2.0), ('a', 0.5), ('c', -0.5)]
    """
    scored = sorted(zip(hits, scores, strict=False), key=lambda pair: pair[1], reverse=True)
    lowest = min(scores, default=0.0)
    rest = ((hit, lowest - number) for number, hit in enumerate(hits[len(scores) :], 1))
    return [Hit(hit.id, score, hit.passage) for hit, score in [*scored, *rest]]
