"""The question's own paragraphs, in the order in which they came: HotpotQA's distractor setting."""

from collections.abc import Sequence

from hopeval.records import Question, RankedPassage
from hopeval.retrievers.base import Retriever, ranked


class GivenRetriever(Retriever):
    """Retrieval done elsewhere, or by the data set's authors."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[RankedPassage]]:
        """All of a question's own paragraphs; ``depth`` does not apply."""
        return [[ranked(self.own.by_id(i)) for i in question.passages] for question in questions]
