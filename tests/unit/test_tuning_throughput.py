"""Rates from answers of jobs that were stopped in the middle, where we know what they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.records import Response
from hopeval.tuning.throughput import Answer, Rate, answer_of, in_flight, throughput


def one_after_another(latencies, start=0.0, **fields):
    answers, now = [], start
    for latency in latencies:
        answers.append(Answer(now, now + latency, **fields))
        now += latency
    return answers


def at_once(count, rounds, latency, start=0.0):
    return [Answer(start + n * latency, start + (n + 1) * latency) for n in range(rounds) for _ in range(count)]


def test_one_job():
    rate = throughput([one_after_another([0.5] * 10, tokens=100)])
    assert rate == pytest.approx(Rate(2.0, 200.0, 0.0))


def test_jobs_add_up():
    assert throughput([one_after_another([0.5] * 10)] * 3).answers == pytest.approx(6.0)


@given(st.integers(1, 50), st.integers(2, 6), st.floats(0.01, 10))
def test_many_in_flight(count, rounds, latency):
    answers = at_once(count, rounds, latency)
    assert in_flight(answers) == count
    assert throughput([answers]).answers == pytest.approx(count / latency, rel=1e-6)


def test_the_first_answer_warms_up():
    assert throughput([one_after_another([5.0, *[0.5] * 10])]).answers == pytest.approx(2.0)


def test_before_all_have_begun_nothing_counts():
    """Alone on the machine, the first was twice as fast."""
    early = one_after_another([0.5] * 10 + [1.0] * 10)
    late = one_after_another([1.0] * 10, start=5.0)
    assert throughput([early, late]).answers == pytest.approx(2.0)


def test_after_one_has_ended_nothing_counts():
    first = one_after_another([1.0] * 6)
    longer = one_after_another([1.0] * 6 + [0.5] * 100)
    assert throughput([first, longer]).answers == pytest.approx(2.0)


def test_requests_weigh_what_they_cost():
    """Long and short ones alternate; whether it ends on a long or a short one must not matter."""
    answers = [
        Answer(answer.begun, answer.ended, work)
        for answer, work in zip(one_after_another([1.5, 0.5] * 20), [1.5, 0.5] * 20, strict=True)
    ]
    assert throughput([answers]).answers == pytest.approx(1.0)
    assert throughput([answers[:-1]]).answers == pytest.approx(1.0)
    assert throughput([answers[:5]]).answers == pytest.approx(1.0)


def test_failed_calls_are_no_answers():
    answers = at_once(4, 5, 1.0)
    mixed = [answer._replace(failed=i % 2 == 0) for i, answer in enumerate(answers)]
    assert throughput([mixed]) == pytest.approx(Rate(2.0, 0.0, 0.5))


def test_too_few_answers_count_from_the_beginning():
    assert throughput([[Answer(0.0, 4.0)]]).answers == pytest.approx(0.25)


def test_a_job_without_answers_has_no_rate():
    assert throughput([one_after_another([1.0]), []]) is None
    assert throughput([]) is None


def test_a_response_says_when_it_was_begun():
    response = Response(
        key="k", at="2026-01-01T00:00:10.500+00:00", latency_s=2.0, prompt_tokens=30, completion_tokens=12
    )
    answer = answer_of(response, {"k": 1.5})
    assert answer.ended - answer.begun == pytest.approx(2.0)
    assert (answer.work, answer.tokens, answer.failed) == (1.5, 42, False)
    assert answer_of(Response(key="x", at=response.at, error="no"), {})[2:] == (1.0, 0, True)
