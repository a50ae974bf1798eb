"""HotpotQA's twelve metrics for one question, and their means.

Yang et al. (2018), "HotpotQA: A Dataset for Diverse, Explainable Multi-hop Question Answering", EMNLP,
https://aclanthology.org/D18-1259. The paper leaves details open; the numbers here are those of the
authors' script, ``hotpot_evaluate_v1.py`` in https://github.com/hotpotqa/hotpot, to 1e-12. That includes
its oddities:

- An answer that normalises to nothing ("The The", "!!!"; two of the 7,405 dev questions have one) shares
  no token with anything: a perfect prediction has EM 1 and F1, precision and recall 0.
- Likewise a question without supporting facts, predicted to have none: EM 1, the rest 0.
- Unicode is compared as it stands: "é" as one code point is another letter than "e" with an accent behind
  it, and of punctuation only ASCII's is removed.
"""

import re
import string
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import fsum
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

METRICS: tuple[str, ...] = (
    "em",
    "f1",
    "prec",
    "recall",
    "sp_em",
    "sp_f1",
    "sp_prec",
    "sp_recall",
    "joint_em",
    "joint_f1",
    "joint_prec",
    "joint_recall",
)
"""The official names in the official order: of the answer, of the supporting facts (SP), of both."""

SupportingFacts: TypeAlias = Iterable[Iterable[Any]]
"""[title, sentence index from 0] pairs, as lists or tuples, in any order."""


class Score(NamedTuple):
    """One part of a question's score; each from 0 (worst) to 1 (best)."""

    em: float
    f1: float
    prec: float
    recall: float


AnswerScore: TypeAlias = Score
SupportingFactsScore: TypeAlias = Score

_Counts: TypeAlias = tuple[bool, int, int, int]
"""Whether a prediction is exact; how many items are shared, predicted and wanted."""

_MISSING: _Counts = (False, 0, 0, 0)
_PUNCTUATION = string.punctuation.encode()  # from bytes it is dropped fastest
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = frozenset({"a", "an", "the"})
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_ALL_OR_NOTHING = (["yes"], ["no"], ["noanswer"])


def normalize_answer(text: str) -> str:
    """The answer in lower case, without ASCII punctuation and English articles, blanks made single.

    >>> normalize_answer(" The  Beatles' 2,615th fan ")
    'beatles 2615th fan'
    """
    return " ".join(_tokens(text))


def _tokens(text: str) -> list[str]:
    text = text.lower()
    if not (text.isascii() and text.isprintable()):
        return _ARTICLE.sub(" ", text.translate(_WITHOUT_PUNCTUATION)).split()
    # Only letters, digits and spaces are left here, so that articles are whole tokens.
    tokens = text.encode().translate(None, _PUNCTUATION).decode().split()
    if _ARTICLES.isdisjoint(tokens):
        return tokens
    return [token for token in tokens if token not in _ARTICLES]


def score_answer(prediction: str, gold: str) -> AnswerScore:
    r"""EM, F1, precision and recall of an answer, over normalised tokens with repetition.

    Two of the prediction's four tokens are found among the gold answer's two, so precision is 2/4,
    recall 2/2, and F1 their harmonic mean:

    >>> score_answer("new york new york", "New York")
    Score(em=0.0, f1=0.6666666666666666, prec=0.5, recall=1.0)

    "yes", "no" and "noanswer" are right or wrong as a whole, on either side:

    >>> score_answer("YES!", "yes").f1, score_answer("yes, it is", "yes").f1
    (1.0, 0.0)
    >>> score_answer("no", "no one")
    Score(em=0.0, f1=0.0, prec=0.0, recall=0.0)

    The oddities of :mod:`hopeval.metrics.hotpotqa`:

    >>> score_answer("The The", "The The")
    Score(em=1.0, f1=0.0, prec=0.0, recall=0.0)
    >>> score_answer("Beyonc\u00e9", "Beyonce\u0301").f1
    0.0
    """
    return _score(_compare_answers(prediction, gold))


def _compare_answers(prediction: str, gold: str) -> _Counts:
    wanted = _tokens(gold)
    predicted = wanted if prediction == gold else _tokens(prediction)
    if predicted == wanted:
        return True, len(wanted), len(wanted), len(wanted)
    if set(wanted).isdisjoint(predicted) or predicted in _ALL_OR_NOTHING or wanted in _ALL_OR_NOTHING:
        return False, 0, len(predicted), len(wanted)
    return False, _count_shared(predicted, wanted), len(predicted), len(wanted)


