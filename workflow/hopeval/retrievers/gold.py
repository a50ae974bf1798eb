"""Only the paragraphs that hold supporting facts: what a perfect retriever would give."""

from collections.abc import Sequence
from functools import cached_property

from hopeval.records import Passage, Question, RankedPassage
from hopeval.retrievers.base import Retriever, ranked


class GoldRetriever(Retriever):
    """The upper bound for retrieval. A gold title that is nowhere to be found is left out."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[RankedPassage]]:
        """The gold paragraphs in the order of the supporting facts; ``depth`` does not apply."""
        return [[ranked(passage) for passage in self._gold(question)] for question in questions]

    def _gold(self, question: Question) -> list[Passage]:
        own = {passage.title: passage for passage in map(self.own.by_id, question.passages)}
        found = [own.get(title) or self._in_corpus(title) for title in question.gold_titles]
        return [passage for passage in found if passage is not None]

    def _in_corpus(self, title: str) -> Passage | None:
        position = self._positions.get(title)
        return None if position is None else self.corpus[position]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {passage.title: position for position, passage in enumerate(self.corpus)}
