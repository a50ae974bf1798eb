"""Compare two prediction files question by question, of hopeval or of another tool.

    hopeval compare a.json b.json --questions dev.json

prints for each metric the paired difference with its 95 % interval, on how many questions each is better,
and whether that is more than chance. Files are in the official format; a folder of results/<dataset>/
experiments/ will do as well, and then says itself what the questions are.

Two files over different questions are compared on those that both have an answer or supporting facts for.
Two folders are compared on the questions that both runs asked, and what is missing there scores 0, since
it failed. With --missing-as-wrong it is all gold questions, as in the official script.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hopeval.commands.score import load_questions
from hopeval.errors import InputError
from hopeval.io import read_records, write_csv
from hopeval.metrics.compare import COMPARED, Comparison, compare_all
from hopeval.metrics.official import evaluate, load_predictions
from hopeval.records import Question
from hopeval.report.board import comparison_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FACTS = tuple(metric for metric in COMPARED if metric not in ("em", "f1"))
_NAMES = {"em": "EM", "f1": "F1", "sp_em": "SP EM", "sp_f1": "SP F1", "joint_em": "joint EM", "joint_f1": "joint F1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("a", type=Path, help="predictions in the official format, or an experiment's folder")
    parser.add_argument("b", type=Path, help="the same of the other")
    parser.add_argument("--questions", type=Path, help="gold: an official file, or questions.jsonl")
    parser.add_argument("--missing-as-wrong", action="store_true", help="compare on all gold questions")
    parser.add_argument("--output", type=Path, help="the comparison (CSV)")


def run(args: argparse.Namespace) -> None:
    """Print the comparison. Raises InputError where there is nothing to compare."""
    questions = {question.id: question for question in load_questions(_gold(args)) if question.answer is not None}
    if not questions:
        raise InputError(f"{_gold(args)}: holds no question with an answer; name the gold file")
    paths = _predictions(args.a), _predictions(args.b)
    loaded = [load_predictions(path) for path in paths]
    known = [set(questions) & (answers.keys() | facts.keys()) for answers, facts in loaded]
    asked = _asked(args, set(questions), known)
    common = {key: question for key, question in questions.items() if key in asked[0] & asked[1]}
    if not common:
        raise InputError(
            f"{args.a} and {args.b} have no question of {_gold(args)} in common ({len(asked[0])} and {len(asked[1])} "
            f"of {len(questions)}); name predictions over the same questions"
        )
    names = str(args.a), str(args.b) if args.b != args.a else f"{args.b} (again)"
    scores = {name: _scores(common, predictions) for name, predictions in zip(names, loaded, strict=True)}
    comparisons = compare_all(scores, [metric for metric in COMPARED if metric not in _unknown(common)])
    print(_text(names, comparisons, _questions_line(len(questions), asked, known)))
    if args.output:
        write_csv(args.output, comparison_table(comparisons))


def _gold(args: argparse.Namespace) -> Path:
    """The gold file: as named, else the questions of the run that the first folder belongs to."""
    if args.questions:
        return Path(args.questions)
    beside = _questions_of(args.a)
    if beside is None:
        raise InputError(f"--questions: {args.a} does not say which questions it answers; name the gold file")
    return beside


def _questions_of(path: Path) -> Path | None:
    """What the run was asked that this folder belongs to; None for a file, and for a folder on its own."""
    found = path.resolve().parents[1] / "questions.jsonl" if path.is_dir() else None
    return found if found is not None and found.is_file() else None


def _asked(args: argparse.Namespace, questions: set[str], known: list[set[str]]) -> list[set[str]]:
    """The gold questions on which A and B are to be judged, each for itself; ``known`` are those they answer."""
    runs = [found for path in (args.a, args.b) if (found := _questions_of(path)) is not None]
    if args.missing_as_wrong:
        return [questions, questions]
    if len(runs) < 2:
        return known
    return [questions.intersection(question.id for question in read_records(run, Question)) for run in runs]


def _predictions(path: Path) -> Path:
    return path / "predictions.json" if path.is_dir() else path


def _scores(
    questions: Mapping[str, Question], predictions: tuple[dict[str, str], dict[str, list[object]]]
) -> "dict[str, NDArray[np.float64]]":
    """The compared metrics by question; NaN where gold names no supporting facts."""
    import numpy as np

    answers, facts = predictions
    judged = {key for key, question in questions.items() if question.supporting_facts is not None}
    gold = [(question.id, question.answer, question.supporting_facts) for question in questions.values()]
    rows = evaluate(gold, (answers, {key: value for key, value in facts.items() if key in judged})).rows
    return {
        metric: np.array([rows[key][metric] if key in judged or metric not in _FACTS else np.nan for key in questions])
        for metric in COMPARED
    }


def _unknown(questions: Mapping[str, Question]) -> Sequence[str]:
    return () if any(question.supporting_facts is not None for question in questions.values()) else _FACTS


def _questions_line(total: int, asked: list[set[str]], known: list[set[str]]) -> str:
    common = asked[0] & asked[1]
    a, b = (len(found) for found in asked)
    if asked != known:
        runs = f"{len(common)} questions that both runs asked (A {a}, B {b})"
        here = f"{total} gold questions" if len(common) == total else runs
        answered = [len(found & common) for found in known]
        return f"{here}; A answers {answered[0]}, B {answered[1]}, and what is missing counts as 0"
    if asked[0] == asked[1]:
        return f"{len(common)} questions" + (f" of {total} in gold" if len(common) < total else "")
    return f"{len(common)} questions that both answer; A answers {a} of {total} in gold, B {b}"


def _text(names: Sequence[str], comparisons: Sequence[Comparison], questions: str) -> str:
    header = ["", "A", "B", "A − B", "95 % interval", "A better", "B better", "p", ""]
    rows = [header, *(_cells(comparison) for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if i in (0, 8) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines = [f"A: {names[0]}", f"B: {names[1]}", questions, "", *(line.rstrip() for line in lines), ""]
    lines += [
        "In percent and percentage points. A better, B better: on how many questions. p: McNemar's exact test",
        "for EM, else a paired permutation test. A tie is a difference that may be chance (p ≥ 0.05).",
    ]
    return "\n".join(lines)


def _cells(c: Comparison) -> list[str]:
    verdict = "tie" if c.better is None else "A is better" if c.better == c.a else "B is better"
    means = [f"{100 * c.mean_a:.1f}", f"{100 * c.mean_b:.1f}", f"{100 * c.difference:+.1f}"]
    interval = f"{100 * c.low:+.1f} to {100 * c.high:+.1f}"
    p = "< 0.001" if c.p_holm < 0.001 else f"{c.p_holm:.3f}"
    return [_NAMES[c.metric], *means, interval, str(c.a_better), str(c.b_better), p, verdict]
