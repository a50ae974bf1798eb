"""What the page shows before any question is opened: scores, failures, how it ran."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hopeval.metrics.compare import LEVEL
from hopeval.metrics.failures import NEAR_F1
from hopeval.metrics.table import intervals
from hopeval.report.calls import Call, read_calls, tally
from hopeval.report.run import Run
from hopeval.state import works

if TYPE_CHECKING:
    import pandas as pd

_SLOWEST = 10
_BINS = 8
_FEWEST_IN_A_BIN = 5
_BROKEN_DOWN = ("type", "level", "hops", "answer_kind")


def page_summary(run: Run, texts: bool) -> dict[str, Any]:
    """The summary; ``texts`` says whether the page holds the passages' text."""
    places = {question.id: place for place, question in enumerate(run.questions)}
    return {
        "dataset": run.provenance["configuration"]["dataset"]["name"],
        "questions": len(run.questions),
        "texts": texts,
        "level": LEVEL,
        "near_f1": NEAR_F1,
        "experiments": [_experiment(run, row["experiment"], row) for row in run.csv("leaderboard.csv")],
        "recall": run.csv("recall.csv"),
        "runs": [*_hops(run), *({"work": f"Reader {reader}", **_ran(run, reader, places)} for reader in run.readers)],
    }


def _experiment(run: Run, name: str, row: dict[str, Any]) -> dict[str, Any]:
    metrics = run.metrics(name)
    experiment = next(found for found in run.experiments if found.name == name)
    return {
        "name": name,
        "retriever": run.retrievers.index(experiment.retriever),
        "top_k": experiment.top_k,
        "scored": metrics["scored"],
        "cells": metrics["cells"],
        "near_misses": metrics["near_misses"],
        "breakdowns": {column: _breakdown(metrics[f"by_{column}"]) for column in _BROKEN_DOWN},
        "lengths": _lengths(run, name),
        "retrieval_loss": [row[f"retrieval_loss_em{end}"] for end in ("", "_low", "_high")],
    }


def _breakdown(groups: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "questions": group["questions"]}
        | {
            metric: [group[metric], *group["intervals"].get(metric, (None, None))]
            for metric in ("em", "f1")
            if group[metric] is not None
        }
        for name, group in groups.items()
    ]


def _lengths(run: Run, name: str) -> list[dict[str, Any]]:
    """Mean F1 by the length of the prompt: bins of about as many questions each, tokens as the engine counts."""
    import pandas as pd

    calls = run.calls[next(e.reader for e in run.experiments if e.name == name)]
    tokens = {q: calls[key].prompt_tokens for q, key in run.keys(name).items() if key in calls}
    table = pd.DataFrame({"tokens": pd.Series(tokens, dtype=float), "f1": run.table(name)["f1"]}).dropna()
    table = table[table["tokens"] > 0]
    bins = min(_BINS, len(table) // _FEWEST_IN_A_BIN)
    if bins < 2 or table["tokens"].nunique() < 2:
        return []
    groups = table.groupby(pd.qcut(table["tokens"], bins, duplicates="drop"), observed=True)
    return [_bin(group) for _, group in groups]


def _bin(group: "pd.DataFrame") -> dict[str, Any]:
    low, high = intervals({"f1": group["f1"]})["f1"]
    ends = {"from": group["tokens"].min(), "to": group["tokens"].max(), "tokens": group["tokens"].mean()}
    return {**ends, "questions": len(group), "f1": [float(group["f1"].mean()), low, high]}


def _hops(run: Run) -> Iterator[dict[str, Any]]:
    """What the queries took that readers wrote for retrievers, of those in the configuration."""
    retrievers = run.provenance["configuration"]["retrievers"]
    for work in works(run.folder):
        responses = run.folder / "readers" / work.path / "responses.jsonl"
        if work.retriever in retrievers and responses.exists():
            title = str(work).replace("reader", "Reader", 1)
            yield {"work": title, **tally(list(read_calls(responses).values())), "slowest": []}


def _ran(run: Run, reader: str, places: dict[str, int]) -> dict[str, Any]:
    calls = run.calls[reader]
    return {**tally(list(calls.values())), "slowest": _slowest(run, reader, calls, places)}


def _slowest(run: Run, reader: str, calls: dict[str, Call], places: dict[str, int]) -> list[dict[str, Any]]:
    """The calls that took longest, each with a question and an experiment that it answers."""
    slow = sorted(calls.values(), key=lambda call: -call.latency_s)[:_SLOWEST]
    asked: dict[str, tuple[int, int]] = {}
    for number, experiment in enumerate(run.experiments):
        if experiment.reader == reader:
            for question, key in run.keys(experiment.name).items():
                asked.setdefault(key, (places[question], number))
    return [
        {
            "question": asked[call.key][0],
            "experiment": asked[call.key][1],
            "latency_s": call.latency_s,
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens,
            "attempts": call.attempts,
        }
        for call in slow
        if call.key in asked
    ]
