"""How sure a mean is, and a difference of means: bootstrap, sign flips, McNemar's test, Holm's correction.

Questions are what is drawn, flipped and counted, all metrics of a question together: one set of draws
serves every column. What each number means, with worked examples: docs/statistics.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
_CELLS_PER_BLOCK = 1_000_000  # resamples x questions drawn at a time, 8 bytes each and a few copies
_ROWS_PER_BLOCK = 4_096  # of few questions: each row has a sum for every experiment


def bootstrap_intervals(
    columns: "Mapping[str, Sequence[float] | Floats]",
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """The percentile bootstrap interval (low, high) of the mean of each column, by name (Efron 1979).

    Row i of every column belongs to question i: questions are drawn, once for all columns. Each interval
    lies within the range of its column, or, where all of it is equal, within ``bounds``; a NaN in a column
    makes its interval NaN. Raises ValueError without columns or values, for columns of unequal length, for
    a confidence that is not between 0 and 1, or without resamples. The same values, options and seed give the
    same intervals.

    >>> bootstrap_intervals({"em": [0.25]})
    {'em': (0.25, 0.25)}
    >>> low, high = bootstrap_intervals({"em": [0.0, 1.0] * 50})["em"]
    >>> f"{low:.2f} to {high:.2f}"  # by theory 0.5 - 1.96 * 0.05 = 0.40 to 0.60
    '0.40 to 0.60'
    """
    import numpy as np

    _check(columns, confidence, resamples)
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns.values()])
    means = resampled_means(table, resamples=resamples, seed=seed)
    lows, highs = percentile_interval(means, confidence)
    found = dict(zip(columns, zip(lows.tolist(), highs.tolist(), strict=True), strict=True))
    if bounds is not None:
        alike = (table == table[0]).all(axis=0)
        for name, value, same in zip(columns, table[0].tolist(), alike, strict=True):
            if same:
                found[name] = alike_interval(value, len(table), bounds, confidence)
    return found


def resampled_means(table: "Floats", *, resamples: int = RESAMPLES, seed: int = 0) -> "Floats":
    """The mean of each column in each resample of the rows: shape (resamples, columns).

    Draws depend on the seed and the number of rows alone, so that means of several tables over the same
    questions can be subtracted resample by resample.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    # How often each question was drawn, times its values: the sums of the resamples, as one product.
    sums = np.concatenate([counts @ table for counts in _draw_counts(rng, len(table), resamples)])
    # What rounding adds must not lead out of the column's own range.
    return np.clip(sums / len(table), table.min(axis=0), table.max(axis=0))


def percentile_interval(means: "Floats", confidence: float = CONFIDENCE) -> "tuple[Floats, Floats]":
    """The lower and the upper end for each column of resampled means."""
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def alike_interval(
    value: float, questions: int, bounds: tuple[float, float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The interval of a mean when all questions have the same value, where a bootstrap would have no width.

    That n questions are alike leaves room for a share p of others, p = 1 - (tail)^(1/n): the exact upper
    limit of Clopper and Pearson (1934) for 0 of n. At worst those others lie at the metric's ``bounds``.

    >>> low, high = alike_interval(0.0, 20, (0, 1))  # no answer of 20 is right
    >>> f"{low:.3f} to {high:.3f}"
    '0.000 to 0.168'
    """
    unlike = 1 - ((1 - confidence) / 2) ** (1 / questions)
    low, high = bounds
    return value - unlike * (value - low), value + unlike * (high - value)


def _check(columns: "Mapping[str, Sequence[float] | Floats]", confidence: float, resamples: int) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths or not min(lengths.values()):
        raise ValueError(f"no values to resample: {lengths or 'no columns'}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length, so their rows are not the same questions: {lengths}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; at least 1 is needed")


def _draw_counts(rng: "np.random.Generator", size: int, resamples: int) -> "Iterator[Floats]":
    """How often each of ``size`` rows is in each resample: blocks of shape (resamples of it, size).

    Memory does not grow with the number of resamples.
    """
    import numpy as np

    for height in _heights(size, resamples):
        drawn = rng.integers(size, size=(height, size))
        drawn += np.arange(0, height * size, size)[:, np.newaxis]  # a cell of its own for (resample, row)
        counts = np.bincount(drawn.ravel(), minlength=height * size)
        yield counts.reshape(height, size).astype(np.float64)


def _heights(size: int, rows: int) -> Iterator[int]:
    """How many of ``rows`` rows of ``size`` cells to hold in memory at a time."""
    block = min(max(1, _CELLS_PER_BLOCK // size), _ROWS_PER_BLOCK)
    yield from (min(block, rows - start) for start in range(0, rows, block))


def sign_flip_p(
    table: "Floats", pairs: Sequence[tuple[int, int]], *, flips: int = RESAMPLES, seed: int = 0
) -> list[float]:
    """Two-sided p-values of a paired permutation test, for each pair of columns.

    If the two were as good as each other, each question's difference could as well have the other sign
    (Fisher 1935): how often do flipped differences add up to as much? The observed order counts as one of
    the flips, so that p is never 0 (Phipson and Smyth 2010). Sums are linear: those of a - b are those of a
    less those of b, so that one set of flips serves all pairs. No sums are kept but those of a block.
    """
    import numpy as np

    used = {column: place for place, column in enumerate(sorted({column for pair in pairs for column in pair}))}
    columns = np.ascontiguousarray(table.T[list(used)])
    totals = columns.sum(axis=1)
    others: dict[int, list[int]] = {}
    for a, b in dict.fromkeys(pairs):
        others.setdefault(used[a], []).append(used[b])
    as_far = {a: np.zeros(len(found), dtype=int) for a, found in others.items()}
    for sums in _flipped_sums(columns, flips, seed):
        for a, found in others.items():
            observed = np.abs(totals[found] - totals[a]) - 1e-9  # but for rounding
            as_far[a] += np.count_nonzero(np.abs(sums[found] - sums[a]) >= observed[:, np.newaxis], axis=1)
    counts = {(a, b): int(count) for a, found in others.items() for b, count in zip(found, as_far[a], strict=True)}
    return [(counts[used[a], used[b]] + 1) / (flips + 1) for a, b in pairs]


def _flipped_sums(columns: "Floats", flips: int, seed: int) -> "Iterator[Floats]":
    """The sum of each of the ``columns`` (one a row) with the signs of its values flipped at random.

    Blocks of shape (columns, flips of it).
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    size = columns.shape[1]
    for height in _heights(size, flips):
        bits = rng.integers(256, size=(height, (size + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=size).astype(np.float64)
        yield 2 * (columns @ signs.T) - columns.sum(axis=1)[:, np.newaxis]


def mcnemar_p(a_only: int, b_only: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947): ``a_only`` questions are right in a alone, and so on.

    If the two were as good as each other, each question that tells them apart would be a toss of a coin.

    >>> mcnemar_p(9, 2)  # 2 * (1 + 11 + 55) / 2**11
    0.0654296875
    >>> mcnemar_p(4, 4), mcnemar_p(0, 0)
    (1.0, 1.0)
    """
    n, fewer = a_only + b_only, min(a_only, b_only)
    if a_only == b_only:
        return 1.0
    ways, tail = 1, 1  # of i heads in n tosses, and of at most i
    for i in range(fewer):
        ways = ways * (n - i) // (i + 1)
        tail += ways
    return float(2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979), in the order given.

    Of m, the smallest is multiplied by m, the next by m - 1, and so on; none becomes smaller than one
    before it. The chance of any false alarm among them all stays below the level they are compared with.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected
