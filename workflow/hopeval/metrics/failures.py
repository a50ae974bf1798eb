"""Where a question went wrong: what was retrieved, what was answered, and how near the answer came."""

from collections.abc import Collection
from typing import Literal, get_args

from hopeval.metrics.hotpotqa import normalize_answer
from hopeval.records import Status

Retrieved = Literal["all", "some", "none", "unknown"]
"""How many of a question's gold passages were in the prompt; unknown where gold does not name any."""
RETRIEVED: tuple[Retrieved, ...] = get_args(Retrieved)

Answered = Literal["right", "wrong", "unparsable", "truncated", "error", "missing"]
"""Right (EM 1), whatever the status; else wrong, or why there is no whole answer."""
ANSWERED: tuple[Answered, ...] = get_args(Answered)

NearMiss = Literal["close", "contains"]
"""EM 0, but F1 above NEAR_F1; or else the gold answer stands in the predicted one."""
NEAR_MISSES: tuple[NearMiss, ...] = get_args(NearMiss)
NEAR_F1 = 0.6


def retrieved(gold: Collection[str], names: Collection[str]) -> Retrieved:
    """How many of the gold passages, by their names, are among ``names``.

    >>> retrieved(["A", "B"], ["C", "B"])
    'some'
    """
    if not gold:
        return "unknown"
    found = len(set(gold) & set(names))
    return "none" if not found else "all" if found == len(set(gold)) else "some"


def answered(em: float, status: Status) -> Answered:
    """What became of the answer. A truncated text may hold the right answer all the same."""
    if em:
        return "right"
    return "wrong" if status == "ok" else status


def near_miss(answer: str | None, gold: str, em: float, f1: float) -> NearMiss | None:
    """How a wrong answer comes near the gold one: another form of it, an alias, a sentence around it.

    A gold yes or no has to come first: "no" stands in many a sentence.

    >>> near_miss("the city of Paris, France", "Paris, France", 0.0, 0.67)
    'close'
    >>> near_miss("It was built in Paris by the architect", "Paris", 0.0, 0.25)
    'contains'
    >>> near_miss("There is no such town", "no", 0.0, 0.0)
    """
    if em or answer is None:
        return None
    if f1 > NEAR_F1:
        return "close"
    wanted, found = normalize_answer(gold), normalize_answer(answer)
    if wanted in ("yes", "no"):
        return "contains" if found.startswith(f"{wanted} ") else None
    return "contains" if wanted and f" {wanted} " in f" {found} " else None


def answer_kind(gold: str) -> Literal["yes/no", "span"]:
    """Whether the gold answer is yes or no, or words.

    >>> answer_kind("Yes."), answer_kind("Paris")
    ('yes/no', 'span')
    """
    return "yes/no" if normalize_answer(gold) in ("yes", "no") else "span"
