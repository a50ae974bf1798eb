"""Which of two experiments is better, and whether that is more than chance.

Pairs are compared question by question, on the questions that both have a score for. The differences of
all pairs come from the same resamples and the same sign flips.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from hopeval.metrics.stats import (
    RESAMPLES,
    alike_interval,
    holm,
    mcnemar_p,
    percentile_interval,
    resampled_means,
    sign_flip_p,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = Mapping[str, Mapping[str, NDArray[np.float64]]]

COMPARED = ("em", "f1", "sp_em", "sp_f1", "joint_em", "joint_f1")
"""The metrics that experiments are compared by."""
LEVEL = 0.05
"""A difference is called one when its corrected p-value is smaller."""
_DIFFERENCES = (-1.0, 1.0)  # between two scores of 0 to 1


class Comparison(NamedTuple):
    """Two experiments by one metric, on the questions that both have a score for."""

    a: str
    b: str
    metric: str
    questions: int
    mean_a: float
    mean_b: float
    difference: float
    """Of the means, a less b, with its 95 % interval."""
    low: float
    high: float
    a_better: int
    """Questions on which a scores higher; on ``b_better`` b does, on the others they are even."""
    b_better: int
    p_permutation: float
    p_mcnemar: float | None
    """Of McNemar's exact test; None for a metric that is more than right or wrong."""
    p_holm: float
    """Corrected for the number of pairs: of McNemar's p where there is one, which needs no sampling."""

    @property
    def better(self) -> str | None:
        """The name of the better one; None for a tie."""
        if self.p_holm >= LEVEL:
            return None
        return self.a if self.difference > 0 else self.b


def compare_all(scores: "Scores", metrics: Sequence[str] = COMPARED) -> list[Comparison]:
    """Every pair of experiments by every metric, pairs in the order of ``scores``.

    ``scores`` has an array for each experiment and metric, question i at place i of each, NaN where there
    is no score. A pair without a question in common is left out.
    """
    pairs = list(combinations(scores, 2))
    found = {}
    for known, members in _by_questions(scores, pairs, metrics).items():
        found.update(_compare_over(scores, known, members, flips=max(RESAMPLES, 40 * len(pairs))))
    return [
        comparison._replace(p_holm=p)
        for metric in metrics
        for comparison, p in _corrected([found[metric, a, b] for a, b in pairs if (metric, a, b) in found])
    ]


def _by_questions(
    scores: "Scores", pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> dict[bytes, list[tuple[str, str, str]]]:
    """(metric, a, b) by the questions they are compared on: as a rule all have the same."""
    import numpy as np

    found: dict[bytes, list[tuple[str, str, str]]] = defaultdict(list)
    for metric in metrics:
        known = {name: ~np.isnan(columns[metric]) for name, columns in scores.items()}
        for a, b in pairs:
            both = known[a] & known[b]
            if both.any():
                found[both.tobytes()].append((metric, a, b))
    return found


def _compare_over(
    scores: "Scores", known: bytes, members: Sequence[tuple[str, str, str]], flips: int
) -> dict[tuple[str, str, str], Comparison]:
    """These pairs on the questions that are marked in ``known``."""
    import numpy as np

    mask = np.frombuffer(known, dtype=bool)
    columns = dict.fromkeys((name, metric) for metric, a, b in members for name in (a, b))
    places = {column: place for place, column in enumerate(columns)}
    table = np.column_stack([scores[name][metric][mask] for name, metric in columns])
    pairs = {member: (places[member[1], member[0]], places[member[2], member[0]]) for member in members}
    p_values = _permutation_p_values(table, pairs, flips)
    values, means = np.ascontiguousarray(table.T), np.ascontiguousarray(resampled_means(table).T)
    return {
        member: _comparison(
            member, values[i], values[j], _interval(values[i] - values[j], means[i] - means[j]), p_values[member]
        )
        for member, (i, j) in pairs.items()
    }


def _permutation_p_values(
    table: "NDArray[np.float64]", pairs: Mapping[tuple[str, str, str], tuple[int, int]], flips: int
) -> dict[tuple[str, str, str], float]:
    """Many pairs need many flips to stay significant when corrected: but where McNemar's p is, that is taken."""
    groups = defaultdict(list)
    for member in pairs:
        groups[RESAMPLES if _binary(member[0]) else flips].append(member)
    found: dict[tuple[str, str, str], float] = {}
    for number, members in groups.items():
        p_values = sign_flip_p(table, [pairs[member] for member in members], flips=number)
        found.update(zip(members, p_values, strict=True))
    return found


def _interval(differences: "NDArray[np.float64]", means: "NDArray[np.float64]") -> tuple[float, float]:
    if (differences == differences[0]).all():
        return alike_interval(float(differences[0]), len(differences), _DIFFERENCES)
    low, high = percentile_interval(means)
    return float(low), float(high)


def _comparison(
    pair: tuple[str, str, str],
    a: "NDArray[np.float64]",
    b: "NDArray[np.float64]",
    interval: tuple[float, float],
    p_permutation: float,
) -> Comparison:
    metric, name_a, name_b = pair
    a_better, b_better = int((a > b).sum()), int((a < b).sum())
    p_mcnemar = mcnemar_p(a_better, b_better) if _binary(metric) else None
    return Comparison(
        a=name_a,
        b=name_b,
        metric=metric,
        questions=len(a),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float((a - b).mean()),
        low=interval[0],
        high=interval[1],
        a_better=a_better,
        b_better=b_better,
        p_permutation=p_permutation,
        p_mcnemar=p_mcnemar,
        p_holm=p_permutation if p_mcnemar is None else p_mcnemar,
    )


def _binary(metric: str) -> bool:
    """Whether a question is right or wrong by it, so that McNemar's test can be had."""
    return metric.endswith("em")


def _corrected(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, float]]:
    return list(zip(comparisons, holm([comparison.p_holm for comparison in comparisons]), strict=True))


def places(names: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, int]:
    """The place of each experiment on a leaderboard, from 1; ``names`` come best first.

    One shares the place above it unless an experiment there is significantly better; after two on place 1
    comes place 3, as in a race. So no two on one place differ significantly. ``comparisons`` are by one
    metric; who is in none of them shares the place above.

    A tie may stand on two places: of three, the first may beat the third alone. Then the third has a place
    of its own, though the second does not beat it.
    """
    beaten = {(c.better, c.b if c.better == c.a else c.a) for c in comparisons if c.better is not None}
    found: dict[str, int] = {}
    group: list[str] = []  # who shares the last place
    for position, name in enumerate(names, 1):
        if not group or any((other, name) in beaten for other in group):
            group = []
        group.append(name)
        found[name] = found[group[0]] if len(group) > 1 else position
    return found
