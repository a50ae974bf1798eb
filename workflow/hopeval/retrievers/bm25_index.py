"""An index for bm25s made as a stream: five million passages in the memory that their vocabulary takes.

bm25s itself builds from lists of all tokens in memory. Here the corpus passes by once, in blocks: each block's
postings (term, passage, how often) are written down in order. When the terms' frequencies are known, the second
pass scores them by bm25s's own formulas and puts each where it belongs in the files of bm25s's format. What
comes out is, number for number, what bm25s makes of the same terms (a test compares them), and
``bm25s.BM25.load`` opens it. Two things go beyond bm25s: ``lucene`` takes the lengths of passages as Lucene
keeps them, so that rankings are those of Lucene place by place, and ``okapi`` is the variant of rank_bm25.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hopeval.errors import InputError
from hopeval.retrievers.tokens import Analyzer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 50_000  # passages
_MARGIN = 16  # further passages asked for, for those with equal scores
_POSTINGS = "postings.tmp"
_FILES = {name: f"{name}.csc.index.npy" for name in ("data", "indices", "indptr")}
_DELTA = 0.5  # of bm25l and bm25+, as in bm25s


class _Vocabulary(dict[str, int]):
    """The number of each word's term, -1 for stop words; a word is looked at once, when it first comes."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self.terms: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        term = self._analyzer.term(word)
        number = -1 if term is None else self.terms.setdefault(term, len(self.terms))
        self[word] = number
        return number


class _Counts(NamedTuple):
    """What the second pass has to know: passages with each term, and terms in each passage."""

    passages_with: "NDArray[np.int64]"
    lengths: "NDArray[np.int64]"


def build(settings: Any, texts: Iterable[str], folder: Path) -> None:
    """Write the index of the texts to a folder. Raises InputError when they hold no term at all."""
    import bm25s

    analyzer = Analyzer(settings)
    vocabulary = _Vocabulary(analyzer)
    counts = _write_postings(vocabulary, texts, analyzer, folder / _POSTINGS)
    if not vocabulary.terms:
        raise InputError("holds no word to search for but stop words; set stopwords: null")
    scorer = bm25s.BM25(method=settings.method, k1=settings.k1, b=settings.b, delta=_DELTA)
    _write_scores(scorer, counts, folder)
    (folder / _POSTINGS).unlink()
    (folder / "vocab.index.json").write_bytes(msgspec.json.encode(vocabulary.terms))
    about = {name: getattr(scorer, name) for name in ("k1", "b", "delta", "method", "idf_method", "dtype", "int_dtype")}
    about |= {"num_docs": len(counts.lengths), "version": bm25s.__version__, "backend": "numpy"}
    (folder / "params.index.json").write_text(json.dumps(about), encoding="utf-8")


def _write_postings(vocabulary: _Vocabulary, texts: Iterable[str], analyzer: Analyzer, path: Path) -> _Counts:
    """First pass: blocks of postings, each in the order of terms and then passages, one behind the other."""
    import numpy as np

    passages_with, lengths = np.zeros(0, np.int64), [np.zeros(0, np.int64)]
    first = 0
    stream = iter(texts)
    with open(path, "wb") as file:
        while block := list(islice(stream, _BLOCK)):
            numbers, sizes = _numbered(vocabulary, block, analyzer)
            places = np.repeat(np.arange(first, first + len(block)), sizes)
            known = numbers >= 0
            lengths.append(np.bincount(places[known] - first, minlength=len(block)))
            postings, often = np.unique(numbers[known] << 32 | places[known], return_counts=True)
            for column in (np.array([len(postings)]), postings, often.astype(np.int32)):
                column.tofile(file)
            found = np.bincount(postings >> 32, minlength=len(vocabulary.terms))
            found[: len(passages_with)] += passages_with
            passages_with = found
            first += len(block)
    return _Counts(passages_with, np.concatenate(lengths))


