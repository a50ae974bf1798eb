"""What a retriever is, and the passages that it draws from."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hopeval.errors import InputError
from hopeval.io import is_packed, open_binary
from hopeval.records import Passage, Question, RankedPassage


class PassageStore:
    """The passages of a JSON Lines file by position and by id, kept on disk but for ids and offsets.

    A passage is ``{"id", "title", "sentences": […]}``. Raises InputError with file and line for a bad
    record, an id that comes twice, or a packed file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._offsets = array("Q")
        self._positions: dict[str, int] = {}
        if is_packed(path):
            raise InputError(f"{path}: packed, but passages are read at random; unpack it with gunzip")
        self._file = open_binary(path)
        self._index()

    def _index(self) -> None:
        offset = 0
        for number, line in enumerate(self._file, 1):
            if line.strip():
                passage = self._decode(line, number)
                if passage.id in self._positions:
                    raise InputError(f"{self.path}:{number}: passage id {passage.id!r} comes twice; make ids unique")
                self._positions[passage.id] = len(self._offsets)
                self._offsets.append(offset)
            offset += len(line)

    def _decode(self, line: bytes, number: int) -> Passage:
        try:
            return msgspec.json.decode(line, type=Passage)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{self.path}:{number}: {error}; a passage is {{id, title, sentences}}; mend or drop the line"
            ) from None

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, position: int) -> Passage:
        """The passage at this position, from 0, in the order of the file."""
        self._file.seek(self._offsets[position])
        return msgspec.json.decode(self._file.readline(), type=Passage)

    def __iter__(self) -> Iterator[Passage]:
        return (self[position] for position in range(len(self)))

    def by_id(self, identifier: str) -> Passage:
        """The passage with this id. Raises InputError when there is none."""
        position = self._positions.get(identifier)
        if position is None:
            raise InputError(f"{self.path}: no passage has the id {identifier!r}; run prepare again")
        return self[position]


class Retriever(ABC):
    """Finds passages for questions. A class of the user's own has this interface, too.

    ``settings`` is the retriever's section of the configuration, ``own`` holds the paragraphs that came
    with the questions, ``corpus`` what there is to search (the same store when no corpus is configured).
    """

    def __init__(self, settings: Any, own: PassageStore, corpus: PassageStore) -> None:
        self.settings = settings
        self.own = own
        self.corpus = corpus

    @abstractmethod
    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[RankedPassage]]:
        """For each question at most ``depth`` passages, best first. Called with some hundred at a time."""


def ranked(passage: Passage, score: float = 0.0) -> RankedPassage:
    """The passage with its score."""
    return RankedPassage(id=passage.id, title=passage.title, sentences=passage.sentences, score=score)
