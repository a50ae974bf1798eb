"""Several hops, with a reader that writes the query of each but the first (IRCoT, Trivedi et al. 2023).

The reader's work is done before: this puts together what the hops found.
"""

from collections.abc import Sequence
from typing import Any

from hopeval.errors import InputError
from hopeval.hops import hop_name, interleaved
from hopeval.io import read_json
from hopeval.records import Hit, Question
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.bases import Base


class IterativeRetriever(Retriever):
    """The rankings of all hops, interleaved: the first of each, then the second of each."""

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """What any hop found; the score is one over the place. Raises InputError when a hop has no run file."""
        hops = [self.bases[self.settings.of], *self._later]
        rankings = zip(*(hop.ranking(questions) for hop in hops), strict=True)
        return [_by_place(interleaved(found)[:depth]) for found in rankings]

    def finish(self) -> dict[str, Any]:
        """What became of each hop's queries, as hopeval queries counted it."""
        return {"hops": [read_json(hop.run.with_name("queries.json")) for hop in self._later if hop.run]}

    @property
    def _later(self) -> list[Base]:
        names = [hop_name(number) for number in range(2, self.settings.hops + 1)]
        found = [self.bases[name] for name in names if name in self.bases and self.bases[name].run]
        if len(found) < len(names):
            raise InputError(
                f"an iterative retriever asks the reader {self.settings.reader!r} between its searches, which takes a "
                f"run of the workflow: it can search for no other question; take what it is built on, "
                f"{self.settings.of!r} (or name the run files of all its hops: --hops 2=FILE)"
            )
        return found


def _by_place(hits: Sequence[Hit]) -> list[Hit]:
    return [Hit(hit.id, 1 / place, hit.passage) for place, hit in enumerate(hits, 1)]
