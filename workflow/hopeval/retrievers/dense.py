"""Passages by the meaning of question and passage, as vectors of a model see it (Karpukhin et al. 2020)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hopeval.errors import InputError
from hopeval.indexes import library_versions
from hopeval.keys import digest, model_fingerprint, remembered_sha256
from hopeval.passages import PassageStore
from hopeval.records import Hit, Question
from hopeval.retrievers.base import IndexedRetriever
from hopeval.retrievers.models import Encoder, model_folder
from hopeval.retrievers.nearest import Nearest, build_nearest
from hopeval.vectors import Blocks

if TYPE_CHECKING:
    import numpy as np

_RECALL_AT = 10
_SAMPLE = 100


class DenseRetriever(IndexedRetriever):
    """Inner products of a question's vector with those of all passages, which are worked out before."""

    FORMAT: ClassVar[str] = "1"

    @classmethod
    def made_of(cls, settings: Any) -> dict[str, Any]:
        """What the vectors are made of, and the index upon them; how that is searched is no part of it."""
        index = settings.faiss and settings.faiss.model_dump(exclude={"search"})
        return {**_vectors_made_of(settings), "faiss": index}

    @classmethod
    def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
        """Make one index of all vectors. Raises HopevalError when some are missing."""
        blocks = passage_vectors(settings, corpus, folder.parent, vectors_key(settings, corpus.path))
        missing = sum(not blocks.has(number) for number in range(len(blocks)))
        if missing:
            raise InputError(
                f"{blocks.folder}: {missing} of {len(blocks)} blocks of vectors are missing; "
                "make them: snakemake --forcerun embed, or hopeval embed"
            )
        build_nearest(blocks, folder, settings.faiss)

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """The passages with the largest inner products."""
        queries = self._encoder.questions(question.text for question in questions)
        self._sample.append(queries[: max(_SAMPLE - sum(map(len, self._sample)), 0)])
        scores, positions = self._nearest.search(queries, min(depth, len(self.corpus)))
        return [
            [Hit(self.corpus.id(i), s) for i, s in zip(*row, strict=True) if i >= 0]
            for row in zip(positions.tolist(), scores.tolist(), strict=True)
        ]

    def finish(self) -> dict[str, Any]:
        """Of an approximate search: what share of the truly best passages it finds, for the first questions."""
        import numpy as np

        if self.settings.faiss is None or not self._sample:
            return {}
        k = min(_RECALL_AT, len(self.corpus))
        return {f"faiss_recall@{k}": round(self._nearest.recall(np.concatenate(self._sample), k), 4)}

    @cached_property
    def _sample(self) -> "list[np.ndarray]":
        return []

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.settings)

    @cached_property
    def _nearest(self) -> Nearest:
        assert self.index is not None  # a retriever of a kind with an index is opened with one
        return Nearest(self.index, self.settings.faiss)


def passage_vectors(settings: Any, corpus: PassageStore, store: Path, key: str) -> Blocks:
    """The passages' vectors, in a folder of the store of all indexes that is called after their key.

    Raises InputError when there are no passages.
    """
    if not len(corpus):
        raise InputError(f"{corpus.path}: holds no passages, so dense has nothing to search; set dataset.corpus")
    return Blocks(store / f"vectors-{key}", len(corpus))


def vectors_key(settings: Any, corpus: Path) -> str:
    """What tells vectors from any others: the digest of model, settings, libraries and passages, 64 hex digits.

    Of what is on disk now: files that have not changed are not read again. Raises InputError when there is no model.
    """
    libraries = library_versions(settings)
    made_of = {**_vectors_made_of(settings), "format": DenseRetriever.FORMAT, "libraries": libraries}
    return digest({**made_of, "corpus": remembered_sha256(corpus)})


def _vectors_made_of(settings: Any) -> dict[str, Any]:
    return {**settings.vectors_identity, "model": model_fingerprint(model_folder(settings))}
