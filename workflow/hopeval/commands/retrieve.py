"""Rank passages for every question, and measure the ranking where the gold passages are known.

The whole ranking goes into a TREC run file, the first passages of it, with their texts, into the contexts.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import msgspec

from hopeval.commands import mapping, named
from hopeval.composition import searched
from hopeval.config import parse_retriever
from hopeval.devices import check_granted, lease
from hopeval.errors import InputError, listed
from hopeval.hops import hop_name
from hopeval.indexes import read_index
from hopeval.io import RecordWriter, read_json, read_records, write_json
from hopeval.metrics.retrieval import DEEP_CUTOFFS, RetrievalMeans
from hopeval.records import Context, Hit, Question
from hopeval.retrieval import context_depth, deepest, ranking_depth, top_ks
from hopeval.retrievers.base import Retriever
from hopeval.retrievers.bases import with_bases
from hopeval.retrievers.found import Clock, Search, Speed, Texts, altogether, checked
from hopeval.retrievers.kept import Kept
from hopeval.runs import RunWriter

_SINGLE, _BATCH = 10, 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--retriever", required=True, help="the retriever's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--passages", required=True, type=Path, help="the questions' own paragraphs")
    parser.add_argument("--corpus", type=Path, help="passages to search, when not those paragraphs")
    parser.add_argument("--bases", type=mapping, default={}, help="{name: section} of all that it is built on")
    parser.add_argument(
        "--indexes", type=named, nargs="*", default=[], metavar="RETRIEVER=FILE", help="what hopeval index wrote"
    )
    parser.add_argument(
        "--runs", type=named, nargs="*", default=[], metavar="RETRIEVER=FILE", help="run files of what it is built on"
    )
    parser.add_argument(
        "--hops", type=named, nargs="*", default=[], metavar="NUMBER=FILE", help="run files of hops from the second on"
    )
    parser.add_argument(
        "--run-metrics", type=Path, nargs="*", default=[], help="the metrics beside these run files: how long it took"
    )
    parser.add_argument("--hop-metrics", type=Path, nargs="*", default=[], help="the same of the hops")
    parser.add_argument("--output", required=True, type=Path, help="contexts (JSON Lines)")
    parser.add_argument("--run-file", required=True, type=Path, help="the whole ranking (TREC run)")
    parser.add_argument("--metrics", required=True, type=Path, help="retrieval metrics (JSON)")
    parser.add_argument("--kept", type=Path, help="folder for what need not be done again when this job is killed")
    parser.add_argument("--granted-gpus", type=int, help="GPUs that the scheduler counted for this job")


def run(args: argparse.Namespace) -> None:
    """Write contexts and run in the order of the questions, and the metrics. None of these appears unless all do."""
    clock = Clock()
    settings = parse_retriever(args.settings, args.retriever)
    if settings.kind == "gold" and not any(question.gold for question in _questions(args)):
        raise InputError(
            f"retrievers.{args.retriever}: no question of {args.questions} has supporting facts or judged "
            f"passages, so none has gold ones; take it out: retrievers: {{{args.retriever}: null}}"
        )
    sections = {**_bases(args), args.retriever: settings}
    gpus = _gpus(args, sections)
    check_granted(gpus, args.granted_gpus, f"retrievers.{args.retriever}.gpus")
    texts = Texts.opened(args.passages, args.corpus)
    kept = Kept(args.kept)
    retriever = _opened(args, sections, texts, kept)
    means, absent = RetrievalMeans(_cutoffs(settings)), list[str]()
    with ExitStack() as stack:
        stack.enter_context(lease(gpus))
        contexts = stack.enter_context(RecordWriter(args.output))
        ranked = stack.enter_context(RunWriter(args.run_file, args.retriever))
        for questions in _batches(_questions(args)):
            with clock.measure(len(questions)):
                found = retriever.retrieve(questions, ranking_depth(settings))
            clock.add(kept.spent())
            found = checked(found, questions, args.retriever, deepest(settings))
            rankings = dict(zip((q.id for q in questions), found, strict=True))
            for question, hits in rankings.items():
                ranked.write(question, hits)
                passages = [texts.ranked(hit) for hit in hits[: context_depth(settings)]]
                contexts.write(Context(question_id=question, retriever=args.retriever, passages=passages))
            means.add(questions, {q.id: _names(q, rankings[q.id], texts) for q in questions if q.gold})
            absent += [f"{i!r} of question {q.id!r}" for q in questions for i in texts.absent(q, rankings[q.id])]
        counts = {"empty": contexts.count - ranked.count, "absent": len(absent)}
        told = {**_speed(args, clock), **counts, **retriever.finish()}
    _tell(absent)
    metrics = {"retriever": args.retriever, **means.result(), **told, **_origin(args)}
    write_json(args.metrics, msgspec.to_builtins(metrics))


def _cutoffs(settings: Any) -> set[int]:
    """Those that rankings reach: beyond, recall@k would say of their depth what it seems to say of the retriever."""
    depth = deepest(settings)
    return {k for k in (*DEEP_CUTOFFS, *top_ks(settings)) if k and (depth is None or k <= depth)}


def _speed(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    """How fast the retriever is with all that it is built on; ``own_speed``: without, the hops' searches included."""
    own = altogether([clock.speed(), *_speeds(args.hops, args.hop_metrics)])
    whole = altogether([own, *_speeds(args.runs, args.run_metrics)])
    return {**msgspec.structs.asdict(whole), "own_speed": own}


