"""BEIR's ``corpus.jsonl`` (Thakur et al. 2021): each line ``{"_id", "title", "text"}``.

The text is split into sentences, because readers cite them, by sentencex (Wikimedia); ``"".join(sentences)``
is the text as it was. A passage may have no title.
"""

from typing import Any

from msgspec import Struct, field

from hopeval.corpora.base import Format
from hopeval.corpora.sentences import split
from hopeval.records import Passage


class _Row(Struct):
    id: str = field(name="_id")
    text: str
    title: str = ""


def recognises(row: Any) -> bool:
    """Whether a corpus's first row looks like this format."""
    return isinstance(row, dict) and "_id" in row and isinstance(row.get("text"), str)


def _passage(row: _Row) -> Passage:
    return Passage(id=row.id, title=row.title, sentences=split(row.text))


FORMAT = Format(_Row, _passage)
