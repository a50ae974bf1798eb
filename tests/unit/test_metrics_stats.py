"""Bootstrap intervals: against SciPy, against theory, and the same on every run."""

import doctest
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from hopeval.metrics import stats
from hopeval.metrics.stats import bootstrap_intervals


def bootstrap_interval(values: list[float], **options: Any) -> tuple[float, float]:
    """The interval of one column."""
    return bootstrap_intervals({"values": values}, **options)["values"]


def test_documented_examples() -> None:
    outcome = doctest.testmod(stats)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("kind", ["em", "f1", "skewed"])
def test_equals_scipy_but_for_chance(kind: str, confidence: float) -> None:
    rng = np.random.default_rng(3)
    values = {
        "em": rng.integers(2, size=400).astype(float),
        "f1": rng.beta(0.5, 0.5, size=400),
        "skewed": rng.exponential(size=60),
    }[kind]
    theirs = bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=20_000, method="percentile", rng=4
    ).confidence_interval
    low, high = bootstrap_interval(values.tolist(), confidence=confidence, resamples=20_000)
    step = 1 / len(values) if kind == "em" else 0  # between two means that are possible at all
    tolerance = 0.02 * (theirs.high - theirs.low) + step
    assert low == pytest.approx(theirs.low, abs=tolerance)
    assert high == pytest.approx(theirs.high, abs=tolerance)


def test_every_resample_of_two_values_by_hand() -> None:
    # Two draws from {0, 1}: the mean is 0, 1/2, 1 with probability 1/4, 1/2, 1/4. The 2.5th percentile is
    # 0 and the 97.5th 1; the 30th and the 70th are both 1/2.
    assert bootstrap_interval([0.0, 1.0], confidence=0.95) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    trials, truth = 500, 0.4
    hits = 0
    for trial in range(trials):
        values = (rng.random(120) < truth).astype(float).tolist()
        low, high = bootstrap_interval(values, resamples=1_000, seed=trial)
        hits += low <= truth <= high
    assert 0.92 <= hits / trials <= 0.98


def test_the_same_on_every_run_and_another_with_another_seed() -> None:
    values = np.random.default_rng(1).random(300).tolist()
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_narrows_with_less_confidence_and_with_more_values() -> None:
    values = np.random.default_rng(1).random(200).tolist()

    def width(of: list[float], confidence: float) -> float:
        low, high = bootstrap_interval(of, confidence=confidence)
        return high - low

    assert width(values, 0.5) < width(values, 0.95) < width(values, 0.99)
    # Four times the values, half the width.
    assert width(values * 4, 0.95) == pytest.approx(width(values, 0.95) / 2, rel=0.05)


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(2).random(500)
    columns = {"one": values.tolist(), "opposite": (1 - values).tolist(), "double": (2 * values).tolist()}
    found = bootstrap_intervals(columns, resamples=2_000)
    assert list(found) == ["one", "opposite", "double"]
    low, high = found["one"]
    assert found["opposite"] == pytest.approx((1 - high, 1 - low), abs=1e-12)
    assert found["double"] == pytest.approx((2 * low, 2 * high), abs=1e-12)
    assert found["one"] == pytest.approx(bootstrap_interval(columns["one"], resamples=2_000), abs=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(50).tolist()
    whole = bootstrap_interval(values, resamples=1_000)
    monkeypatch.setattr(stats, "_CELLS_PER_BLOCK", 50 * 7)  # 142 blocks of 7 and one of 6
    assert bootstrap_interval(values, resamples=1_000) == pytest.approx(whole, abs=1e-12)
    monkeypatch.setattr(stats, "_CELLS_PER_BLOCK", 1)  # smaller than one resample
    assert bootstrap_interval(values, resamples=1_000) == pytest.approx(whole, abs=1e-12)


def test_memory_stays_small() -> None:
    columns = {str(number): np.random.default_rng(number).random(7_405).tolist() for number in range(12)}
    tracemalloc.start()
    bootstrap_intervals(columns, resamples=1_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -3.5])
def test_one_value_is_its_own_interval(value: float) -> None:
    assert bootstrap_interval([value]) == (value, value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_lies_within_the_values(values: list[float], confidence: float) -> None:
    low, high = bootstrap_interval(values, confidence=confidence, resamples=50)
    assert min(values) <= low <= high <= max(values)


def test_equal_values_have_no_width() -> None:
    assert bootstrap_interval([0.1] * 77) == (0.1, 0.1)


def test_nan_spoils_its_own_column_only() -> None:
    found = bootstrap_intervals({"bad": [0.0, float("nan")], "good": [1.0, 1.0]}, resamples=100)
    assert np.isnan(found["bad"]).all()
    assert found["good"] == (1.0, 1.0)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="no columns"):
        bootstrap_intervals({})
    with pytest.raises(ValueError, match="differ in length"):
        bootstrap_intervals({"a": [1.0], "b": [1.0, 2.0]})
    for confidence in (0, 1, 95, -0.1, float("nan")):
        with pytest.raises(ValueError, match="confidence"):
            bootstrap_interval([1.0], confidence=confidence)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0], resamples=0)
