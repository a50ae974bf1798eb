"""Another retriever's first passages, in the order of a cross-encoder (Nogueira and Cho 2019)."""

from collections.abc import Sequence
from functools import cached_property

from hopeval.records import Hit, Passage, Question
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.models import Scorer


class RerankRetriever(Retriever):
    """Reads the question together with each of the first passages; the others follow in their old order."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The same passages as the retriever in ``of`` finds; the scores of all but the first fall on from theirs."""
        rankings = self.bases[self.settings.of].ranking(questions)
        first = self.settings.first
        pairs = [
            (question.text, self._passage(hit))
            for question, hits in zip(questions, rankings, strict=True)
            for hit in hits[:first]
        ]
        scores = iter(self._scorer.scores(pairs))
        return [_reordered(hits, [next(scores) for _ in hits[:first]])[:depth] for hits in rankings]

    def _passage(self, hit: Hit) -> Passage:
        return hit.passage or (self.own if hit.id in self.own else self.corpus).by_id(hit.id)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.settings)


def _reordered(hits: list[Hit], scores: list[float]) -> list[Hit]:
    """The hits by the scores of the first of them, the better one before where these are equal.

    >>> [(hit.id, hit.score) for hit in _reordered([Hit("a"), Hit("b"), Hit("c")], [0.5, 2.0])]
    [('b', 2.0), ('a', 0.5), ('c', -0.5)]
    """
    scored = sorted(zip(hits, scores, strict=False), key=lambda pair: pair[1], reverse=True)
    lowest = min(scores, default=0.0)
    rest = ((hit, lowest - number) for number, hit in enumerate(hits[len(scores) :], 1))
    return [Hit(hit.id, score, hit.passage) for hit, score in [*scored, *rest]]
