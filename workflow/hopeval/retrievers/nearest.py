"""The passages whose vectors have the largest inner product with a question's, by FAISS (Douze et al. 2024).

Exactly, by matrix product over a file that is read from disk as it is needed; or approximately, by an index of
FAISS, for more passages than a matrix product gets through. How much that loses is measured when it is built.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.errors import InputError
from hopeval.vectors import Blocks

if TYPE_CHECKING:
    import numpy as np

_MATRIX, _INDEX = "vectors.npy", "index.faiss"
_SAMPLE = 1000
_RECALL_AT = 10
_ADDED = 65_536


class Nearest:
    """The vectors of a folder that build_nearest has filled, to be searched."""

    def __init__(self, folder: Path, faiss: Any) -> None:
        """``faiss`` is that part of the retriever's section; None: exact search."""
        import numpy as np

        self.vectors = np.load(folder / _MATRIX, mmap_mode="r")
        self._index = _open(folder / _INDEX, faiss.search) if faiss else None

    def search(self, queries: "np.ndarray", k: int) -> "tuple[np.ndarray, np.ndarray]":
        """Scores and positions of the ``k`` best passages for each query, each [queries, k], best first.

        Passages with equal scores come in the order of the corpus. Position -1 is none: an approximate
        search may find fewer. Raises InputError when the queries have not as many dimensions as the passages.
        """
        if queries.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"the model gives questions {queries.shape[1]} dimensions, but its passages have "
                f"{self.vectors.shape[1]}; the model was changed: embed the passages again"
            )
        return _in_order(*self._index.search(queries, k)) if self._index else self.exactly(queries, k)

    def exactly(self, queries: "np.ndarray", k: int) -> "tuple[np.ndarray, np.ndarray]":
        """The same by matrix product, whatever the index."""
        import faiss

        return _in_order(*faiss.knn(queries, self.vectors, k, metric=faiss.METRIC_INNER_PRODUCT))

    def recall(self, queries: "np.ndarray", k: int) -> float:
        """The share of each query's ``k`` truly best passages that the index finds among its own ``k``, 0 to 1."""
        _, true = self.exactly(queries, k)
        _, found = self.search(queries, k)
        return sum(len(set(a) & set(b)) for a, b in zip(true.tolist(), found.tolist(), strict=True)) / true.size


def _in_order(scores: "np.ndarray", positions: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    order = np.lexsort((positions, -scores))
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)


def build_nearest(blocks: Blocks, folder: Path, faiss: Any) -> None:
    """Fill the folder with all vectors in one file, and with an index of FAISS where ``faiss`` asks for one.

    Memory: that index, and what it learns from; without one, a block. Raises InputError for an index that
    FAISS does not know or cannot make of these vectors.
    """
    if faiss:
        check_faiss(next(iter(blocks)).shape[1], faiss)
    _write_matrix(blocks, folder / _MATRIX)
    if faiss:
        _write_index(folder, faiss)
        found = Nearest(folder, faiss)
        sample = _spread(found.vectors, _SAMPLE)
        k = min(_RECALL_AT, len(found.vectors))
        print(
            f"{faiss.factory} {faiss.search}: recall@{k} {found.recall(sample, k):.3f} of exact search, for "
            f"{len(sample)} of the passages themselves",
            flush=True,
        )


def check_faiss(dimensions: int, settings: Any) -> None:
    """Raise InputError for an index that FAISS cannot make of vectors of so many dimensions, or not search so."""
    _set_search(_empty_index(dimensions, settings.factory), settings.search)


def _empty_index(dimensions: int, factory: str) -> Any:
    import faiss

    with _explained("factory", factory):
        return faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)


def _set_search(index: Any, parameters: str) -> None:
    import faiss

    if parameters:
        with _explained("search", parameters):
            faiss.ParameterSpace().set_index_parameters(index, parameters)


def _write_matrix(blocks: Blocks, path: Path) -> None:
    import numpy as np

    matrix, row = None, 0
    for block in blocks:
        if matrix is None:
            shape = (blocks.passages, block.shape[1])
            matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        matrix[row : row + len(block)] = block
        row += len(block)


def _write_index(folder: Path, settings: Any) -> None:
    import faiss
    import numpy as np

    vectors = np.load(folder / _MATRIX, mmap_mode="r")
    index = _empty_index(vectors.shape[1], settings.factory)
    with _explained("factory", settings.factory):
        if not index.is_trained:
            index.train(_spread(vectors, settings.train))
        for start in range(0, len(vectors), _ADDED):
            index.add(np.ascontiguousarray(vectors[start : start + _ADDED]))
        faiss.write_index(index, str(folder / _INDEX))


def _spread(vectors: "np.ndarray", most: int) -> "np.ndarray":
    """So many of the vectors, in equal distances over all of them."""
    import numpy as np

    rows = np.linspace(0, len(vectors) - 1, min(most, len(vectors)), dtype=np.int64)
    return np.ascontiguousarray(vectors[rows])


def _open(path: Path, parameters: str) -> Any:
    import faiss

    # Inverted lists stay on disk; a graph (HNSW) has to be in memory.
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    _set_search(index, parameters)
    return index


@contextmanager
def _explained(key: str, value: str) -> Iterator[None]:
    """What FAISS says to a mistaken setting as one message; it names the place in its own source first."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"faiss.{key}: found {value!r}, of which FAISS says: {reason}; correct it") from None
