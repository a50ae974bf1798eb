"""``hopeval ask``: questions to an endpoint, one command, one file."""

import json
from pathlib import Path

import pytest

from endpoint import Endpoint, refuses
from hopeval.__main__ import main

SAMPLE = Path(__file__).resolve().parents[2] / "resources" / "sample" / "questions.json"


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """Asks the first ten questions of the sample: exit code, stdout, stderr, lines of the output."""
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path / "locks"))
    output = tmp_path / "answers.jsonl"

    def run(endpoint, *more, questions=SAMPLE):
        names = ("--base-url", endpoint.url, "--model", "m", "--questions", questions, "--output", output)
        code = main(["ask", *map(str, names), "--max-questions", "10", *more])
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else None
        return code, out, err, lines

    return run


def test_answers_in_order_and_metrics(ask):
    with Endpoint() as endpoint:
        code, out, err, lines = ask(endpoint)
        assert code == 0, err
        assert [line["id"] for line in lines] == [f"sample-{number:03}" for number in range(1, 11)]
        assert json.loads(out).keys() >= {"em", "f1", "joint_f1"}
        assert "10 answered" in err
        assert len(endpoint.calls) == 10
        assert ask(endpoint)[3] == lines  # from the journal
        assert len(endpoint.calls) == 10


def test_what_is_answered_is_written_also_when_not_all_could_be(ask):
    with Endpoint(lambda call: refuses(400, "too long") if call.number == 5 else None) as endpoint:
        code, out, err, lines = ask(endpoint, "--save-every", "100", "--concurrency", "2")
        assert (code, out) == (1, "")
        assert "1 of 10 requests failed" in err
        assert sum(line["success"] for line in lines) == 9 - sum(line["status"] == "unparsable" for line in lines)
        code, _, err, lines = ask(endpoint, "--save-every", "100")
        assert code == 0, err
        assert len(lines) == 10
        assert len(endpoint.calls) == 11


def test_an_earlier_output_stays_when_nothing_is_answered(ask):
    with Endpoint() as endpoint:
        lines = ask(endpoint)[3]
    with Endpoint(lambda call: refuses(401, "expired")) as endpoint:
        code, _, _, after = ask(endpoint, "--settings", '{"sampling": {"max_tokens": 7}}')
    assert (code, after) == (2, lines)


def test_free_text_and_a_prompt_of_ones_own(ask, tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("{{ question }}")
    with Endpoint() as endpoint:
        code, _, err, lines = ask(endpoint, "--text", "--template", str(template))
    assert code == 0, err
    assert {line["status"] for line in lines} == {"ok"}
    assert all(line["answer"] == f"An answer to {line['query']}" for line in lines)
    assert {call.format for call in endpoint.calls} == {None}


def test_further_settings_and_a_key(ask, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with Endpoint(key="sk-secret") as endpoint:
        code, out, err, _ = ask(endpoint, "--api-key-env", "MY_KEY", "--settings", '{"sampling": {"max_tokens": 7}}')
    assert code == 0, err
    assert {call.body["max_tokens"] for call in endpoint.calls} == {7}
    assert "sk-secret" not in out + err
    assert all(b"sk-secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--concurrency", "many"], "readers.ask.concurrency: found 'many'; must be 'auto'"),
        (["--settings", '{"engin": 1}'], "readers.ask.engin: unknown key (did you mean 'engine'?)"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(ask, more, said):
    with Endpoint() as endpoint:
        code, _, err, lines = ask(endpoint, *more)
    assert (code, endpoint.calls, lines) == (2, [], None)
    assert said in err


def test_a_file_that_holds_no_questions(ask, tmp_path):
    with Endpoint() as endpoint:
        code, _, err, lines = ask(endpoint, questions=tmp_path / "absent.json")
    assert (code, endpoint.calls, lines) == (2, [], None)
    assert "absent.json" in err
