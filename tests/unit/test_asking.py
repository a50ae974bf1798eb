"""One policy of retries for every engine: what is asked again, after what pause, and when there is no more hope."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from hopeval.asking import Asker, Patience, Policy
from hopeval.engines.base import Busy, Completion, Engine, EngineFailed, RequestFailed, Setup
from hopeval.pacing import Pace
from hopeval.rates import Rate


class Scripted(Engine):
    """Does one thing of its script at each call, raising what is an exception; then answers."""

    def __init__(self, *script):
        super().__init__(Setup(SimpleNamespace(concurrency=4)))
        self.script, self.at = list(script), []

    async def complete(self, request):
        self.at.append(time.monotonic())
        act = self.script.pop(0) if self.script else Completion("good", "stop", 30, 10)
        if isinstance(act, Exception):
            raise act
        if not isinstance(act, Completion):
            await asyncio.sleep(act)
        return act if isinstance(act, Completion) else Completion("late", "stop")


@pytest.fixture
def ask(make_request):
    """Asks an engine so many requests, one after the other, under this policy: what came of each."""

    def run(engine, policy=None, requests=1, stop_after_s=None, pace=None):
        async def main():
            stop = asyncio.Event()
            if stop_after_s is not None:
                asyncio.get_running_loop().call_later(stop_after_s, stop.set)
            asker = Asker(engine, policy or Policy(attempts=4, pause_s=0.01), pace or Pace(4), requests, stop)
            return [await asker.ask(make_request(f"q{i}", tokens_estimate=100)) for i in range(requests)]

        return asyncio.run(asyncio.wait_for(main(), 60))

    return run


def test_busy_is_asked_again_until_it_answers(ask):
    engine = Scripted(Busy("one"), Busy("two"), Busy("three"))
    (asked,) = ask(engine)
    assert (asked.completion.text, asked.error, asked.attempts) == ("good", None, 4)
    assert asked.retried_for == ["one", "two", "three"]


def test_busy_is_given_up_after_so_many_attempts(ask):
    engine = Scripted(*[Busy("no luck")] * 4)
    first, second = ask(engine, Policy(attempts=4, pause_s=0.01, give_up_s=0), requests=2)
    assert (first.error, first.attempts) == ("no luck (tried 4 times)", 4)
    assert (second.error, len(engine.at)) == (None, 5)


def test_one_attempt_is_no_repetition(ask):
    (asked,) = ask(Scripted(Busy("no luck")), Policy(attempts=1))
    assert (asked.error, asked.attempts) == ("no luck", 1)


def test_refusal_is_not_asked_again(ask):
    engine = Scripted(RequestFailed("too long"))
    (asked,) = ask(engine)
    assert (asked.error, asked.attempts, len(engine.at)) == ("too long", 1, 1)


def test_time_out_is_asked_again(ask):
    (asked,) = ask(Scripted(3600, 3600), Policy(attempts=3, timeout_s=0.05, pause_s=0.01))
    assert (asked.completion.text, asked.attempts) == ("good", 3)


def test_pauses_double_and_vary(ask):
    engine = Scripted(*[Busy("x")] * 3)
    ask(engine, Policy(attempts=4, pause_s=0.1))
    pauses = [later - earlier for earlier, later in zip(engine.at, engine.at[1:], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True))


def test_is_left_alone_as_long_as_it_wants(ask):
    engine = Scripted(Busy("429", after_s=0.4), Busy("429"))
    ask(engine)
    assert engine.at[1] - engine.at[0] >= 0.4


def test_wants_to_be_left_alone_for_longer_than_there_is_patience(ask):
    with pytest.raises(EngineFailed, match=r"quota.*left alone for 3600 s, more than give_up_s"):
        ask(Scripted(Busy("429: quota", after_s=3600)))


def test_reasons_are_printed_once_each_without_escape_sequences(ask, capsys):
    ask(Scripted(Busy("red \x1b[31m"), Busy("red \x1b[31m"), Busy("other")))
    out = capsys.readouterr().out
    assert out.count(r"red \x1b[31m") == 1
    assert out.count("other") == 1
    assert "\x1b" not in out


def test_engine_that_answers_nothing_for_too_long_is_given_up(ask):
    engine = Scripted(*[Busy("500: down")] * 100)
    with pytest.raises(EngineFailed, match=r"no answer for \d+ s \(give_up_s\), only failures; the last: 500"):
        ask(engine, Policy(attempts=2, give_up_s=0.3, pause_s=0.01), requests=3)
    assert 3 <= len(engine.at) < 100


def test_an_outage_costs_no_attempts(ask):
    engine = Scripted(*[Busy("connection refused")] * 8)
    (asked,) = ask(engine, Policy(attempts=2, give_up_s=60, pause_s=0.001))
    assert (asked.error, asked.attempts) == (None, 9)


def test_the_only_request_left_fails_by_itself(ask):
    engine = Scripted(0, *[Busy("500: down")] * 1000)
    answered, failed = ask(engine, Policy(attempts=2, give_up_s=0.2, pause_s=0.01), requests=2)
    assert answered.error is None
    assert failed.error.startswith("500: down (tried ")


def test_one_request_that_fails_for_long_is_no_end():
    patience = Patience(Policy(give_up_s=10.0), requests=5, last_answer=time.monotonic() - 60)
    for _ in range(9):
        patience.failed("a", "slow", oldest_s=0)
    with pytest.raises(EngineFailed, match=r"no answer for 60 s \(give_up_s\), only failures; the last: slow"):
        patience.failed("b", "slow", oldest_s=0)


def test_a_call_that_takes_long_may_still_be_answered():
    patience = Patience(Policy(give_up_s=10.0), requests=5, last_answer=time.monotonic() - 60)
    for key in "abcd":
        patience.failed(key, "429", oldest_s=59)
    with pytest.raises(EngineFailed):
        patience.failed("a", "429", oldest_s=0)


def test_an_answer_renews_hope():
    patience = Patience(Policy(give_up_s=10.0), requests=5, last_answer=time.monotonic() - 60)
    patience.failed("a", "x", oldest_s=0)
    patience.answered()
    for key in "bcde":
        patience.failed(key, "x", oldest_s=0)
    assert patience.failed_since == set("bcde")


def test_all_requests_together_have_so_many_retries():
    patience = Patience(Policy(), requests=20)
    for _ in range(120):
        patience.retried("flaky")
    with pytest.raises(EngineFailed, match="120 calls had to be repeated for 20 requests; the last: flaky"):
        patience.retried("flaky")


@pytest.mark.parametrize(("max_failures", "tolerated"), [(0, 9), (5, 9), (30, 30)])
def test_all_are_refused_from_the_start(max_failures, tolerated):
    patience = Patience(Policy(max_failures=max_failures), requests=100)
    for _ in range(tolerated):
        patience.refused("400: bad", under_way=0)
    with pytest.raises(
        EngineFailed, match=f"the first {tolerated + 1} requests were all refused, the last for: 400: bad"
    ):
        patience.refused("400: bad", under_way=0)


def test_what_is_under_way_may_still_be_answered():
    patience = Patience(Policy(), requests=100)
    for _ in range(63):
        patience.refused("400: too long", under_way=64)
    with pytest.raises(EngineFailed, match="the first 64 requests were all refused"):
        patience.refused("400: too long", under_way=64)


def test_an_earlier_job_may_have_had_answers():
    patience = Patience(Policy(), requests=100, answers=1)
    for _ in range(100):
        patience.refused("400: too long", under_way=0)
    assert patience.refusals == 100


def test_after_one_answer_refusals_are_each_requests_own():
    patience = Patience(Policy(), requests=100)
    patience.answered()
    for _ in range(100):
        patience.refused("400: bad", under_way=0)
    assert patience.refusals == 100


def test_stop_ends_a_pause_and_begins_nothing_more(ask):
    engine = Scripted(Busy("429", after_s=100))
    begun = time.monotonic()
    assert ask(engine, Policy(attempts=9), requests=3, stop_after_s=0.1) == [None, None, None]
    assert len(engine.at) == 1
    assert time.monotonic() - begun < 50


def test_stop_ends_the_wait_for_a_rate_and_begins_nothing_more(ask, tmp_path):
    engine = Scripted()
    policy = Policy(requests=Rate(tmp_path / "rate", 1))
    asked = ask(engine, policy, requests=3, stop_after_s=0.3)
    assert [found and found.completion.text for found in asked] == ["good", None, None]
    assert len(engine.at) == 1


def test_requests_a_minute_hold_back_calls_of_all_attempts(ask, tmp_path):
    engine, begun = Scripted(Busy("x")), time.monotonic()
    ask(engine, Policy(attempts=2, pause_s=0.01, requests=Rate(tmp_path / "rate", 300)), requests=2)
    assert len(engine.at) == 3
    assert engine.at[-1] - begun >= 0.35


def test_tokens_a_minute_count_what_was_used_in_the_end(ask, tmp_path):
    rate = Rate(tmp_path / "rate", 6000)
    ask(Scripted(), Policy(tokens=rate, answer_tokens=50))
    # 150 were taken, 40 were used: 0.4 s at this rate.
    assert rate._reserve(0) - time.time() <= 0.4


def test_tokens_that_the_endpoint_does_not_count_stay_as_estimated(ask, tmp_path):
    rate = Rate(tmp_path / "rate", 600)
    ask(Scripted(Completion("x")), Policy(tokens=rate, answer_tokens=50))
    assert rate._reserve(0) - time.time() > 5


@pytest.mark.parametrize(
    ("act", "told"),
    [(Busy("429", overloaded=True), "429"), (3600, "no answer within 0.05 s (timeout_s)")],
    ids=["429", "time-out"],
)
def test_the_pace_hears_of_overload(ask, act, told):
    pace = Pace(None)
    ask(Scripted(*[act] * 4), Policy(attempts=5, timeout_s=0.05, pause_s=0.01), pace=pace)
    assert told in str(pace)


def test_who_finds_no_room_waits_about_as_long_as_a_call_takes(ask):
    engine = Scripted(0.4, Busy("429", overloaded=True))
    ask(engine, requests=2)
    assert engine.at[2] - engine.at[1] >= 0.2


def test_the_pace_hears_how_often_one_request_was_refused_but_not_how_often_it_took_too_long(ask):
    class Listening(Pace):
        heard = ()

        def overloaded(self, reason, times=1):
            self.heard = (*self.heard, times)

    pace, full = Listening(4), Busy("429", overloaded=True)
    ask(Scripted(full, full, 3600, 3600, full), Policy(attempts=6, timeout_s=0.05, pause_s=0.01), pace=pace)
    assert pace.heard == (1, 2, 1, 1, 5)


def test_other_trouble_is_no_overload(ask):
    pace = Pace(None)
    ask(Scripted(Busy("reset")), pace=pace)
    assert str(pace).endswith("(still looking)")
