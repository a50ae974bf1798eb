"""The leaderboard: a row for each experiment, places shared where a difference may be chance."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.errors import InputError
from hopeval.io import read_json, read_records
from hopeval.metrics.compare import COMPARED, Comparison, compare_all, places
from hopeval.metrics.hotpotqa import METRICS
from hopeval.records import STATUSES, Prediction
from hopeval.report.calls import Asked, Call, read_calls, usage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Scores = dict[str, dict[str, NDArray[np.float64]]]

RETRIEVAL = ("gold_retrieved", "all_gold_retrieved", "mrr@10", "ndcg@10")
"""Columns of the board: share of gold passages in the prompt, all of them there, and two of the whole ranking."""


class Result:
    """One experiment's files, as far as the board needs them."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.metrics = read_json(folder / "metrics.json")
        if not {*METRICS, "counts", "intervals", "cells", "retrieval"} <= set(self.metrics):
            raise InputError(f"{folder / 'metrics.json'}: is no metrics.json of this version; score again")
        self.folder = folder

    @property
    def order(self) -> tuple[float, float, str]:
        """By joint F1, then answer F1, as HotpotQA's own board, then name."""
        return (-(self.metrics["joint_f1"] or 0.0), -(self.metrics["f1"] or 0.0), self.name)

    def value(self, name: str) -> float | None:
        """A metric of the reader or of its retriever."""
        found: float | None = self.metrics[name] if name in self.metrics else self.metrics["retrieval"].get(name)
        return found

    def request_keys(self) -> list[str]:
        """The keys of the requests that answered this experiment's questions; one may have answered several."""
        return list(dict.fromkeys(p.key for p in read_records(self.folder / "predictions.jsonl", Prediction) if p.key))


def load_results(folder: Path, names: Sequence[str]) -> list[Result]:
    """The experiments, best first. Raises InputError for a file that is missing or of another kind."""
    return sorted((Result(folder / "experiments" / name) for name in names), key=lambda result: result.order)


def load_scores(results: Sequence[Result]) -> "Scores":
    """The compared metrics of each experiment by question, in one order for all, NaN where there is none."""
    import pandas as pd

    tables = {
        result.name: pd.read_csv(
            result.folder / "questions.csv",
            usecols=["id", *COMPARED],
            dtype={"id": str},
            keep_default_na=False,
            na_values={name: [""] for name in COMPARED},
        ).set_index("id")
        for result in results
    }
    ids = pd.Index(dict.fromkeys(identifier for table in tables.values() for identifier in table.index))
    aligned = {name: table.reindex(ids).astype(float) for name, table in tables.items()}
    return {name: {metric: table[metric].to_numpy() for metric in COMPARED} for name, table in aligned.items()}


def main_metric(results: Sequence[Result]) -> str:
    """What the places are given by: joint F1, or answer F1 where gold names no supporting facts."""
    return "joint_f1" if any(result.metrics["joint_f1"] is not None for result in results) else "f1"


def board(
    results: Sequence[Result],
    experiments: Mapping[str, Mapping[str, Any]],
    comparisons: Sequence[Comparison],
    calls: Mapping[str, Mapping[str, Call]],
) -> "pd.DataFrame":
    """The leaderboard. ``experiments`` has retriever, kind, prompt, reader, prices and queries of each; ``calls``
    those of each work by key.
    """
    import pandas as pd

    names = [result.name for result in results]
    metric = main_metric(results)
    place = places(names, [c for c in comparisons if c.metric == metric])
    losses = retrieval_losses(experiments, comparisons)
    rows = []
    for result in results:
        experiment = experiments[result.name]
        parts = {part: experiment.get(part) for part in ("retriever", "top_k", "prompt", "reader")}
        rows.append(
            {
                "place": place[result.name],
                "experiment": result.name,
                **parts,
                **_row(result),
                **_loss(losses.get(result.name)),
                **usage(*_asked(result, experiment, calls)),
            }
        )
    return pd.DataFrame(rows)


