"""What a retriever keeps for the job that runs when this one is killed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hopeval.io import atomic_write

T = TypeVar("T")


class Kept:
    """Values that cost much, each in a JSON file of the folder from the moment it exists.

    Without a folder nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._spent_s = 0.0

    def get(self, name: str, kind: Any, make: Callable[[], T]) -> T:
        """The value of this name: as a job has kept it, or else made now and kept.

        A name stands for all that determines its value, as a digest does. ``kind`` is the value's type, as msgspec
        takes it: what is not of that type, as in a file that was tampered with, is made anew.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.json"
        try:
            found: tuple[float, T] = msgspec.json.decode(path.read_bytes(), type=tuple[float, kind])
        except (FileNotFoundError, msgspec.DecodeError):
            start = time.monotonic()
            value = make()
            with atomic_write(path) as file:
                file.write(msgspec.json.encode((time.monotonic() - start, value)))
            return value
        self._spent_s += found[0]
        return found[1]

    def spent(self) -> float:
        """The seconds that other jobs spent on what was taken from them since this was last asked."""
        spent, self._spent_s = self._spent_s, 0.0
        return spent
