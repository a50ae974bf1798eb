"""Identity is content: what makes two requests, two models or two files the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hopeval.errors import InputError
from hopeval.records import Message

_BLOCK = 1 << 20


def digest(value: Any) -> str:
    """SHA-256 in hex of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def request_key(
    model: Mapping[str, Any],
    messages: Sequence[Message],
    schema: Mapping[str, Any] | None,
    sampling: Mapping[str, Any],
) -> str:
    """The key of a request: SHA-256 of all that determines its answer, 64 hex digits."""
    return digest(
        {
            "model": model,
            "messages": [[message.role, message.content] for message in messages],
            "schema": schema,
            "sampling": sampling,
        }
    )


def passage_id(title: str, sentences: Sequence[str]) -> str:
    """An id for a passage that has none: equal title and sentences, equal id; 16 hex digits."""
    return hashlib.sha256("\0".join([title, *sentences]).encode(errors="surrogatepass")).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises InputError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None


def model_fingerprint(path: str | Path) -> str:
    """SHA-256 over the sizes and samples of a model's file, or of all files of its folder but hidden ones.

    A file's samples are its first MiB, its last, and 62 between, so that a model of 100 GB is known in
    a moment. Other weights, quantisations or tokenisers differ in all of them; the path does not count.
    Raises InputError when there is no file.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_visible(file, path))
    if not files:
        raise InputError(f"{path}: no model file here; check the path")
    whole = hashlib.sha256()
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        whole.update(f"{'' if file == path else name}\0{file.stat().st_size}\0".encode())
        for block in _samples(file):
            whole.update(block)
    return whole.hexdigest()


def _is_visible(file: Path, folder: Path) -> bool:
    # Downloaders keep hidden notes of times and places beside the weights.
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _samples(path: Path, count: int = 64) -> list[bytes]:
    size = path.stat().st_size
    starts: Sequence[int] = range(0, size, _BLOCK)
    if size > count * _BLOCK:
        starts = [i * (size - _BLOCK) // (count - 1) for i in range(count)]
    with open(path, "rb") as file:
        return [file.read(_BLOCK) for start in starts if file.seek(start) >= 0]
