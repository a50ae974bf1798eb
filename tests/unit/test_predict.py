"""Responses to predictions: the five outcomes, told apart, and the files that come of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopeval.commands.predict import predict
from hopeval.io import write_records
from hopeval.records import Message, Prediction, Question, Request, Response

WHOLE = '{"answer": "Paris", "supporting_facts": [1, 3, 9]}'
SENTENCES = {"1": ("A", 0), "2": ("A", 1), "3": ("B", 1)}


def request(
    identifier: str = "q1", *, experiments: tuple[str, ...] = ("e",), schema: Any = None, **more: Any
) -> Request:
    return Request(
        key=f"key-{identifier}-{'+'.join(experiments)}",
        question_id=identifier,
        messages=[Message("user", "?")],
        schema={"type": "object"} if schema is None else schema or None,
        sentences=SENTENCES,
        experiments=list(experiments),
        **more,
    )


def outcome(text: str = "", *, schema: Any = None, **response: Any) -> Prediction:
    return predict("q1", "e", request(schema=schema), Response(key="k", text=text, **response))


def test_an_answer_is_ok_right_or_wrong() -> None:
    found = outcome(WHOLE, finish_reason="stop")
    assert (found.status, found.answer, found.detail, found.unknown_labels) == ("ok", "Paris", None, 1)
    assert found.supporting_facts == [("A", 0), ("B", 1)]
    assert found.key == "key-q1-e"


def test_a_plain_text_answer_needs_no_schema() -> None:
    found = outcome("Answer: Paris\nSentences: 2", schema={})
    assert (found.status, found.answer, found.supporting_facts) == ("ok", "Paris", [("A", 1)])


def test_a_cut_off_text_is_truncated() -> None:
    found = outcome(WHOLE[:-10], finish_reason="length")
    assert (found.status, found.answer) == ("truncated", "Paris")
    assert outcome('{"answer": "Par', finish_reason="length").answer is None


def test_a_text_without_an_answer_is_unparsable() -> None:
    found = outcome("I cannot say.", finish_reason="stop")
    assert (found.status, found.answer, found.detail) == ("unparsable", None, "no answer in this form in the text")


def test_a_failed_request_is_an_error_whatever_its_text() -> None:
    found = outcome(WHOLE, error="no answer within 600 s (timeout_s)")
    assert (found.status, found.answer, found.detail) == ("error", None, "no answer within 600 s (timeout_s)")


@pytest.mark.parametrize("asked", [None, request()])
def test_what_has_no_response_is_missing(asked: Request | None) -> None:
    found = predict("q1", "e", asked, None)
    assert (found.status, found.answer, found.detail) == ("missing", None, "no response")


def test_passages_left_out_are_counted_for_the_experiment_alone() -> None:
    asked = request(omitted_passages={"other": 3, "e": 2})
    assert predict("q1", "e", asked, Response(key="k", text=WHOLE)).omitted_passages == 2
    assert predict("q1", "e", asked, Response(key="k", error="x")).omitted_passages == 2
    assert predict("q1", "new", asked, Response(key="k", text=WHOLE)).omitted_passages == 0


@pytest.fixture
def run(tmp_path: Path, hopeval: Any) -> Callable[..., Path]:
    """Predicts an experiment; the folder of its files."""

    def run(questions: list[Any], requests: list[Any], responses: list[Any], *more: Any, experiment: str = "e") -> Path:
        for name, content in {"questions": questions, "requests": requests, "responses": responses}.items():
            write_records(tmp_path / f"{name}.jsonl", content)
        arguments = [f"--{name}={tmp_path / name}.jsonl" for name in ("questions", "requests", "responses")]
        hopeval("predict", "--experiment", experiment, *arguments, "--output", tmp_path / "out", *more)
        return tmp_path / "out"

    return run


def test_the_official_file_holds_what_was_answered_and_nothing_else(run: Any, records: Any) -> None:
    outcomes = {
        "right": Response(key="key-right-e", text=WHOLE),
        "cut": Response(key="key-cut-e", text='{"answer": "Rome", "su', finish_reason="length"),
        "cut early": Response(key="key-cut early-e", text='{"answer": "Ro', finish_reason="length"),
        "chatter": Response(key="key-chatter-e", text="Well."),
        "failed": Response(key="key-failed-e", error="x"),
        "empty": Response(key="key-empty-e", text='{"answer": "", "supporting_facts": []}'),
    }
    names = [*outcomes, "gone"]
    folder = run(
        [Question(id=n, text="?") for n in names], [request(n) for n in names], list(reversed(outcomes.values()))
    )
    assert json.loads((folder / "predictions.json").read_text()) == {
        "answer": {"right": "Paris", "cut": "Rome", "empty": ""},
        "sp": {"right": [["A", 0], ["B", 1]], "cut": [], "empty": []},
    }
    assert [(p.question_id, p.status) for p in records(folder / "predictions.jsonl", Prediction)] == [
        ("right", "ok"),
        ("cut", "truncated"),
        ("cut early", "truncated"),
        ("chatter", "unparsable"),
        ("failed", "error"),
        ("empty", "ok"),
        ("gone", "missing"),
    ]


def test_an_experiment_reads_its_own_requests_only(run: Any, records: Any) -> None:
    requests = [request(experiments=("e", "f")), request(experiments=("g",))]
    responses = [Response(key="key-q1-g", text='{"answer": "G"}'), Response(key="key-q1-e+f", text='{"answer": "EF"}')]
    for experiment, answer in {"e": "EF", "f": "EF", "g": "G"}.items():
        folder = run([Question(id="q1", text="?")], requests, responses, experiment=experiment)
        assert [p.answer for p in records(folder / "predictions.jsonl", Prediction)] == [answer]


def test_an_experiment_that_was_never_planned_is_an_error(run: Any, tmp_path: Path, refused: Any) -> None:
    run([Question(id="q1", text="?")], [request()], [])
    files = [f"--{name}={tmp_path / name}.jsonl" for name in ("questions", "requests", "responses")]
    message = refused("predict", "--experiment", "typo", *files, "--output", tmp_path / "new")
    assert "--experiment 'typo': no request of" in message
    assert not (tmp_path / "new").exists()


def test_requests_in_another_order_than_the_questions_are_refused(run: Any, tmp_path: Path, refused: Any) -> None:
    run([Question(id=name, text="?") for name in ("q1", "q2", "q3")], [request("q1"), request("q3")], [])
    write_records(tmp_path / "requests.jsonl", [request("q2"), request("q1")])
    files = [f"--{name}={tmp_path / name}.jsonl" for name in ("questions", "requests", "responses")]
    message = refused("predict", "--experiment", "e", *files, "--output", tmp_path / "new")
    assert "requests.jsonl: asks question 'q1' where that is not due; plan again" in message
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []


KEYS = ["answer", "inference_time", "total_time", "worker_rank", "success", "error"]


def test_results_carry_the_items_own_keys_and_what_became_of_it(run: Any, records: Any, tmp_path: Path) -> None:
    extra = {
        "id": 7,
        "query": "Who?",
        "original_item_id": "o",
        "dependencies": [1],
        "retrieval_time": 0.5,
        "success": True,
    }
    questions = [Question(id="7", text="Who?", extra=extra), Question(id="8", text="What?")]
    answered = Response(key="key-7-e", text=WHOLE, latency_s=1.25, queue_s=0.5, shard="3-of-4")
    skipped = {"id": 9, "query": "Where?", "success": False, "error": "success is false in the contexts file"}
    write_records(tmp_path / "skipped.jsonl", [skipped])
    folder = run(questions, [request("7"), request("8")], [answered], "--skipped", tmp_path / "skipped.jsonl")
    first, second, third = records(folder / "results.jsonl")
    assert first == {
        **extra,
        "answer": "Paris",
        "inference_time": 1.25,
        "total_time": 1.75,
        "worker_rank": 2,
        "success": True,
        "error": None,
    }
    nothing = {"answer": None, "inference_time": None, "total_time": None, "worker_rank": None, "success": False}
    assert second == {"id": "8", "query": "What?", **nothing, "error": "no response"}
    assert third == {"id": 9, "query": "Where?", **nothing, "error": "success is false in the contexts file"}
    assert set(first) == {*extra, *KEYS}
    assert set(second) == set(third) == {"id", "query", *KEYS}


@pytest.mark.parametrize(("shard", "rank"), [("1-of-1", 0), ("12-of-16", 11), ("", None), ("mine", None)])
def test_a_shard_of_any_name_has_a_result(run: Any, records: Any, shard: str, rank: int | None) -> None:
    folder = run([Question(id="q1", text="?")], [request()], [Response(key="key-q1-e", text=WHOLE, shard=shard)])
    assert records(folder / "results.jsonl")[0]["worker_rank"] == rank
