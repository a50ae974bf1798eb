"""Compare experiments: who is better, and is that more than chance.

Into the results folder go leaderboard.csv (a row each, best first; also .md, .tex, .svg and .png),
comparisons.csv (every pair) and recall.csv (each retriever's recall at k; also .svg and .png).
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hopeval.commands import mapping
from hopeval.errors import InputError
from hopeval.io import atomic_write, read_records, write_csv
from hopeval.records import Question
from hopeval.report.board import board, compare_results, comparison_table, load_calls, load_results
from hopeval.report.exports import as_latex, as_markdown
from hopeval.report.figures import leaderboard_figure, recall_figure
from hopeval.report.recall import recall_curve

_PARTS = ("retriever", "kind", "prompt", "reader")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--results", required=True, type=Path, help="results folder of the dataset")
    parser.add_argument(
        "--experiments",
        required=True,
        type=mapping,
        help="{name: {retriever, top_k, kind, prompt, reader, prices, queries}}, queries as {work: prices}",
    )


def run(args: argparse.Namespace) -> None:
    """Write the tables and figures. The board is sorted by joint F1, then answer F1, as HotpotQA's own is."""
    _check(args.experiments)
    results = load_results(args.results, list(args.experiments))
    comparisons = compare_results(results)
    table = board(results, args.experiments, comparisons, load_calls(args.results, _works(args.experiments)))
    judged = {q.id: q for q in read_records(args.results / "questions.jsonl", Question) if q.gold}
    retrievers = {experiment["retriever"]: experiment["kind"] for experiment in args.experiments.values()}
    curve = recall_curve(args.results, retrievers, judged)
    leaderboard_figure(table, args.results / "leaderboard.svg")
    recall_figure(curve, args.results / "recall.svg")
    write_csv(args.results / "recall.csv", curve)
    write_csv(args.results / "comparisons.csv", comparison_table(comparisons))
    _write_text(args.results / "leaderboard.md", as_markdown(table))
    _write_text(args.results / "leaderboard.tex", as_latex(table))
    write_csv(args.results / "leaderboard.csv", table)


def _check(experiments: dict[str, object]) -> None:
    """Raise InputError for an experiment that lacks a part: they come from --experiments."""
    for name, experiment in experiments.items():
        if not (isinstance(experiment, dict) and set(_PARTS) <= set(experiment)):
            raise InputError(f"--experiments: {name}: found {experiment!r}; write {{{', '.join(_PARTS)}}}")


def _works(experiments: Mapping[str, Any]) -> Iterator[str]:
    """What was asked of readers for these: answers, and queries of iterative retrievers."""
    for experiment in experiments.values():
        yield from (experiment["reader"], *experiment.get("queries", {}))


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
