"""Every request is answered once, in the order of its chain, and kept before anyone hears of it."""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopeval.asking import Policy
from hopeval.engines.base import Completion, Engine, EngineFailed, RequestFailed, Setup
from hopeval.errors import HopevalError
from hopeval.journal import Journal
from hopeval.records import Message, Request
from hopeval.runner import Job, answer, chains, split_reasoning


class Witness(Engine):
    """Answers with the request's key, after letting others go first, and notes all that happens."""

    def __init__(self, concurrency=1, behave=None, seed=0):
        super().__init__(Setup(SimpleNamespace(concurrency=concurrency)))
        self.behave, self.chance = behave, random.Random(seed)
        self.calls, self.in_flight, self.most_in_flight, self.overlaps = [], [], 0, []

    async def complete(self, request):
        if request.question_id in self.in_flight:
            self.overlaps.append(request.question_id)
        self.calls.append(request)
        self.in_flight.append(request.question_id)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        try:
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
            result = self.behave(request) if self.behave else None
            if asyncio.iscoroutine(result):
                result = await result
            return result or Completion(request.key, "stop")
        finally:
            self.in_flight.remove(request.question_id)


def requests_of(sizes):
    """A chain of each size; question q<i>, keys that tell question and place."""
    return [
        Request(key=f"{question:032d}{place:032d}", question_id=f"q{question}", messages=[Message("user", "?")])
        for question, size in enumerate(sizes)
        for place in range(size)
    ]


def at(question_id, act):
    """Behaves like ``act`` at one question, and well at all others."""
    return lambda request: act() if request.question_id == question_id else None


def raises(error):
    def act():
        raise error

    return act


def run(requests, engine, folder, on_response=lambda response: None, policy=None, **job):
    async def main():
        with Journal(folder, "1-of-1") as journal:
            return await answer(
                requests, engine, journal, Job("1-of-1", "witness", policy=Policy(**policy or {}), **job), on_response
            )

    return asyncio.run(asyncio.wait_for(main(), 60))


def kept(requests, folder):
    return Journal(folder, "reader").answered([request.key for request in requests])[0]


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_every_request_is_answered_once_and_kept(concurrency, tmp_path):
    requests, engine = requests_of([1, 2, 3] * 30), Witness(concurrency)
    responses = run(requests, engine, tmp_path)
    assert sorted(response.key for response in responses) == [request.key for request in requests]
    assert all(response.text == response.key and response.error is None for response in responses)
    assert len(engine.calls) == len(requests)
    assert engine.most_in_flight == concurrency
    assert kept(requests, tmp_path) == {response.key: response for response in responses}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), max_size=25), st.integers(1, 30), st.integers(0, 1000))
