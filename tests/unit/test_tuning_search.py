"""What is measured next and what is taken in the end, against machines of which we know how fast they are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.tuning.cells import Cell, batch_cells, thread_cells
from hopeval.tuning.machine import Cores
from hopeval.tuning.search import AS_GOOD, HOPELESS, Result, next_cell, next_level, verdict


def settle(speeds, repeats=3, noise=0.0, seed=1):
    """Measure until there is nothing more to measure: the results, and how many measurements it took."""
    chance, count = random.Random(seed), 0
    results = {cell: Result(cell=cell) for cell in speeds}
    while (cell := next_cell(results.values(), repeats)) is not None:
        results[cell].rates.append(speeds[cell] * (1 + chance.uniform(-noise, noise)))
        count += 1
        assert count <= repeats * len(speeds)
    return list(results.values()), count


def machine(best, *others):
    cells = thread_cells(Cores(16, 16, tuple(range(16))))
    return dict(zip(cells, [best, *others], strict=False))


def test_hopeless_ones_are_measured_once():
    results, count = settle(machine(5.0, 9.0, 10.0, 8.9, 2.0))
    assert [len(result.rates) for result in results] == [1, 3, 3, 1, 1]
    assert count == 9


def test_all_are_measured_once_before_any_is_measured_again():
    results = [Result(cell=Cell(threads=n), rates=[10.0]) for n in (1, 2)] + [Result(cell=Cell(threads=3))]
    assert next_cell(results, 3) == Cell(threads=3)


def test_what_failed_is_not_measured_again():
    results = [Result(cell=Cell(threads=1), left_out="no"), Result(cell=Cell(threads=2), rates=[1.0], failed=[0.5])]
    assert next_cell(results, 3) is None


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=7), st.integers(0, 999))
def test_the_recommendation_is_near_the_best(speeds, seed):
    """Within 5 % in truth, with repeats that differ by up to 2 %."""
    truth = machine(*speeds)
    results, _ = settle(truth, noise=0.01, seed=seed)
    found = verdict(results)
    assert found.is_sure
    assert truth[found.best.cell] >= 0.95 * max(truth.values())
    assert found.best.median >= AS_GOOD * max(result.median for result in results)


def test_of_equals_the_simplest_is_taken():
    plain = Cell(shards=1, threads=4)
    speeds = {Cell(shards=4, threads=1): 10.0, batch_cells(plain, 4096)[0]: 10.1, plain: 9.85}
    assert verdict(settle(speeds)[0]).best.cell == plain


# How many in flight.


def climb(rate, fails=lambda level: 0.0, breaks_at=None):
    """The levels that are measured at an endpoint of this throughput, and the results."""
    results = []
    while (level := next_level(results)) is not None:
        result = next((r for r in results if r.cell.concurrency == level), None)
        if result is None:
            results.append(result := Result(cell=Cell(concurrency=level)))
        if breaks_at is not None and level >= breaks_at:
            result.left_out = "broken"
        else:
            result.rates.append(rate(level))
            result.failed.append(fails(level))
        assert sum(len(r.rates) for r in results) < 40
    return [r.cell.concurrency for r in results], results


@pytest.mark.parametrize("capacity", [1, 3, 8, 20, 100])
def test_it_climbs_until_throughput_stops_growing(capacity):
    levels, results = climb(lambda level: min(level, capacity) * 10.0)
    assert levels[:-1] == [2**i for i in range(len(levels) - 1)]
    assert levels[-2] >= capacity / 1.1
    assert levels[-1] < 4 * capacity
    best = verdict(results).best
    assert best.median == capacity * 10.0
    assert best.cell.concurrency < 2 * capacity + 1


def test_it_climbs_to_the_end_and_no_further():
    assert climb(lambda level: level)[0] == [2**i for i in range(11)]


def test_a_level_that_seems_not_to_grow_is_measured_twice():
    seen = iter([10.0, 20.0, 15.0, 40.0, 60.0, 61.0, 60.0])
    levels, results = climb(lambda level: next(seen))
    assert levels == [1, 2, 4, 8, 16]
    assert [len(result.rates) for result in results] == [1, 1, 2, 1, 2]


def test_where_calls_fail_it_looks_between():
    levels, results = climb(lambda level: level * 10.0, lambda level: 0.3 if level > 12 else 0.0)
    assert levels == [1, 2, 4, 8, 16, 12, 14]
    assert verdict(results).best.cell.concurrency == 12


def test_now_and_then_a_failure_is_no_reason_to_stop():
    assert climb(lambda level: min(level, 8) * 10.0, lambda level: 0.02)[0] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("breaks_at", [2, 8, 64])
def test_an_endpoint_that_breaks_ends_the_climb_and_keeps_what_was_measured(breaks_at):
    levels, results = climb(lambda level: level * 10.0, breaks_at=breaks_at)
    assert max(levels) == breaks_at
    best = verdict(results).best
    assert breaks_at / 2 <= best.cell.concurrency < breaks_at


def test_an_endpoint_that_was_never_there():
    levels, results = climb(lambda level: 1.0, breaks_at=1)
    assert levels == [1]
    assert verdict(results) == (None, [])


# Whether it can be relied upon.


def result(*rates, others=(), threads=1, **fields):
    return Result(cell=Cell(threads=threads), rates=list(rates), others=list(others), **fields)


def test_a_quiet_machine_is_relied_upon():
    assert verdict([result(10.0, 10.5, 9.8, others=[0.02, 0.05, 0.03])]).is_sure


@pytest.mark.parametrize(
    ("found", "doubt"),
    [
        (result(10.0), "measured only once"),
        (result(10.0, 11.5, 10.0), "its repeats differ by 15% (more than 10%)"),
        (result(10.0, 10.0, others=[0.3, 0.2]), "other programs took 25% of the cores' time (more than 10%)"),
    ],
)
def test_a_noisy_one_is_not(found, doubt):
    told = verdict([found])
    assert told.best is found
    assert not told.is_sure
    assert doubt in "; ".join(told.doubts)


def test_noise_beside_other_set_ups_counts_as_well():
    disturbed = result(5.0, others=[0.9], threads=2)
    assert verdict([result(10.0, 10.0, others=[0.0, 0.0]), disturbed]).doubts


def test_the_best_that_was_disturbed_once_is_measured_again():
    best = result(4.0, others=[0.6])
    second = result(9.0, 9.0, 9.0, others=[0.0, 0.0, 0.0], threads=2)
    for _ in range(2):
        assert next_cell([best, second], 3) == best.cell
        best.rates.append(10.0)
        best.others.append(0.0)
    assert next_cell([best, second], 3) is None
    assert verdict([best, second]).best is best


def test_a_spread_of_those_that_are_not_taken_is_no_matter():
    assert verdict([result(10.0, 10.1), result(4.0, 5.0, threads=2)]).is_sure


def test_calls_that_fail_are_no_throughput_to_recommend():
    failing = result(100.0, 100.0, threads=2, failed=[0.5, 0.5])
    assert verdict([result(10.0, 10.0), failing]).best.cell.threads == 1


def test_the_rule_holds_together():
    assert 0.95 <= AS_GOOD < 1
    assert HOPELESS < AS_GOOD
