"""Score predictions as HotpotQA's official script does.

    hopeval score --questions dev.json --predictions predictions.json

takes the official script's files and prints its twelve numbers as JSON. With --records and --contexts it
also says what became of each question: what was retrieved for it, what was answered, how near that came.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from hopeval.commands import positive
from hopeval.datasets.hotpotqa import read_gold
from hopeval.errors import InputError
from hopeval.io import read_records, read_rows, write_csv, write_json
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.official import Evaluation, Predictions, evaluate, load_predictions
from hopeval.metrics.table import Found, summary, tables
from hopeval.records import Prediction, Question, Ranking

_ANSWER_METRICS, _FACT_METRICS = METRICS[:4], METRICS[4:]
"""The second need gold supporting facts."""
T = TypeVar("T", Prediction, Ranking)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--questions", required=True, type=Path, help="gold: an official file, or questions.jsonl")
    parser.add_argument("--predictions", required=True, type=Path, help="official format")
    parser.add_argument("--records", type=Path, help="predictions.jsonl, which has each question's status")
    parser.add_argument("--contexts", type=Path, help="contexts, to tell retrieval's faults from the reader's")
    parser.add_argument("--top-k", type=positive, help="how many of a context's passages the prompt had")
    parser.add_argument("--output", type=Path, help="all metrics (JSON)")
    parser.add_argument("--table", type=Path, help="a row for each question (CSV)")


def run(args: argparse.Namespace) -> None:
    """Print the official numbers, and write what was asked for. Raises InputError for bad files."""
    gold = load_questions(args.questions)
    if not gold:
        raise InputError(f"{args.questions}: holds no question to score; name the gold file")
    questions = {question.id: question for question in gold}
    # Every row counts in the official means, that of a repeated id as well.
    scored = [question for question in gold if question.answer is not None]
    metrics, evaluation = _official(scored, args.predictions)
    print(json.dumps(metrics))
    if args.output or args.table:
        table, ranking = tables(_found(args, questions, evaluation.rows if evaluation else {}), args.top_k)
        if args.output:
            write_json(args.output, {**metrics, **summary(table, len(scored), ranking)})
        if args.table:
            write_csv(args.table, table)


def load_questions(path: Path) -> list[Question]:
    """The questions of an official file or of a questions.jsonl. Raises InputError."""
    first = next((row for _, row in read_rows(path)), None)
    if isinstance(first, dict) and "text" in first and "question" not in first:
        return list(read_records(path, Question))
    return list(read_gold(path))


def _official(questions: list[Question], path: Path) -> tuple[dict[str, float | None], Evaluation | None]:
    """The twelve numbers, None for those that gold cannot tell; and the evaluation, if there is gold at all.

    Where only some questions have gold supporting facts, these and the joint metrics are means over them.
    """
    predictions = load_predictions(path)
    if not questions:
        return dict.fromkeys(METRICS), None
    judged = [question for question in questions if question.supporting_facts is not None]
    evaluation = _evaluate(questions, predictions)
    known = {question.id for question in judged}
    _warn_of(evaluation, known, len(questions), path)
    if len(judged) == len(questions):
        return dict(evaluation.metrics), evaluation
    print(
        f"warning: {len(questions) - len(judged)} of {len(questions)} gold questions have no supporting facts; "
        "these and joint metrics are over the others",
        file=sys.stderr,
    )
    facts = _evaluate(judged, predictions) if judged else None
    fact_metrics = {name: facts.metrics[name] if facts else None for name in _FACT_METRICS}
    rows = {
        key: row if key in known else {name: row[name] for name in _ANSWER_METRICS}
        for key, row in evaluation.rows.items()
    }
    return {**evaluation.metrics, **fact_metrics}, evaluation._replace(rows=rows)


def _evaluate(questions: list[Question], predictions: Predictions) -> Evaluation:
    answers, facts = predictions
    unjudged = {question.id for question in questions if question.supporting_facts is None}
    gold = [(question.id, question.answer, question.supporting_facts) for question in questions]
    return evaluate(gold, (answers, {key: value for key, value in facts.items() if key not in unjudged}))


def _warn_of(evaluation: Evaluation, judged: set[str], questions: int, path: Path) -> None:
    """Say what scores 0 without being a wrong answer, and what does not score at all."""
    _warn("answer", len(evaluation.missing_answers), questions)
    _warn("supporting facts", len(judged.intersection(evaluation.missing_supporting_facts)), len(judged))
    if evaluation.malformed_supporting_facts:
        shown = evaluation.malformed_supporting_facts[0]
        print(
            f"warning: {path}: supporting facts of {len(evaluation.malformed_supporting_facts)} questions, such as "
            f"{shown!r}, are not all [title, number]; those that are not count as wrong",
            file=sys.stderr,
        )
    if evaluation.unknown_ids:
        print(f"warning: {path}: {evaluation.unknown_ids} ids are not in gold; they do not count", file=sys.stderr)


def _warn(part: str, missing: int, questions: int) -> None:
    if missing:
        print(f"warning: {missing} of {questions} questions have no predicted {part}; they count as 0", file=sys.stderr)


def _found(
    args: argparse.Namespace, questions: Mapping[str, Question], scores: Mapping[str, Mapping[str, float]]
) -> Iterator[Found]:
    """What became of each question; without records, all that the official file has are ``ok``."""
    predictions = _ByQuestion(args.records or args.predictions, _records(args, questions), questions)
    rankings = _ByQuestion(args.contexts, read_records(args.contexts, Ranking) if args.contexts else (), questions)
    for key, question in questions.items():
        prediction = predictions.take(key) or Prediction(question_id=key)
        ranking = rankings.take(key) or Ranking(question_id=key, passages=[])
        names = question.names(ranking.passages) if args.contexts else None
        yield Found(question, prediction, scores.get(key, {}), names)
    predictions.close()
    rankings.close()


def _records(args: argparse.Namespace, questions: Collection[str]) -> Iterable[Prediction]:
    if args.records:
        return read_records(args.records, Prediction)
    answers, _ = load_predictions(args.predictions)
    return (
        Prediction(question_id=key, answer=answer, status="ok") for key, answer in answers.items() if key in questions
    )


class _ByQuestion(Generic[T]):
    """Records of questions, read as these are asked for; what comes too early is held.

    In a run's files all stand in the order of the questions. Raises InputError for a question that gold does not
    have, when the file is of another data set, and for one that has two records.
    """

    def __init__(self, path: Path, records: Iterable[T], questions: Collection[str]) -> None:
        self._path, self._questions = path, questions
        self._records: Iterator[T] = iter(records)
        self._held: dict[str, T] = {}

    def take(self, key: str) -> T | None:
        """The record of a question that was not asked for before; None if it has none."""
        while key not in self._held and self._read():
            pass
        return self._held.pop(key, None)

    def close(self) -> None:
        """Check what is left, once all questions were asked for."""
        while self._read():
            pass
        if self._held:
            raise self._twice(next(iter(self._held)))

    def _read(self) -> bool:
        record = next(self._records, None)
        if record is None:
            return False
        key = record.question_id
        if key not in self._questions:
            raise InputError(
                f"{self._path}: question {key!r} is not among the gold questions; name the files of one run"
            )
        if key in self._held:
            raise self._twice(key)
        self._held[key] = record
        return True

    def _twice(self, key: str) -> InputError:
        return InputError(f"{self._path}: question {key!r} has two records; drop one")
