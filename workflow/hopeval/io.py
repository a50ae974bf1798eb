"""Records to files and back: streamed, checked line by line, and never half-written."""

import codecs
import gzip
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

import jsonlines
import msgspec

from hopeval.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20  # bytes read at a time


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that appears as ``path`` when the block ends well, and not at all otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a private file; what others may read is theirs to say, by the umask.
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Read once, while there is one thread: to read it is to change it for a moment, for all threads.
_UMASK = _umask()


class RecordWriter:
    """Writes records as JSON Lines to a file that appears when the ``with`` block ends well."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._file_to_be = atomic_write(path)
        self.count = 0

    def __enter__(self) -> Self:
        self._file = self._file_to_be.__enter__()
        self._writer = jsonlines.Writer(self._file, dumps=msgspec.json.encode)
        return self

    def tell(self) -> int:
        """The byte at which the next record begins."""
        return self._file.tell()

    def write(self, record: Any) -> None:
        """Add a record: a struct or a mapping. Raises InputError for what JSON in UTF-8 cannot hold."""
        try:
            self._writer.write(record)
        except UnicodeEncodeError as error:
            raise InputError(f"{self.path}: record {self.count + 1}: {error}; mend it where it comes from") from None
        self.count += 1

    def __exit__(self, *exception: Any) -> bool | None:
        return self._file_to_be.__exit__(*exception)


def write_records(path: str | Path, records: Iterable[Any]) -> int:
    """The number of records written to ``path``, one JSON object a line."""
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def read_records(path: str | Path, kind: type[T]) -> Iterator[T]:
    """The records of a file in order.

    Raises InputError that names file, line and the path to the bad value:
    ``questions.jsonl:3: Expected `str`, got `int` - at `$.id` ``.
    """
    with open_binary(path) as file:
        reader = jsonlines.Reader(_lines(file, path), loads=msgspec.json.Decoder(kind).decode)
        try:
            yield from cast("Iterator[T]", reader.iter(skip_empty=True))
        except jsonlines.InvalidLineError as error:
            raise InputError(f"{path}:{error.lineno}: {_reason(error)}; mend or drop the line") from None


def _lines(file: IO[bytes], path: str | Path) -> Iterator[bytes]:
    # jsonlines takes the EOFError of a cut-off gzip file for the end of the data.
    try:
        yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _reason(error: jsonlines.InvalidLineError) -> str:
    message = str(error.__cause__ or error)
    return f"not valid UTF-8 ({message})" if isinstance(error.__cause__, UnicodeDecodeError) else message


def open_binary(path: str | Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is gzip. Raises InputError when it cannot be opened."""
    return gzip.open(path, "rb") if is_packed(path) else open(path, "rb")  # type: ignore[return-value]


def is_packed(path: str | Path) -> bool:
    """Whether this is a gzip file, by its first bytes. Raises InputError when it cannot be opened."""
    try:
        with open(path, "rb") as probe:
            return probe.read(2) == _GZIP_MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None


def read_rows(path: str | Path) -> Iterator[tuple[int, Any]]:
    """The values of a JSON array or of a JSON Lines file, streamed, each with the line it begins on.

    Raises InputError that names the line of malformed JSON or invalid UTF-8.
    """
    with open_binary(path) as file:
        yield from _Scanner(path, file).values()


class _Scanner:
    """Finds one JSON value after the other in a file too large to parse whole."""

    def __init__(self, path: str | Path, file: IO[bytes]) -> None:
        self.path, self.line = path, 1
        self._pieces = _decoded(_chunks(file, path, _CHUNK), path)
        self._text, self._at = "", 0

    def values(self) -> Iterator[tuple[int, Any]]:
        """Each value with its line. In an array, commas stand between; in JSON Lines, line ends."""
        array = self._peek() == "["
        if array:
            self._at += 1
        while (character := self._peek()) and not (array and character == "]"):
            line = self.line
            yield line, self._value()
            if array and self._peek() == ",":
                self._at += 1
                if self._peek() == "]":
                    self._fail("a value expected behind ','")
            elif array and self._peek() != "]":
                self._fail("',' or ']' expected")
        if array and not character:
            self._fail("the array is not closed: the file is cut off")
        if array:
            self._at += 1
            if self._peek():
                self._fail("something stands behind the array")

    def _peek(self) -> str:
        """The next character that is not blank, '' at the end of the file."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            assert blank is not None  # the pattern matches the empty string
            self.line += blank.group().count("\n")
            self._at = blank.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> Any:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                # A number at the very end of the buffer might go on: 1 as 12, 1. as 1.5, 1e+ as 1e+5.
                if not isinstance(value, int | float) or end + 2 < len(self._text) or not self._more():
                    break
            except json.JSONDecodeError as error:
                before = self._text.count("\n", self._at, error.pos)
                if not self._more():
                    self.line += before
                    self._fail(error.msg)
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
                self._fail(str(error))
        self.line += self._text.count("\n", self._at, end)
        self._at = end
        return value

    def _more(self) -> bool:
        """Whether there was more to read; doubles the buffer, so that no value costs more than twice its length."""
        wanted = max(_CHUNK, len(self._text) - self._at)
        pieces, length = [self._text[self._at :]], 0
        while length < wanted and (piece := next(self._pieces, "")):
            pieces.append(piece)
            length += len(piece)
        if length:
            self._text, self._at = "".join(pieces), 0
        return length > 0

    def _fail(self, reason: str) -> NoReturn:
        raise InputError(f"{self.path}:{self.line}: malformed JSON: {reason}; mend the file or fetch it again")


_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def _chunks(file: IO[bytes], path: str | Path, size: int) -> Iterator[bytes]:
    try:
        while chunk := file.read(size):
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _decoded(chunks: Iterable[bytes], path: str | Path) -> Iterator[str]:
    """The text of the chunks, without a byte order mark. Raises InputError with the line of invalid UTF-8."""
    decoder, line = codecs.getincrementaldecoder("utf-8-sig")(), 1
    for chunk in chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise InputError(f"{path}:{line}: not valid UTF-8 ({error.reason}); save the file as UTF-8") from None
        line += text.count("\n")
        if text:
            yield text


def _damaged(path: str | Path, error: Exception) -> InputError:
    return InputError(f"{path}: damaged gzip file ({error}); fetch it again")


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index. Half a surrogate pair, which UTF-8 cannot hold, becomes ``?``.

    Lines end as in RFC 4180, with CR and LF: a lone CR in a text is then quoted, and ends no row when read.
    """
    with atomic_write(path) as file:
        table.to_csv(file, index=False, lineterminator="\r\n", errors="replace")


def write_json(path: str | Path, value: Any) -> None:
    """Write one JSON document, indented, with keys in the order given."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(path: str | Path) -> Any:
    """One JSON document. Raises InputError with file and line."""
    try:
        with open_binary(path) as file:
            return json.loads("".join(_decoded(_chunks(file, path, _CHUNK), path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: malformed JSON: {error.msg}; mend the file") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
        raise InputError(f"{path}: malformed JSON: {error}; mend the file") from None
