"""How good a ranking is: the usual measures by ir-measures, and all-gold recall.

A passage is gold by its id where passages are judged (qrels), with its grade; elsewhere by its title, when that is
of a supporting fact. Names are such ids or titles, see :meth:`hopeval.records.Question.names`. Only questions with
gold passages are judged. One that is nowhere to be found counts all the same: no ranking has it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hopeval.records import Question

CUTOFFS = (1, 2, 5, 10)
"""Of what experiments are measured by."""
DEEP_CUTOFFS = (*CUTOFFS, 20, 100)
"""Of what retrievers are measured by."""
SINGLE = ("mrr@10", "ndcg@10")
"""Further measures of experiments: contexts are at least ten passages deep."""
DEEP_SINGLE = (*SINGLE, "mrr", "map")
"""Further measures of retrievers: the last two are of the whole ranking."""


def all_gold(gold: Iterable[str], names: Sequence[str], k: int | None = None) -> bool:
    """Whether every name in ``gold`` is among the first ``k`` names, or among all of them.

    >>> all_gold(["A", "B"], ["B", "C", "A"], 2)
    False
    """
    return set(gold) <= set(names[:k])


class RetrievalMeans:
    """Means over judged questions as they come, of all and of each type; keeps sums, not questions."""

    def __init__(self, cutoffs: Collection[int]) -> None:
        self._cutoffs = cutoffs
        self._sums: defaultdict[str | None, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._judged: defaultdict[str | None, int] = defaultdict(int)

    def add(self, questions: Iterable[Question], rankings: Mapping[str, Sequence[str]]) -> None:
        """Count these questions in; ``rankings`` maps ids to the names of what was found, best first."""
        those = {question.id: question for question in questions if question.gold}
        for name, values in question_metrics(rankings, judged(those.values()), self._cutoffs, DEEP_SINGLE).items():
            for identifier, value in values.items():
                for group in self._groups(those[identifier]):
                    self._sums[group][name] += value
        for question in those.values():
            for group in self._groups(question):
                self._judged[group] += 1

    def result(self) -> dict[str, Any]:
        """How many questions are judged, the mean of each measure, and the same for each type under ``by_type``."""
        types = sorted(group for group in self._judged if group is not None)
        return {**self._means(None), "by_type": {name: self._means(name) for name in types}}

    def _means(self, group: str | None) -> dict[str, Any]:
        judged = self._judged[group]
        return {"judged": judged, **{name: total / judged for name, total in self._sums[group].items()}}

    @staticmethod
    def _groups(question: Question) -> list[str | None]:
        return [None, question.type] if question.type else [None]


def question_metrics(
    rankings: Mapping[str, Sequence[str]],
    gold: Mapping[str, Mapping[str, int]],
    cutoffs: Collection[int] = CUTOFFS,
    single: Collection[str] = SINGLE,
) -> dict[str, dict[str, float]]:
    """Each measure of each judged question by its id, from 0 to 1; empty when none is judged.

    ``rankings`` maps a question's id to the names of its passages in rank order, ``gold`` to the grades, from 1, of
    its gold passages by name. ``recall@k`` is the share of gold passages among the first k passages,
    ``all_gold_recall@k`` whether all of them are there, ``mrr`` the reciprocal rank of the first gold passage,
    ``mrr@10`` the same or 0 where it is not among the first ten, ``ndcg@10`` normalised discounted cumulative gain
    (Järvelin and Kekäläinen 2002) with the grades as gains, as trec_eval's ndcg_cut, ``map`` the mean over the gold
    passages of the precision at the rank of each. Of these four the ones named by ``single`` are measured.
    """
    if not gold:
        return {}
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    ks = sorted(cutoffs)
    known = {"mrr": RR, "mrr@10": RR @ 10, "ndcg@10": nDCG @ 10, "map": AP}
    measures = {f"recall@{k}": R @ k for k in ks} | {name: known[name] for name in single}
    # trec_eval dies of ids that UTF-8 cannot hold.
    numbers = {str(number): question for number, question in enumerate(gold)}
    qrels = {
        number: dict(zip(_aliases(gold[question]).values(), gold[question].values(), strict=True))
        for number, question in numbers.items()
    }
    run = {
        number: _scored(rankings.get(question, ()), _aliases(gold[question])) for number, question in numbers.items()
    }
    names = {measure: name for name, measure in measures.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in measures}
    for metric in ir_measures.iter_calc(list(measures.values()), qrels, run):
        found[names[metric.measure]][numbers[metric.query_id]] = float(metric.value)
    for k in ks:
        found[f"all_gold_recall@{k}"] = {q: float(all_gold(gold[q], rankings.get(q, ()), k)) for q in gold}
    return found


def _aliases(gold: Iterable[str]) -> dict[str, str]:
    """For each gold name another that trec_eval can take, whatever the name holds."""
    return {name: f"gold{i}" for i, name in enumerate(gold)}


def _scored(names: Sequence[str], aliases: Mapping[str, str]) -> dict[str, float]:
    """The ranking as trec_eval takes it: documents with scores that keep the order.

    A gold title counts at its first place; a further passage of it takes up its place and is worth
    nothing. trec_eval skips questions without any document, hence one that is never gold.
    """
    scored: dict[str, float] = {}
    for rank, name in enumerate(names):
        alias = aliases.get(name)
        scored[alias if alias is not None and alias not in scored else f"other{rank}"] = -float(rank)
    return scored or {"none": 0.0}


def judged(questions: Iterable[Question]) -> dict[str, dict[str, int]]:
    """The gold passages of each question that has any, with their grades."""
    return {question.id: question.gold for question in questions if question.gold}
