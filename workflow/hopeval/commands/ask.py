"""Put questions to an endpoint, without a workflow: one command, one file of answers.

hopeval ask --base-url http://localhost:8000/v1 --model NAME --questions dev.json --output answers.jsonl

The stages are those of the workflow, one after the other in one process: the prompt has each question's
own paragraphs where it came with some. Beside the output stands OUTPUT.parts, a folder with records, the
journal and, while it runs, answers.jsonl. The output has all answers that there are, also when not all
could be had; the same command again asks only what has no answer yet. Where the questions have gold
answers, the official metrics are printed.
"""

import argparse
import json
import sys
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from hopeval.commands import mapping, positive
from hopeval.commands.predict import predict, result
from hopeval.config import merge
from hopeval.io import read_records, write_records
from hopeval.records import Question, Request, Response

_PROMPTS = Path(__file__).resolve().parents[2] / "prompts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--base-url", required=True, help="the endpoint, up to and with /v1")
    parser.add_argument("--model", required=True, help="the model's name there")
    parser.add_argument("--questions", required=True, help="HotpotQA or contexts file, path or URL")
    parser.add_argument("--output", required=True, type=Path, help="answers (JSON Lines)")
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable that holds the key")
    parser.add_argument("--concurrency", default="auto", help="requests in flight; auto finds out (default)")
    parser.add_argument("--max-questions", type=positive, help="take only the first this many")
    parser.add_argument(
        "--save-every", type=positive, default=1, help="answers between two writes while it runs (default 1)"
    )
    parser.add_argument("--template", type=Path, default=_PROMPTS / "cited.jinja", help="prompt (Jinja)")
    parser.add_argument("--text", action="store_true", help="ask for free text, not for JSON")
    parser.add_argument("--settings", type=mapping, default={}, help="further keys of a reader: inline JSON or YAML")


def run(args: argparse.Namespace) -> None:
    """Write the answers. Raises what infer raises, once those that there are have been written."""
    settings = json.dumps(merge(_settings(args), args.settings))
    parts = args.output.with_name(f"{args.output.name}.parts")
    experiment = {"ask": {"retriever": "given", "prompt": "ask"}}
    prompts = {"ask": {"template": str(args.template), "output": "text" if args.text else "json"}}
    most = ["--max-questions", args.max_questions] if args.max_questions else []
    _verb("prepare", "--questions", args.questions, *most, "--output", parts)
    questions, requests, responses = (parts / f"{kind}.jsonl" for kind in ("questions", "requests", "responses"))
    given = parts / "contexts.jsonl"
    _verb(
        *("retrieve", "--retriever", "given", "--settings", '{"kind": "given"}', "--questions", questions),
        *("--passages", parts / "passages.jsonl", "--output", given, "--metrics", parts / "retrieval.json"),
        *("--run-file", parts / "given.trec"),
    )
    _verb(
        *("plan", "--reader", "ask", "--settings", settings, "--prompts", json.dumps(prompts)),
        *("--experiments", json.dumps(experiment), "--questions", questions, "--contexts", f"given={given}"),
        *("--output", requests),
    )
    answers = _Answers(parts / "answers.jsonl", args.save_every, questions, requests)
    try:
        _verb(
            *("infer", "--reader", "ask", "--settings", settings, "--requests", requests),
            *("--journal", parts / "journal", "--output", responses),
            on_response=answers.add,
        )
    finally:
        answers.write_in_order(args.output)
    _verb(
        *("predict", "--experiment", "ask", "--questions", questions, "--requests", requests),
        *("--responses", responses, "--output", parts),
    )
    if any(question.answer is not None for question in read_records(questions, Question)):
        _verb("score", "--questions", questions, "--predictions", parts / "predictions.json")


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The reader's section that the options amount to."""
    settings = {"engine": "openai", "base_url": args.base_url, "model": args.model}
    settings |= {"api_key_env": args.api_key_env} if args.api_key_env else {}
    number = args.concurrency.isdecimal()
    return settings | {"concurrency": int(args.concurrency) if number else args.concurrency}


def _verb(name: str, *arguments: Any, **more: Any) -> None:
    """Run another verb in this process; but for the scores, what it prints is words."""
    command = import_module(f"hopeval.commands.{name}")
    parser = argparse.ArgumentParser(prog=f"hopeval {name}")
    command.add_arguments(parser)
    with nullcontext() if name == "score" else redirect_stdout(sys.stderr):
        command.run(parser.parse_args([str(argument) for argument in arguments]), **more)


class _Answers:
    """A line for each question: as answers come in at ``path``, in the questions' order in the end."""

    def __init__(self, path: Path, every: int, questions: Path, requests: Path) -> None:
        self._path, self._every = path, every
        self._questions = {question.id: question for question in read_records(questions, Question)}
        self._waiting: dict[str, list[Request]] = {}  # two questions may have one prompt
        for request in read_records(requests, Request):
            self._waiting.setdefault(request.key, []).append(request)
        self._lines: dict[str, dict[str, Any]] = {}
        self._unwritten: list[bytes] = []
        self._path.write_bytes(b"")  # what was answered before comes from the journal again

    def add(self, response: Response) -> None:
        """Add the lines of the questions that this response answers."""
        for request in self._waiting[response.key]:
            question = self._questions[request.question_id]
            prediction = predict(question.id, "ask", request, response)
            cited = {"status": prediction.status, "supporting_facts": prediction.supporting_facts}
            self._lines[question.id] = {**result(question, prediction, response), **cited}
            self._unwritten.append(msgspec.json.encode(self._lines[question.id]) + b"\n")
        if len(self._unwritten) >= self._every:
            with open(self._path, "ab") as file:
                file.write(b"".join(self._unwritten))
            self._unwritten.clear()

    def write_in_order(self, path: Path) -> None:
        """Write what there is, in the order of the questions, to the file that it is for."""
        if self._lines:  # else an earlier output stays as it is
            write_records(path, (self._lines[name] for name in self._questions if name in self._lines))
        self._path.unlink()
