"""Recall over the depth of a ranking."""

from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.io import read_records
from hopeval.metrics.table import intervals
from hopeval.records import Question, Ranking

if TYPE_CHECKING:
    import pandas as pd

DEEPEST = 50
COLUMNS = [
    "retriever",
    "k",
    *(f"{name}{end}" for name in ("recall", "all_gold_recall") for end in ("", "_low", "_high")),
]


def recall_curve(folder: Path, retrievers: Mapping[str, str], judged: Mapping[str, Question]) -> "pd.DataFrame":
    """Recall and all-gold recall at each k for each retriever, with 95 % intervals, from 0 to 1.

    ``retrievers`` maps names to kinds: gold passages themselves and no passages at all make no curve.
    ``judged`` are the questions with gold passages by id.
    """
    import pandas as pd

    rows = [
        row
        for name, kind in retrievers.items()
        if kind not in ("gold", "none") and judged
        for row in _curve(name, folder / "contexts" / f"{name}.jsonl", judged)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _curve(name: str, path: Path, judged: Mapping[str, Question]) -> list[dict[str, Any]]:
    import pandas as pd

    ranks, deepest = [], 0
    for ranking in read_records(path, Ranking):
        deepest = max(deepest, len(ranking.passages))
        if question := judged.get(ranking.question_id):
            ranks.append(_ranks(question.gold, question.names(ranking.passages)))
    columns = {
        (measure, k): pd.Series([measured(found, k) for found in ranks])
        for k in range(1, min(deepest, DEEPEST) + 1)
        for measure, measured in _MEASURES.items()
    }
    ends = intervals({f"{measure}@{k}": column for (measure, k), column in columns.items()}) if ranks else {}
    rows: dict[int, dict[str, Any]] = {}
    for (measure, k), column in columns.items() if ranks else ():
        low, high = ends[f"{measure}@{k}"]
        point = {measure: float(column.mean()), f"{measure}_low": low, f"{measure}_high": high}
        rows.setdefault(k, {"retriever": name, "k": k}).update(point)
    return list(rows.values())


def _ranks(gold: Iterable[str], names: list[str]) -> list[float]:
    """The rank of each gold passage, from 1; infinity where it was not retrieved."""
    first = {name: rank for rank, name in reversed(list(enumerate(names, 1)))}
    return [first.get(name, inf) for name in gold]


def _recall(ranks: list[float], k: int) -> float:
    return sum(rank <= k for rank in ranks) / len(ranks)


def _all_gold_recall(ranks: list[float], k: int) -> float:
    return float(max(ranks) <= k)


_MEASURES = {"recall": _recall, "all_gold_recall": _all_gold_recall}
