"""What infer looks at before and around the engine: whose keys, whether it starts, what it says of failures."""

import io
import json

import pytest

from hopeval.commands import infer
from hopeval.io import read_records, write_records
from hopeval.records import Request

ENGINES = """
from engines import CountingEngine
from hopeval.engines.base import RequestFailed


class Init(CountingEngine):
    def __init__(self, setup):
        raise ValueError("no such colour")


class Open(CountingEngine):
    async def open(self):
        raise ConnectionRefusedError(111, "Connection refused")


class Close(CountingEngine):
    async def close(self):
        raise KeyError("socket")


class Idle(CountingEngine):
    concurrency = 0


class Rude(CountingEngine):
    async def complete(self, request):
        raise RequestFailed("\\x1b[31mred\\x07")
"""
PROMPTS = '{"p": {"template": "t.jinja", "output": "text"}}'
EXPERIMENTS = '{"given.p.r": {"retriever": "given", "top_k": null, "prompt": "p"}}'


@pytest.fixture
def plan(tmp_path, write, question, context, hopeval):
    """Plans a request for each of two questions, as the verb does."""

    def run(settings, *more):
        template = write("t.jinja", "{{ question }}")
        write_records(tmp_path / "questions.jsonl", [question("q1"), question("q2")])
        write_records(tmp_path / "given.jsonl", [context("q1", "A"), context("q2", "A")])
        hopeval(
            *("plan", "--reader", "r", "--settings", json.dumps(settings), *more, "--experiments", EXPERIMENTS),
            *("--prompts", PROMPTS.replace("t.jinja", str(template)), "--questions", tmp_path / "questions.jsonl"),
            *("--contexts", f"given={tmp_path / 'given.jsonl'}", "--output", tmp_path / "planned.jsonl"),
        )
        return list(read_records(tmp_path / "planned.jsonl", Request))

    return run


@pytest.fixture
def own(inference):
    """Makes the settings of one of the engines above, in the job's folder."""
    (inference.folder / "checked_engines.py").write_text(ENGINES)
    return lambda name, **settings: {"engine": f"checked_engines:{name}", **settings}


def journaled(inference):
    return [line for path in inference.journal.glob("*.jsonl") for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"version": 2}},
        {"sampling": {"temperature": 0.5}},
        {"sampling": {"seed": 1}},
        {"sampling": {"stop": ["."]}},
        {"engine": "engines:FailingEngine"},
        {"model": "another"},
    ],
)
def test_requests_planned_for_another_model_or_sampling_are_refused(inference, plan, changed):
    settings = inference.settings("CountingEngine")
    requests = plan(settings)
    options = {**settings["options"], **changed.get("options", {})}
    result = inference.run(requests, {**settings, **changed, "options": options})
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith(f"hopeval infer: {inference.folder / 'requests.jsonl'}: planned for another model")
    assert "reader 'r'" in result.err
    assert "plan the requests again" in result.err
    assert (inference.called(), journaled(inference), inference.output.exists()) == ([], [], False)


def test_requests_planned_for_other_weights_are_refused(inference, plan, write):
    settings = inference.settings("CountingEngine")
    requests = plan(settings, "--model", write("a.gguf", "a"))
    result = inference.run(requests, settings, "--model", str(write("b.gguf", "b")))
    assert (result.code, journaled(inference)) == (2, [])
    assert "b.gguf" in result.err
    # The same bytes under another name are the same model.
    assert inference.run(requests, settings, "--model", str(write("c.gguf", "a"))).code == 0


def test_what_answers_do_not_depend_on_needs_no_new_plan(inference, plan):
    settings = inference.settings("CountingEngine")
    requests = plan(settings)
    done = inference.run(requests, {**settings, "concurrency": 3, "timeout_s": 30.0, "context_window": 2048})
    assert done.code == 0, done.err
    assert inference.called() == ["q1", "q2"]


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("Init", "ValueError: no such colour"),
        ("Open", "ConnectionRefusedError: [Errno 111] Connection refused"),
        ("Close", "KeyError: 'socket'"),
    ],
)
def test_engine_that_raises_is_told_in_one_message(inference, make_request, own, engine, said):
    log = inference.folder / "infer.log"
    result = inference.run([make_request("q")], own(engine), "--log", str(log))
    assert result.code == 1
    assert "Traceback" not in result.out + result.err
    told = [line for line in log.read_text().splitlines() if line.startswith("hopeval infer: ")]
    where = f"hopeval infer: readers.r.engine: checked_engines:{engine} failed: {said}"
    assert told == [f"{where}; see the traceback above"]
    assert log.read_text().count("Traceback") == 1


def test_engine_without_concurrency_is_told(inference, make_request, own):
    result = inference.run([make_request("q")], own("Idle"))
    assert result.code == 2
    assert result.err == "hopeval infer: checked_engines:Idle: concurrency is 0; make it 1 or more\n"
    assert journaled(inference) == []


def test_errors_are_printed_with_their_escape_sequences_written_out(inference, make_request, own):
    result = inference.run([make_request("q\x1b[2J")], own("Rude"))
    assert result.code == 1
    assert r"question 'q\x1b[2J': \x1b[31mred\x07" in result.err
    assert "\x1b" not in result.out + result.err
    assert "\x07" not in result.out + result.err


def test_waiting_is_told_to_the_log_and_to_the_terminal_beside_it(capsys):
    terminal = io.StringIO()
    infer._teller(terminal)("waiting")
    infer._teller(None)("alone")
    assert capsys.readouterr().out == "waiting\nalone\n"
    assert terminal.getvalue() == "waiting\n"
