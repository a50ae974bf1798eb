"""A row for each question of an experiment, and what the rows add up to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from hopeval.metrics.failures import ANSWERED, NEAR_MISSES, RETRIEVED, answer_kind, answered, near_miss, retrieved
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.retrieval import CUTOFFS, judged, question_metrics
from hopeval.metrics.stats import bootstrap_intervals
from hopeval.records import STATUSES, Prediction, Question

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BREAKDOWNS = ("type", "level", "hops", "answer_kind", "all_gold_retrieved")
"""Columns by whose values metrics.json breaks the scores down, as ``by_<column>``."""
_BOUNDS = (0.0, 1.0)  # of every metric
_QUESTIONS_PER_BLOCK = 1_000  # whose rankings are held at a time


class Found(NamedTuple):
    """What became of a question: its scores, empty without gold, and the names of what was retrieved for it."""

    question: Question
    prediction: Prediction
    scores: Mapping[str, float]
    names: Sequence[str] | None
    """As :meth:`Question.names` has them, best first; None when that is not known."""


def tables(those: Iterable[Found], top_k: int | None) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """What was asked, answered and scored, a row a question; and how good the ranking of each judged one is.

    The prompt had the first ``top_k`` of the names, less those that the prediction says were left out. The second
    table has a column for each retrieval measure, over the ranking as deep as it goes, and question ids as its
    index; it is empty when no question names gold passages, or none has a ranking.
    """
    import pandas as pd

    columns: dict[str, list[Any]] = defaultdict(list)
    measured = []
    stream = iter(those)
    while block := list(islice(stream, _QUESTIONS_PER_BLOCK)):
        for found in block:
            for name, value in _row(found, top_k).items():
                columns[name].append(value)
        measured.append(pd.DataFrame(_ranking_metrics(block, top_k)))
    ranking = [frame for frame in measured if len(frame)]
    return pd.DataFrame(columns), pd.concat(ranking) if ranking else pd.DataFrame()


def _ranking_metrics(block: Iterable[Found], top_k: int | None) -> dict[str, dict[str, float]]:
    rankings = {found.question.id: found.names for found in block if found.names is not None}
    gold = judged(found.question for found in block if found.names is not None)
    return question_metrics(rankings, gold, {*CUTOFFS, *([top_k] if top_k else [])})


def _row(found: Found, top_k: int | None) -> dict[str, Any]:
    question, prediction, scores = found.question, found.prediction, found.scores
    gold = question.gold
    names = None if found.names is None else found.names[:top_k]
    kept = None if names is None else names[: len(names) - prediction.omitted_passages]
    reached = "unknown" if kept is None else retrieved(gold, kept)
    known = kept is not None and bool(gold)
    return {
        "id": question.id,
        "type": question.type,
        "level": question.level,
        "hops": len(gold) or None,  # in HotpotQA always 2, elsewhere up to 4
        "answer_kind": None if question.answer is None else answer_kind(question.answer),
        "question": question.text,
        "gold_answer": question.answer,
        "answer": prediction.answer,
        "status": prediction.status,
        "cell": f"{reached}/{answered(scores['em'], prediction.status)}" if scores else None,
        "near_miss": near_miss(prediction.answer, question.answer or "", scores["em"], scores["f1"])
        if scores
        else None,
        "all_gold_retrieved": reached == "all" if known else None,
        "gold_retrieved": len(set(gold).intersection(kept or ())) / len(gold) if known else None,
        "unknown_labels": prediction.unknown_labels,
        "omitted_passages": prediction.omitted_passages,
        **{name: scores.get(name) for name in METRICS},
    }


def summary(table: "pd.DataFrame", scored: int, ranking: "pd.DataFrame") -> dict[str, Any]:
    """Counts, intervals and breakdowns of the two tables; shares from 0 to 1. ``scored`` is the number of gold rows."""
    columns = {name: table[name] for name in (*METRICS, "all_gold_retrieved", "gold_retrieved")}
    measures = [str(name) for name in ranking]
    columns |= {name: table["id"].map(ranking[name]) for name in measures}
    near = table["near_miss"].value_counts()
    return {
        "questions": len(table),
        "scored": scored,
        "coverage": share(table["answer"].notna()),
        "counts": _counts(table["status"], STATUSES),
        "cells": cells(table),
        "near_misses": {name: int(near.get(name, 0)) for name in NEAR_MISSES},
        "all_gold_retrieved": share(table["all_gold_retrieved"]),
        "gold_retrieved": share(table["gold_retrieved"]),
        "unknown_labels": int(table["unknown_labels"].sum()),
        "omitted_passages": int(table["omitted_passages"].sum()),
        "retrieval": {name: share(columns[name]) for name in measures},
        "intervals": intervals(columns),
        **{f"by_{column}": _breakdown(table, column) for column in BREAKDOWNS},
    }


def cells(table: "pd.DataFrame") -> dict[str, dict[str, int]]:
    """How many questions fall where: {what was retrieved: {what was answered: count}}.

    Every scored question is in one cell. The row ``unknown`` is there only when a question is in it.
    """
    counts = table["cell"].value_counts()
    found: dict[str, dict[str, int]] = {
        row: {name: int(counts.get(f"{row}/{name}", 0)) for name in ANSWERED} for row in RETRIEVED
    }
    return {row: names for row, names in found.items() if row != "unknown" or any(names.values())}


def share(column: "pd.Series[Any]") -> float | None:
    """The mean of what is known; None when nothing is."""
    known = column.dropna()
    return float(known.astype(float).mean()) if len(known) else None


def intervals(columns: "Mapping[str, pd.Series[Any]]") -> dict[str, list[float]]:
    """95 % intervals of the means of what is known in each column, which are metrics from 0 to 1.

    Columns that are known for the same questions share their resamples.
    """
    alike: dict[bytes, dict[str, NDArray[np.float64]]] = defaultdict(dict)
    for name, column in columns.items():
        known = column.notna()
        if known.any():
            alike[known.to_numpy().tobytes()][name] = column[known].to_numpy(float)
    found = {}
    for group in alike.values():
        found.update(bootstrap_intervals(group, bounds=_BOUNDS))
    return {name: list(found[name]) for name in columns if name in found}


def _counts(column: "pd.Series[Any]", names: Sequence[str]) -> dict[str, int]:
    counts = column.value_counts()
    return {name: int(counts.get(name, 0)) for name in names}


def _breakdown(table: "pd.DataFrame", column: str) -> dict[str, dict[str, Any]]:
    """For each value of a column: how many questions, the twelve means (None: gold cannot tell), intervals
    of EM and F1, and the cells.
    """
    known = table.dropna(subset=[column, "em"])
    return {
        _name(value): {
            "questions": len(group),
            **{name: share(group[name]) for name in METRICS},
            "intervals": intervals({name: group[name] for name in ("em", "f1")}),
            "cells": cells(group),
        }
        for value, group in known.groupby(column)
    }


def _name(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) else str(value)  # a number, where some are not known
