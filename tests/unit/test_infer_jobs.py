"""``hopeval infer`` as a real process: what it keeps when it is ended or killed, and what the next run asks for."""

import signal
from collections import Counter

import pytest

from hopeval.io import read_records
from hopeval.journal import Journal
from hopeval.records import Response
from waiting import wait_until


@pytest.fixture
def requests(make_request):
    return [make_request(f"q{number}") for number in range(8)]


def keys(path):
    return [response.key for response in read_records(path, Response)]


def kept(requests, journal):
    return Journal(journal, "reader").answered([request.key for request in requests])[0]


def assert_plain(result):
    assert "Traceback" not in result.err
    assert "Exception" not in result.err


def test_responses_come_in_the_order_of_the_requests(inference, requests):
    result = inference.run(requests, inference.settings("CountingEngine", concurrency=3))
    assert (result.code, result.err) == (0, "")
    assert keys(inference.output) == [request.key for request in requests]
    assert sorted(inference.called()) == [request.question_id for request in requests]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_sigterm_keeps_what_was_in_flight_and_the_next_run_asks_for_the_rest(inference, make_request, concurrency):
    requests = [make_request(f"q{number}") for number in range(40)]  # more than can be answered before it hears of it
    reader = inference.settings("CountingEngine", {"delay_s": 0.25}, concurrency=concurrency)
    process = inference.start(requests, reader)
    wait_until(lambda: len(inference.called()) > concurrency)
    process.send_signal(signal.SIGTERM)
    result = inference.finish(process)
    assert result.code == 1
    assert "told to end" in result.err
    assert "run the same command again" in result.err
    assert_plain(result)
    assert not inference.output.exists()
    asked = inference.called()
    assert concurrency < len(asked) < len(requests)
    answered = kept(requests, inference.journal)
    assert {request.question_id for request in requests if request.key in answered} == set(asked)

    assert inference.run(requests, inference.settings("CountingEngine", concurrency=concurrency)).code == 0
    assert Counter(inference.called()) == Counter(request.question_id for request in requests)
    assert keys(inference.output) == [request.key for request in requests]


def test_killed_job_keeps_its_answers(inference, requests):
    reader = inference.settings("CrashingEngine", {"after": 5})
    assert inference.run(requests, reader).code == -signal.SIGKILL
    assert inference.called() == ["q0", "q1", "q2", "q3", "q4"]
    inference.mended.touch()
    result = inference.run(requests, reader)
    assert result.code == 0
    assert Counter(inference.called()) == Counter(request.question_id for request in requests)
    assert "3 answered, 5 from the journal, 0 failed" in result.out


def test_no_engine_is_opened_for_an_empty_shard(inference):
    result = inference.run([], inference.settings("DeviceEngine"))
    assert (result.code, result.err) == (0, "")
    assert inference.output.read_bytes() == b""
    assert inference.called() == []
    assert not list(inference.journal.glob("*.jsonl"))


def test_no_engine_is_opened_nor_device_leased_when_all_is_journaled(inference, requests):
    assert inference.run(requests, inference.settings("DeviceEngine")).code == 0
    assert inference.called() == ["start", "end"]
    first = inference.output.read_bytes()
    inference.output.unlink()
    result = inference.run(requests, inference.settings("DeviceEngine", gpus=1), CUDA_VISIBLE_DEVICES="")
    assert (result.code, inference.called()) == (0, ["start", "end"])
    assert inference.output.read_bytes() == first
    assert len(list(inference.journal.glob("*.jsonl"))) == 1


@pytest.mark.parametrize(("allowed", "code"), [(0, 1), (1, 1), (2, 0)])
def test_max_failures(inference, requests, allowed, code):
    reader = inference.settings("FailingEngine", {"questions": ["q1", "q4"]}, max_failures=allowed)
    result = inference.run(requests, reader)
    assert result.code == code
    assert "question 'q1': q1: the engine was told to fail" in result.err
    assert_plain(result)
    assert (f"2 of 8 requests failed, {allowed} allowed (max_failures)" in result.err) == (code == 1)
    assert inference.output.exists() == (code == 0)
    assert len(inference.called()) == len(requests)

    inference.mended.touch()
    assert inference.run(requests, reader).code == 0
    assert inference.called()[len(requests) :] == ["q1", "q4"]
    assert [response.error for response in read_records(inference.output, Response)] == [None] * len(requests)


def test_hanging_request_costs_itself_only(inference, requests):
    reader = inference.settings("HangingEngine", {"questions": ["q2"]}, timeout_s=3.0)
    result = inference.run(requests, reader)
    assert result.code == 1
    assert "question 'q2': no answer within 3 s (timeout_s)" in result.err
    assert len(kept(requests, inference.journal)) == len(requests) - 1


def test_key_that_comes_twice_is_asked_once_for_the_first_question(inference, requests, make_request):
    twin = make_request("q9")
    twin.key = requests[1].key
    result = inference.run([*requests[:3], twin, *requests[3:]], inference.settings("CountingEngine"))
    assert result.code == 0
    assert inference.called() == [request.question_id for request in requests]
    assert keys(inference.output) == [request.key for request in requests]


def test_damaged_journal_line_is_told_and_asked_again(inference, requests):
    reader = inference.settings("CountingEngine")
    assert inference.run(requests, reader).code == 0
    (file,) = inference.journal.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    result = inference.run(requests, reader)
    assert result.code == 0
    assert f"{file.relative_to(inference.folder)}:8: not a response" in result.out.replace(f"{inference.folder}/", "")
    assert inference.called()[len(requests) :] == ["q7"]
    assert keys(inference.output) == [request.key for request in requests]


OWN = """
from hopeval.asking import Policy
from hopeval.engines.base import Completion, Engine, EngineFailed

class Broken(Engine):
    async def open(self):
        raise EngineFailed("no such luck")
    async def complete(self, request): ...
    async def close(self):
        print("let go")

class Breaking(Engine):
    async def complete(self, request):
        if request.question_id == "q6":
            raise EngineFailed("out of memory")
        return Completion("x", "stop")
"""


@pytest.mark.parametrize(
    ("engine", "message", "answers"),
    [("Broken", "no such luck", 0), ("Breaking", "question 'q6': out of memory", 6)],
)
def test_engine_of_ones_own_from_the_working_directory_that_fails(inference, requests, engine, message, answers):
    (inference.folder / "mine.py").write_text(OWN)
    result = inference.run(requests, {"engine": f"mine:{engine}"})
    assert (result.code, result.err) == (1, f"hopeval infer: {message}\n")
    assert ("let go" in result.out) == (engine == "Broken")
    assert len(kept(requests, inference.journal)) == answers
    assert not inference.output.exists()


def test_fewer_gpus_granted_than_needed_is_the_users_mistake(inference, requests):
    result = inference.run(requests, inference.settings("CountingEngine", gpus=4), "--granted-gpus", "1")
    assert result.code == 2
    assert "readers.r.gpus: 4 needed for each job, but only 1 granted" in result.err
    assert inference.called() == []
