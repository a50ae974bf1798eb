"""Comparing experiments: against SciPy, by hand, and by simulation."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from hopeval.metrics import compare, failures, stats
from hopeval.metrics.compare import LEVEL, compare_all, places
from hopeval.metrics.stats import (
    alike_interval,
    bootstrap_intervals,
    holm,
    mcnemar_p,
    percentile_interval,
    resampled_means,
    sign_flip_p,
)

TRIALS = 1_000


def made_up(
    a: list[float], b: list[float], metric: str = "em", **more: list[float]
) -> dict[str, dict[str, np.ndarray]]:
    return {name: {metric: np.array(values, float)} for name, values in {"a": a, "b": b, **more}.items()}


def one(a: list[float], b: list[float], metric: str = "em") -> compare.Comparison:
    (found,) = compare_all(made_up(a, b, metric), [metric])
    return found


@pytest.mark.parametrize("module", [stats, compare, failures])
def test_documented_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0


# McNemar, Holm, sign flips: against SciPy and by hand


@pytest.mark.parametrize(("a_only", "b_only"), [(0, 0), (1, 0), (3, 5), (9, 2), (40, 41), (300, 200), (0, 2000)])
def test_mcnemar_equals_the_binomial_test(a_only: int, b_only: int) -> None:
    n = a_only + b_only
    expected = scipy_stats.binomtest(a_only, n).pvalue if n else 1.0
    assert mcnemar_p(a_only, b_only) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_p(a_only, b_only) == mcnemar_p(b_only, a_only)


def test_mcnemar_takes_thousands_of_questions() -> None:
    assert 0 < mcnemar_p(3_600, 3_805) < 0.05
    assert mcnemar_p(7_405, 0) == 0.0  # smaller than a float can be


def test_holm_by_hand() -> None:
    # Holm (1979) on five p-values: 5 x .001, 4 x .01, 3 x .02, 2 x .03, then .04 but no less than before.
    assert holm([0.04, 0.01, 0.03, 0.001, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.005, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_corrects_upwards(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))
    for i, p in enumerate(p_values):
        for j, q in enumerate(p_values):
            if p < q:
                assert corrected[i] <= corrected[j]


def test_sign_flips_by_hand() -> None:
    # Differences 1, 1, 1: of the eight ways to sign them two add up to 3 or -3, so p = 1/4.
    # Differences 1, 1, 0: two of the four add up to 2 or -2, so p = 1/2.
    table = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    found = sign_flip_p(table, [(0, 1), (2, 0), (1, 0)], flips=40_000)
    assert found == pytest.approx([1 / 4, 1 / 2, 1 / 4], abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_sign_flips_equal_scipys_permutation_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.beta(0.5, 0.5, 60), rng.beta(0.5, 0.6, 60)
    expected = scipy_stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=20_000, rng=9
    ).pvalue
    assert one(a.tolist(), b.tolist(), "f1").p_permutation == pytest.approx(expected, abs=0.015)


def test_for_right_or_wrong_both_tests_are_one() -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.random(200) < 0.5).astype(float), (rng.random(200) < 0.42).astype(float)
    found = one(a.tolist(), b.tolist())
    assert found.p_mcnemar is not None
    assert found.p_permutation == pytest.approx(found.p_mcnemar, abs=0.015)


def test_p_is_never_zero() -> None:
    assert one([1.0] * 200, [0.0] * 200, "f1").p_permutation == pytest.approx(1 / 10_001)


# Paired differences


def test_a_paired_difference_by_hand() -> None:
    found = one([1, 1, 1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1, 1])
    assert (found.questions, found.mean_a, found.mean_b, found.difference) == (8, 5 / 8, 3 / 8, 2 / 8)
    assert (found.a_better, found.b_better) == (3, 1)
    assert found.p_mcnemar == 10 / 16  # 2 * (1 + 4) / 2^4
    assert found.better is None


def test_the_interval_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(300), rng.random(300)
    found = one(a.tolist(), b.tolist(), "f1")
    (interval,) = bootstrap_intervals({"a - b": (a - b).tolist()}).values()
    assert (found.low, found.high) == pytest.approx(interval, abs=1e-12)
    theirs = scipy_stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=10_000, rng=2
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(2)
    a = rng.random(400)
    found = one(a.tolist(), (a + rng.normal(0, 0.01, 400)).tolist(), "f1")
    assert found.high - found.low < 0.004


def test_equal_answers_are_a_tie_with_room_for_others() -> None:
    found = one([1.0, 0.0] * 10, [1.0, 0.0] * 10)
    assert (found.difference, found.p_permutation, found.p_mcnemar, found.better) == (0, 1.0, 1.0, None)
    assert (found.low, found.high) == pytest.approx((-0.168, 0.168), abs=1e-3)


def test_only_questions_that_both_have_are_compared() -> None:
    nan = math.nan
    found = {(c.a, c.b): c for c in compare_all(made_up([1, 1, nan, 0], [0, nan, 1, 0], c=[nan, nan, 1, nan]), ["em"])}
    assert {pair: c.questions for pair, c in found.items()} == {("a", "b"): 2, ("b", "c"): 1}
    assert found["a", "b"].difference == 0.5


def test_a_pair_is_compared_alike_whoever_else_is_there() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (rng.random(100).tolist() for _ in range(3))
    alone, among = compare_all(made_up(a, b), ["em"])[0], compare_all(made_up(a, b, c=c), ["em"])[0]
    assert among.difference == alone.difference
    assert (among.low, among.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert among.p_permutation == alone.p_permutation


def test_the_same_on_every_run() -> None:
    rng = np.random.default_rng(4)
    scores = made_up(rng.random(80).tolist(), rng.random(80).tolist())
    assert compare_all(scores, ["em"]) == compare_all(scores, ["em"])


def test_many_pairs_have_flips_enough_to_differ() -> None:
    many = {f"e{i:02d}": [float(i < 20)] * 60 for i in range(40)}
    found = compare_all({name: {"f1": np.array(values)} for name, values in many.items()}, ["f1"])
    assert len(found) == 780
    assert sum(c.better is not None for c in found) == 20 * 20


# Places


def test_places_are_shared_by_ties_and_then_skipped() -> None:
    tie, clear = [1.0] * 60 + [0.0] * 40, [0.0] * 100
    scores = {name: {"em": np.array(values)} for name, values in {"a": tie, "b": tie, "c": clear, "d": clear}.items()}
    assert places(list(scores), compare_all(scores, ["em"])) == {"a": 1, "b": 1, "c": 3, "d": 3}
    assert places(["a"], []) == {"a": 1}


def test_sharing_need_not_carry_on() -> None:
    # The first beats the third alone: 8 differences lie between neighbours, 16 between the ends.
    order = {
        name: np.array([1.0] * right + [0.0] * (100 - right)) for name, right in {"a": 52, "b": 47, "c": 42}.items()
    }
    found = compare_all({name: {"em": values} for name, values in order.items()}, ["em"])
    assert [c.better for c in found] == [None, "a", None]
    assert places(list(order), found) == {"a": 1, "b": 1, "c": 3}


def test_who_is_beaten_by_any_above_has_another_place() -> None:
    # a leads by all or nothing, which may be chance; b is better than c by a little, but on every question.
    columns = {"a": [1.0] * 28 + [0.0] * 72, "b": [0.26] * 100, "c": [0.25] * 100}
    scores = {name: np.array(values) for name, values in columns.items()}
    found = compare_all({name: {"f1": values} for name, values in scores.items()}, ["f1"])
    assert [(c.a, c.b, c.better) for c in found] == [("a", "b", None), ("a", "c", None), ("b", "c", "b")]
    assert places(list(scores), found) == {"a": 1, "b": 1, "c": 3}


# Intervals without width


def test_the_interval_of_equal_values_is_clopper_and_pearsons() -> None:
    for n in (1, 3, 20, 500):
        exact = scipy_stats.binomtest(0, n).proportion_ci(method="exact")
        assert alike_interval(0.0, n, (0, 1)) == pytest.approx((exact.low, exact.high), abs=1e-12)
        assert alike_interval(1.0, n, (0, 1)) == pytest.approx((1 - exact.high, 1.0), abs=1e-12)
    low, high = alike_interval(0.4, 20, (0, 1))
    assert low < 0.4 < high


def test_bounds_matter_for_equal_values_only() -> None:
    columns = {"same": [0.0] * 20, "other": [0.0, 1.0] * 10}
    with_bounds, without = bootstrap_intervals(columns, bounds=(0, 1)), bootstrap_intervals(columns)
    assert without["same"] == (0.0, 0.0)
    assert with_bounds["same"] == (0.0, pytest.approx(0.168, abs=1e-3))
    assert with_bounds["other"] == without["other"]


# By simulation. The seeds are fixed; with 1,000 trials a share of 5 % has a standard error of 0.7 %.


@pytest.mark.parametrize("kind", ["em", "f1"])
def test_intervals_cover_the_truth_in_95_of_100(kind: str) -> None:
    rng = np.random.default_rng(11)
    truth = 0.35 if kind == "em" else 0.5
    hits = 0
    for trial in range(TRIALS):
        values = rng.random(200) < truth if kind == "em" else rng.beta(0.5, 0.5, 200)
        low, high = percentile_interval(resampled_means(values[:, None].astype(float), resamples=1_000, seed=trial))
        hits += low[0] <= truth <= high[0]
    assert 0.93 <= hits / TRIALS <= 0.97


def test_intervals_of_differences_cover_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(12)
    hits = 0
    for trial in range(TRIALS):
        hard = rng.random(200)  # both find the same questions hard
        differences = (hard < 0.45).astype(float) - (hard + rng.normal(0, 0.2, 200) < 0.35)
        low, high = percentile_interval(resampled_means(differences[:, None], resamples=1_000, seed=trial))
        hits += low[0] <= TRUE_DIFFERENCE <= high[0]
    assert 0.93 <= hits / TRIALS <= 0.97


def _true_difference() -> float:
    rng = np.random.default_rng(0)
    hard, noise = rng.random(4_000_000), rng.normal(0, 0.2, 4_000_000)
    return float((hard < 0.45).mean() - (hard + noise < 0.35).mean())


TRUE_DIFFERENCE = _true_difference()


@pytest.mark.parametrize("kind", ["em", "f1"])
def test_false_alarms_are_5_of_100(kind: str) -> None:
    rng = np.random.default_rng(13)
    alarms = 0
    for trial in range(TRIALS):
        draws = rng.random((2, 200)) < 0.4 if kind == "em" else rng.beta(0.4, 0.6, (2, 200))
        alarms += sign_flip_p(draws.T.astype(float), [(0, 1)], flips=1_000, seed=trial)[0] < LEVEL
    assert 0.03 <= alarms / TRIALS <= 0.07


def test_mcnemars_false_alarms_are_at_most_5_of_100() -> None:
    rng = np.random.default_rng(14)
    flips = rng.binomial(96, 0.5, TRIALS)
    alarms = sum(mcnemar_p(int(n), 96 - int(n)) < LEVEL for n in flips)
    assert 0.02 <= alarms / TRIALS <= 0.05  # exact, and counts are whole numbers: rather fewer


def test_holm_keeps_all_pairs_together_below_5_of_100() -> None:
    rng = np.random.default_rng(15)
    trials, alarms = 200, 0
    for _ in range(trials):
        scores = {f"e{i}": {"em": (rng.random(100) < 0.4).astype(float)} for i in range(4)}
        alarms += any(c.better is not None for c in compare_all(scores, ["em"]))
    assert alarms / trials <= 0.08  # 5 % and two standard errors
