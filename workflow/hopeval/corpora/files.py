"""The files of a corpus, whatever holds them: a file, a folder of files, a tar or zip archive; gzip or bzip2.

Everything is read as a stream: nothing is unpacked to the disk, and no file is held in memory.
"""

import bz2
import gzip
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple

from hopeval.errors import InputError

_BROKEN = (EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
_ENDS = (".bz2", ".json", ".jsonl", ".jsonl.gz")
_LONGEST = 1 << 26  # bytes of a line; a few kilobytes of a packed file may hold one without an end


class Part(NamedTuple):
    """One file of rows: its name, within an archive ``archive/name``, and its bytes."""

    name: str
    file: Any

    def lines(self) -> Iterator[bytes]:
        """The lines, unpacked. Raises InputError when the file is damaged or cut off, or a line beyond all measure."""
        try:
            unpacked = _unpacked(self.file)
            for number, line in enumerate(iter(lambda: unpacked.readline(_LONGEST), b""), 1):
                if len(line) == _LONGEST:
                    raise InputError(f"{self.name}:{number}: a line of {_LONGEST:,} bytes or more; a passage is a line")
                yield line
        except _BROKEN as error:
            raise _damaged(self.name, error) from None


def parts(source: Path, on_bytes: Callable[[int], object] = lambda count: None) -> Iterator[Part]:
    """The files of a corpus in a fixed order, each open only until the next is asked for.

    ``on_bytes`` is told how many bytes were read from the disk. Raises InputError when they cannot be read.
    """
    try:
        if source.is_dir():
            yield from _in_folder(source, on_bytes)
        elif zipfile.is_zipfile(source):
            yield from _in_zip(source, on_bytes)
        else:
            yield from _in_file(source, on_bytes)
    except _BROKEN as error:
        raise _damaged(str(source), error) from None


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: damaged, cut off or unreadable ({error}); check the path or fetch it again")


def _in_folder(folder: Path, on_bytes: Callable[[int], object]) -> Iterator[Part]:
    for name in _rows(str(path) for path in folder.rglob("*") if path.is_file()):
        with _counted(Path(name), on_bytes) as file:
            yield Part(name, file)


def _in_zip(source: Path, on_bytes: Callable[[int], object]) -> Iterator[Part]:
    with _counted(source, on_bytes) as file, zipfile.ZipFile(file) as archive:
        for name in _rows(archive.namelist()):
            with archive.open(name) as inside:
                yield Part(f"{source}/{name}", inside)


def _in_file(source: Path, on_bytes: Callable[[int], object]) -> Iterator[Part]:
    with _counted(source, on_bytes) as file:
        if not _is_tar(source):
            yield Part(str(source), file)
            return
        _refuse_cut_off(source)
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in _members(archive, source):
                yield Part(f"{source}/{member.name}", archive.extractfile(member))


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[tarfile.TarInfo]:
    """The same as _rows gives, in the order of the archive: to list one first is to unpack it twice."""
    others = 0
    beir = False
    for member in archive:
        if not member.isfile() or not _holds_rows(member.name):
            continue
        if _is_corpus(member.name) and others:
            raise InputError(f"{source}: holds other files before {member.name}; unpack it and name that file alone")
        beir = beir or _is_corpus(member.name)
        if _is_corpus(member.name) or not beir:
            others += not beir
            yield member


def _rows(names: Any) -> list[str]:
    """The files that hold passages, sorted: of a BEIR dataset its corpus alone."""
    held = sorted(filter(_holds_rows, names))
    return list(filter(_is_corpus, held)) or held


def _holds_rows(name: str) -> bool:
    last = PurePath(name).name
    return last.endswith(_ENDS) and not last.startswith((".", "queries.jsonl"))


def _is_corpus(name: str) -> bool:
    """Whether this is what BEIR calls the corpus, beside which other files are no passages."""
    return PurePath(name).name.startswith("corpus.jsonl")


def _is_tar(source: Path) -> bool:
    # Not tarfile.is_tarfile: it takes a text that begins with zeros for an archive, and reads on for its members.
    with open(source, "rb") as file, suppress(EOFError, zlib.error, OSError):
        return bool(_unpacked(file).read(512)[257:262] == b"ustar")
    return False


def _refuse_cut_off(archive: Path) -> None:
    """Raise EOFError for a plain tar archive without its end, which tarfile takes for whole; packed ones tell."""
    with open(archive, "rb") as file:
        if _unpacked(file) is file and file.seek(-1024, os.SEEK_END) and any(file.read()):
            raise EOFError("its end is missing")


def _unpacked(file: Any) -> Any:
    """The file, through gzip or bzip2 where its first bytes say so."""
    start = file.peek(3)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(file, "rb")
    return bz2.open(file, "rb") if start.startswith(b"BZh") else file


def _counted(path: Path, on_bytes: Callable[[int], object]) -> IO[bytes]:
    return io.BufferedReader(_Counting(path, on_bytes), 1 << 20)


class _Counting(io.FileIO):
    """A file that tells how many bytes were read from it."""

    def __init__(self, path: Path, on_bytes: Callable[[int], object]) -> None:
        super().__init__(path)
        self._on_bytes = on_bytes

    def readinto(self, buffer: Any) -> int | None:
        """The number of bytes read into the buffer."""
        count = super().readinto(buffer)
        self._on_bytes(count or 0)
        return count
