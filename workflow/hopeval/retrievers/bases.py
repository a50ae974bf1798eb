"""A retriever by its name, and what it is built on."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, cast

from hopeval.composition import beneath
from hopeval.errors import InputError
from hopeval.indexes import open_index
from hopeval.passages import PassageStore
from hopeval.plugins import load_class
from hopeval.records import Hit, Question
from hopeval.retrieval import KINDS, deepest, ranking_depth
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.found import checked
from hopeval.retrievers.kept import Kept
from hopeval.runs import RunFile


class Base:
    """A retriever that another one is built on: what it found for the questions, or itself, to search for more.

    ``run`` is its run file; without one, ``ranking`` searches.
    """

    def __init__(
        self,
        name: str,
        settings: Any,
        own: PassageStore,
        corpus: PassageStore,
        *,
        index: Path | None = None,
        run: Path | None = None,
        bases: "Mapping[str, Base] | None" = None,
        kept: Kept = Retriever.kept,
    ) -> None:
        self.name, self.settings, self.index, self.run = name, settings, index, run
        self._own, self._corpus, self._bases, self._kept = own, corpus, bases or {}, kept

    def ranking(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """The hits of each question, best first, as deep as this retriever's own ``depth``.

        Raises InputError where its run file names passages that it brought itself: their texts are not in there.
        """
        if self._rankings is None:
            found = self.on_runs.retrieve(questions, ranking_depth(self.settings))
            return checked(found, questions, self.name, deepest(self.settings))
        found = [self._rankings.ranking(question.id) for question in questions]
        for hit in chain.from_iterable(found):
            if hit.id not in self._corpus and hit.id not in self._own:
                raise self._unknown(hit)
        return found

    def _unknown(self, hit: Hit) -> InputError:
        return InputError(
            f"retrievers.{self.name}: its run file {self.run} has the passage {hit.id!r}, which is neither in "
            f"{self._corpus.path} nor in {self._own.path}: no other retriever can be built on one that brings "
            f"passages of its own; take {self.name!r} out of 'of', or put its passages into dataset.corpus"
        )

    def open(self) -> Retriever:
        """The retriever itself, to search for any question. Raises InputError when class or index cannot be used."""
        return self._afresh.on_runs

    @cached_property
    def _afresh(self) -> "Base":
        """The same retriever for other questions: neither it nor what it is built on looks into a run file."""
        bases = {name: base._afresh for name, base in self._bases.items()}
        return Base(self.name, self.settings, self._own, self._corpus, index=self.index, bases=bases, kept=self._kept)

    @cached_property
    def _rankings(self) -> RunFile | None:
        return RunFile(self.run) if self.run else None

    @cached_property
    def on_runs(self) -> Retriever:
        """The retriever itself, for the questions of which what it is built on has run files. Raises as open does."""
        kind = retriever_class(self.settings, self.name)
        if self.settings.INDEXED and not self.index:
            raise InputError(
                f"retrievers.{self.name}: {self.settings.kind} searches an index; make one with hopeval index, and "
                f"name what it writes: --indexes {self.name}=FILE"
            )
        index = open_index(self.index, self.settings, kind, self._corpus.path) if self.index else None
        retriever = cast("Retriever", kind(self.settings, self._own, self._corpus, index=index, bases=self._bases))
        retriever.kept = self._kept
        return retriever


def retriever_class(settings: Any, name: str) -> Any:
    """The class of a retriever, the user's own included. Raises InputError when it cannot be used."""
    return load_class(settings.kind, KINDS, Retriever, f"retrievers.{name}.kind")


def with_bases(
    name: str,
    sections: Mapping[str, Any],
    own: PassageStore,
    corpus: PassageStore,
    indexes: Mapping[str, Path],
    runs: Mapping[str, Path],
    hops: Mapping[str, Path] = {},
    kept: Kept = Retriever.kept,
) -> Base:
    """The retriever of this name, on top of all that it is built on.

    ``sections`` has its settings and theirs, ``indexes`` the manifests of those that have an index, ``runs``
    the run files of those that have one, ``hops`` those of an iterative retriever's later hops.
    """
    found: dict[str, Base] = {}
    for each in [*beneath(name, sections), name]:
        files = {"index": indexes.get(each), "run": runs.get(each)}
        later = _hops(hops, sections[each], own, corpus) if each == name else {}
        found[each] = Base(each, sections[each], own, corpus, bases={**found, **later}, kept=kept, **files)
    return found[name]


def _hops(runs: Mapping[str, Path], settings: Any, own: PassageStore, corpus: PassageStore) -> dict[str, Base]:
    return {name: Base(name, settings, own, corpus, run=run) for name, run in runs.items()}
