"""No passages at all: what the reader knows by itself (closed book)."""

from collections.abc import Sequence

from hopeval.records import Hit, Question
from hopeval.retrievers.base import Retriever


class NoneRetriever(Retriever):
    """The lower bound for retrieval."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """An empty list for each question."""
        return [[] for _ in questions]
