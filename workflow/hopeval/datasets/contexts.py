"""Contexts files: JSON Lines with ``id``, ``query`` and ``context``, where retrieval was done elsewhere.

All further keys (``original_item_id, query_index, dedup_key, target_api, dependencies,
retrieval_method, context_length, retrieval_time, success``, …) are carried over to the results file.
A row with ``success: false`` has no usable context: it is passed over and counted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from hopeval.datasets.base import Item, convert
from hopeval.io import read_rows
from hopeval.keys import passage_id
from hopeval.records import Passage, Question


class _Passage(Struct):
    title: str = ""
    text: str | None = None
    sentences: list[str] | None = None

    def __post_init__(self) -> None:
        if self.text is None and self.sentences is None:
            raise ValueError("a passage without 'text' or 'sentences'")


class _Row(Struct):
    id: str | int
    query: str
    context: str | list[str | _Passage] | UnsetType | None = UNSET
    success: bool = True

    def __post_init__(self) -> None:
        if self.success and self.context is UNSET:
            raise ValueError("no 'context', though success is not false")


def recognises(row: Any) -> bool:
    """Whether a file's first row looks like this format."""
    return isinstance(row, dict) and "query" in row and "_id" not in row


def read(path: str | Path) -> Iterator[tuple[int, Item]]:
    """Each row's line and item. Raises InputError for the first row that is not valid."""
    for line, value in read_rows(path):
        row = convert(value, _Row, path, line)
        passages = _passages(row.context or [])
        question = Question(
            id=str(row.id),
            text=row.query,
            passages=[passage.id for passage in passages],
            extra={key: kept for key, kept in value.items() if key != "context"},
        )
        yield line, Item(question, passages, skipped=None if row.success else "success is false in the contexts file")


def _passages(context: str | list[str | _Passage]) -> list[Passage]:
    """A text is one passage; a list is one passage an entry. Lines are the sentences of plain text."""
    entries = [context] if isinstance(context, str) else context
    found = [_Passage(text=entry) if isinstance(entry, str) else entry for entry in entries]
    sentences = [entry.sentences or (entry.text or "").splitlines(keepends=True) for entry in found]
    return [
        Passage(id=passage_id(entry.title, lines), title=entry.title, sentences=lines)
        for entry, kept in zip(found, sentences, strict=True)
        if (lines := [line for line in kept if line.strip()])
    ]
