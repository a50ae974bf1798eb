"""How good a ranking is: the usual measures by ir-measures, and all-gold recall.

A passage is relevant when its title is one of the question's gold titles. Only questions with
supporting facts are judged.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from hopeval.records import Question

CUTOFFS = (1, 2, 5, 10)


def all_gold(gold_titles: Iterable[str], titles: Sequence[str], k: int | None = None) -> bool:
    """Whether every gold title is among the first ``k`` titles, or among all of them.

    >>> all_gold(["A", "B"], ["B", "C", "A"], 2)
    False
    """
    return set(gold_titles) <= set(titles[:k])


def retrieval_metrics(
    rankings: Mapping[str, Sequence[str]], gold: Mapping[str, Sequence[str]], cutoffs: Collection[int] = CUTOFFS
) -> dict[str, float]:
    """Means over the judged questions, each from 0 to 1; empty when none is judged.

    ``rankings`` maps a question's id to the titles of its passages in rank order, ``gold`` to its gold titles.
    ``recall@k`` is the share of gold titles among the first k passages, ``all_gold_recall@k`` the share of
    questions with all of them there, ``mrr`` the reciprocal rank of the first gold passage, ``ndcg@10``
    normalised discounted cumulative gain (Järvelin and Kekäläinen 2002).
    """
    if not gold:
        return {}
    import ir_measures
    from ir_measures import RR, R, nDCG

    ks = sorted(cutoffs)
    measures = {f"recall@{k}": R @ k for k in ks} | {"mrr": RR, "ndcg@10": nDCG @ 10}
    qrels = {question: dict.fromkeys(_names(titles).values(), 1) for question, titles in gold.items()}
    run = {question: _scored(rankings.get(question, ()), _names(titles)) for question, titles in gold.items()}
    values = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    complete = {
        f"all_gold_recall@{k}": sum(all_gold(gold[q], rankings.get(q, ()), k) for q in gold) / len(gold) for k in ks
    }
    return {name: float(values[measure]) for name, measure in measures.items()} | complete


def _names(gold_titles: Iterable[str]) -> dict[str, str]:
    """A name for each gold title that trec_eval can take, whatever the title holds."""
    return {title: f"gold{i}" for i, title in enumerate(gold_titles)}


def _scored(titles: Sequence[str], names: Mapping[str, str]) -> dict[str, float]:
    """The ranking as trec_eval takes it: documents with scores that keep the order.

    A gold title counts at its first place; a further passage of it takes up its place and is worth
    nothing. trec_eval skips questions without any document, hence one that is never gold.
    """
    scored: dict[str, float] = {}
    for rank, title in enumerate(titles):
        name = names.get(title)
        scored[name if name is not None and name not in scored else f"other{rank}"] = -float(rank)
    return scored or {"none": 0.0}


def judged(questions: Iterable[Question]) -> dict[str, list[str]]:
    """The gold titles of each question that has any."""
    return {question.id: question.gold_titles for question in questions if question.gold_titles}
