"""Answered once, kept for good: an append-only folder of responses, one file an attempt.

Each job writes a file of its own, so that two attempts at the same shard never write into each other's
lines, whatever the file system; each reads all files. A torn or damaged line costs that line.
"""

import os
import socket
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import msgspec

from hopeval.errors import HopevalError
from hopeval.io import open_binary
from hopeval.records import Response

_KEY_STARTS = len(b'{"key":"')
_SYNC_EVERY_S = 1.0


class Damage(NamedTuple):
    """A line that is no response, or no longer."""

    path: Path
    line: int


class Journal:
    """The journal folder of one reader, and this job's file in it, which appears with its first response."""

    def __init__(self, folder: str | Path, shard: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / f"{shard}.{socket.gethostname()}.{os.getpid()}.{time.time_ns()}.jsonl"
        self._file: BinaryIO | None = None
        self._synced = 0.0
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._sync: Future[None] | None = None

    def answered(self, keys: Collection[str]) -> tuple[dict[str, Response], list[Damage]]:
        """The answers to these keys that any job has ever kept, and the lines that could not be read.

        Failed responses are no answers. Of several answers the first in order of file name counts, in
        every job alike.
        """
        wanted, decoder = {key.encode() for key in keys}, msgspec.json.Decoder(Response)
        found: dict[str, Response] = {}
        damaged: list[Damage] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            with open_binary(path) as file:
                for number, line in enumerate(file, 1):
                    # Our own lines begin with the key: most need not be decoded at all.
                    if (
                        line.startswith(b'{"key":"')
                        and line.endswith(b"}\n")
                        and line[_KEY_STARTS : line.find(b'"', _KEY_STARTS)] not in wanted
                    ):
                        continue
                    try:
                        response = decoder.decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        damaged.append(Damage(path, number))
                        continue
                    if response.error is None and response.key.encode() in wanted:
                        found.setdefault(response.key, response)
        return found, damaged

    def append(self, response: Response) -> None:
        """Keep a response. It survives this process at once, and the machine from the next sync on, a second
        later; nobody waits for that.

        Raises HopevalError when it cannot be kept, as on a full disk.
        """
        with self._explained():
            self._write(memoryview(msgspec.json.encode(response) + b"\n"))
            if self._file is not None and time.monotonic() - self._synced > _SYNC_EVERY_S:
                self._check_sync()
                self._sync = self._syncer.submit(os.fsync, self._file.fileno())
                self._synced = time.monotonic()

    def _write(self, line: memoryview) -> None:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - open until close()
        while line:  # unbuffered, it may take a part: on a full disk the error comes with the rest
            line = line[self._file.write(line) :]

    def _check_sync(self) -> None:
        """Raise what went wrong with the last sync; one that takes its time is waited for."""
        if self._sync is not None:
            self._sync.result()

    def close(self) -> None:
        """Sync and close this job's file. Raises HopevalError when that fails."""
        if self._file is not None:
            with self._explained(), self._file:
                self._syncer.shutdown()  # waits for what is under way
                self._check_sync()
                os.fsync(self._file.fileno())
            self._file = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HopevalError(
                f"{self.path}: answers cannot be kept: {error.strerror}; "
                "make room or mend the folder, and run the same command again"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
