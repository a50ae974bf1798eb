"""Turn a dataset into records.

Into the output folder go questions.jsonl, passages.jsonl (all questions' own paragraphs, each once; with its
sidecar), skipped.jsonl (items of a contexts file that are passed over) and dataset.json (counts and doubts).
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from hopeval.commands import positive
from hopeval.datasets import beir, contexts, hotpotqa
from hopeval.datasets.base import unique
from hopeval.download import check_sha256, downloaded, is_url
from hopeval.errors import InputError, listed
from hopeval.io import RecordWriter, read_rows, write_json
from hopeval.passages import PassageWriter

FORMATS: dict[str, ModuleType] = {"contexts": contexts, "hotpotqa": hotpotqa, "beir": beir}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--questions", required=True, help="path or URL of the questions")
    parser.add_argument("--format", default="auto", choices=["auto", *FORMATS])
    parser.add_argument("--sha256", help="expected SHA-256 of the file")
    parser.add_argument("--max-questions", type=positive, help="take only the first this many")
    parser.add_argument("--output", required=True, type=Path, help="folder for the records")


def run(args: argparse.Namespace) -> None:
    """Write the records. Raises InputError for the first row that is not valid, and then writes nothing."""
    with ExitStack() as stack:
        path = Path(args.questions)
        if is_url(args.questions):
            terminal = sys.stderr if sys.stderr.isatty() else None
            path = stack.enter_context(downloaded(args.questions, args.output, args.sha256, terminal))
        else:
            check_sha256(path, args.sha256)
        try:
            summary = _write(args, path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), args.questions)) from None
        write_json(args.output / "dataset.json", {"source": args.questions, **summary})
    print(", ".join(f"{key} {value}" for key, value in summary.items() if not isinstance(value, list)))


def _write(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    form = detect_format(path) if args.format == "auto" else args.format
    if form == "beir" and is_url(args.questions):
        # Alone they would be asked and never judged, without a word of that.
        raise InputError(
            f"{path}: BEIR's queries, judgements and corpus are files of one archive; unpack that, and set"
            " dataset.questions to its qrels/test.tsv"
        )
    doubts: list[str] = []
    seen: set[str] = set()
    with ExitStack() as stack:
        questions, skipped = (
            stack.enter_context(RecordWriter(args.output / f"{kind}.jsonl")) for kind in ("questions", "skipped")
        )
        passages = stack.enter_context(PassageWriter(args.output / "passages.jsonl"))
        items = unique(FORMATS[form].read(path), path)
        while questions.count != args.max_questions and (item := next(items, None)):
            if item.skipped:
                skipped.write({**item.question.extra, "error": item.skipped})
                continue
            questions.write(item.question)
            for passage in item.passages:
                if passage.id not in seen:
                    seen.add(passage.id)
                    passages.write(passage)
            doubts += item.doubts
        if not questions.count:
            raise InputError(f"{path}: holds no question to answer; check dataset.questions")
    _tell(doubts)
    counts = {"questions": questions.count, "passages": passages.count, "skipped": skipped.count}
    return {"format": form, **counts, "doubts": len(doubts), "doubtful_supporting_facts": doubts}


def files_read(path: Path, form: str) -> list[Path]:
    """All files that are read for these questions in this format, or ``auto``: BEIR's are several."""
    try:
        beirs = (detect_format(path) if form == "auto" else form) == "beir"
        return beir.files(path) if beirs else [path]
    except InputError:  # told when they are read
        return [path]


def detect_format(path: Path) -> str:
    """The name of the format of a file, by its first row. Raises InputError when it is none."""
    if beir.is_qrels(path):
        return "beir"
    for _, row in read_rows(path):
        for name, form in FORMATS.items():
            if form.recognises(row):
                return name
        keys = ", ".join(map(repr, row)) if isinstance(row, dict) else f"a {type(row).__name__}"
        raise InputError(
            f"{path}: the first row has {keys}; HotpotQA's rows have '_id', 'question', 'context', "
            "a contexts file's have 'id', 'query', 'context', BEIR's queries '_id', 'text'"
        )
    raise InputError(f"{path}: holds no question; check dataset.questions")


def _tell(doubts: list[str]) -> None:
    if doubts:
        said = f"warning: {len(doubts)} supporting facts name something that is not there (kept):"
        print(f"{said}{listed(doubts)}", file=sys.stderr)
