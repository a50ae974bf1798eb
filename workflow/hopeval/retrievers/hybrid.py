"""Several rankings made one: reciprocal rank fusion (Cormack, Clarke and Büttcher 2009), or a sum of scores."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hopeval.records import Hit, Question
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.found import from_0_to_1


class HybridRetriever(Retriever):
    """Fuses the rankings of the retrievers in ``of``; where ``fusion`` ties two passages, the earlier name decides."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """What any of them found, by the weighted sum over them; who did not find a passage adds nothing."""
        rankings = [self.bases[name].ranking(questions) for name in self.settings.of]
        return [self._fused(found)[:depth] for found in zip(*rankings, strict=True)]

    def _fused(self, rankings: Sequence[list[Hit]]) -> list[Hit]:
        sums: defaultdict[str, float] = defaultdict(float)
        hits: dict[str, Hit] = {}
        weights = self.settings.weights or [1.0] * len(rankings)
        for weight, ranking in zip(weights, rankings, strict=True):
            for hit, worth in zip(ranking, self._worths(ranking), strict=True):
                sums[hit.id] += weight * worth
                hits.setdefault(hit.id, hit)
        best = sorted(sums, key=sums.__getitem__, reverse=True)  # stable: first found, first named
        return [Hit(identifier, sums[identifier], hits[identifier].passage) for identifier in best]

    def _worths(self, ranking: list[Hit]) -> Iterator[float]:
        if self.settings.fusion == "rrf":
            return (1 / (self.settings.k + rank) for rank in range(1, len(ranking) + 1))
        return from_0_to_1([hit.score for hit in ranking])
