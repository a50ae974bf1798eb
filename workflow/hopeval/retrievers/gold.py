"""Only the paragraphs that are judged relevant or else hold supporting facts: what a perfect retriever would give."""

from collections.abc import Sequence

from hopeval.records import Hit, Question
from hopeval.retrievers.base import Retriever


class GoldRetriever(Retriever):
    """The upper bound for retrieval. A gold passage that is nowhere to be found is left out."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The gold paragraphs by falling grade, or in the order of the supporting facts; ``depth`` does not apply."""
        return [[Hit(identifier) for identifier in self._gold(question)] for question in questions]

    def _gold(self, question: Question) -> list[str]:
        return self._judged(question) if question.relevant else self._proving(question)

    def _judged(self, question: Question) -> list[str]:
        there = [identifier for identifier in question.relevant if identifier in self.corpus or identifier in self.own]
        return sorted(there, key=question.relevant.__getitem__, reverse=True)

    def _proving(self, question: Question) -> list[str]:
        own = {self.own.title(identifier): identifier for identifier in question.passages}
        found = [own.get(title) or self._in_corpus(title) for title in question.gold_titles]
        return [identifier for identifier in found if identifier is not None]

    def _in_corpus(self, title: str) -> str | None:
        passage = self.corpus.by_title(title)
        return passage.id if passage else None
