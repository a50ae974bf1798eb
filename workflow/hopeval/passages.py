"""The file of passages: written once, as a stream, and opened at once however long it is.

``passages.jsonl`` is JSON Lines of ``{"id", "title", "sentences": […]}``. Its sidecar, ``passages.jsonl.index``,
says where each line begins and where an id or a title is found. It is read as memory-mapped arrays, so that
five million passages open within a second and take no memory but for what is looked up. A file without a
sidecar, or one that was replaced since, is read through instead: about 10 s for a million passages.
"""

import mmap
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from hopeval.errors import InputError
from hopeval.io import RecordWriter, atomic_write, is_packed, open_binary
from hopeval.keys import file_sha256, remembered_sha256
from hopeval.records import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMAT = 1
_HEADER = 512  # bytes of JSON, filled up with blanks
_ROWS = 6  # offsets; ids' hashes sorted, and their positions; titles' hashes sorted, and their positions; ids' ends
_RECENT = 1 << 16  # ids of which the position is remembered: what was found is looked up next. More are slower
_DECODER = msgspec.json.Decoder(Passage)


class _Titled(msgspec.Struct):
    title: str


_TITLE_DECODER = msgspec.json.Decoder(_Titled)


class TwinError(InputError):
    """Two passages have the same id. ``positions`` are theirs in the file, from 0."""

    def __init__(self, message: str, positions: tuple[int, int]) -> None:
        super().__init__(message)
        self.positions = positions


def sidecar(path: str | Path) -> Path:
    """Where the sidecar of a file of passages lies."""
    return Path(f"{path}.index")


