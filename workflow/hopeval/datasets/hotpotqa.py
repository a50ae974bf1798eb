"""HotpotQA's files (Yang et al. 2018): distractor, fullwiki and test sets, and 2WikiMultihopQA's.

Both layouts that are in use: the official ``context: [[title, [sentence, …]], …]`` with
``supporting_facts: [[title, index], …]``, and the columns of the Hugging Face copy
(``context: {title: […], sentences: [[…]]}``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from hopeval.datasets.base import Item, T, convert
from hopeval.errors import InputError
from hopeval.io import read_rows
from hopeval.keys import passage_id
from hopeval.records import Passage, Question, SupportingFact


class _GoldRow(Struct, kw_only=True):
    """What scoring needs of a row; its paragraphs may be missing or null."""

    id: str = field(name="_id")
    question: str = ""
    answer: str | None = None
    type: str | None = None
    level: str | None = None
    supporting_facts: list[SupportingFact] | None = None

    def as_question(self, passages: Sequence[Passage] = ()) -> Question:
        """The question's record, with the ids of its own paragraphs."""
        return Question(
            id=self.id,
            text=self.question,
            answer=self.answer,
            type=self.type,
            level=self.level,
            supporting_facts=self.supporting_facts,
            passages=[passage.id for passage in passages],
        )


class _Row(_GoldRow, kw_only=True):
    question: str
    context: list[tuple[str, list[str]]] = []


def recognises(row: Any) -> bool:
    """Whether a file's first row looks like this format."""
    return isinstance(row, dict) and "question" in row


def read(path: str | Path) -> Iterator[tuple[int, Item]]:
    """Each row's line and item. Raises InputError for the first row that is not valid."""
    for line, row in _rows(path, _Row):
        yield line, _item(row)


def read_gold(path: str | Path) -> Iterator[Question]:
    """Each row's question, without its paragraphs. Raises InputError for the first row that is not valid."""
    for _, row in _rows(path, _GoldRow):
        yield row.as_question()


def _rows(path: str | Path, kind: type[T]) -> Iterator[tuple[int, T]]:
    for line, value in read_rows(path):
        try:
            row = _official_layout(value)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}; mend or drop the row") from None
        yield line, convert(row, kind, path, line)


def _official_layout(row: Any) -> Any:
    """A row of the Hugging Face copy as the official files have it; any other row as it is.

    Raises ValueError for columns of unequal length.
    """
    if not isinstance(row, dict):
        return row
    row = dict(row)
    if "_id" not in row and "id" in row:
        row["_id"] = row.pop("id")
    for key, columns in (("context", ("title", "sentences")), ("supporting_facts", ("title", "sent_id"))):
        value = row.get(key)
        if isinstance(value, dict) and all(isinstance(value.get(column), list) for column in columns):
            lengths = [len(value[column]) for column in columns]
            if len(set(lengths)) > 1:
                named = " and ".join(f"{n} in {column!r}" for n, column in zip(lengths, columns, strict=True))
                raise ValueError(f"{key!r} has columns of unequal length: {named} (id {row.get('_id')!r})")
            row[key] = [list(pair) for pair in zip(*(value[column] for column in columns), strict=True)]
    return row


def _item(row: _Row) -> Item:
    passages = [Passage(id=passage_id(title, text), title=title, sentences=text) for title, text in row.context]
    question = row.as_question(passages)
    return Item(question, passages, doubts=_doubts(row) if row.context else [])


def _doubts(row: _Row) -> list[str]:
    lengths = {title: len(sentences) for title, sentences in row.context}
    doubts = []
    for title, index in row.supporting_facts or []:
        if title not in lengths:
            doubts.append(f"{row.id!r}: supporting fact names {title!r}, which is not among its paragraphs")
        elif not 0 <= index < lengths[title]:
            doubts.append(
                f"{row.id!r}: supporting fact names sentence {index} of {title!r}, which has {lengths[title]}"
            )
    return doubts
