"""Contexts to requests: every distinct prompt once, neighbours alike, nothing lost but by count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopeval.io import write_records
from hopeval.prompts import estimate_tokens
from hopeval.records import Request

PASSAGE = "{{ p.title }}: {% for s in p.sentences %}{{ s.text }} {% endfor %}| "
TEMPLATE = "{% for p in passages %}" + PASSAGE + "{% endfor %}{{ question }}"


@pytest.fixture
def plan(
    tmp_path: Path, write: Any, hopeval: Any, refused: Any, records: Any, question: Any, context: Any
) -> Callable[..., Any]:
    """Plans two questions with contexts of three and of no passages; the requests, or the message of a failure."""
    write("t.jinja", TEMPLATE)
    write("other.jinja", "Please. " + TEMPLATE)
    write_records(tmp_path / "questions.jsonl", [question("q1"), question("q2")])
    write_records(tmp_path / "bm25.jsonl", [context("q1", "A", "B", "C"), context("q2", "D", "E", "F")])
    write_records(tmp_path / "none.jsonl", [context("q1"), context("q2")])

    def run(*experiments: str, fails: bool = False, prompts: Any = None, **settings: Any) -> Any:
        settings = {"engine": "my:Engine", "context_window": 1000, "sampling": {"max_tokens": 100}, **settings}
        prompts = prompts or {
            "text": {"template": str(tmp_path / "t.jinja"), "output": "text"},
            "json": {"template": str(tmp_path / "t.jinja"), "output": "json"},
            "same": {"template": str(tmp_path / "t.jinja"), "output": "text"},
            "other": {"template": str(tmp_path / "other.jinja"), "output": "text"},
        }
        parsed = {}
        for name in experiments:
            ranked, prompt = name.split(".")[:2]
            retriever, _, k = ranked.partition("@")
            parsed[name] = {"retriever": retriever, "top_k": int(k) if k else None, "prompt": prompt}
        arguments = ["plan", "--reader", "r", "--settings", json.dumps(settings), "--prompts", json.dumps(prompts)]
        arguments += ["--experiments", json.dumps(parsed), "--questions", tmp_path / "questions.jsonl"]
        arguments += ["--contexts", f"bm25={tmp_path / 'bm25.jsonl'}", f"none={tmp_path / 'none.jsonl'}"]
        arguments += ["--output", tmp_path / "requests.jsonl"]
        if fails:
            message = refused(*arguments)
            assert not (tmp_path / "requests.jsonl").exists()
            return message
        run.printed = hopeval(*arguments)
        return records(tmp_path / "requests.jsonl", Request)

    return run


def by_experiment(requests: list[Request], question_id: str) -> dict[str, Request]:
    return {name: r for r in requests if r.question_id == question_id for name in r.experiments}


def test_every_experiment_has_one_request_for_each_question(plan: Any) -> None:
    names = ["bm25@1.text.r", "bm25@3.text.r", "bm25.json.r", "none.text.r"]
    requests = plan(*names)
    assert len(requests) == 8
    assert [r.question_id for r in requests] == ["q1"] * 4 + ["q2"] * 4
    for identifier in ("q1", "q2"):
        assert set(by_experiment(requests, identifier)) == set(names)


def test_equal_prompts_are_one_request_with_several_experiments(plan: Any) -> None:
    requests = plan("bm25@3.text.r", "bm25@10.text.r", "bm25@3.same.r", "bm25@2.text.r")
    assert len(requests) == 4
    assert by_experiment(requests, "q1")["bm25@3.text.r"].experiments == [
        "bm25@3.text.r",
        "bm25@10.text.r",
        "bm25@3.same.r",
    ]


def test_what_differs_in_output_alone_is_two_requests(plan: Any) -> None:
    found = by_experiment(plan("bm25@2.text.r", "bm25@2.json.r"), "q2")
    assert found["bm25@2.text.r"].key != found["bm25@2.json.r"].key
    assert found["bm25@2.text.r"].schema is None
    assert found["bm25@2.json.r"].schema["properties"]["supporting_facts"]["items"] == {"enum": [1, 2, 3, 4]}


def test_each_request_in_a_chain_extends_the_one_before_as_far_as_it_can(plan: Any) -> None:
    requests = plan("bm25@3.text.r", "bm25@3.other.r", "bm25@1.text.r", "bm25@1.other.r", "bm25@2.text.r")
    texts = [r.messages[0].content for r in requests if r.question_id == "q1"]
    assert texts == sorted(texts)
    assert [text.startswith("Please") for text in texts] == [False] * 3 + [True] * 2


def test_the_request_says_what_its_labels_stand_for(plan: Any) -> None:
    request = by_experiment(plan("bm25@2.text.r"), "q2")["bm25@2.text.r"]
    assert request.sentences == {"1": ("D", 0), "2": ("D", 1), "3": ("E", 0), "4": ("E", 1)}
    assert request.messages[0].content == "D: D is one. D is two. | E: E is one. E is two. | Where is q2?"
    assert request.tokens_estimate == estimate_tokens(request.messages)


def test_the_lowest_ranked_passages_are_left_out_and_counted(plan: Any) -> None:
    names = ["bm25@1.text.r", "bm25@2.text.r", "bm25@3.text.r", "none.text.r"]
    two = by_experiment(plan(*names), "q1")["bm25@2.text.r"]
    window = 100 + two.tokens_estimate
    requests = plan(*names, context_window=window)
    found = by_experiment(requests, "q1")
    assert found["bm25@3.text.r"] is found["bm25@2.text.r"]
    assert found["bm25@3.text.r"].messages == two.messages
    assert found["bm25@3.text.r"].omitted_passages == {"bm25@3.text.r": 1}
    assert "6 requests for 4 experiments, 2 passages left out for length" in plan.printed
    one_less = by_experiment(plan(*names, context_window=window - 1), "q1")
    assert one_less["bm25@3.text.r"].omitted_passages == {"bm25@2.text.r": 1, "bm25@3.text.r": 2}


def test_a_question_too_long_even_alone_is_an_error(plan: Any, tmp_path: Path, question: Any) -> None:
    long = question("q2", text="Who? " * 1000)
    write_records(tmp_path / "questions.jsonl", [question("q1"), long])
    message = plan("bm25@2.text.r", fails=True)
    assert "question 'q2': about 2367 tokens even with no passages, but 900 fit" in message
    assert "raise the reader's context_window (1000), lower sampling.max_tokens, or shorten" in message


def test_keys_depend_on_the_reader_and_not_on_how_it_is_run(plan: Any) -> None:
    def keys(**settings: Any) -> list[str]:
        return [request.key for request in plan("bm25@2.text.r", **settings)]

    first = keys()
    assert keys(shards=7, gpus=2, timeout_s=1.0, concurrency=9, context_window=2000, max_failures=3) == first
    for settings in (
        {"options": {"x": 1}},
        {"model": "m"},
        {"sampling": {"max_tokens": 100, "seed": 1}},
        {"engine": "my:Other"},
    ):
        assert not set(keys(**settings)) & set(first)


def test_the_weights_are_part_of_every_key(tmp_path: Path, plan: Any, write: Any, hopeval: Any, records: Any) -> None:
    def keys(weights: str) -> list[str]:
        prompts = {"p": {"template": str(tmp_path / "t.jinja"), "output": "text"}}
        experiments = {"none.p.r": {"retriever": "none", "top_k": None, "prompt": "p"}}
        arguments = ["--settings", '{"engine": "llamacpp", "model": "m"}', "--prompts", json.dumps(prompts)]
        arguments += ["--experiments", json.dumps(experiments), "--contexts", f"none={tmp_path / 'none.jsonl'}"]
        arguments += ["--questions", tmp_path / "questions.jsonl", "--output", tmp_path / "out.jsonl"]
        hopeval("plan", "--reader", "r", "--model", write("model.gguf", weights), *arguments)
        return [request.key for request in records(tmp_path / "out.jsonl", Request)]

    assert keys("one") == keys("one") != keys("other")


@pytest.mark.parametrize(
    ("identifiers", "said"),
    [
        (["q2", "q1"], "has question 'q2' where question 'q1' is due; retrieve again"),
        (["q1"], "has nothing more where question 'q2' is due; retrieve again"),
        (["q1", "q2", "q3"], "has question 'q3' where nothing more is due; retrieve again"),
        ([], "has nothing more where question 'q1' is due"),
    ],
)
def test_contexts_of_other_questions_are_an_error(
    plan: Any, tmp_path: Path, context: Any, identifiers: list[str], said: str
) -> None:
    write_records(tmp_path / "bm25.jsonl", [context(identifier, "A") for identifier in identifiers])
    assert f"bm25.jsonl: {said}" in plan("none.text.r", fails=True)


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ("dense@2.text.r", "--experiments: dense@2.text.r: 'dense' is missing"),
        ("none.nope.r", "none.nope.r: 'nope' is missing"),
    ],
)
def test_an_experiment_of_unknown_parts_is_an_error(plan: Any, experiment: str, said: str) -> None:
    assert said in plan(experiment, fails=True)


@pytest.mark.parametrize("prompt", [{}, {"output": "text"}, "t.jinja", None])
def test_a_prompt_without_a_template_is_an_error(plan: Any, prompt: Any) -> None:
    assert "--prompts: text: found" in plan("none.text.r", fails=True, prompts={"text": prompt})
