"""What a retriever is, and the passages that it draws from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hopeval.passages import PassageStore
from hopeval.records import Hit, Question
from hopeval.retrievers.kept import Kept

if TYPE_CHECKING:
    from hopeval.retrievers.bases import Base


class Retriever(ABC):
    """Finds passages for questions. A class of the user's own has this interface, too.

    ``settings`` is the retriever's section of the configuration, ``own`` holds the paragraphs that came
    with the questions, ``corpus`` what there is to search (the same store when no corpus is configured).
    ``index`` is the folder with its index, for kinds that have one; ``bases`` are the retrievers that it is
    built on, by name, those of its section's ``of`` and what these are built on.
    """

    kept = Kept()
    """Keeps what costs much, for the job that runs when this one is killed."""

    def __init__(
        self,
        settings: Any,
        own: PassageStore,
        corpus: PassageStore,
        *,
        index: Path | None = None,
        bases: "Mapping[str, Base] | None" = None,
    ) -> None:
        self.settings = settings
        self.own = own
        self.corpus = corpus
        self.index = index
        self.bases = bases or {}

    @abstractmethod
    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """For each question at most ``depth`` hits, best first. Called with one question, or some hundred."""

    def finish(self) -> dict[str, Any]:
        """What there is to tell when all questions are done: goes into the metrics as it is.

        May raise InputError: nothing has been written then.
        """
        return {}


class IndexedRetriever(Retriever):
    """A retriever that searches an index, which is made once for a corpus and settings."""

    FORMAT: ClassVar[str]
    """Part of an index's key. Change it when ``build`` makes something else of the same settings and passages."""

    @classmethod
    def made_of(cls, settings: Any) -> dict[str, Any]:
        """What, beside ``FORMAT`` and the passages, determines the index: part of its key."""
        return dict(settings.index_identity)

    @classmethod
    @abstractmethod
    def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
        """Make the index of these passages in an empty folder. Raises InputError when there is nothing to index."""
