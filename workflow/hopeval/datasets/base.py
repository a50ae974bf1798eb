"""What every format's reader gives, and the checks that all formats share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hopeval.errors import InputError
from hopeval.records import Passage, Question

T = TypeVar("T")


@dataclass
class Item:
    """A question with its own paragraphs, or one to be passed over, from one row of a file."""

    question: Question
    passages: list[Passage] = field(default_factory=list)
    skipped: str | None = None
    """Why it is passed over; None for a question to be answered."""
    doubts: list[str] = field(default_factory=list)
    """What is odd but kept: a supporting fact that names an absent sentence."""


def convert(value: Any, kind: type[T], path: str | Path, line: int, identifier: Any = None) -> T:
    """The row as a typed record. Raises InputError with file, line, id and the path to the bad value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        known = identifier or (value.get("_id", value.get("id")) if isinstance(value, dict) else None)
        named = f" (id {known!r})" if known is not None else ""
        raise InputError(f"{path}:{line}: {error}{named}; mend or drop the row") from None


def unique(items: Iterator[tuple[int, Item]], path: str | Path) -> Iterator[Item]:
    """The items, as long as no id comes twice. Raises InputError that names the id and both lines."""
    lines: dict[str, int] = {}
    for line, item in items:
        # The official files are one line: the same line does not mean the same row.
        if (first := lines.get(item.question.id)) is not None:
            raise InputError(
                f"{path}:{line}: id {item.question.id!r} was already used on line {first}; ids must be unique"
            )
        lines[item.question.id] = line
        yield item