def _count_shared(predicted: list[str], wanted: list[str]) -> int:
    unused: dict[str, int] = {}
    for token in wanted:
        unused[token] = unused.get(token, 0) + 1
    shared = 0
    for token in predicted:
        if unused.get(token):
            unused[token] -= 1
            shared += 1
    return shared


def score_supporting_facts(prediction: SupportingFacts, gold: SupportingFacts) -> SupportingFactsScore:
    """EM, F1, precision and recall of supporting facts as sets: order and repetition do not matter.

    One of two predicted facts is among the three of gold: precision 1/2, recall 1/3.

    >>> score_supporting_facts([["A", 0], ["B", 1]], [["A", 0], ["A", 2], ["C", 0]])
    Score(em=0.0, f1=0.4, prec=0.5, recall=0.3333333333333333)
    >>> score_supporting_facts([], [])
    Score(em=1.0, f1=0.0, prec=0.0, recall=0.0)
    """
    return _score(_compare_facts(prediction, gold))


def _compare_facts(prediction: SupportingFacts, gold: SupportingFacts) -> _Counts:
    predicted, wanted = set(map(tuple, prediction)), set(map(tuple, gold))
    shared = len(predicted & wanted)
    return shared == len(predicted) == len(wanted), shared, len(predicted), len(wanted)


def _score(counts: _Counts) -> Score:
    """The score that follows from the counts; 0 where it is 0 by 0."""
    exact, shared, predicted, wanted = counts
    prec = shared / predicted if predicted else 0.0
    recall = shared / wanted if wanted else 0.0
    return Score(float(exact), _harmonic_mean(prec, recall), prec, recall)


def _harmonic_mean(prec: float, recall: float) -> float:
    return 2 * prec * recall / (prec + recall) if prec + recall else 0.0


def score_question(
    answer: str | None,
    supporting_facts: SupportingFacts | None,
    gold_answer: str,
    gold_supporting_facts: SupportingFacts | None,
) -> Mapping[str, float]:
    """All twelve METRICS of one question, each from 0 to 1, in a mapping that cannot be changed.

    None is a missing part, which scores 0 and makes the joint metrics 0. Gold facts of None score 0 too:
    they say nothing, so the caller should not report what they give. Joint precision and recall are the
    products of the parts', joint F1 their harmonic mean, joint EM the product of the EMs.

    >>> row = score_question("york", [["A", 0]], "New York", [["A", 0], ["B", 1]])
    >>> row["recall"], row["sp_recall"], row["joint_recall"], row["joint_prec"], row["joint_f1"]
    (0.5, 0.5, 0.25, 1.0, 0.4)
    >>> sum(score_question(None, [["A", 0]], "New York", [["A", 0]]).values())  # SP alone
    4.0
    """
    answer_counts, facts_counts = _MISSING, _MISSING
    if answer is not None:
        answer_counts = _compare_answers(answer, gold_answer)
    if supporting_facts is not None and gold_supporting_facts is not None:
        facts_counts = _compare_facts(supporting_facts, gold_supporting_facts)
    return _row(answer_counts, facts_counts)


@lru_cache(maxsize=4096)  # counts are small, so that few pairs of them cover nearly all questions
def _row(answer_counts: _Counts, facts_counts: _Counts) -> Mapping[str, float]:
    of_answer, of_facts = _score(answer_counts), _score(facts_counts)
    prec, recall = of_answer.prec * of_facts.prec, of_answer.recall * of_facts.recall
    joint = Score(of_answer.em * of_facts.em, _harmonic_mean(prec, recall), prec, recall)
    return MappingProxyType(dict(zip(METRICS, of_answer + of_facts + joint, strict=True)))


def mean_scores(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each of the twelve METRICS over all questions, the same in whatever order they come.

    Raises ValueError when there are none.

    >>> right, wrong = score_question("yes", [], "yes", []), score_question(None, None, "yes", [])
    >>> mean_scores([right, wrong, wrong, wrong])["f1"]
    0.25
    """
    rows = list(rows)
    if not rows:
        raise ValueError("no questions: the mean of nothing is not defined")
    return {name: fsum(map(itemgetter(name), rows)) / len(rows) for name in METRICS}
