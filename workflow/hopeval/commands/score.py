"""Score predictions as HotpotQA's official script does.

    hopeval score --questions dev.json --predictions predictions.json

takes the official script's files and prints its twelve numbers as JSON. With --records and --contexts it
also says what became of each question: what was retrieved for it, what was answered, how near that came.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from hopeval.commands import positive
from hopeval.datasets.hotpotqa import read_gold
from hopeval.errors import InputError
from hopeval.io import read_records, read_rows, write_csv, write_json
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.official import Evaluation, Predictions, evaluate, load_predictions
from hopeval.metrics.table import question_table, ranking_metrics, summary
from hopeval.records import Context, Prediction, Question

_ANSWER_METRICS, _FACT_METRICS = METRICS[:4], METRICS[4:]
"""The second need gold supporting facts."""


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
        predictions, rankings = _predictions(args, questions), _rankings(args, questions)
        scores = evaluation.rows if evaluation else {}
        table = question_table(questions, predictions, scores, rankings, args.top_k)
        if args.output:
            ranking = ranking_metrics(questions, rankings, args.top_k)
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


def _predictions(args: argparse.Namespace, questions: Mapping[str, Question]) -> dict[str, Prediction]:
    """The predictions by question id; without records, all that the official file has are ``ok``."""
    if args.records:
        predictions = {prediction.question_id: prediction for prediction in read_records(args.records, Prediction)}
        _check_known(args.records, predictions, questions)
        return predictions
    answers, _ = load_predictions(args.predictions)
    return {key: Prediction(question_id=key, answer=answer, status="ok") for key, answer in answers.items()}


def _check_known(path: Path, identifiers: Iterable[str], questions: Mapping[str, Question]) -> None:
    """Raise InputError for a question that gold does not have: the file is of another data set."""
    for identifier in identifiers:
        if identifier not in questions:
            raise InputError(
                f"{path}: question {identifier!r} is not among the gold questions; name the files of one run"
            )


def _rankings(args: argparse.Namespace, questions: Mapping[str, Question]) -> dict[str, list[str]] | None:
    """The names of what was retrieved for each question, best first; None without contexts."""
    if not args.contexts:
        return None
    found = {}
    for context in read_records(args.contexts, Context):
        _check_known(args.contexts, [context.question_id], questions)
        found[context.question_id] = questions[context.question_id].names(context.passages)
    return found
