"""The number of calls in flight that is best is found, whatever the server is like; and never exceeded.

The servers here are simulated in virtual time: a search that takes minutes is over in milliseconds, and
comes out the same each time. Against a real one over HTTP, see tests/cli/test_endpoint_runs.py.
"""

import asyncio
import heapq
import math
import random
import re
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.pacing import MOST, Pace, Search

LATENCY_S = 0.2
CAPACITY = 48


class Simulation:
    """A client that keeps as many requests in flight as the search says, and a server.

    ``serve(in_flight, now)`` is how many seconds a call takes that is one of so many, or None for a 429.
    """

    def __init__(self, serve, fixed=None, jitter=0.05, seed=0):
        self.serve, self.fixed, self.jitter = serve, fixed, jitter
        self.chance = random.Random(seed)
        self.search = Search(0.0)
        self.now, self.turns, self.in_flight = 0.0, 0, 0
        self.events, self.order = [], count()
        self.limits = []
        self.most_refused, self.latency = 0, 0.0

    def run(self, requests, until=math.inf):
        """The answers a second of so many more requests, or of as many as there are until that time."""
        begun, waiting, answered = self.now, requests, 0
        while answered < requests and self.now < until:
            while waiting and self.turns < (self.fixed or self.search.limit):
                waiting -= 1
                self.turns += 1
                self.call(1)
            self.now, _, (what, tries, latency) = heapq.heappop(self.events)
            if what == "again":
                self.call(tries + 1)
                continue
            self.in_flight -= 1
            if what == "answer":
                self.turns -= 1
                answered += 1
                self.latency = latency
                self.search.answered(self.now, latency, waiting > 0)
            else:
                self.most_refused = max(self.most_refused, tries)
                self.search.overloaded(self.now, "429", tries)
                pause = max(self.latency, min(15, 0.5 * 2 ** (tries - 1)))  # as hopeval.asking does
                self.at(self.chance.uniform(0.5, 1) * pause, "again", tries)
            if self.search.limit not in self.limits[-1:]:
                self.limits.append(self.search.limit)
        return answered / (self.now - begun)

    def call(self, tries):
        self.in_flight += 1
        latency = self.serve(self.in_flight, self.now)
        if latency is None:
            self.at(0.002, "overloaded", tries)
        else:
            latency *= self.chance.uniform(1 - self.jitter, 1 + self.jitter)
            self.at(latency, "answer", tries, latency)

    def at(self, delay, what, tries, latency=None):
        heapq.heappush(self.events, (self.now + delay, next(self.order), (what, tries, latency)))


def flat(in_flight, now):
    return LATENCY_S


def saturating(in_flight, now):
    return LATENCY_S * max(1, in_flight / CAPACITY)


def falling_off(in_flight, now):
    return LATENCY_S * max(1, in_flight / CAPACITY) ** 2


def refusing(in_flight, now):
    return LATENCY_S if in_flight <= CAPACITY else None


def of_one(in_flight, now):
    return LATENCY_S * in_flight


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("jitter", [0.05, 0.5], ids=["steady", "noisy"])
@pytest.mark.parametrize(
    ("serve", "lowest", "highest"),
    [(saturating, 40, 80), (falling_off, 36, 60), (refusing, 36, 56), (of_one, 1, 16)],
)
def test_settles_near_the_servers_capacity(serve, lowest, highest, jitter, seed):
    simulation = Simulation(serve, jitter=jitter, seed=seed)
    simulation.run(6000)
    assert lowest <= simulation.search.limit <= highest, simulation.limits
    assert simulation.search.why != "still looking"
    best = max(Simulation(serve, fixed, jitter, seed).run(1000) for fixed in (1, 32, CAPACITY, 64))
    assert simulation.run(1000) >= 0.85 * best


def test_grows_as_far_as_it_goes_where_nothing_is_shared():
    simulation = Simulation(flat)
    simulation.run(20_000)
    assert simulation.search.limit == MOST
    assert simulation.search.why == "the most that it tries"


def test_grows_in_steps_from_one_and_says_why_it_stopped():
    simulation = Simulation(saturating)
    simulation.run(3000)
    assert simulation.limits[:4] == [8, 16, 32, 64]
    found = re.fullmatch(r"(\S+) answers/s, and (\S+) with (\d+)", simulation.search.why)
    assert found
    assert float(found[1]) == pytest.approx(CAPACITY / LATENCY_S, rel=0.1)
    assert int(found[3]) > simulation.search.limit


def test_the_first_goes_alone():
    search = Search(0.0)
    assert search.limit == 1
    for _ in range(10):
        search.overloaded(0.1, "429")
        assert search.limit == 1
    search.answered(0.3, 0.2, busy=True)
    assert 1 <= search.limit <= 8


def test_overload_halves_once_for_all_that_was_in_flight():
    simulation = Simulation(flat)
    simulation.run(1000)
    before = simulation.search.limit
    for _ in range(before):
        simulation.search.overloaded(simulation.now, "429: slow down")
    assert simulation.search.limit == before // 2
    assert simulation.search.why == f"429: slow down at {before}"