class PassageWriter(RecordWriter):
    """Writes passages to a file, with its sidecar, that appears when the ``with`` block ends well.

    Raises TwinError at its end when an id came twice; then no file appears.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        self._places = _Places()
        return self

    def write(self, record: Passage) -> None:
        """Add a passage. Raises InputError for what JSON in UTF-8 cannot hold."""
        offset = self.tell()
        super().write(record)
        self._places.add(offset, record)

    def __exit__(self, *exception: Any) -> bool | None:
        if exception[0] is not None:
            return super().__exit__(*exception)
        try:
            index = self._places.index(self.path)
        except InputError as error:
            super().__exit__(type(error), error, error.__traceback__)
            raise
        super().__exit__(*exception)
        _write_sidecar(Path(self.path), index)
        return None


class _About(msgspec.Struct):
    """The head of a sidecar: of which file it is, and how long its parts are."""

    format: int
    passages: int
    names: int
    bytes: int
    mtime_ns: int
    sha256: str


class _Index(NamedTuple):
    """Where the passages of a file are: _ROWS × passages, and all ids one behind the other in UTF-8."""

    rows: "NDArray[np.uint64]"
    names: "NDArray[np.uint8]"


class _Places:
    """Collects passage by passage what an index is made of."""

    def __init__(self) -> None:
        self._offsets, self._ends, self._names = array("Q"), array("Q"), bytearray()
        # 16 bytes for an id: that two ids share them by chance is not to be expected in any corpus.
        self._ids, self._titles = bytearray(), bytearray()

    def add(self, offset: int, passage: Passage) -> None:
        """Note a passage whose line begins at this byte."""
        self._offsets.append(offset)
        self._names += passage.id.encode(errors="surrogatepass")
        self._ends.append(len(self._names))
        self._ids += _digest(passage.id, 16)
        self._titles += _digest(passage.title, 8)

    def index(self, path: str | Path) -> "_Index":
        """Where everything is. Raises TwinError when an id came twice."""
        import numpy as np

        index = np.empty((_ROWS, len(self._offsets)), dtype="<u8")
        index[0], index[5] = self._offsets, self._ends
        for row, hashes in ((1, np.frombuffer(self._ids, "<u8")[::2]), (3, np.frombuffer(self._titles, "<u8"))):
            index[row + 1] = np.argsort(hashes, kind="stable")
            index[row] = hashes[index[row + 1]]
        self._refuse_twins(index, path)
        return _Index(index, np.frombuffer(self._names, np.uint8))

    def _refuse_twins(self, index: "NDArray[np.uint64]", path: str | Path) -> None:
        import numpy as np

        if not self._offsets:
            return
        rest = np.frombuffer(self._ids, "<u8")[1::2][index[2]]
        (twins,) = np.nonzero((index[1, 1:] == index[1, :-1]) & (rest[1:] == rest[:-1]))
        if len(twins):
            first, second = (int(position) for position in index[2, twins[0] : twins[0] + 2])
            raise TwinError(
                f"{path}: passages {first + 1} and {second + 1} have the same id; make ids unique",
                (first, second),
            )


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()


def _write_sidecar(path: Path, index: _Index) -> None:
    status = path.stat()
    about = _About(
        format=_FORMAT,
        passages=index.rows.shape[1],
        names=len(index.names),
        bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=file_sha256(path),
    )
    with atomic_write(sidecar(path)) as file:
        file.write(msgspec.json.encode(about).ljust(_HEADER - 1) + b"\n")
        file.write(index.rows.data)
        file.write(index.names.data)


def _read_sidecar(path: Path) -> _Index | None:
    """The index beside a file; None when there is none or it is not about this very file."""
    import numpy as np

    try:
        with open(sidecar(path), "rb") as file:
            about = msgspec.json.decode(file.read(_HEADER), type=_About)
            length = file.seek(0, 2)
    except (OSError, msgspec.DecodeError):
        return None
    if about.format != _FORMAT or not _is_about(about, path):
        return None
    shape, names = (_ROWS, about.passages), _HEADER + 8 * _ROWS * about.passages
    if length != names + about.names or not about.names:
        return None  # torn, or too small to map
    rows = np.memmap(sidecar(path), "<u8", "r", _HEADER, shape)
    # As plain arrays: each look into a memmap costs microseconds.
    return _Index(np.asarray(rows), np.asarray(np.memmap(sidecar(path), np.uint8, "r", names)))


def _is_about(about: _About, path: Path) -> bool:
    status = path.stat()
    if status.st_size != about.bytes:
        return False
    # Copied or touched it has another time and the same content.
    return status.st_mtime_ns == about.mtime_ns or remembered_sha256(path) == about.sha256


class PassageStore:
    """The passages of a JSON Lines file by position, id and title, kept on disk.

    Raises InputError with file and line for a bad record, an id that comes twice, or a packed file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if is_packed(path):
            raise InputError(f"{path}: packed, but passages are read at random; unpack it with gunzip")
        self._rows, self._names = _read_sidecar(self.path) or self._read_through()
        self._bytes = _mapped(self.path)
        self._recent: dict[str, int] = {}

    def _read_through(self) -> _Index:
        places = _Places()
        for offset, number, line in self._lines():
            places.add(offset, self._decode(line, number))
        try:
            return places.index(self.path)
        except TwinError as error:
            twins = [(number, line) for i, (_, number, line) in enumerate(self._lines()) if i in error.positions]
            (first, line), (second, _) = twins
            raise InputError(
                f"{self.path}:{second}: passage id {_DECODER.decode(line).id!r} was already used on line {first};"
                " ids must be unique"
            ) from None

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset, number from 1 and content of each line that is not blank."""
        offset = 0
        with open_binary(self.path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield offset, number, line
                offset += len(line)

    def _decode(self, line: bytes, number: int) -> Passage:
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{self.path}:{number}: {error}; a passage is {{id, title, sentences}}; mend or drop the line"
            ) from None

    def __len__(self) -> int:
        return int(self._rows.shape[1])

    def __getitem__(self, position: int) -> Passage:
        """The passage at this position, from 0, in the order of the file."""
        return _DECODER.decode(self._line(position))

    def __iter__(self) -> Iterator[Passage]:
        return (_DECODER.decode(line) for _, _, line in self._lines())

    def __contains__(self, identifier: str) -> bool:
        return self.position(identifier) is not None

    def id(self, position: int) -> str:
        """The id of the passage at this position."""
        return self.ids([position])[0]

    def ids(self, positions: Sequence[int]) -> list[str]:
        """The ids of the passages at these positions."""
        import numpy as np

        if len(self._recent) >= _RECENT:
            self._recent.clear()
        places = np.asarray(positions, dtype=np.int64)
        starts, ends = np.where(places > 0, self._rows[5][places - 1], 0).tolist(), self._rows[5][places].tolist()
        names = self._names.data
        found = [str(names[i:j], "utf-8", "surrogatepass") for i, j in zip(starts, ends, strict=True)]
        self._recent.update(zip(found, positions, strict=True))
        return found

    def title(self, identifier: str) -> str:
        """The title of the passage with this id, without the rest of it. Raises InputError when there is none."""
        return _TITLE_DECODER.decode(self._line(self._known(identifier))).title

    def position(self, identifier: str) -> int | None:
        """The position of the passage with this id; None when there is none."""
        if (recent := self._recent.get(identifier)) is not None:
            return recent
        return next((position for position in self._among(1, identifier) if self.id(position) == identifier), None)

    def by_id(self, identifier: str) -> Passage:
        """The passage with this id. Raises InputError when there is none."""
        return self[self._known(identifier)]

    def by_title(self, title: str) -> Passage | None:
        """The first passage with this title; None when there is none."""
        return next((p for p in map(self.__getitem__, self._among(3, title)) if p.title == title), None)

    def _known(self, identifier: str) -> int:
        position = self.position(identifier)
        if position is None:
            raise InputError(f"{self.path}: no passage has the id {identifier!r}; run prepare again")
        return position

    def _among(self, row: int, text: str) -> Iterator[int]:
        """Positions of the passages whose id or title has the same hash, ascending: nearly always one or none."""
        import numpy as np

        wanted = np.frombuffer(_digest(text, 16 if row == 1 else 8)[:8], "<u8")[0]
        place = int(np.searchsorted(self._rows[row], wanted))
        while place < len(self) and self._rows[row, place] == wanted:
            yield int(self._rows[row + 1, place])
            place += 1

    def _line(self, position: int) -> Any:
        start = int(self._rows[0, position])
        end = self._bytes.find(b"\n", start)
        return self._bytes[start:] if end < 0 else self._bytes[start:end]


def _mapped(path: Path) -> Any:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
