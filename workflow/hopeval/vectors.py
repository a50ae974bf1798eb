"""Vectors of passages, kept as they are made: a folder of blocks, each of which appears whole or not at all.

A block holds the vectors of BLOCK passages in the order of the corpus. It is the same block whoever makes it
and into however many jobs the work is split, so that what any job has finished stays finished.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hopeval.errors import HopevalError
from hopeval.io import atomic_write

if TYPE_CHECKING:
    import numpy as np

BLOCK = 1024
"""Passages in a block: what an interrupted job has to do again, at most."""


class Blocks:
    """The vectors of a corpus of so many passages, float32, in a folder of their own."""

    def __init__(self, folder: Path, passages: int) -> None:
        self.folder = folder
        self.passages = passages

    def __len__(self) -> int:
        """The number of blocks that there are when all is done."""
        return -(-self.passages // BLOCK)

    def positions(self, number: int) -> range:
        """The positions of the passages of a block; numbers and positions begin at 0."""
        return range(number * BLOCK, min((number + 1) * BLOCK, self.passages))

    def share(self, shard: int, shards: int) -> range:
        """The numbers of the blocks that one of so many jobs is to make, ``shard`` from 1.

        >>> [list(Blocks(Path(), 5 * BLOCK).share(shard, 2)) for shard in (1, 2)]
        [[0, 1], [2, 3, 4]]
        """
        return range((shard - 1) * len(self) // shards, shard * len(self) // shards)

    def has(self, number: int) -> bool:
        """Whether somebody has finished this block."""
        return self._path(number).exists()

    def write(self, number: int, vectors: "np.ndarray") -> None:
        """Keep a block for good. Raises HopevalError when it cannot be kept, as on a full disk."""
        import numpy as np

        path = self._path(number)
        try:
            with atomic_write(path) as file:
                np.save(file, vectors.astype(np.float32, copy=False))
        except OSError as error:
            raise HopevalError(
                f"{path}: vectors cannot be kept: {error.strerror}; "
                "make room or mend the folder, and run the same command again"
            ) from None

    def __iter__(self) -> Iterator["np.ndarray"]:
        """The blocks in order, memory-mapped. Raises HopevalError for one that is missing or damaged."""
        dimensions = None
        for number in range(len(self)):
            block = self._read(number)
            if block.shape != (len(self.positions(number)), dimensions or block.shape[-1]):
                raise self._damaged(number, f"holds vectors of shape {block.shape}")
            dimensions = block.shape[1]
            yield block

    def _read(self, number: int) -> "np.ndarray":
        import numpy as np

        try:
            block: np.ndarray = np.load(self._path(number), mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(number, str(error)) from None
        return block

    def _damaged(self, number: int, reason: str) -> HopevalError:
        path = self._path(number)
        return HopevalError(f"{path}: {reason}; remove the file and embed the passages again, which makes only that")

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npy"
