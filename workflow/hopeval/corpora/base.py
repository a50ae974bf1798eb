"""What every format of a corpus has: typed rows, read as a stream, whatever they are packed in."""

import codecs
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from hopeval.corpora.files import Part
from hopeval.errors import InputError
from hopeval.keys import passage_id
from hopeval.records import Passage


class Format(NamedTuple):
    """A format: the type of a row, and the passage that a row becomes; its id is empty where the row has none."""

    row: type[Any]
    passage: Callable[[Any], Passage]


class Placed(NamedTuple):
    """A passage and where it stands: ``file:line``."""

    place: str
    passage: Passage


def read(
    parts: Iterator[Part], form: Format, on_repeated: Callable[[str], object] = lambda place: None
) -> Iterator[Placed]:
    """Each row as a passage; one without an id gets one of its content, and when that comes again it is left out.

    ``on_repeated`` is told the places of such. Of rows with an id of their own all come: which of two is meant is
    not ours to say. Raises InputError with file and line for the first row that is not valid.
    """
    made: set[int] = set()
    for place, passage in _rows(parts, form):
        if not passage.id:
            passage = structs.replace(passage, id=passage_id(passage.title, passage.sentences))
            if int(passage.id, 16) in made:
                on_repeated(place)
                continue
            made.add(int(passage.id, 16))
        yield Placed(place, passage)


def _rows(parts: Iterator[Part], form: Format) -> Iterator[Placed]:
    decoder = msgspec.json.Decoder(form.row)
    for part in parts:
        for number, line in enumerate(part.lines(), 1):
            if not line.strip():
                continue
            place = f"{part.name}:{number}"
            try:
                passage = form.passage(decoder.decode(line.removeprefix(codecs.BOM_UTF8)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{place}: {error}; mend or drop the line") from None
            if not (passage.title or passage.text.strip()):
                raise InputError(f"{place}: passage {passage.id!r} has neither title nor text; mend or drop the line")
            yield Placed(place, passage)
