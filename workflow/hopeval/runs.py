"""Rankings as TREC run files, the form in which the tools of information retrieval exchange them.

A line is ``question Q0 passage rank score tag``. Ids that hold white space or ``%`` are written with
percent escapes, as in addresses.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from hopeval.errors import InputError
from hopeval.io import atomic_write, is_packed, open_binary
from hopeval.records import Hit

_ODD = re.compile(r"[\s%\x00-\x1f\x7f]")
_NOTHING = "%"  # no escape is a lone %
_STEP, _LEAST = 1e-6, 1e-12
"""What part of a score that would tie is taken off: it outlasts 32-bit floats, in which trec_eval computes. Of
scores about 0, so much."""


def quoted(identifier: str) -> str:
    """The id as one field of a run file.

    >>> quoted("Ed Wood (100% film)")
    'Ed%20Wood%20(100%25%20film)'
    """
    return _ODD.sub(lambda match: quote(match[0], safe=""), identifier) or _NOTHING


def unquoted(field: str) -> str:
    """The id that a field stands for."""
    return "" if field == _NOTHING else unquote(field)


def falling(scores: Sequence[float]) -> Iterator[float]:
    """The scores, each lowered where that is needed to be below the one before it.

    Tools sort by score and break ties by id; the order of these is the ranking's own.

    >>> list(falling([2.0, 1.0, 1.0, 0.5]))
    [2.0, 1.0, 0.999999, 0.5]
    >>> list(falling([0.0, 0.0, 0.0]))
    [0.0, -1e-12, -2e-12]
    """
    highest = math.inf
    for score in scores:
        score = score if score < highest else highest
        yield score
        highest = score - max(_STEP * abs(score), _LEAST)


class RunWriter:
    """Writes rankings to a run file that appears when the ``with`` block ends well."""

    def __init__(self, path: str | Path, tag: str) -> None:
        self._file_to_be = atomic_write(path)
        self._tag = quoted(tag)
        self.count = 0
        """Of questions for which something was found."""

    def __enter__(self) -> Self:
        self._file = self._file_to_be.__enter__()
        return self

    def write(self, question_id: str, ranking: Sequence[Hit]) -> None:
        """Add a question's ranking, in which each passage comes once."""
        self.count += bool(ranking)
        question, passages, scores = quoted(question_id), [hit.id for hit in ranking], [hit.score for hit in ranking]
        if not all(passages) or _ODD.search("".join(passages)):
            passages = list(map(quoted, passages))
        lines = [
            f"{question} Q0 {passage} {rank} {score:.9g} {self._tag}\n"
            for rank, (passage, score) in enumerate(zip(passages, falling(scores), strict=True), 1)
        ]
        self._file.write("".join(lines).encode())

    def __exit__(self, *exception: Any) -> bool | None:
        return self._file_to_be.__exit__(*exception)


class RunLine(NamedTuple):
    """A line of a run file."""

    question_id: str
    passage_id: str
    rank: int
    score: float


class RunFile:
    """The rankings of a run file by question; kept on disk but for ids and where each question's lines are.

    The lines of a question may stand anywhere. They are ranked by score, as tools do, and by rank where
    scores tie. In a file of others an id may look like one with escapes: where ``known`` says that a passage
    has the very id of the line it is taken as it stands, and so is the id of a question that is asked for.
    Raises InputError with file and line for a line that is none of a run's.
    """

    def __init__(self, path: str | Path, known: Callable[[str], bool] | None = None) -> None:
        self.path = Path(path)
        self._known = known
        if is_packed(path):
            raise InputError(f"{path}: packed, but rankings are read at random; unpack it with gunzip")
        self._blocks: dict[str, array[int]] = {}
        self._file = open_binary(path)
        offset = 0
        before: str | None = None
        for number, line in enumerate(self._file, 1):
            question = self._read(line, number).question_id if line.strip() else None
            if question is not None and question != before:
                self._blocks.setdefault(question, array("Q")).extend((offset, number))
            before = question
            offset += len(line)
        self._fields = {unquoted(field): field for field in self._blocks}

    @property
    def questions(self) -> Iterator[str]:
        """The ids of the questions that the file has lines of."""
        return iter(self._fields)

    def ranking(self, question_id: str) -> list[Hit]:
        """The ranking of a question, empty where the file has none.

        Raises InputError for a passage that comes twice.
        """
        found: dict[str, RunLine] = {}
        for number, line in self.lines(question_id):
            if line.passage_id in found:
                where = f"{self.path}:{number}: question {question_id!r}"
                raise InputError(f"{where} has the passage {line.passage_id!r} twice; drop one")
            found[line.passage_id] = line
        best = sorted(found.values(), key=lambda line: (-line.score, line.rank))
        return [Hit(line.passage_id, line.score) for line in best]

    def lines(self, question_id: str) -> Iterator[tuple[int, RunLine]]:
        """The lines of a question, each with its number in the file."""
        as_it_stands = self._known is not None and question_id in self._blocks
        field = question_id if as_it_stands else self._fields.get(question_id)
        blocks = self._blocks[field] if field is not None else array("Q")
        for offset, number in zip(blocks[::2], blocks[1::2], strict=True):
            self._file.seek(offset)
            while (text := self._file.readline()).strip():
                line = self._read(text, number)
                if line.question_id != field:
                    break
                yield number, line._replace(question_id=question_id, passage_id=self._passage(line.passage_id))
                number += 1

    def _passage(self, field: str) -> str:
        return field if self._known is not None and self._known(field) else unquoted(field)

    def _read(self, text: bytes, number: int) -> RunLine:
        """A line with its fields as they stand."""
        try:
            question, _, passage, rank, score, _ = text.decode().split()
            line = RunLine(question, passage, int(rank), float(score))
        except ValueError as error:  # UnicodeDecodeError included
            raise self._refusal(number, str(error)) from None
        if not math.isfinite(line.score):
            raise self._refusal(number, f"the score {score} has no place in an order")
        return line

    def _refusal(self, number: int, reason: str) -> InputError:
        form = "a line is 'question Q0 passage rank score tag'"
        return InputError(f"{self.path}:{number}: not a line of a TREC run: {reason}; {form}; mend or drop it")
