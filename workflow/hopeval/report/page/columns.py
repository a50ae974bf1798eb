"""The columns of the page's leaderboard, with what each means: headings, help and cells stand here once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNKNOWN = "–"


class Column(NamedTuple):
    """A column of leaderboard.csv on the page."""

    key: str
    label: str
    group: str
    kind: str
    """interval (percent with whiskers), percent, points, count (opens its questions), number, cost"""
    help: str


_ANSWER, _FACTS, _JOINT = "Answer", "Supporting facts", "Joint"
_RETRIEVAL, _ANSWERED, _TOOK = "Retrieval", "Whether it answered", "What it took"
_WITH_QUERIES = ", with the queries that a reader wrote for its retriever"

COLUMNS = (
    Column("em", "EM", _ANSWER, "interval", "Exact match: answers equal to gold after normalisation."),
    Column("f1", "F1", _ANSWER, "interval", "Overlap of the answer's words with gold's, averaged over questions."),
    Column("sp_em", "EM", _FACTS, "interval", "Questions whose cited sentences are exactly the gold ones."),
    Column("sp_f1", "F1", _FACTS, "interval", "Overlap of cited with gold sentences, averaged over questions."),
    Column("joint_em", "EM", _JOINT, "interval", "Answer and supporting facts both exact."),
    Column("joint_f1", "F1", _JOINT, "interval", "F1 from the products of both precisions and of both recalls."),
    Column("coverage", "coverage", _ANSWERED, "percent", "Questions with any answer that could be read."),
    Column("unparsable", "unparsable", _ANSWERED, "count", "Replies in which no answer was found. They score 0."),
    Column(
        "truncated", "truncated", _ANSWERED, "count", "Replies cut off at the token limit; what is whole is scored."
    ),
    Column("error", "errors", _ANSWERED, "count", "Requests that failed. They score 0."),
    Column("missing", "missing", _ANSWERED, "count", "Questions without any response. They score 0."),
    Column("near", "near misses", _ANSWERED, "count", "Not exact, but F1 above 60, or gold stands in the answer."),
    Column("gold_retrieved", "gold", _RETRIEVAL, "interval", "Share of a question's gold passages in the prompt."),
    Column(
        "all_gold_retrieved", "all gold", _RETRIEVAL, "interval", "Questions with every gold passage in the prompt."
    ),
    Column("mrr@10", "MRR@10", _RETRIEVAL, "interval", "1 / rank of the first gold passage; 0 beyond rank 10."),
    Column("ndcg@10", "nDCG@10", _RETRIEVAL, "interval", "Gold passages among the first ten, higher ranks worth more."),
    Column(
        "retrieval_loss_em",
        "its loss",
        _RETRIEVAL,
        "points",
        "What retrieval costs: EM with the gold passages (of the first experiment that has them) less EM with this "
        "retriever, same prompt and reader, on the same questions, with the 95 % interval of the difference. Without "
        "any passages it is what the gold ones add to what the model knows by itself.",
    ),
    Column("tokens", "tokens", _TOOK, "number", f"Prompt and generated tokens of an average question{_WITH_QUERIES}."),
    Column(
        "tokens_per_s",
        "tokens/s",
        _TOOK,
        "number",
        "Generated tokens for each second in which at least one request was in flight, over all jobs together"
        f"{_WITH_QUERIES}.",
    ),
    Column("busy_s", "seconds", _TOOK, "number", f"Time in which at least one request was in flight{_WITH_QUERIES}."),
    Column(
        "cost",
        "cost",
        _TOOK,
        "cost",
        f"Tokens at the prices in the configuration, in its currency{_WITH_QUERIES}. A reader without prices costs "
        "nothing.",
    ),
)
_ALWAYS = ("em", "f1", "coverage")
PLACE_HELP = (
    "Experiments share a place where the difference in {metric} may be chance: paired test, corrected for the number "
    "of pairs (Holm), at 5 %."
)


class Cell(NamedTuple):
    """A cell: what is shown, what it is sorted by, and its whiskers in percent of their column's range."""

    text: str
    value: float | None
    interval: str = ""
    whisker: tuple[float, float, float] | None = None


def shown_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that say something of these rows: no counts that are all 0, nothing that is unknown of all."""
    return [
        column
        for column in COLUMNS
        if column.key in _ALWAYS or any(row[column.key] not in (None, 0) for row in rows)
    ]  # fmt: skip


def with_sums(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of leaderboard.csv, with the columns that are sums of others."""
    tokens = row["prompt_tokens"] + row["completion_tokens"]
    near = row["near_close"] + row["near_contains"]
    return {**row, "near": near, "tokens": tokens / row["questions"] if tokens else None}


def cell(column: Column, row: Mapping[str, Any], highest: float) -> Cell:
    """A row's cell; ``highest`` is the largest upper end of a whisker in this column."""
    value = row[column.key]
    if value is None:
        return Cell(UNKNOWN, None)
    match column.kind:
        case "interval":
            return _with_whisker(row, column.key, highest)
        case "points":
            low, high = row[f"{column.key}_low"], row[f"{column.key}_high"]
            return Cell(f"{100 * value:+.1f}", value, f"{100 * low:+.1f} to {100 * high:+.1f}")
        case "percent":
            return Cell(f"{100 * value:.1f}", value)
        case "count":
            return Cell(f"{value:,}", value)
        case "cost":
            return Cell(f"{value:,.2f}" if value >= 0.01 or not value else f"{value:.2g}", value)
    return Cell(f"{value:,.0f}" if value >= 100 else f"{value:,.1f}", value)


def _with_whisker(row: Mapping[str, Any], key: str, highest: float) -> Cell:
    value, low, high = row[key], row[f"{key}_low"], row[f"{key}_high"]
    if low is None or not highest:
        return Cell(f"{100 * value:.1f}", value)
    whisker = (100 * value / highest, 100 * low / highest, 100 * high / highest)
    return Cell(f"{100 * value:.1f}", value, f"{100 * low:.1f}{UNKNOWN}{100 * high:.1f}", whisker)


def highest_end(column: Column, rows: Sequence[Mapping[str, Any]]) -> float:
    """The largest upper end of the column's whiskers; 0 without any."""
    return max((row.get(f"{column.key}_high") or 0.0 for row in rows), default=0.0)
