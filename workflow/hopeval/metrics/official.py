"""Files in the official format, scored as ``hotpot_evaluate_v1.py`` scores them.

The format is one JSON object, ``{"answer": {id: text}, "sp": {id: [[title, sentence index], …]}}``.
Whatever the official script can score has the same twelve numbers here, to 1e-12. What makes it crash is an
InputError here. Two things that it lets pass are InputErrors too: values of a wrong type for questions that
gold does not ask, and parts that are no objects (it takes a list there for an object without ids).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hopeval.errors import InputError
from hopeval.io import read_json
from hopeval.metrics.hotpotqa import SupportingFacts, mean_scores, score_question

Predictions: TypeAlias = tuple[dict[str, str], dict[str, list[Any]]]
"""Answers by question id, and supporting facts by question id."""

GoldRow: TypeAlias = tuple[str, str | None, SupportingFacts | None]
"""A question's id, answer and supporting facts."""

_LONGEST_SHOWN = 60  # characters of a value in a message


class Evaluation(NamedTuple):
    """What the official script prints, and what lies behind it."""

    metrics: dict[str, float]
    """The twelve means, over all gold rows; a missing prediction counts as 0."""
    rows: dict[str, Mapping[str, float]]
    """The twelve of each question by id; of a repeated id the last, though every row is in the means."""
    missing_answers: list[str]
    missing_supporting_facts: list[str]
    malformed_supporting_facts: list[str]
    """Ids with a predicted fact that is no [title, whole number]: officially no mistake, and hardly ever right."""
    unknown_ids: int
    """Ids that are predicted but not in gold. They do not count."""


def load_predictions(path: str | Path) -> Predictions:
    """Answers and supporting facts of a file in the official format.

    Without "answer", or without "sp", that part is empty: all are missing. Raises InputError with file,
    place and repair for a file that is not there, is not JSON, has neither part, or holds wrong types.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise _mistake(path, "$", "an object", content, 'write {"answer": {…}, "sp": {…}}')
    if not content.keys() & {"answer", "sp"}:
        raise InputError(
            f"{path}: $: neither 'answer' nor 'sp' is there, found {_shown(content)}; "
            'write {"answer": {id: text}, "sp": {id: [[title, sentence index]]}}'
        )
    return _answers(path, content), _supporting_facts(path, content)


def _answers(path: str | Path, content: dict[str, Any]) -> dict[str, str]:
    answers = _part(path, content, "answer")
    for question_id, answer in answers.items():
        if not isinstance(answer, str):
            place = f"$.answer[{_shown(question_id)}]"
            raise _mistake(path, place, "a text", answer, "quote it, or leave the id out if there is none")
    return answers


def _supporting_facts(path: str | Path, content: dict[str, Any]) -> dict[str, list[Any]]:
    predicted = _part(path, content, "sp")
    for question_id, facts in predicted.items():
        try:
            set(map(tuple, facts))
        except TypeError:
            raise _mistaken_facts(path, f"$.sp[{_shown(question_id)}]", facts) from None
    return predicted


def _mistaken_facts(path: str | Path, place: str, facts: Any) -> InputError:
    """The error for what cannot be made a set of pairs: it names the first fact at fault."""
    if not isinstance(facts, list):
        return _mistake(path, place, "a list of [title, sentence index]", facts, "write [] for none")
    at = next(index for index, fact in enumerate(facts) if not _is_hashable_sequence(fact))
    return _mistake(path, f"{place}[{at}]", "[title, sentence index]", facts[at], "write it as a pair")


def _is_hashable_sequence(fact: Any) -> bool:
    try:
        hash(tuple(fact))
    except TypeError:
        return False
    return True


def _part(path: str | Path, content: dict[str, Any], name: str) -> dict[str, Any]:
    part = content.get(name, {})
    if not isinstance(part, dict):
        raise _mistake(path, f"$.{name}", "an object", part, "give it question ids as keys, {} for none")
    return part


def _mistake(path: str | Path, place: str, wanted: str, found: Any, repair: str) -> InputError:
    return InputError(f"{path}: {place}: expected {wanted}, found {_shown(found)}; {repair}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def evaluate(gold_rows: Iterable[GoldRow], predictions: Predictions) -> Evaluation:
    """The official evaluation of ``predictions``, as load_predictions gives them, against gold.

    Raises InputError when there are no gold rows, or when a part is predicted that gold lacks.

    >>> gold = [("q1", "New York", [["A", 0]]), ("q2", "yes", [["B", 1]])]
    >>> found = evaluate(gold, ({"q1": "York", "q9": "no"}, {"q1": [["A", 0]]}))
    >>> found.metrics["recall"], found.metrics["sp_em"], found.missing_answers, found.unknown_ids
    (0.25, 0.5, ['q2'], 1)
    """
    answers, facts = predictions
    scored = [(row[0], _score_row(row, answers, facts)) for row in gold_rows]
    if not scored:
        raise InputError("gold: there are no questions to score; check the file and its filters")
    rows = dict(scored)
    return Evaluation(
        metrics=mean_scores(row for _, row in scored),
        rows=rows,
        missing_answers=[question_id for question_id, _ in scored if question_id not in answers],
        missing_supporting_facts=[question_id for question_id, _ in scored if question_id not in facts],
        malformed_supporting_facts=[key for key in rows if not _well_formed(facts.get(key, ()))],
        unknown_ids=len((answers.keys() | facts.keys()) - rows.keys()),
    )


def _score_row(row: GoldRow, answers: dict[str, str], facts: dict[str, list[Any]]) -> Mapping[str, float]:
    question_id, gold_answer, gold_facts = row
    answer, predicted_facts = answers.get(question_id), facts.get(question_id)
    if gold_answer is None:
        if answer is not None:
            raise _lacking(question_id, "answer")
        gold_answer = ""
    if gold_facts is None and predicted_facts is not None:
        raise _lacking(question_id, "supporting facts")
    return score_question(answer, predicted_facts, gold_answer, gold_facts)


def _lacking(question_id: str, part: str) -> InputError:
    return InputError(
        f"gold: question {_shown(question_id)} has no {part}, so the predicted one cannot be scored; "
        f"add the {part} to gold, or leave them out of the predictions"
    )


def _well_formed(facts: Iterable[Any]) -> bool:
    for fact in facts:
        if len(fact) != 2:
            return False
        title, index = fact
        if not isinstance(title, str) or not isinstance(index, int):
            return False
    return True
