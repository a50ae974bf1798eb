"""Rank passages for every question, and measure the ranking where the gold passages are known."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from hopeval.commands import mapping
from hopeval.config import parse_retriever, top_ks
from hopeval.errors import InputError
from hopeval.io import read_records, write_json, write_records
from hopeval.metrics.retrieval import CUTOFFS, judged, retrieval_metrics
from hopeval.plugins import load_class
from hopeval.records import Context, Question, RankedPassage
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
    gold = judged(read_records(args.questions, Question))
    if settings.kind == "gold" and not gold:
        raise InputError(
            f"retrievers.{args.retriever}: no question of {args.questions} has supporting facts, so none has gold "
            f"passages; take it out: retrievers: {{{args.retriever}: null}}"
        )
    own = PassageStore(args.passages)
    corpus = PassageStore(args.corpus) if args.corpus else own
    retriever_class = load_class(settings.kind, KINDS, Retriever, f"retrievers.{args.retriever}.kind")
    ks = [k for k in top_ks(settings) if k is not None]
    rankings: dict[str, Sequence[str]] = {}
    contexts = _contexts(args, retriever_class(settings, own, corpus), max([*CUTOFFS, *ks]), gold, rankings)
    write_records(args.output, contexts)
    metrics = retrieval_metrics(rankings, gold, {*CUTOFFS, *ks})
    write_json(args.metrics, {"retriever": args.retriever, "judged": len(gold), **metrics})


def _contexts(
    args: argparse.Namespace,
    retriever: Retriever,
    depth: int,
    gold: Mapping[str, Any],
    rankings: dict[str, Sequence[str]],
) -> Iterator[Context]:
    """The contexts, one by one; notes the titles of the judged ones in ``rankings`` on the way.

    They are as deep as the measures reach, even where prompts take fewer passages.
    """
    stream = read_records(args.questions, Question)
    while questions := list(islice(stream, _BATCH)):
        found = _checked(retriever.retrieve(questions, depth), len(questions), f"retrievers.{args.retriever}")
        for question, passages in zip(questions, found, strict=True):
            if question.id in gold:
                rankings[question.id] = [passage.title for passage in passages]
            yield Context(question_id=question.id, retriever=args.retriever, passages=passages)


def _checked(found: Any, questions: int, where: str) -> list[list[RankedPassage]]:
    """What a retriever found, if it is what one has to give. Raises InputError: it may be the user's own."""
    try:
        lists = msgspec.convert(found, list[list[RankedPassage]])
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: retrieve() must give lists of RankedPassage: {error}; mend the retriever") from None
    if len(lists) != questions:
        raise InputError(f"{where}: retrieve() gave {len(lists)} lists for {questions} questions; give one for each")
    return lists
