"""Two hops without a language model: what the first passages name is searched for, and the rankings become one.

Bridge questions hide the title of the second passage in the first. Each of the best passages of the first hop
therefore makes a query of its own (GoldEn Retriever, Qi et al. 2019, learns such queries), and passages whose
titles it mentions stand for those that it links to (Asai et al. 2020).
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from hopeval.records import Hit, Question
from hopeval.retrieval import ranking_depth
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.found import Texts, from_0_to_1
from hopeval.retrievers.mentions import follow_up, mentioned


class _Lead(NamedTuple):
    """A passage of the first hop that is followed, how far it is trusted, from 0 to 1, and where it leads."""

    id: str
    trust: float
    text: str
    query: str


class _Trail(NamedTuple):
    """A question with what the first hop found, by id: hits, scores, and the best passages."""

    question: Question
    hits: dict[str, Hit]
    scores: dict[str, float]
    leads: list[_Lead]


class TwoHopRetriever(Retriever):
    """Searches twice through the retriever in ``of``. A passage's score is the sum of

    - its score in the first hop,
    - ``mention`` where the question mentions its title,
    - from the one of the first ``passages`` that speaks most for it, as far as that is trusted: ``second`` times
      its score in the search that this passage led to, and where its title is mentioned there ``link`` times
      the same score, relative to the best of those mentioned.

    The scores of each search are brought to 0 to 1 before.
    """

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """What any of the hops found, best first. Makes up to ``passages`` searches for each question."""
        firsts = self.bases[self.settings.of].ranking(questions)
        trails = [self._trail(question, hits) for question, hits in zip(questions, firsts, strict=True)]
        queries = [Question(id=lead.query, text=lead.query) for trail in trails for lead in trail.leads]
        # As deep as in a run, however few passages are wanted: the scores of a search depend on its last one.
        seconds = iter(self._searcher.retrieve(queries, ranking_depth(self.settings)) if queries else [])
        return [self._merged(trail, [next(seconds) for _ in trail.leads])[:depth] for trail in trails]

    @cached_property
    def _searcher(self) -> Retriever:
        return self.bases[self.settings.of].open()

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self.own, self.corpus)

    def _trail(self, question: Question, hits: Sequence[Hit]) -> _Trail:
        scores = self._scores(hits)
        named = self._mentioned(question.text, hits)
        worth = {i: score + self.settings.mention * (i in named) for i, score in scores.items()}
        best = sorted(worth, key=worth.__getitem__, reverse=True)[: self.settings.passages]
        found = {hit.id: hit for hit in hits}
        leads = [self._lead(question, found[i], worth[i] / (worth[best[0]] or 1.0)) for i in best]
        return _Trail(question, found, scores, leads)

    def _lead(self, question: Question, hit: Hit, trust: float) -> _Lead:
        passage = self._texts.ranked(hit)
        text = f"{passage.title} {passage.text}"
        return _Lead(hit.id, trust, passage.text, follow_up(question.text, text))

    def _merged(self, trail: _Trail, seconds: Sequence[list[Hit]]) -> list[Hit]:
        hits, spoken = dict(trail.hits), dict.fromkeys(trail.hits, 0.0)
        for lead, found in zip(trail.leads, seconds, strict=True):
            for identifier, support in self._support(lead, found).items():
                spoken[identifier] = max(spoken.get(identifier, 0.0), lead.trust * support)
            hits = {hit.id: hit for hit in found} | hits
        named = self._mentioned(trail.question.text, hits.values())
        scores = {
            i: trail.scores.get(i, 0.0) + self.settings.mention * (i in named) + support
            for i, support in spoken.items()
        }
        # Equal scores are not left to chance: as found, the first hop before the second.
        return [Hit(i, scores[i], hits[i].passage) for i in sorted(scores, key=scores.__getitem__, reverse=True)]

    def _support(self, lead: _Lead, found: Sequence[Hit]) -> dict[str, float]:
        """What a passage of the first hop says for those that it led to; nothing for itself."""
        others = [hit for hit in found if hit.id != lead.id]
        scores = self._scores(others)
        linked = self._mentioned(lead.text, others)
        highest = max((scores[i] for i in linked), default=0.0) or 1.0
        return {
            i: self.settings.second * score + self.settings.link * (i in linked) * score / highest
            for i, score in scores.items()
        }

    def _scores(self, hits: Sequence[Hit]) -> dict[str, float]:
        return dict(zip((hit.id for hit in hits), from_0_to_1([hit.score for hit in hits]), strict=True))

    def _mentioned(self, text: str, hits: Iterable[Hit]) -> set[str]:
        return mentioned(text, {hit.id: self._texts.title(hit) for hit in hits})
