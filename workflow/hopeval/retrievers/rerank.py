"""Another retriever's first passages, in the order of a cross-encoder (Nogueira and Cho 2019)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hopeval.errors import InputError
from hopeval.indexes import library_versions
from hopeval.io import read_json, write_json
from hopeval.keys import digest, model_fingerprint
from hopeval.records import Hit, Passage, Question
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.models import Scorer, model_folder, passage_text

_AT_ONCE = 20
"""Questions whose scores are kept together: what a job that is killed has to do again, at most."""


class RerankRetriever(Retriever):
    """Reads the question together with each of the first passages; the others follow in their old order.

    Scores are kept by content: those of the same texts, model, settings and libraries are not worked out again.
    """

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The same passages as the retriever in ``of`` finds; the scores of all but the first fall on from theirs."""
        rankings = self.bases[self.settings.of].ranking(questions)
        self.recalled = False
        found: list[list[Hit]] = []
        for start in range(0, len(questions), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            firsts = [hits[: self.settings.first] for hits in rankings[some]]
            asked = zip(questions[some], firsts, strict=True)
            scores = iter(
                self._scores([(question.text, self._passage(hit)) for question, hits in asked for hit in hits])
            )
            reordered = zip(rankings[some], firsts, strict=True)
            found += [_reordered(hits, [next(scores) for _ in first])[:depth] for hits, first in reordered]
        return found

    def _passage(self, hit: Hit) -> Passage:
        return hit.passage or (self.own if hit.id in self.own else self.corpus).by_id(hit.id)

    def _scores(self, pairs: Sequence[tuple[str, Passage]]) -> list[float]:
        if self._folder is None or not pairs:
            return self._scorer.scores(pairs)
        path = self._folder / f"{digest([[question, passage_text(passage)] for question, passage in pairs])}.json"
        if path.exists():
            self.recalled = True
            return _read(path, len(pairs))
        scores = self._scorer.scores(pairs)
        write_json(path, scores)
        return scores

    @cached_property
    def _folder(self) -> Path | None:
        """Where the scores of this model are kept."""
        return self.kept and self.kept / self._key()

    def _key(self) -> str:
        """What, beside the texts, determines a score: of what is on disk now, 64 hex digits."""
        model = model_fingerprint(model_folder(self.settings))
        return digest({**self.settings.scores_identity, "model": model, "libraries": library_versions(self.settings)})

    @cached_property
    def _scorer(self) -> Scorer:
        scorer = Scorer(self.settings)
        if self._folder and self._key() != self._folder.name:
            raise InputError(f"{self.settings.model}: changed while it was loaded; leave it as it is, and run again")
        return scorer


def _read(path: Path, count: int) -> list[float]:
    scores: Any = read_json(path)
    if not isinstance(scores, list) or len(scores) != count or not all(isinstance(score, float) for score in scores):
        raise InputError(f"{path}: does not hold {count} scores; remove the file, and run the same command again")
    return scores


def _reordered(hits: list[Hit], scores: list[float]) -> list[Hit]:
    """The hits by the scores of the first of them, the better one before where these are equal.

    >>> [(hit.id, hit.score) for hit in _reordered([Hit("a"), Hit("b"), Hit("c")], [0.5, 2.0])]
    [('b', 2.0), ('a', 0.5), ('c', -0.5)]
    """
    scored = sorted(zip(hits, scores, strict=False), key=lambda pair: pair[1], reverse=True)
    lowest = min(scores, default=0.0)
    rest = ((hit, lowest - number) for number, hit in enumerate(hits[len(scores) :], 1))
    return [Hit(hit.id, score, hit.passage) for hit, score in [*scored, *rest]]