def test_after_an_overload_it_stays_below_what_was_too_much():
    simulation = Simulation(refusing)
    simulation.run(3000)
    refused_at = simulation.limits.index(max(simulation.limits))
    assert max(simulation.limits[refused_at + 1 :]) < simulation.limits[refused_at] == 64
    assert "429 at" in simulation.search.why


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("latency_s", "capacity"), [(0.2, 48), (2, 12), (5, 200), (20, 48)])
def test_no_call_is_refused_for_ever_where_others_take_each_place_that_comes_free(latency_s, capacity, seed):
    simulation = Simulation(lambda in_flight, now: latency_s if in_flight <= capacity else None, seed=seed)
    simulation.run(100 * capacity)
    assert simulation.most_refused < 6  # the tries that a request has at an endpoint
    assert simulation.search.limit <= 1.1 * capacity
    assert simulation.run(20 * capacity) >= 0.75 * capacity / latency_s


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_stays_down_where_hardly_any_call_finds_a_place(capacity, seed):
    simulation = Simulation(lambda in_flight, now: LATENCY_S if in_flight <= capacity else None, seed=seed)
    simulation.run(1000)
    low = simulation.limits.index(min(simulation.limits))
    assert max(simulation.limits[low:]) <= capacity + 1, simulation.limits
    assert simulation.run(1000) >= 0.6 * capacity / LATENCY_S


@pytest.mark.parametrize(("before", "after"), [(48, 12), (12, 48)])
def test_follows_a_server_that_changes(before, after):
    simulation = Simulation(lambda in_flight, now: LATENCY_S if in_flight <= (before if now < 50 else after) else None)
    simulation.run(100_000, until=50)
    assert 0.6 * before <= simulation.search.limit <= 1.2 * before
    simulation.run(100_000, until=300)  # upwards it feels its way, from a minute after it has settled
    assert 0.6 * after <= simulation.search.limit <= 1.2 * after


@pytest.mark.parametrize("share", [0.002, 0.01])
def test_refusals_now_and_then_are_no_overload(share):
    chance = random.Random(0)
    simulation = Simulation(lambda in_flight, now: None if chance.random() < share else saturating(in_flight, now))
    simulation.run(10_000)
    assert 40 <= simulation.search.limit <= 80, simulation.limits


def test_goes_on_at_a_server_that_refuses_many_at_random():
    chance = random.Random(0)
    simulation = Simulation(lambda in_flight, now: None if chance.random() < 0.05 else LATENCY_S)
    simulation.run(5000)
    assert simulation.search.limit >= 4, simulation.limits


def test_what_is_answered_when_nobody_waits_says_nothing():
    search = Search(0.0)
    for number in range(1000):
        search.answered(number * 0.01, 0.2, busy=False)
    assert search.limit == 1


class Line:
    """Calls that wait for their turn, one after the other, and end when told to."""

    def __init__(self, pace):
        self.pace, self.begun, self.ends = pace, [], {}
        self.tasks = []

    async def call(self, number):
        async with self.pace.turn():
            self.begun.append(number)
            self.ends[number] = asyncio.Event()
            await self.ends[number].wait()
            del self.ends[number]

    async def add(self, how_many):
        self.tasks += [asyncio.create_task(self.call(len(self.tasks) + i)) for i in range(how_many)]
        await self.settle()

    async def end(self, how_many):
        for number in sorted(self.ends)[:how_many]:
            self.ends[number].set()
        await self.settle()

    async def settle(self):
        for _ in range(10):
            await asyncio.sleep(0)


@given(st.integers(1, 20), st.lists(st.integers(1, 9), max_size=12))
def test_no_more_than_the_limit_and_first_come_first_served(limit, ends):
    async def main():
        line = Line(Pace(limit))
        await line.add(60)
        for how_many in ends:
            assert len(line.ends) == min(limit, 60 - len(line.begun) + len(line.ends))
            await line.end(how_many)
        assert line.begun == sorted(line.begun)
        for task in line.tasks:
            task.cancel()

    asyncio.run(main())


def test_a_call_that_is_cancelled_gives_its_turn_on():
    async def main():
        line = Line(Pace(2))
        await line.add(5)
        line.tasks[0].cancel()  # in its turn
        line.tasks[2].cancel()  # waiting
        await line.settle()
        assert line.begun == [0, 1, 3]
        for task in line.tasks:
            task.cancel()

    asyncio.run(main())


def test_shrinking_lets_calls_end_and_growing_lets_more_begin():
    async def main():
        pace = Pace(None)
        line = Line(pace)
        await line.add(100)
        assert len(line.ends) == 1
        pace.answered(0.2)  # the first has come back well
        await line.settle()
        assert len(line.ends) == 8
        for _ in range(3):
            pace.overloaded("429")
        assert str(pace) == "8 requests in flight (still looking)"  # so few may be chance
        pace.overloaded("429")
        await line.settle()
        assert len(line.ends) == 8  # nothing is taken back
        await line.end(3)
        assert len(line.ends) == 5
        await line.end(3)
        assert len(line.ends) == 4  # four more have ended than begun
        assert line.begun == sorted(line.begun)
        assert str(pace) == "4 requests in flight (429 at 8)"
        for task in line.tasks:
            task.cancel()

    asyncio.run(main())


def test_a_fixed_number_stays():
    pace = Pace(7)
    pace.answered(0.1)
    pace.overloaded("429")
    assert (pace.most, str(pace)) == (7, "7 requests in flight")
