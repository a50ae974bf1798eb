"""Show what a retriever finds for a question, with the index and the settings of a finished run.

A question of the data set may be named by its id or text: its gold passages are then marked, and retrievers
that only know questions of the data set have an answer to it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from hopeval.commands import positive
from hopeval.config import parse_retriever
from hopeval.errors import InputError, printable
from hopeval.io import read_json, read_records
from hopeval.records import Question, RankedPassage
from hopeval.retrievers.bases import with_bases
from hopeval.retrievers.found import Search, Texts, checked

_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("question", help="a question of your own, or one of the data set, by its text or id")
    parser.add_argument("--retriever", required=True, help="a retriever of the run")
    parser.add_argument("--results", type=Path, help="results folder of the dataset; needed where there are several")
    parser.add_argument("-k", type=positive, default=5, help="how many passages to show (default: 5)")


def run(args: argparse.Namespace) -> int:
    """Print the passages, best first; the exit code. Raises InputError where the retriever has not run."""
    results = args.results or _only_results(args.retriever)
    search, sections = _searched(results, args.retriever)
    if python := _interpreter(sections):
        return _run_under(python, args, results)
    question = _question(results / "questions.jsonl", args.question)
    found = _found(search, sections, args.retriever, question, args.k)
    if not found:
        print("hopeval search: nothing found", file=sys.stderr)
    for rank, passage in enumerate(found, 1):
        print("\n".join(_shown(rank, passage, question.names([passage])[0] in question.gold)))
    return 0


def _only_results(retriever: str) -> Path:
    found = sorted(Path("results").glob(f"*/contexts/{retriever}.metrics.json"))
    if len(found) != 1:
        there = ", ".join(str(path.parents[1]) for path in found) or "no such folder"
        raise InputError(f"--results: name the results folder in which {retriever!r} has run; found {there}")
    return found[0].parents[1]


def _question(path: Path, text: str) -> Question:
    questions = read_records(path, Question)
    return next(
        (question for question in questions if text in (question.id, question.text)), Question(id="", text=text)
    )


def _searched(results: Path, name: str) -> tuple[Search, dict[str, Any]]:
    """What a retriever of a run searched, and the sections of it and all beneath it; one question needs no GPU."""
    path = results / "contexts" / f"{name}.metrics.json"
    if not path.exists():
        raise InputError(f"{path}: there is none, so {name!r} has not run here; run it first, or correct --retriever")
    try:
        search = msgspec.convert(read_json(path)["search"], Search)
    except (KeyError, TypeError, msgspec.ValidationError):
        raise InputError(f"{path}: does not say what was searched; retrieve again") from None
    sections: dict[str, Any] = {each: parse_retriever(section, each) for each, section in search.sections.items()}
    return search, {
        each: section.model_copy(update={"gpus": 0}) if section.model_folder else section
        for each, section in sections.items()
    }


def _interpreter(sections: Mapping[str, Any]) -> str | None:
    """Where sentence-transformers is to be found, when a model is needed and it is not here."""
    models = [section for section in sections.values() if section.model_folder]
    found = next((shutil.which(section.python) for section in models if section.python), None)
    return found if find_spec("sentence_transformers") is None and found != sys.executable else None


def _run_under(python: str, args: argparse.Namespace, results: Path) -> int:
    """The exit code of the same search under another interpreter, with this package."""
    words = [args.question, "--retriever", args.retriever, "--results", str(results), "-k", str(args.k)]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    command = [python, "-P", "-m", "hopeval", "search", *words]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode


def _found(
    search: Search, sections: Mapping[str, Any], name: str, question: Question, k: int
) -> Sequence[RankedPassage]:
    texts = Texts.opened(Path(search.passages), Path(search.corpus))
    indexes = {each: Path(manifest) for each, manifest in search.indexes.items()}
    retriever = with_bases(name, sections, texts.own, texts.corpus, indexes, {}).open()
    (hits,) = checked(retriever.retrieve([question], k), [question], name, k)
    return [texts.ranked(hit) for hit in hits]


def _shown(rank: int, passage: RankedPassage, gold: bool) -> Iterator[str]:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    name = _line(passage.title or passage.id)
    yield f"{rank:2}  {passage.score:9.4f}  {bold}{name}{plain}{'  (gold)' if gold else ''}"
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    for number, sentence in enumerate(passage.sentences):
        text = f"{number:>9}  {_line(sentence)}"
        yield textwrap.fill(text, width, initial_indent="    ", subsequent_indent=" " * 15)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