def _speeds(runs: Sequence[Any], metrics: Sequence[Path]) -> list[Speed]:
    """The speed at which each run file was made; unknown without the metrics of all."""
    return [_own_speed(path) for path in metrics] if len(metrics) == len(runs) else [Speed() for _ in runs]


def _own_speed(path: Path) -> Speed:
    try:
        return msgspec.convert(read_json(path)["own_speed"], Speed)
    except (KeyError, TypeError, msgspec.ValidationError):
        raise InputError(f"{path}: does not say how fast the retriever is; retrieve again") from None


def _questions(args: argparse.Namespace) -> Iterator[Question]:
    return read_records(args.questions, Question)


def _batches(questions: Iterator[Question]) -> Iterator[list[Question]]:
    """Some questions one by one, which tells how long one takes, then many at a time."""
    for size in chain(repeat(1, _SINGLE), repeat(_BATCH)):
        batch = list(islice(questions, size))
        if not batch:
            return
        yield batch


def _bases(args: argparse.Namespace) -> dict[str, Any]:
    """The sections of all that the retriever is built on."""
    return {name: parse_retriever(section, name) for name, section in args.bases.items()}


def _gpus(args: argparse.Namespace, sections: Mapping[str, Any]) -> int:
    """How many GPUs the models need that search: they share them."""
    names = searched(args.retriever, sections) if args.runs else sections
    return max(getattr(sections[name], "gpus", 0) for name in names)


def _opened(args: argparse.Namespace, sections: Mapping[str, Any], texts: Texts, kept: Kept) -> Retriever:
    indexes, runs = ({name: Path(path) for name, path in pairs} for pairs in (args.indexes, args.runs))
    hops = {hop_name(number): Path(path) for number, path in args.hops}
    return with_bases(args.retriever, sections, texts.own, texts.corpus, indexes, runs, hops, kept).on_runs


def _names(question: Question, hits: Sequence[Hit], texts: Texts) -> list[str]:
    """As :meth:`Question.names` has them; without a look at the texts where ids will do."""
    return [hit.id if question.relevant else texts.title(hit) for hit in hits]


def _tell(absent: Sequence[str]) -> None:
    if absent:
        said = f"warning: {len(absent)} relevant passages are not in the corpus; they count as not found:"
        print(f"{said}{listed(absent)}", file=sys.stderr)


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """What made the ranking: enough to search again."""
    manifests = dict(args.indexes)
    mine = manifests.get(args.retriever)
    search = Search(
        sections={**args.bases, args.retriever: args.settings},
        indexes=manifests,
        passages=str(args.passages),
        corpus=str(args.corpus or args.passages),
    )
    return {"index": read_index(Path(mine)) if mine else None, "search": search}
