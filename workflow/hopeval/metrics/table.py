"""A row for each question of an experiment, and what the rows add up to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopeval.metrics.failures import ANSWERED, NEAR_MISSES, RETRIEVED, answer_kind, answered, near_miss, retrieved
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.retrieval import CUTOFFS, judged, question_metrics
from hopeval.metrics.stats import bootstrap_intervals
from hopeval.records import STATUSES, Prediction, Question

if TYPE_CHECKING:
    import pandas as pd

BREAKDOWNS = ("type", "level", "hops", "answer_kind", "all_gold_retrieved")
"""Columns by whose values metrics.json breaks the scores down, as ``by_<column>``."""
_BOUNDS = (0.0, 1.0)  # of every metric


def question_table(
    questions: Mapping[str, Question],
    predictions: Mapping[str, Prediction],
    scores: Mapping[str, Mapping[str, float]],
    rankings: Mapping[str, Sequence[str]] | None,
    top_k: int | None,
) -> "pd.DataFrame":
    """What was asked, answered and scored, a row a question.

    ``scores`` has the metrics of each scored question, ``rankings`` the names of what was retrieved for
    each, as :meth:`Question.names` has them, best first; None when that is not known. The prompt had the first
    ``top_k`` of them, less those that the prediction says were left out.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            _row(
                question,
                predictions.get(question.id, Prediction(question_id=question.id)),
                scores.get(question.id, {}),
                None if rankings is None else rankings.get(question.id, ())[:top_k],
            )
            for question in questions.values()
        ]
    )


def _row(
    question: Question, prediction: Prediction, scores: Mapping[str, float], names: Sequence[str] | None
) -> dict[str, Any]:
    gold = question.gold
    kept = None if names is None else names[: len(names) - prediction.omitted_passages]
    found = "unknown" if kept is None else retrieved(gold, kept)
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
        "cell": f"{found}/{answered(scores['em'], prediction.status)}" if scores else None,
        "near_miss": near_miss(prediction.answer, question.answer or "", scores["em"], scores["f1"])
        if scores
        else None,
        "all_gold_retrieved": found == "all" if known else None,
        "gold_retrieved": len(set(gold).intersection(kept or ())) / len(gold) if known else None,
        "unknown_labels": prediction.unknown_labels,
        "omitted_passages": prediction.omitted_passages,
        **{name: scores.get(name) for name in METRICS},
    }


def summary(table: "pd.DataFrame", scored: int, ranking: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Counts, intervals and breakdowns of a question table; shares from 0 to 1.

    ``scored`` is the number of gold rows; ``ranking`` has each retrieval measure of each judged question.
    """
    columns = {name: table[name] for name in (*METRICS, "all_gold_retrieved", "gold_retrieved")}
    columns |= {name: table["id"].map(values) for name, values in ranking.items()}
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
        "retrieval": {name: share(columns[name]) for name in ranking},
        "intervals": intervals(columns),
        **{f"by_{column}": _breakdown(table, column) for column in BREAKDOWNS},
    }


def ranking_metrics(
    questions: Mapping[str, Question], rankings: Mapping[str, Sequence[str]] | None, top_k: int | None
) -> dict[str, dict[str, float]]:
    """Each retrieval measure of each question that names gold passages, over the ranking as deep as it goes."""
    if rankings is None:
        return {}
    return question_metrics(rankings, judged(questions.values()), {*CUTOFFS, *([top_k] if top_k else [])})


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
    alike: dict[bytes, dict[str, list[float]]] = defaultdict(dict)
    for name, column in columns.items():
        known = column.notna()
        if known.any():
            alike[known.to_numpy().tobytes()][name] = column[known].astype(float).to_list()
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
