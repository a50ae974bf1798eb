"""What two hops find beside one: all-gold recall of `two-hop` against the `bm25` that it is built on.

    PYTHONPATH=workflow python benchmarks/two_hop.py hotpot_dev_distractor_v1.json

All paragraphs of the file are pooled and searched. Questions are parted in two halves, every other one each: the
defaults were chosen on the first (``--tune`` prints how all settings of a grid do there), and count on the second.
Then what each part of the score and each number of followed passages is worth, on both. Last, the seconds of
merging and of searching, beside one search.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hopeval.__main__ import main as hopeval
from hopeval.config import parse_retriever
from hopeval.io import read_records
from hopeval.metrics.retrieval import all_gold
from hopeval.passages import PassageStore
from hopeval.records import Hit, Question
from hopeval.retrievers.bm25 import BM25Retriever
from hopeval.retrievers.two_hop import TwoHopRetriever

KS = (2, 5, 10)
TYPES = ("bridge", "comparison")
TRIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "link 0": {"link": 0.0},
    "second 0": {"second": 0.0},
    "mention 0": {"mention": 0.0},
    **{f"passages {n}": {"passages": n} for n in (1, 2, 3, 8)},
}
GRID = {"second": (0.7, 1.0), "link": (0.7, 1.0), "mention": (1.0, 1.5, 2.0)}


class Remembering:
    """A retriever, and a base to build on, that searches for each text once."""

    def __init__(self, retriever: BM25Retriever, depth: int) -> None:
        self._retriever, self._depth = retriever, depth
        self._known: dict[str, list[Hit]] = {}
        self.seconds = 0.0

    def retrieve(self, questions: Sequence[Question], depth: int) -> list[list[Hit]]:
        """What was found for these texts."""
        new = list({q.text: q for q in questions if q.text not in self._known}.values())
        start = time.perf_counter()
        found = self._retriever.retrieve(new, self._depth) if new else []
        self.seconds += time.perf_counter() - start
        self._known |= dict(zip((question.text for question in new), found, strict=True))
        return [self._known[question.text][:depth] for question in questions]

    def ranking(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """The same, as deep as it goes."""
        return self.retrieve(questions, self._depth)

    def open(self) -> "Remembering":
        """Itself."""
        return self


class Pool:
    """A file's questions in two halves, and its paragraphs behind an index."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._verb("prepare", "--questions", source, "--output", folder)
        self.questions = list(read_records(folder / "questions.jsonl", Question))
        self.halves = self.questions[::2], self.questions[1::2]
        self.store = PassageStore(folder / "passages.jsonl")
        section = parse_retriever({"kind": "bm25"})
        (folder / "index").mkdir()
        BM25Retriever.build(section, self.store, folder / "index")
        self.bm25 = Remembering(BM25Retriever(section, self.store, self.store, index=folder / "index"), section.depth)

    @staticmethod
    def _verb(*arguments: Any) -> None:
        if code := hopeval([str(argument) for argument in arguments]):
            sys.exit(code)

    def two_hop(self, **settings: Any) -> TwoHopRetriever:
        """Two hops over bm25."""
        section = parse_retriever({"kind": "two-hop", "of": "bm25", **settings})
        return TwoHopRetriever(section, self.store, self.store, bases={"bm25": self.bm25})  # type: ignore[dict-item]

    def all_gold(self, retriever: Any, questions: Sequence[Question]) -> Iterator[float]:
        """In percent, for each type of question and k."""
        found = retriever.retrieve(questions, max(KS))
        titles = [[self.store.title(hit.id) for hit in hits] for hits in found]
        for kind in TYPES:
            judged = [(q.gold_titles, t) for q, t in zip(questions, titles, strict=True) if q.type == kind]
            for k in KS:
                yield 100 * sum(all_gold(gold, ranked, k) for gold, ranked in judged) / max(len(judged), 1)


def row(name: str, values: Iterator[float]) -> str:
    """A line of a table."""
    return f"{name:<38}" + "".join(f"{value:7.1f}" for value in values)


def compare(pool: Pool) -> None:
    """What each setting finds, on each half."""
    for half, questions in zip(("first half", "second half"), pool.halves, strict=True):
        heads = "".join(f"{kind[:3]}@{k}".rjust(7) for kind in TYPES for k in KS)
        print(f"\n{f'{half}: all gold at k, in percent':<38}{heads}")
        print(row("bm25", pool.all_gold(pool.bm25, questions)))
        for name, settings in TRIED.items():
            print(row(f"two-hop, {name}", pool.all_gold(pool.two_hop(**settings), questions)), flush=True)


def tune(pool: Pool) -> None:
    """How all settings of the grid do on the first half, the best first: the mean over types of all gold at 5."""
    found = []
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        shares = list(pool.all_gold(pool.two_hop(**settings), pool.halves[0]))
        found.append(((shares[KS.index(5)] + shares[len(KS) + KS.index(5)]) / 2, shares, settings))
    print("\nfirst half, the best by the mean of both types at 5")
    for _, shares, settings in sorted(found, key=lambda each: -each[0])[:10]:
        print(row(", ".join(f"{key} {value}" for key, value in settings.items()), iter(shares)))


def cost(pool: Pool) -> None:
    """Seconds of two hops for all questions, beside those of one."""
    pool.bm25 = Remembering(pool.bm25._retriever, pool.bm25._depth)
    pool.bm25.retrieve(pool.questions, 1)
    single = pool.bm25.seconds
    start = time.perf_counter()
    pool.two_hop().retrieve(pool.questions, 100)
    total = time.perf_counter() - start
    searching = pool.bm25.seconds - single
    print(f"\n{len(pool.questions)} questions: one search {single:.2f} s; those of the second hop {searching:.2f} s")
    print(f"({searching / single:.1f} ×); names, mentions and merging {total - searching:.2f} s")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, help="HotpotQA file with contexts and supporting facts")
    parser.add_argument("--tune", action="store_true", help="try a grid of weights on the first half instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = Pool(arguments.questions, Path(folder))
        print(f"{arguments.questions.name}: {len(pool.questions)} questions, {len(pool.store)} passages")
        if arguments.tune:
            tune(pool)
        else:
            compare(pool)
            cost(pool)
    return 0


if __name__ == "__main__":
    sys.exit(main())
