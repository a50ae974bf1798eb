"""Rank passages for every question, and measure the ranking where the gold passages are known."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hopeval.commands import mapping
from hopeval.config import parse_retriever, top_ks
from hopeval.io import read_records, write_json, write_records
from hopeval.metrics.retrieval import distinct_titles, judged, retrieval_metrics
from hopeval.plugins import load_class
from hopeval.records import Context, Question
from hopeval.retrievers.base import PassageStore, Retriever

KINDS = {
    "given": "hopeval.retrievers.given:GivenRetriever",
    "gold": "hopeval.retrievers.gold:GoldRetriever",
    "none": "hopeval.retrievers.none:NoneRetriever",
    "bm25": "hopeval.retrievers.bm25:BM25Retriever",
}
_BATCH = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--retriever", required=True, help="the retriever's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--passages", required=True, type=Path, help="the questions' own paragraphs")
    parser.add_argument("--corpus", type=Path, help="passages to search, when not those paragraphs")
    parser.add_argument("--output", required=True, type=Path, help="contexts (JSON Lines)")
    parser.add_argument("--metrics", required=True, type=Path, help="retrieval metrics (JSON)")


def run(args: argparse.Namespace) -> None:
    """Write contexts in the order of the questions, and the metrics."""
    settings = parse_retriever(args.settings, args.retriever)
    own = PassageStore(args.passages)
    corpus = PassageStore(args.corpus) if args.corpus else own
    retriever = load_class(settings.kind, KINDS, Retriever, f"retrievers.{args.retriever}.kind")(settings, own, corpus)
    depth = top_ks(settings)[-1]
    gold = judged(read_records(args.questions, Question))
    rankings: dict[str, Sequence[str]] = {}
    write_records(args.output, _contexts(args, retriever, depth, gold, rankings))
    write_json(
        args.metrics, {"retriever": args.retriever, "judged": len(gold), **retrieval_metrics(rankings, gold, depth)}
    )


def _contexts(
    args: argparse.Namespace,
    retriever: Retriever,
    depth: int | None,
    gold: Mapping[str, Any],
    rankings: dict[str, Sequence[str]],
) -> Iterator[Context]:
    """The contexts, one by one; notes the titles of the judged ones in ``rankings`` on the way."""
    stream = read_records(args.questions, Question)
    while questions := list(islice(stream, _BATCH)):
        found = retriever.retrieve(questions, depth or 0)
        for question, passages in zip(questions, found, strict=True):
            context = Context(question_id=question.id, retriever=args.retriever, passages=passages)
            if question.id in gold:
                rankings[question.id] = distinct_titles(context)
            yield context
