"""How sure a mean is: bootstrap intervals over questions (Efron 1979), the percentile method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CELLS_PER_BLOCK = 1_000_000  # resamples x questions drawn at a time, 8 bytes each and a few copies


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of the mean of ``values``.

    The same values, options and seed give the same interval. One value gives (value, value). Raises
    ValueError without values, for a confidence that is not between 0 and 1, or without resamples.

    >>> bootstrap_interval([0.25])
    (0.25, 0.25)
    >>> low, high = bootstrap_interval([0.0, 1.0] * 50)
    >>> f"{low:.2f} to {high:.2f}"  # by theory 0.5 - 1.96 * 0.05 = 0.40 to 0.60
    '0.40 to 0.60'
    """
    columns = {"values": values}
    return bootstrap_intervals(columns, confidence=confidence, resamples=resamples, seed=seed)["values"]


def bootstrap_intervals(
    columns: Mapping[str, Sequence[float]],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The percentile bootstrap interval (low, high) of the mean of each column, by name.

    Row i of every column belongs to question i: questions are drawn, once for all columns. Each interval
    lies within the range of its column; a NaN in a column makes its interval NaN. Raises ValueError
    without columns or values, for columns of unequal length, for a confidence that is not between 0 and 1,
    or without resamples.
    """
    import numpy as np

    _check(columns, confidence, resamples)
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns.values()])
    rng = np.random.default_rng(seed)
    # How often each question was drawn, times its values: the sums of the resamples, as one product.
    sums = np.concatenate([counts @ table for counts in _draw_counts(rng, len(table), resamples)])
    means = np.clip(sums / len(table), table.min(axis=0), table.max(axis=0))
    tail = (1 - confidence) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0).tolist()
    return dict(zip(columns, zip(lows, highs, strict=True), strict=True))


def _check(columns: Mapping[str, Sequence[float]], confidence: float, resamples: int) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths or not min(lengths.values()):
        raise ValueError(f"no values to resample: {lengths or 'no columns'}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length, so their rows are not the same questions: {lengths}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; at least 1 is needed")


def _draw_counts(rng: "np.random.Generator", size: int, resamples: int) -> "Iterator[NDArray[np.float64]]":
    """How often each of ``size`` rows is in each resample: blocks of shape (resamples of it, size).

    Memory does not grow with the number of resamples.
    """
    import numpy as np

    block = max(1, _CELLS_PER_BLOCK // size)
    for start in range(0, resamples, block):
        height = min(block, resamples - start)
        drawn = rng.integers(size, size=(height, size))
        drawn += np.arange(0, height * size, size)[:, np.newaxis]  # a cell of its own for (resample, row)
        counts = np.bincount(drawn.ravel(), minlength=height * size)
        yield counts.reshape(height, size).astype(np.float64)
