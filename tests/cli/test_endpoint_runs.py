"""Whole runs at an endpoint: nothing lost and nothing doubled, ended early or not; paced; and no key anywhere."""

import random
import re
import signal
import time
from collections import Counter

import pytest

from endpoint import Endpoint, answer_to, at, breaks_off, hangs, randomly, refuses, resets, says
from hopeval.io import read_records
from hopeval.records import Response
from waiting import wait_until

ALL_SORTS = [
    refuses(429, retry_after="0.05"),
    refuses(429),
    refuses(500, "out of order"),
    refuses(503, "loading"),
    resets,
    says(b'{"choices": ['),
    says(b"<html>502 Bad gateway</html>", 502),
    breaks_off,
]


def assert_each_answered_once(requests, responses, kept):
    """Each request has its own answer, once in the output and once in the journal, and both are the same."""
    assert [(r.key, r.text) for r in responses] == [(q.key, answer_to(q.messages[0].content)) for q in requests]
    assert {response.key: response for response in responses} == {response.key: response for response in kept}
    assert len(kept) == len(requests)


def journaled(folder):
    return [response for path in sorted(folder.glob("*.jsonl")) for response in read_records(path, Response)]


def test_random_faults_lose_nothing_and_double_nothing(infer, who):
    requests = who(2000)
    with Endpoint(randomly(0.05, 7, *ALL_SORTS), latency_s=0.02) as endpoint:
        result = infer(endpoint, requests, concurrency=64, attempts=10)
    assert result.code == 0, result.err
    assert_each_answered_once(requests, result.responses, list(result.kept.values()))
    assert result.lines == len(requests)
    assert endpoint.most_in_flight <= 64
    answered, calls = Counter(r.attempts for r in result.responses), Counter(endpoint.questions())
    assert sum(attempts * count for attempts, count in answered.items()) == len(endpoint.calls) > 2050
    assert {r.key: r.attempts for r in result.responses} == {q.key: calls[q.messages[0].content] for q in requests}


def test_chains_stay_in_order_whatever_fails(infer, make_request):
    chains = [make_request(f"q{q}", place, f"Who is q{q}, {place}?") for q in range(40) for place in range(4)]
    with Endpoint(randomly(0.1, 3, *ALL_SORTS), latency_s=0.005) as endpoint:
        result = infer(endpoint, chains, concurrency="auto", attempts=10)
    assert result.code == 0, result.err
    first_asked = list(dict.fromkeys(endpoint.questions()))
    for q in range(40):
        own = [question for question in first_asked if question.startswith(f"Who is q{q},")]
        assert own == [f"Who is q{q}, {place}?" for place in range(4)]


def test_a_server_that_dies_half_way_and_comes_back(infer, who):
    requests = who(150)

    def behave(call):
        if call.number == 60:
            endpoint.dies(for_s=0.7)
        return None

    with Endpoint(behave, latency_s=0.02) as endpoint:
        result = infer(endpoint, requests, concurrency=16)  # six attempts, which the outage would use up
    assert result.code == 0, result.err
    assert_each_answered_once(requests, result.responses, list(result.kept.values()))
    assert len(endpoint.calls) > len(requests)


def test_a_hung_request_holds_up_no_other(infer, who):
    with Endpoint(at("q3?", hangs)) as endpoint:
        result = infer(endpoint, who(40), timeout_s=5.0, attempts=1, max_failures=1)
    assert (result.code, result.errors) == (0, {"q3": "no answer within 5 s (timeout_s)"})
    assert len(result.kept) == 39


# How much more than one is right depends on how busy the machine is.
@pytest.mark.parametrize(("past", "highest"), [("429", 60), ("slow", 200)])
def test_auto_finds_out_what_the_server_takes(infer, who, past, highest):
    requests = who(2500)
    with Endpoint(capacity=48, past=past, latency_s=0.1) as endpoint:
        result = infer(endpoint, requests, concurrency="auto", attempts=20)
    assert result.code == 0, result.err
    assert_each_answered_once(requests, result.responses, list(result.kept.values()))
    found = re.search(r"^(\d+) requests in flight \((.+)\)$", result.out, re.MULTILINE)
    assert found
    assert 1 < int(found[1]) <= highest
    assert endpoint.calls[0].in_flight == 1
    assert max(call.in_flight for call in endpoint.calls[:8]) <= 8


def test_a_fixed_concurrency_is_kept_to(infer, who):
    with Endpoint(latency_s=0.5) as endpoint:  # long enough for ten calls to be begun, even on a busy machine
        result = infer(endpoint, who(30), concurrency=10)
    assert result.code == 0
    assert endpoint.most_in_flight == 10
    assert "requests in flight" not in result.out


# From here on as real processes.


