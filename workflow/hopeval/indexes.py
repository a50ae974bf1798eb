"""Indexes by content: one for each corpus and settings, made once and found again by any later run."""

import errno
import fcntl
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from hopeval.errors import InputError
from hopeval.io import write_json
from hopeval.keys import digest, remembered_sha256
from hopeval.owners import Owner, fate, this_process

_NOTE = "made.json"
"""In an index's folder: what it is. An index without it is not whole."""


class Index(msgspec.Struct):
    """What there is to say of an index. ``seconds`` and ``peak_mb`` are what it took to make it, ``bytes`` on disk."""

    key: str
    folder: str
    kind: str
    settings: dict[str, Any]
    corpus_sha256: str
    passages: int
    seconds: float
    peak_mb: float
    bytes: int


def made_index(
    settings: Any, kind: Any, corpus: Path, store: Path, passages: Callable[[Path], Any]
) -> tuple[Index, bool]:
    """The index of a corpus, found in the store's folder or made there, and whether it was found.

    ``kind`` is the class that builds it, of the ``passages`` that the file of the corpus holds. Who wants the same
    index at the same time waits; on another host, where locks may not reach, it makes one, too, and the first to
    be whole serves both. What a killed job has left is no index, and is cleared away. Raises InputError when the
    corpus changes meanwhile.
    """
    key = index_key(settings, kind, corpus)  # of the bytes as they were before the first was read
    folder = store / key
    if found := _found(folder):
        return found, True  # without a lock: a store that others share may be there to read only
    with _alone(store / f".{key}.lock"):
        if found := _found(folder):
            return found, True
        _clear(folder)
        return _made(settings, kind, corpus, folder, passages)


def _found(folder: Path) -> Index | None:
    found = _read(folder / _NOTE)
    return msgspec.structs.replace(found, folder=str(folder)) if found and found.key == folder.name else None


def index_key(settings: Any, kind: Any, corpus: Path) -> str:
    """What tells an index from any other: the digest of settings, format, libraries and passages, 64 hex digits."""
    return digest(
        {
            "settings": kind.made_of(settings),
            "format": kind.FORMAT,
            "libraries": library_versions(settings),
            "corpus": remembered_sha256(corpus),
        }
    )


def library_versions(settings: Any) -> dict[str, str | None]:
    """The installed versions of what makes terms or vectors of texts: the same for passages and for questions."""
    return {name: _version(name) for name in settings.LIBRARIES}


def _version(package: str) -> str | None:
    try:
        return version(package).partition("+")[0]  # PyTorch's builds for CPUs and for GPUs are one version
    except PackageNotFoundError:
        return None


def _made(settings: Any, kind: Any, corpus: Path, folder: Path, passages: Callable[[Path], Any]) -> tuple[Index, bool]:
    unfinished = _beside(folder)
    owner = _owner(unfinished)
    owner.write_bytes(msgspec.json.encode(this_process()))
    try:
        unfinished.mkdir()
        index = _built(settings, kind, passages(corpus), folder, unfinished)
        if index_key(settings, kind, corpus) != folder.name:
            raise InputError(f"{corpus}: changed while it was indexed; leave it as it is, and make the index again")
        write_json(unfinished / _NOTE, msgspec.to_builtins(index))
        mine = _published(unfinished, folder)
        return (index, False) if mine else (_found(folder) or index, True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        owner.unlink(missing_ok=True)


def _built(settings: Any, kind: Any, corpus: Any, folder: Path, unfinished: Path) -> Index:
    start = time.monotonic()
    kind.build(settings, corpus, unfinished)
    return Index(
        key=folder.name,
        folder=str(folder),
        kind=settings.kind,
        settings=settings.index_identity,
        corpus_sha256=remembered_sha256(corpus.path),
        passages=len(corpus),
        seconds=round(time.monotonic() - start, 3),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        bytes=sum(_kept(file) for file in unfinished.rglob("*") if file.is_file()),
    )


def _kept(file: Path) -> int:
    """The file's size in bytes, once all of it is on the disk."""
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
    return file.stat().st_size


def _published(unfinished: Path, folder: Path) -> bool:
    """Whether a whole index got its name: no where another job has been faster, whose index stays."""
    while not _found(folder):
        try:
            unfinished.rename(folder)  # never onto a folder that holds something
            return True
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not _found(folder):  # one without its note
                _put_away(folder)
    return False


def _put_away(folder: Path) -> None:
    aside = _beside(folder)
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _beside(folder: Path) -> Path:
    """A name that no other job has; not a folder of tempfile's, which nobody else could read when it is published."""
    return folder.with_name(f".{folder.name}.{uuid4().hex}")


def _owner(unfinished: Path) -> Path:
    """Where it stands who makes an index; beside it, since its folder is the index's alone."""
    return unfinished.with_name(f"{unfinished.name}.owner")


def _clear(folder: Path) -> None:
    """Remove what jobs have left of this index that are known to be gone."""
    for note in folder.parent.glob(f".{folder.name}.*.owner"):
        with suppress(FileNotFoundError, msgspec.DecodeError):
            if fate(msgspec.json.decode(note.read_bytes(), type=Owner)) == "gone":
                shutil.rmtree(note.with_suffix(""), ignore_errors=True)
                note.unlink()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Spares others of this host the work. Nothing rests on it: there are file systems without locks."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_index(manifest: Path) -> Index:
    """What a manifest says. Raises InputError when it is none."""
    found = _read(manifest)
    if found is None:
        raise InputError(f"{manifest}: says of no index where it is; make it again: hopeval index --output {manifest}")
    return found


def open_index(manifest: Path, settings: Any, kind: Any, corpus: Path) -> Path:
    """The folder of the index that a manifest names.

    Raises InputError when it is one of other settings or passages, or when it is gone.
    """
    index = read_index(manifest)
    steps = ("embed", "index") if settings.EMBEDDED else ("index",)
    again = f"make it again: snakemake --forcerun {steps[0]}, or {' and '.join(f'hopeval {step}' for step in steps)}"
    if index.key != index_key(settings, kind, corpus):
        libraries = "".join(f", or made with another {name}" for name in settings.LIBRARIES)
        raise InputError(
            f"{manifest}: is an index of other passages than {corpus}, or of other settings{libraries}; {again}"
        )
    if not Path(index.folder, _NOTE).is_file():
        raise InputError(f"{manifest}: its index is gone from {index.folder}; {again}")
    return Path(index.folder)


def _read(path: Path) -> Index | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
