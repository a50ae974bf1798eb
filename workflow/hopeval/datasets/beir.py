"""BEIR's datasets (Thakur et al. 2021): ``queries.jsonl``, ``qrels/<split>.tsv`` and ``corpus.jsonl`` in one folder.

Named is either a split, ``hotpotqa/qrels/test.tsv``: the queries that are judged there; or ``queries.jsonl``: all
queries, with the judgements of all splits. Gold are the passages judged above 0, by their ids, with their grades.
HotpotQA's queries have answer and supporting facts in ``metadata``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from hopeval.datasets.base import Item, convert
from hopeval.errors import InputError
from hopeval.io import open_binary, read_rows
from hopeval.records import Question, SupportingFact

_COLUMNS = ["query-id", "corpus-id", "score"]
_GRADE = re.compile("-?[0-9]+")


class _Metadata(Struct):
    answer: str | None = None
    supporting_facts: list[SupportingFact] | None = None
    type: str | None = None
    level: str | None = None


class _Row(Struct):
    id: str = field(name="_id")
    text: str
    metadata: dict[str, Any] = {}

    def as_question(self, relevant: dict[str, int]) -> Question:
        """The question's record, with the grades of the passages that are judged relevant."""
        try:
            known = msgspec.convert(self.metadata, _Metadata)
        except msgspec.ValidationError:  # other datasets keep other things there
            known = _Metadata()
        return Question(
            id=self.id,
            text=self.text,
            answer=known.answer,
            type=known.type,
            level=known.level,
            supporting_facts=known.supporting_facts,
            relevant=relevant,
        )


def recognises(row: Any) -> bool:
    """Whether a file's first row looks like this format."""
    return isinstance(row, dict) and "_id" in row and "text" in row


def is_qrels(path: Path) -> bool:
    """Whether this is a file of judgements, by its head."""
    with open_binary(path) as file:
        return file.readline(100).decode(errors="replace").strip().split("\t") == _COLUMNS


class Files(NamedTuple):
    """Where the files of a dataset lie, whether they are there or not; the queries may be packed as .gz."""

    queries: Path
    qrels: list[Path]

    @classmethod
    def of(cls, path: Path) -> "Files":
        """Those that are read when this one is named: a split or the queries."""
        if is_qrels(path):
            return cls(path.parent.parent / "queries.jsonl", [path])
        return cls(path, sorted(path.parent.glob("qrels/*.tsv")))


def files(path: Path) -> list[Path]:
    """All files that are read when this one is named, as far as they are there."""
    named = Files.of(path)
    return [found for each in [named.queries, *named.qrels] if (found := _there(each))]


def read(path: str | Path) -> Iterator[tuple[int, Item]]:
    """Each query's line and item. Raises InputError for the first row that is not valid, and for a missing file."""
    path = Path(path)
    named = Files.of(path)
    split = named.queries != path
    relevant = _relevant(named.qrels)
    queries = _beside(path, named.queries)
    for line, value in read_rows(queries):
        row = convert(value, _Row, queries, line)
        if row.id in relevant or not split:
            yield line, Item(row.as_question(relevant.get(row.id, {})))


def _relevant(files: list[Path]) -> dict[str, dict[str, int]]:
    """For each query the grades of the passages that are judged above 0, by id."""
    found: dict[str, dict[str, int]] = {}
    for path in files:
        for line, row in _rows(path):
            if len(row) != len(_COLUMNS) or (line > 1 and not _GRADE.fullmatch(row[2])):
                raise InputError(f"{path}:{line}: {row!r} is not {' '.join(_COLUMNS)}; mend or drop the line")
            if line > 1:
                found.setdefault(row[0], {}).update({row[1]: int(row[2])} if int(row[2]) > 0 else {})
    return found


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file of judgements in their columns, with their numbers."""
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode().rstrip("\r\n").split("\t")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}:{number}: {error}; save the file as UTF-8") from None


def _beside(named: Path, needed: Path) -> Path:
    """The file, as it is or packed. Raises InputError when it is not there."""
    if found := _there(needed):
        return found
    raise InputError(f"{named}: needs {needed.name} in {needed.parent}, as BEIR's archives have it; put it there")


def _there(plain: Path) -> Path | None:
    return next((path for path in (plain, plain.with_name(f"{plain.name}.gz")) if path.exists()), None)
