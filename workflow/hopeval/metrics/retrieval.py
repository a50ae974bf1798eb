"""How good a ranking is: the usual measures by ir-measures, and all-gold recall.

A passage is relevant when its title is one of the question's gold titles. Only questions with
supporting facts are judged.
"""

from collections.abc import Iterable, Mapping, Sequence

from hopeval.records import Context, Question

CUTOFFS = (1, 2, 5, 10)


def all_gold(gold_titles: Iterable[str], titles: Sequence[str], k: int | None = None) -> bool:
    """Whether every gold title is among the first ``k`` titles, or among all of them.

    >>> all_gold(["A", "B"], ["B", "C", "A"], 2)
    False
    """
    return set(gold_titles) <= set(titles[:k])


def distinct_titles(context: Context) -> list[str]:
    """The titles of a ranking, each at its best rank."""
    return list(dict.fromkeys(passage.title for passage in context.passages))


def retrieval_metrics(
    rankings: Mapping[str, Sequence[str]], gold: Mapping[str, Sequence[str]], depth: int | None = None
) -> dict[str, float]:
    """Means over the judged questions, each from 0 to 1; empty when none is judged.

    ``depth`` is where the rankings were cut off: nothing is said of places beyond it.

    ``rankings`` and ``gold`` map a question's id to titles. ``recall@k`` is the share of gold titles among
    the first k, ``all_gold_recall@k`` the share of questions with all of them there, ``mrr`` the reciprocal
    rank of the first gold title, ``ndcg@10`` (or at the depth, if that is less) normalised discounted
    cumulative gain (Järvelin and Kekäläinen 2002).
    """
    if not gold:
        return {}
    import ir_measures
    from ir_measures import RR, R, nDCG

    cutoffs = [k for k in CUTOFFS if depth is None or k <= depth]
    deepest = min(depth or 10, 10)
    measures = {f"recall@{k}": R @ k for k in cutoffs} | {"mrr": RR, f"ndcg@{deepest}": nDCG @ deepest}
    qrels = {question: dict.fromkeys(titles, 1) for question, titles in gold.items()}
    # trec_eval breaks ties by document id; descending places keep the order of the ranking. It also skips
    # questions without any passage, so that a title that is no gold stands in for an empty ranking.
    run = {
        question: {title: -float(rank) for rank, title in enumerate(rankings.get(question) or ["\0nothing"])}
        for question in gold
    }
    values = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    complete = {
        f"all_gold_recall@{k}": sum(all_gold(gold[q], rankings.get(q, ()), k) for q in gold) / len(gold)
        for k in cutoffs
    }
    return {name: float(values[measure]) for name, measure in measures.items()} | complete


def judged(questions: Iterable[Question]) -> dict[str, list[str]]:
    """The gold titles of each question that has any."""
    return {question.id: question.gold_titles for question in questions if question.gold_titles}
