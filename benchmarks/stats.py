"""What intervals and comparisons cost and whether they keep their word: against SciPy, and by simulation.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/stats.py

Seconds for the twelve metrics of 7,405 questions with 10,000 resamples, beside scipy.stats.bootstrap on the
same numbers (which draws anew for each metric), and for all pairs of so many experiments by six metrics, beside
scipy.stats.permutation_test for each pair. Then how often 95 % intervals cover the truth, for samples small
and large and shares near the end of the range, where the percentile bootstrap is known to be too short.
The best run of ``--repeat`` counts.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from goals import goal

from hopeval.metrics.compare import COMPARED, compare_all
from hopeval.metrics.hotpotqa import METRICS
from hopeval.metrics.stats import RESAMPLES, bootstrap_intervals

GOAL_S = 10.0
SHARES = (0.5, 0.35, 0.1, 0.05, 0.0)
SIZES = (20, 100, 500, 7_405)


def made_up(questions: int, columns: int, seed: int = 0) -> np.ndarray:
    """Scores: every other column right or wrong, the others between, as EM and F1 are."""
    rng = np.random.default_rng(seed)
    table = rng.beta(0.4, 0.6, (questions, columns))
    table[:, ::2] = rng.random((questions, (columns + 1) // 2)) < 0.4
    return table


def best(repeat: int, run: Callable[[], Any]) -> float:
    """The shortest time of so many runs, in seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def intervals(arguments: argparse.Namespace) -> bool:
    """Print what the intervals of twelve metrics cost; whether the goal is met."""
    from scipy.stats import bootstrap

    table = made_up(arguments.questions, len(METRICS))
    columns = {name: table[:, i].tolist() for i, name in enumerate(METRICS)}
    ours = best(arguments.repeat, lambda: bootstrap_intervals(columns))

    def theirs() -> None:
        for i in range(len(METRICS)):
            bootstrap((table[:, i],), np.mean, n_resamples=RESAMPLES, method="percentile", batch=200, rng=0)

    seconds = best(1, theirs)
    said = f"{arguments.questions} questions x {len(METRICS)} metrics x {RESAMPLES} resamples"
    print(f"{said}: hopeval {ours:.2f} s   scipy {seconds:.2f} s   ratio {seconds / ours:.1f}")
    return goal(f"seconds of the intervals of {len(METRICS)} metrics", ours, most=GOAL_S)


def comparisons(arguments: argparse.Namespace) -> None:
    """Print what all pairs cost."""
    from scipy.stats import permutation_test

    tables = [made_up(arguments.questions, len(COMPARED), seed) for seed in range(arguments.experiments)]
    scores = {
        f"e{i}": {name: table[:, column] for column, name in enumerate(COMPARED)} for i, table in enumerate(tables)
    }
    ours = best(arguments.repeat, lambda: compare_all(scores))

    def one_pair() -> None:
        data = (tables[0][:, 1], tables[1][:, 1])
        permutation_test(data, _mean_difference, permutation_type="samples", n_resamples=RESAMPLES, batch=200, rng=0)

    pairs = arguments.experiments * (arguments.experiments - 1) // 2 * len(COMPARED)
    seconds = pairs * best(1, one_pair)
    print(
        f"{pairs} pairs and metrics, intervals and tests: hopeval {ours:.2f} s   "
        f"scipy's tests alone, from one pair, {seconds:.0f} s   ratio {seconds / ours:.0f}"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"most memory so far: {peak:.2f} GB")


def _mean_difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(a - b, axis=axis)


def coverage(trials: int) -> None:
    """Print how often the interval of a share holds the truth."""
    print(f"\n95 % intervals that cover the true share, of {trials} samples each (and their mean width in points)")
    print("questions" + "".join(f"{f'share {share:g}':>18}" for share in SHARES))
    for size in SIZES:
        cells = [_covered(size, share, trials) for share in SHARES]
        print(f"{size:>9}" + "".join(f"{f'{hits:.1%} ({100 * width:.1f})':>18}" for hits, width in cells))


def _covered(size: int, share: float, trials: int) -> tuple[float, float]:
    rng = np.random.default_rng(size)
    found: dict[int, tuple[float, float]] = {}  # the interval depends on how many are right alone, nearly
    hits, width = 0, 0.0
    for right in rng.binomial(size, share, trials).tolist():
        if right not in found:
            values = [1.0] * right + [0.0] * (size - right)
            found[right] = bootstrap_intervals({"em": values}, resamples=2_000, bounds=(0.0, 1.0))["em"]
        low, high = found[right]
        hits += low <= share <= high
        width += high - low
    return hits / trials, width / trials


def main() -> int:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=7_405)
    parser.add_argument("--experiments", type=int, default=6)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--trials", type=int, default=2_000)
    arguments = parser.parse_args()
    met = intervals(arguments)
    comparisons(arguments)
    coverage(arguments.trials)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