def _asked(result: Result, experiment: Mapping[str, Any], calls: Mapping[str, Mapping[str, Call]]) -> Iterator[Asked]:
    """What the experiment's answers took, and what the queries that its retriever, or one beneath that, rests on."""
    own = calls.get(experiment["reader"], {})
    yield Asked([own[key] for key in result.request_keys() if key in own], experiment.get("prices"))
    seen: set[tuple[str, str]] = set()  # a reader is asked once for what is the same in several hops
    for work, prices in experiment.get("queries", {}).items():
        queries = {(work.partition("/")[0], key): call for key, call in calls[work].items()}
        yield Asked([call for key, call in queries.items() if key not in seen], prices)
        seen |= queries.keys()


def _row(result: Result) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "questions": metrics["questions"],
        "coverage": metrics["coverage"],
        **{key: value for name in (*METRICS, *RETRIEVAL) for key, value in _with_interval(result, name).items()},
        **{status: metrics["counts"][status] for status in STATUSES},
        **{f"near_{name}": count for name, count in metrics["near_misses"].items()},
        "unknown_labels": metrics["unknown_labels"],
        "omitted_passages": metrics["omitted_passages"],
    }


def _with_interval(result: Result, name: str) -> dict[str, float | None]:
    low, high = result.metrics["intervals"].get(name, (None, None))
    return {name: result.value(name), f"{name}_low": low, f"{name}_high": high}


def _loss(comparison: Comparison | None) -> dict[str, float | None]:
    found = (None,) * 3 if comparison is None else (comparison.difference, comparison.low, comparison.high)
    return dict(zip(("retrieval_loss_em", "retrieval_loss_em_low", "retrieval_loss_em_high"), found, strict=True))


def retrieval_losses(
    experiments: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Comparison]
) -> dict[str, Comparison]:
    """For each experiment what its retriever costs: EM with gold passages less its own, on the same questions.

    There is such a number where another experiment of the same prompt and reader has the gold passages; of
    several of these the first counts, and they themselves have none.
    """
    gold: dict[tuple[str, str], str] = {}
    for name, experiment in experiments.items():
        if experiment["kind"] == "gold":
            gold.setdefault((experiment["prompt"], experiment["reader"]), name)
    em = {pair: c for c in comparisons if c.metric == "em" for pair in ((c.a, c.b), (c.b, c.a))}
    pairs = [(gold.get((e["prompt"], e["reader"])), name) for name, e in experiments.items() if e["kind"] != "gold"]
    found = {name: em[best, name] for best, name in pairs if best is not None and (best, name) in em}
    return {name: c if c.b == name else turned(c) for name, c in found.items()}


def turned(comparison: Comparison) -> Comparison:
    """The same comparison with a and b in each other's place."""
    c = comparison
    return c._replace(
        a=c.b, b=c.a, mean_a=c.mean_b, mean_b=c.mean_a, difference=-c.difference, low=-c.high, high=-c.low,
        a_better=c.b_better, b_better=c.a_better,
    )  # fmt: skip


def comparison_table(comparisons: Sequence[Comparison]) -> "pd.DataFrame":
    """A row for each pair and metric; ``better`` is empty for a tie."""
    import pandas as pd

    columns = [*Comparison._fields, "better"]
    return pd.DataFrame([{**c._asdict(), "better": c.better} for c in comparisons], columns=columns)


def compare_results(results: Sequence[Result]) -> list[Comparison]:
    """Every pair by every metric that both have."""
    scores = load_scores(results)
    return compare_all(scores) if len(results) > 1 else []


def load_calls(folder: Path, works: Iterable[str]) -> dict[str, dict[str, Call]]:
    """The calls of each work, that is of each reader and of each hop of a retriever, by key."""
    return {work: read_calls(folder / "readers" / work / "responses.jsonl") for work in dict.fromkeys(works)}
