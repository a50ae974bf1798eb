"""The first paragraphs of all Wikipedia articles of October 2017: the corpus of HotpotQA's fullwiki setting.

``enwiki-20171001-pages-meta-current-withlinks-abstracts.tar.bz2`` (Yang et al. 2018, CC BY-SA 4.0) holds folders
of packed files, in which each line is an article: ``id``, ``url``, ``title``, ``text`` (its sentences, as the
supporting facts count them), ``text_with_links`` (the same with ``<a href>``) and the places of the tokens in
both. The plain sentences are kept. Titles stay as they are, HTML entities (``&amp;``) included: supporting
facts spell them so.
"""

from typing import Any

from msgspec import Struct

from hopeval.corpora.base import Format
from hopeval.records import Passage


class _Row(Struct):
    id: int | str
    title: str
    text: list[str]


def recognises(row: Any) -> bool:
    """Whether a corpus's first row looks like this format."""
    return isinstance(row, dict) and isinstance(row.get("text"), list)


def _passage(row: _Row) -> Passage:
    return Passage(id=str(row.id), title=row.title, sentences=row.text)


FORMAT = Format(_Row, _passage)
