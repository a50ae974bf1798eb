"""A ranking that was made elsewhere, in the TREC run file in which it was left."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from hopeval.errors import InputError
from hopeval.keys import file_sha256
from hopeval.records import Hit, Question
from hopeval.retrievers.base import Retriever
from hopeval.runs import RunFile


class RunRetriever(Retriever):
    """What ``file`` has of each question. Its passages have to be known: prompts are made of their texts."""

    _matched = 0

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The file's rankings; empty for a question that it does not have.

        Raises InputError for a passage that is neither in the corpus nor among the questions' own.
        """
        found = [self._run.ranking(question.id)[:depth] for question in questions]
        if not all(self._known(hit.id) for hits in found for hit in hits):
            raise self._unknown()
        self._matched += sum(map(bool, found))
        return found

    def finish(self) -> dict[str, Any]:
        """What the file is, and how many questions it has that are not asked.

        Raises InputError when it has none that is.
        """
        there = list(self._run.questions)
        if not self._matched:
            names = f"it has {there[0]!r}, for one" if there else "it has no line"
            raise InputError(f"{self._run.path}: is a run of other questions ({names}); correct the path")
        return {"file_sha256": file_sha256(self._run.path), "unknown_questions": len(there) - self._matched}

    @cached_property
    def _run(self) -> RunFile:
        return RunFile(self.settings.file, self._known)

    def _known(self, identifier: str) -> bool:
        return identifier in self.own or identifier in self.corpus

    def _unknown(self) -> InputError:
        lines = [line for question in self._run.questions for line in self._run.lines(question)]
        unknown = [(number, line.passage_id) for number, line in lines if not self._known(line.passage_id)]
        number, name = min(unknown)
        return InputError(
            f"{self._run.path}:{number}: there is no passage {name!r} in {self.corpus.path}, and so it is with "
            f"{len(unknown)} of {len(lines)} lines; set dataset.corpus to what was searched, with the same ids"
        )
