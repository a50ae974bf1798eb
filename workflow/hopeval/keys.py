"""Identity is content: what makes two requests, two models or two files the same."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from hopeval.errors import InputError
from hopeval.records import Message

_GRAIN_S = 2.0


def digest(value: Any) -> str:
    """SHA-256 in hex of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def reader_identity(settings: Any, model: str | Path | None) -> dict[str, Any]:
    """What of a reader determines its answers: engine and options, the model's bytes, the sampling that is set."""
    weights = {"weights": model_fingerprint(model)} if model else {}
    files = {key: file_sha256(path) for key, path in settings.files.items()}
    return {"model": settings.identity | weights | files, "sampling": settings.sampling.model_dump(exclude_none=True)}


def request_key(reader: Mapping[str, Any], messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
    """The key of a request: SHA-256 of all that determines its answer, 64 hex digits.

    ``reader`` is what reader_identity gives: its model and its sampling.
    """
    turns = [[message.role, message.content] for message in messages]
    return digest({**reader, "messages": turns, "schema": schema})


def passage_id(title: str, sentences: Sequence[str]) -> str:
    """An id for a passage that has none: equal title and sentences, equal id; 16 hex digits."""
    return hashlib.sha256("\0".join([title, *sentences]).encode(errors="surrogatepass")).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises InputError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str | Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read: {error.strerror}; check the path")


def model_fingerprint(path: str | Path) -> str:
    """SHA-256 of a model's file, or over the names and digests of all files of its folder but hidden ones.

    Every byte counts, the path does not. About a second for each gigabyte, files side by side, the first
    time: a file that has not changed since, by what the kernel notes of it, is not read again. Raises
    InputError when there is no file.
    """
    path = Path(path)
    if path.is_file():
        return remembered_sha256(path)
    files = sorted(file for file in path.rglob("*") if _is_visible(file, path))
    if not files:
        raise InputError(f"{path}: no model file here; check the path")
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(remembered_sha256, files))
    return digest([[file.relative_to(path).as_posix(), found] for file, found in zip(files, digests, strict=True)])


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a file, from this user's cache when nobody has written to it since (ctime cannot be set back).

    Raises InputError when it cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    noted = [str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hopeval", "sha256")
    note = folder / digest(noted)
    try:
        return note.read_text(encoding="ascii")
    except OSError:
        found = file_sha256(path)
    # A write within the clock's grain of the reading would go unnoticed (git's racy files).
    if time.time() - status.st_ctime > _GRAIN_S:
        with suppress(OSError):  # the cache is a convenience
            folder.mkdir(parents=True, exist_ok=True)
            own = note.with_name(f"{note.name}.{os.getpid()}.{threading.get_ident()}")
            own.write_text(found, encoding="ascii")
            own.replace(note)
    return found


def _is_visible(file: Path, folder: Path) -> bool:
    # Downloaders keep hidden notes of times and places beside the weights.
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
