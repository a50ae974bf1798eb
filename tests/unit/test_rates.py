"""A rate is kept by all processes together, and nobody's end harms it."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
import time
from itertools import chain

import pytest

from hopeval.errors import HopevalError
from hopeval.rates import Rate, pause, shared_rate

TAKER = """
import asyncio, sys, time
from hopeval.rates import shared_rate

async def main():
    rate, stop = shared_rate("mine", float(sys.argv[1])), asyncio.Event()
    print("ready", flush=True)
    while True:
        await rate.take(1, stop)
        print(time.time(), flush=True)

asyncio.run(main())
"""


def take(rate, amount=1.0):
    """How long it took to get this."""

    async def main():
        begun = time.monotonic()
        await rate.take(amount, asyncio.Event())
        return time.monotonic() - begun

    return asyncio.run(main())


def reserve(rate, amounts):
    """From when on each of these may be used, in seconds after the first; nobody waits."""
    starts = [rate._reserve(amount) for amount in amounts]
    return [round(start - starts[0], 3) for start in starts]


@pytest.fixture
def rate(tmp_path):
    """60 a minute: one a second."""
    return Rate(tmp_path / "locks" / "rate", 60)


@pytest.fixture
def takers(environment, tmp_path):
    """Starts processes that take as fast as they may; they are ended after the test."""
    started = []

    def start(count, per_minute):
        for _ in range(count):
            command = [sys.executable, "-c", TAKER, str(per_minute)]
            started.append(
                subprocess.Popen(
                    command, env=environment(HOPEVAL_LOCKS=str(tmp_path)), stdout=subprocess.PIPE, text=True
                )
            )
        for process in started:
            process.stdout.readline()
        return started

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_each_waits_for_those_before_it(rate):
    assert reserve(rate, [1, 2, 1, 0.5]) == [0, 1, 3, 4]


def test_the_first_need_not_wait_however_much_it_takes(rate):
    assert take(rate, 100) < 30


def test_what_was_not_used_is_given_back(rate):
    first, second = rate._reserve(10), rate._reserve(0)
    rate.give_back(8)
    third = rate._reserve(0)
    rate.give_back(-3)  # more was used
    fourth = rate._reserve(0)
    assert [round(later - first, 3) for later in (second, third, fourth)] == [10, 2, 5]


def test_a_pause_saves_up_one_second_and_no_more(rate):
    rate._reserve(1)
    file = rate.path
    long_ago = time.time() - 3600
    file.write_bytes(struct.pack("d", long_ago))
    begun = time.time()
    starts = [rate._reserve(1) for _ in range(3)]
    assert [round(start - begun) for start in starts] == [-1, 0, 1]


@pytest.mark.parametrize("content", [b"", b"torn", b"\0" * 8])
def test_a_torn_or_empty_file_is_begun_anew(rate, content):
    rate.path.parent.mkdir()
    rate.path.write_bytes(content)
    assert take(rate) < 30
    assert round(rate._reserve(0) - time.time()) in (0, 1)


def test_several_processes_share_it(takers):
    per_minute, seconds, count = 1200, 3.0, 3
    processes = takers(count, per_minute)
    time.sleep(seconds)
    for process in processes:
        process.kill()
    taken = [[float(line) for line in process.stdout.read().splitlines()] for process in processes]
    times = sorted(chain(*taken))
    within = times[-1] - times[0]
    # A second's worth may have been saved up before.
    assert len(times) - 1 <= (within + 1) * per_minute / 60 + count
    assert all(taken)


def test_a_killed_process_does_no_harm(takers, tmp_path, monkeypatch):
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path))
    for process in takers(3, 600):
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # Each of them had moved it on by one call at most.
    rate = shared_rate("mine", 600)
    assert rate._reserve(1) - time.time() < 0.5


def test_of_many_who_wait_in_one_process_only_one_has_reserved(rate):
    async def main():
        stop = asyncio.Event()
        takers = [asyncio.create_task(rate.take(1, stop)) for _ in range(50)]
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*takers), 30)

    before = time.time()
    asyncio.run(main())
    assert rate._reserve(0) - before < 10


def test_first_come_first_served(rate):
    fast, order = Rate(rate.path, 6000), []

    async def one(number, stop):
        await fast.take(1, stop)
        order.append(number)

    async def main():
        stop = asyncio.Event()
        await asyncio.gather(*(one(number, stop) for number in range(20)))

    asyncio.run(main())
    assert order == list(range(20))


def test_a_pause_ends_when_it_is_told_to():
    async def main():
        stop = asyncio.Event()
        begun = time.monotonic()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        await pause(3600, stop)
        await pause(-1, asyncio.Event())
        return time.monotonic() - begun

    assert 0.04 < asyncio.run(main()) < 60


def test_a_file_that_cannot_be_kept_is_told(tmp_path):
    (tmp_path / "folder").touch()
    with pytest.raises(HopevalError, match=r"the shared rate cannot be kept: .*HOPEVAL_LOCKS"):
        take(Rate(tmp_path / "folder" / "rate", 60))


def test_no_limit_is_no_rate(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path))
    assert shared_rate("x", None) is None
    assert shared_rate("x", 60.0).path.parent == tmp_path / f"hopeval-rates-{os.getuid()}"
