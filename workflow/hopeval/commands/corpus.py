"""Make the passages to search: one file, with a sidecar by which it opens at once.

From HotpotQA's fullwiki dump, BEIR's corpus.jsonl or a passages file of one's own: a path or URL of a file, plain
or packed (gzip, bzip2), of a tar or zip archive, or of an unpacked folder. It is read as a stream. What was
downloaded before an interruption is not fetched again.
"""

import argparse
import codecs
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from hopeval.corpora import beir, fullwiki, passages
from hopeval.corpora.base import Placed, read
from hopeval.corpora.files import parts
from hopeval.download import bar, check_sha256, downloaded, is_url
from hopeval.errors import InputError, printable
from hopeval.io import write_json
from hopeval.passages import PassageWriter, TwinError
from hopeval.progress import redirect_output

FORMATS: dict[str, ModuleType] = {"fullwiki": fullwiki, "beir": beir, "passages": passages}
_PLACES_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--source", required=True, help="path or URL of the corpus")
    parser.add_argument("--format", default="auto", choices=["auto", *FORMATS])
    parser.add_argument("--sha256", help="expected SHA-256 of the file")
    parser.add_argument("--output", required=True, type=Path, help="folder for passages.jsonl, sidecar, corpus.json")
    parser.add_argument("--log", type=Path, help="file for all that is printed; progress stays on the terminal")


def run(args: argparse.Namespace) -> None:
    """Write the passages. Raises InputError for the first row that is not valid, and then writes nothing."""
    terminal = redirect_output(args.log)
    path = Path(args.source)
    with ExitStack() as stack:
        if is_url(args.source):
            path = stack.enter_context(downloaded(args.source, args.output, args.sha256, terminal))
        elif path.is_dir() and args.sha256:
            raise InputError(f"{path}: is a folder, which has no SHA-256; give the one of the archive, or none")
        else:
            check_sha256(path, args.sha256)
        try:
            summary = _write(args, path, terminal)
        except InputError as error:
            raise InputError(str(error).replace(str(path), args.source)) from None
        write_json(args.output / "corpus.json", {"source": args.source, **summary})
    print(", ".join(f"{key} {value}" for key, value in summary.items()))


class _Noted:
    """How often something came up, and the first places of it."""

    def __init__(self) -> None:
        self.count, self._places = 0, list[str]()

    def add(self, place: str) -> None:
        """Note another place."""
        self.count += 1
        if self.count <= _PLACES_SHOWN:
            self._places.append(place)

    def tell(self, what: str) -> None:
        """Warn of it, if it came up."""
        if self.count:
            more = ["…"] if self.count > _PLACES_SHOWN else []
            print(f"warning: {self.count} passages {what}:", file=sys.stderr)
            print(*(f"  {printable(place)}" for place in [*self._places, *more]), sep="\n", file=sys.stderr)


def _write(args: argparse.Namespace, path: Path, terminal: Any) -> dict[str, Any]:
    form = detect_format(path) if args.format == "auto" else args.format
    empty, repeated = _Noted(), _Noted()
    try:
        with _reading(path, terminal) as on_bytes, PassageWriter(args.output / "passages.jsonl") as writer:
            for place, passage in read(parts(path, on_bytes), FORMATS[form].FORMAT, repeated.add):
                writer.write(passage)
                if not passage.text.strip():
                    empty.add(place)
            if not writer.count:
                raise InputError(f"{path}: holds no passage; check dataset.corpus")
    except TwinError as error:
        raise InputError(_told(error, read(parts(path), FORMATS[form].FORMAT))) from None
    empty.tell("have a title and no text (kept)")
    repeated.tell("without an id are there already, word for word (left out)")
    return {"format": form, "passages": writer.count, "without_text": empty.count, "repeated": repeated.count}


def _reading(path: Path, terminal: Any) -> Any:
    files = path.rglob("*") if path.is_dir() else [path]
    return bar("reading", sum(file.stat().st_size for file in files if file.is_file()), terminal)


def _told(error: TwinError, rows: Iterator[Placed]) -> str:
    """The same in terms of the source: memory holds no ids, so it is read once more."""
    (first, passage), (second, _) = [row for i, row in enumerate(rows) if i in error.positions]
    return f"{second}: passage id {passage.id!r} was already used at {first}; ids must be unique"


def detect_format(path: Path) -> str:
    """The name of the format of a corpus, by its first row. Raises InputError when it is none."""
    for part in parts(path):
        for line in part.lines():
            if line.strip():
                return _format_of(line, part.name)
    raise InputError(f"{path}: holds no passage; check dataset.corpus")


def _format_of(line: bytes, name: str) -> str:
    try:
        row = msgspec.json.decode(line.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name}:1: {error}; a corpus is JSON Lines, a passage a line") from None
    found = next((form for form, module in FORMATS.items() if module.recognises(row)), None)
    if found is None:
        keys = ", ".join(map(repr, row)) if isinstance(row, dict) else f"a {type(row).__name__}"
        raise InputError(
            f"{name}:1: the first row has {keys}; HotpotQA's dump has 'id', 'title', 'text' (a list), BEIR's corpus "
            "'_id', 'title', 'text', a file of one's own 'title' and 'sentences' or 'text'"
        )
    return found
