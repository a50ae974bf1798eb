"""A passages file of one's own: each line ``{"title", "sentences"}`` or ``{"title", "text"}``, and perhaps an ``id``.

A passage without an id gets one of its content. A text is split into sentences as BEIR's are.
"""

from typing import Any

from msgspec import Struct

from hopeval.corpora.base import Format
from hopeval.corpora.sentences import split
from hopeval.records import Passage


class _Row(Struct):
    id: int | str | None = None
    title: str = ""
    sentences: list[str] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.sentences is None and self.text is None:
            raise ValueError("a passage without 'sentences' or 'text'")


def recognises(row: Any) -> bool:
    """Whether a corpus's first row looks like this format."""
    return isinstance(row, dict) and ("sentences" in row or "text" in row)


def _passage(row: _Row) -> Passage:
    sentences = split(row.text or "") if row.sentences is None else row.sentences
    return Passage(id="" if row.id is None else str(row.id), title=row.title, sentences=sentences)


FORMAT = Format(_Row, _passage)