@pytest.mark.parametrize("settings", [{"concurrency": 6}, {"concurrency": "auto", "requests_per_minute": 2400}])
def test_sigterm_keeps_what_is_in_flight_and_cuts_off_what_takes_too_long(inference, who, reader, settings):
    requests, grace_s = who(300), 5.0
    faults = {"q1?": refuses(429, retry_after="100"), "q2?": hangs}

    def behave(call):
        return next((fault for question, fault in faults.items() if question in call.question), None)

    with Endpoint(behave, latency_s=0.3) as endpoint:
        process = inference.start(requests, reader(endpoint, grace_s=grace_s, **settings), no_proxy="127.0.0.1")
        wait_until(lambda: len(endpoint.calls) >= 20)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        result = inference.finish(process)
        ended = time.monotonic() - told
    assert result.code == 1
    assert "told to end; all answers so far are kept" in result.err
    assert "Traceback" not in result.err
    assert not inference.output.exists()
    assert ended >= grace_s  # what hangs was waited for as long
    assert ended < 60  # and what was to be left alone for 100 s was not
    asked = set(endpoint.questions())
    kept = journaled(inference.journal)
    questions = {request.key: request.messages[0].content for request in requests}
    assert {questions[response.key] for response in kept} == asked - {"Who is q1?", "Who is q2?"}

    faults.clear()
    with Endpoint() as second:
        again = inference.run(requests, reader(second, concurrency=32), no_proxy="127.0.0.1")
    assert again.code == 0, again.err
    assert set(second.questions()) == set(questions.values()) - {questions[response.key] for response in kept}
    assert_each_answered_once(requests, list(read_records(inference.output, Response)), journaled(inference.journal))


def test_sigterm_with_everybody_pausing_ends_at_once(inference, who, reader):
    with Endpoint(lambda call: refuses(429, retry_after="100")) as endpoint:
        settings = reader(endpoint, concurrency=6, grace_s=100.0)
        process = inference.start(who(50), settings, no_proxy="127.0.0.1")
        wait_until(lambda: len(endpoint.calls) == 6)
        time.sleep(0.3)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert inference.finish(process).code == 1
        assert time.monotonic() - told < 50
    assert len(endpoint.calls) == 6


def test_killed_run_is_resumed(inference, who, reader):
    requests = who(300)
    with Endpoint(latency_s=0.05) as endpoint:
        process = inference.start(requests, reader(endpoint, concurrency=8), no_proxy="127.0.0.1")
        wait_until(lambda: len(endpoint.calls) >= 100)
        process.kill()
        inference.finish(process)
    kept = len(journaled(inference.journal))
    assert 100 - 8 - 8 <= kept < 300
    with Endpoint() as second:
        again = inference.run(requests, reader(second, concurrency=8), no_proxy="127.0.0.1")
    assert again.code == 0, again.err
    assert len(second.calls) == 300 - kept
    assert_each_answered_once(requests, list(read_records(inference.output, Response)), journaled(inference.journal))


def test_jobs_of_one_reader_share_its_rate(tmp_path, inference, who, reader):
    per_minute, count = 1200, 45
    with Endpoint() as endpoint:
        settings = reader(endpoint, concurrency=8, requests_per_minute=per_minute)
        jobs = []
        for name in ("a", "b"):
            job = type(inference)(tmp_path / name, inference.locks)
            job.folder.mkdir()
            inference.processes.append(job.start(who(count), settings, no_proxy="127.0.0.1"))
            jobs.append(job)
        results = [job.finish(job.processes[0]) for job in jobs]
    assert [result.code for result in results] == [0, 0], results
    times = [call.at for call in endpoint.calls]
    assert len(times) == 2 * count
    # A second's worth may come at once.
    assert max(times) - min(times) >= 2 * count * 60 / per_minute - 1 - 0.5
    for begun in times:
        assert sum(begun <= call < begun + 1 for call in times) <= 2.5 * per_minute / 60


KEY = "sk-proj-Ab+c/d9=ef0123456789"


def test_the_key_is_in_no_file_and_no_word(inference, who, reader):
    chance = random.Random(0)
    repeat = f"Key {KEY} has no luck"
    faults = [
        refuses(500, repeat),
        refuses(429, repeat, retry_after="0.1"),
        says(f"<p>{repeat}</p>".encode(), 502),
        says({"error": {"message": "x" * 280 + repeat, "code": 503}}),
        says(f'{{"error": "{repeat}"}}'.replace("/", "\\/").encode()),
        refuses(400, "x" * 280 + repeat),
    ]
    with Endpoint(lambda call: chance.choice(faults) if chance.random() < 0.4 else None, key=KEY) as endpoint:
        settings = reader(endpoint, api_key_env="MY_KEY", concurrency=8)
        log = inference.folder / "infer.log"
        first = inference.run(who(60), settings, "--log", str(log), MY_KEY=KEY, no_proxy="127.0.0.1")
        wrong = inference.run(who(60), settings, MY_KEY=KEY + "x", no_proxy="127.0.0.1")
        allowed = {**settings, "max_failures": 100}
        last = inference.run(who(60), allowed, MY_KEY=KEY, no_proxy="127.0.0.1")
    assert (first.code, wrong.code, last.code) == (1, 2, 0), last.err
    assert all(call.headers["Authorization"].startswith(f"Bearer {KEY}") for call in endpoint.calls)
    files = [path.read_bytes() for path in inference.folder.rglob("*") if path.is_file()]
    words = "".join(result.out + result.err for result in (first, wrong, last)).encode()
    assert len(files) > 4
    assert b"has no luck" in b"".join(files)
    for content in [*files, words]:
        for part in (KEY, KEY[:12], KEY[-12:], KEY.replace("/", "\\/")):
            assert part.encode() not in content