def _numbered(
    vocabulary: _Vocabulary, block: list[str], analyzer: Analyzer
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """The numbers of all words of a block, one text after the other, and how many words each text has."""
    import numpy as np

    numbers, sizes = array("q"), array("q")
    for text in block:
        before = len(numbers)
        numbers.extend(map(vocabulary.__getitem__, analyzer.words(text)))
        sizes.append(len(numbers) - before)
    return np.frombuffer(numbers, np.int64), np.frombuffer(sizes, np.int64)


def _read_postings(path: Path) -> "Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]]":
    """Terms, passages and how often the one is in the other, block by block."""
    import numpy as np

    with open(path, "rb") as file:
        while len(count := np.fromfile(file, np.int64, 1)):
            postings = np.fromfile(file, np.int64, count[0])
            yield postings >> 32, postings & 0xFFFFFFFF, np.fromfile(file, np.int32, count[0])


def _write_scores(scorer: Any, counts: _Counts, folder: Path) -> None:
    """Second pass: each posting's score and passage to the next free place among those of its term."""
    import numpy as np
    from bm25s.scoring import _select_tfc_scorer

    tfc = _select_tfc_scorer("atire" if scorer.method == "okapi" else scorer.method)
    constants = {"l_avg": counts.lengths.mean(), "k1": scorer.k1, "b": scorer.b, "delta": scorer.delta}
    lengths = as_lucene_keeps(counts.lengths) if scorer.method == "lucene" else counts.lengths
    idf = _idf(scorer.method, counts)
    # bm25l and bm25+ give passages without the term a score as well; bm25s keeps it apart.
    absent = idf * tfc(tf_array=0, l_d=constants["l_avg"], **constants)
    absent = absent.astype(np.float32) if scorer.method in scorer.methods_requiring_nonoccurrence else None
    indptr = np.concatenate([[0], np.cumsum(counts.passages_with)])
    shape = (int(indptr[-1]),)
    data = np.lib.format.open_memmap(folder / _FILES["data"], "w+", np.float32, shape)
    indices = np.lib.format.open_memmap(folder / _FILES["indices"], "w+", np.int32, shape)
    free = indptr[:-1].copy()
    idf = idf.astype(np.float32)
    for terms, passages, often in _read_postings(folder / _POSTINGS):
        scores = idf[terms] * tfc(tf_array=often.astype(np.float32), l_d=lengths[passages], **constants)
        places = _places(terms, free)
        data[places] = scores if absent is None else scores - absent[terms]
        indices[places] = passages
    data.flush()
    indices.flush()
    np.save(folder / _FILES["indptr"], indptr)
    if absent is not None:
        np.save(folder / "nonoccurrence_array.index.npy", absent)


def _idf(method: str, counts: _Counts) -> "NDArray[np.float64]":
    import numpy as np
    from bm25s.scoring import _select_idf_scorer

    frequencies, which = np.unique(counts.passages_with, return_inverse=True)
    if method != "okapi":
        idf = _select_idf_scorer(method)
        return np.array([idf(int(frequency), N=len(counts.lengths)) for frequency in frequencies])[which]
    # As rank_bm25 has it: what is in more than half of the passages weighs a quarter of the mean.
    weights = np.log((len(counts.lengths) - frequencies + 0.5) / (frequencies + 0.5))[which]
    return np.where(weights < 0, 0.25 * weights.mean(), weights)


def as_lucene_keeps(lengths: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Lengths as they come back from the one byte that Lucene keeps of each (SmallFloat.intToByte4).

    Up to 40 terms they are exact, then four binary digits are kept: 41 is 40, 100 is 96.
    """
    import numpy as np

    rest = np.maximum(lengths - 24, 0)
    dropped = np.maximum(np.frexp(rest.astype(np.float64))[1] - 4, 0)
    return np.where(lengths < 24, lengths, 24 + (rest >> dropped << dropped))


def _places(terms: "NDArray[np.int64]", free: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The next free place for each posting of a block in the order of terms; then these are no longer free."""
    import numpy as np

    starts = np.flatnonzero(np.diff(terms, prepend=-1))
    sizes = np.diff(starts, append=len(terms))
    places = np.arange(len(terms)) + np.repeat(free[terms[starts]] - starts, sizes)
    free[terms[starts]] += sizes
    return places


class Hits(NamedTuple):
    """What was found for a query, best first: positions in the corpus, and scores."""

    positions: list[int]
    scores: list[float]


class Index:
    """An index in a folder, memory-mapped.

    ``fast`` compiles bm25s's search with numba: seconds the first time on a machine, then kept on the disk.
    """

    def __init__(self, folder: Path, settings: Any, fast: bool, threads: int = 1) -> None:
        import bm25s

        self._analyzer, self._threads = Analyzer(settings), threads
        self._terms: dict[str, int] = msgspec.json.decode((folder / "vocab.index.json").read_bytes())
        self._scorer = bm25s.BM25.load(
            folder, mmap=True, load_vocab=False, override_params={"backend": "numba" if fast else "numpy"}
        )
        self._scorer.unique_token_ids_set = range(len(self._terms))  # else a set of millions
        # What bm25l and bm25+ give every passage for a term, also without it: it changes no order.
        self._scorer.nonoccurrence_array = None
        # "auto" would be JAX where that is installed.
        self._options = {"show_progress": False, "backend_selection": "numba" if fast else "numpy"}
        if fast:
            _keep_compiled()

    def search(self, texts: Iterable[str], depth: int) -> list[Hits]:
        """For each text at most ``depth`` passages that share a term with it, best first.

        Of equal scores the passage that comes first in the corpus is first, as in Lucene.
        """
        queries = [[self._terms[t] for t in self._analyzer.terms(text) if t in self._terms] for text in texts]
        found = [Hits([], []) for _ in queries]
        waiting = [i for i, query in enumerate(queries) if query and depth]
        most = self._scorer.scores["num_docs"]
        # More than asked for: of all that have the same score as the last one, which come first?
        k = min(depth + _MARGIN, most)
        while waiting:
            passages, scores = self._best([queries[i] for i in waiting], k)
            for i, hits in zip(waiting, _hits(passages[:, :depth], scores[:, :depth]), strict=True):
                found[i] = hits
            cut = (scores[:, min(depth, k) - 1] == scores[:, -1]) & (scores[:, -1] > 0) & (k < most)
            waiting = [i for i, again in zip(waiting, cut, strict=True) if again]
            k = min(4 * k, most)
        return found

    def _best(self, queries: list[list[int]], k: int) -> "tuple[NDArray[np.int32], NDArray[np.float32]]":
        """Passages and scores of each query, queries × k, best first; of equal scores the earlier passage."""
        import numpy as np

        size = -(-len(queries) // self._threads)
        chunks = [queries[i : i + size] for i in range(0, len(queries), size)]
        # Threads of our own: what numba keeps on the disk does not tell a parallel version from a serial one.
        with ThreadPoolExecutor(self._threads) as threads:
            found = list(threads.map(partial(self._scorer.retrieve, k=k, **self._options), chunks))
        passages, scores = (np.concatenate([getattr(f, name) for f in found]) for name in ("documents", "scores"))
        order = np.lexsort((passages, -scores), axis=-1)
        return np.take_along_axis(passages, order, -1), np.take_along_axis(scores, order, -1)


def _hits(passages: "NDArray[np.int32]", scores: "NDArray[np.float32]") -> Iterator[Hits]:
    """Each row as far as scores are above 0: passages without any of the terms are at its end."""
    for row, values, size in zip(passages.tolist(), scores.tolist(), (scores > 0).sum(axis=1).tolist(), strict=True):
        yield Hits(row[:size], values[:size])


def _keep_compiled() -> None:
    """Have numba keep on the disk what it compiles of bm25s, which does not ask for that itself."""
    from bm25s.numba import retrieve_utils

    with suppress(RuntimeError):  # neither beside the library nor in the user's cache may it write: compile anew
        retrieve_utils._retrieve_internal_jitted_serial.enable_caching()