def test_chains_stay_in_order_and_never_overlap_with_themselves(sizes, concurrency, seed):
    requests, engine = requests_of(sizes), Witness(concurrency, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        responses = run(requests, engine, folder)
        assert set(kept(requests, folder)) == {request.key for request in requests}
    assert Counter(response.key for response in responses) == Counter(request.key for request in requests)
    assert engine.overlaps == []
    assert engine.most_in_flight <= concurrency
    for question in range(len(sizes)):
        asked = [request.key for request in engine.calls if request.question_id == f"q{question}"]
        assert asked == [request.key for request in requests if request.question_id == f"q{question}"]


def test_chains_are_the_neighbours_of_one_question():
    requests = requests_of([2, 1, 3])
    assert [[r.question_id for r in chain] for chain in chains(requests)] == [["q0"] * 2, ["q1"], ["q2"] * 3]
    assert list(chains([])) == []


def test_response_is_in_the_journal_before_anyone_hears_of_it(tmp_path):
    requests = requests_of([2] * 10)
    heard = []

    def on_response(response):
        assert kept(requests, tmp_path)[response.key] == response
        heard.append(response)

    assert run(requests, Witness(7), tmp_path, on_response) == heard
    assert len(heard) == len(requests)


def test_response_says_where_it_comes_from(tmp_path):
    engine = Witness(behave=lambda request: Completion("text", "length", 11, 7, 5))
    (response,) = run(requests_of([1]), engine, tmp_path, devices=["3", "4"], host="here", started=time.monotonic() - 5)
    assert (response.text, response.finish_reason) == ("text", "length")
    assert (response.prompt_tokens, response.completion_tokens, response.cached_tokens) == (11, 7, 5)
    assert (response.shard, response.engine, response.host, response.devices) == (
        "1-of-1",
        "witness",
        "here",
        ["3", "4"],
    )
    assert response.queue_s >= 5 > response.latency_s >= 0
    assert response.at.endswith("+00:00")


async def never():
    await asyncio.Event().wait()


async def wait_for_what_was_cancelled():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize(
    ("act", "error"),
    [
        pytest.param(raises(RequestFailed("too long")), "too long", id="request failed"),
        pytest.param(raises(ZeroDivisionError("by zero")), "ZeroDivisionError: by zero", id="own error"),
        pytest.param(raises(TimeoutError("socket")), "TimeoutError: socket", id="own timeout is not ours"),
        pytest.param(raises(RequestFailed("half \ud800")), "half ?", id="words that UTF-8 cannot hold"),
        pytest.param(never, "no answer within 1 s (timeout_s)", id="no answer"),
        pytest.param(wait_for_what_was_cancelled, "CancelledError: ", id="cancelled inside the engine"),
        pytest.param(lambda: "x", "TypeError: complete() must return a Completion, found str", id="no completion"),
        pytest.param(lambda: Completion(None), "ValidationError: Expected `str`, got `null` - at `$[0]`", id="no text"),
        pytest.param(
            lambda: Completion("x", "stop", 1.5),
            "ValidationError: Expected `int`, got `float` - at `$[2]`",
            id="1.5 tokens",
        ),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 3])
def test_failure_costs_that_request_only(act, error, concurrency, tmp_path, capfd):
    requests = requests_of([1, 1, 2, 1])
    policy = {"timeout_s": 1.0} if act is never else {}
    responses = run(requests, Witness(concurrency, at("q1", act)), tmp_path, policy=policy)
    (failed,) = (response for response in responses if response.error is not None)
    assert (failed.key, failed.error, failed.text) == (requests[1].key, error, "")
    assert sorted(response.key for response in responses) == [request.key for request in requests]
    assert set(kept(requests, tmp_path)) == {request.key for request in requests} - {failed.key}
    own = ("ZeroDivision", "TimeoutError", "Cancelled", "TypeError", "Validation")
    assert ("Traceback" in capfd.readouterr().err) == error.startswith(own)


@pytest.mark.parametrize(
    ("completion", "reasoning", "text"),
    [
        (Completion("Kuortane"), "", "Kuortane"),
        (Completion("<think>\nHm {was}.\n</think>\n\nKuortane"), "Hm {was}.", "Kuortane"),
        (Completion("\n <think>Hm.</think>Kuortane"), "Hm.", "Kuortane"),
        (Completion("the template opened the tag</think>Kuortane"), "the template opened the tag", "Kuortane"),
        (Completion("<think></think>Kuortane"), "", "Kuortane"),
        (Completion("<think>cut off in the mid"), "cut off in the mid", ""),
        (Completion("<think>"), "", ""),
        (Completion("a</think>b</think>Kuortane"), "a</think>b", "Kuortane"),
        (Completion("Kuortane <think>hm"), "", "Kuortane <think>hm"),
        (Completion("Kuortane", reasoning="told apart by the engine"), "told apart by the engine", "Kuortane"),
        (Completion("<think>x</think>Kuortane", reasoning="by the engine"), "by the engine", "Kuortane"),
        (Completion("Kuortane", reasoning="half \ud83d"), "half ?", "Kuortane"),
    ],
)
def test_thinking_is_kept_apart_from_the_answer(completion, reasoning, text, tmp_path):
    (response,) = run(requests_of([1]), Witness(behave=lambda request: completion), tmp_path)
    assert (response.reasoning, response.text) == (reasoning, text)
    assert kept(requests_of([1]), tmp_path)[response.key] == response


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<think></think>", "< think>", "\n"])
def test_hostile_thinking_of_100_kilobytes_is_no_trouble(piece):
    reasoning, text = split_reasoning(piece * (100_000 // len(piece)))
    assert "</think>" not in text
    assert len(reasoning) + len(text) <= 100_000


def test_half_a_surrogate_pair_in_an_answer_is_replaced_and_kept(tmp_path):
    requests = requests_of([1])
    (response,) = run(requests, Witness(behave=lambda request: Completion("a\ud83d\u00e9")), tmp_path)
    assert response.text == "a?\u00e9"
    assert kept(requests, tmp_path)[response.key] == response


@pytest.mark.parametrize("concurrency", [1, 4])
def test_engine_failure_ends_the_job_names_the_question_and_keeps_the_rest(concurrency, tmp_path):
    requests = requests_of([1] * 12)
    heard = []
    engine = Witness(concurrency, at("q7", raises(EngineFailed("out of memory"))))
    with pytest.raises(EngineFailed, match=r"^question 'q7': out of memory$"):
        run(requests, engine, tmp_path, heard.append)
    answered = kept(requests, tmp_path)
    assert answered == {response.key: response for response in heard}
    assert len(answered) >= 8 - concurrency
    assert requests[7].key not in answered
    assert engine.in_flight == []


def test_engine_that_fails_everywhere_at_once_is_one_failure(tmp_path):
    async def fail():
        await asyncio.sleep(0)
        raise EngineFailed("gone")

    engine = Witness(5, lambda request: fail())
    with pytest.raises(EngineFailed, match=r"^question 'q\d': gone$"):
        run(requests_of([1] * 9), engine, tmp_path)


def test_answer_that_cannot_be_kept_ends_the_job_in_one_message(tmp_path):
    (tmp_path / "journal").touch()
    with pytest.raises(HopevalError, match="answers cannot be kept"):
        run(requests_of([1] * 9), Witness(3), tmp_path / "journal")


def test_signal_handling_is_as_before_in_the_end(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run(requests_of([1]), Witness(), tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
