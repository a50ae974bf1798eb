"""Read one experiment's responses as answers and supporting facts.

predictions.json is in the official format and holds what was answered, and nothing else: a question
whose response failed or could not be read is not in it. predictions.jsonl has a record for every
question with its status, results.jsonl one flat line an item with the keys of a contexts file.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from hopeval.errors import InputError
from hopeval.io import RecordWriter, read_records, write_json
from hopeval.parsing import parse
from hopeval.records import Prediction, Question, Request, Response


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--experiment", required=True, help="the experiment's name")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--skipped", type=Path, help="items that were passed over")
    parser.add_argument("--requests", required=True, type=Path)
    parser.add_argument("--responses", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path, help="folder for the three files")


class _Key(Struct):
    """As much of a request as tells whose answer it wants."""

    key: str
    experiments: list[str] = []


def run(args: argparse.Namespace) -> None:
    """Write the predictions in the order of the questions, which is that of the requests."""
    wanted = {r.key for r in read_records(args.requests, _Key) if args.experiment in r.experiments}
    if not wanted:
        raise InputError(f"--experiment {args.experiment!r}: no request of {args.requests} is for it; plan it first")
    responses = {r.key: r for r in read_records(args.responses, Response) if r.key in wanted}
    # Not all at once: prompts are long.
    requests = (r for r in read_records(args.requests, Request) if args.experiment in r.experiments)
    due = next(requests, None)
    answers: dict[str, str] = {}
    facts: dict[str, Any] = {}
    with (
        RecordWriter(args.output / "predictions.jsonl") as predictions,
        RecordWriter(args.output / "results.jsonl") as results,
    ):
        for question in read_records(args.questions, Question):
            request, response = None, None
            if due is not None and due.question_id == question.id:
                request, response, due = due, responses.get(due.key), next(requests, None)
            prediction = predict(question.id, args.experiment, request, response)
            predictions.write(prediction)
            results.write(result(question, prediction, response))
            if prediction.answer is not None:
                answers[question.id] = prediction.answer
                facts[question.id] = prediction.supporting_facts
        if due is not None:
            raise InputError(
                f"{args.requests}: asks question {due.question_id!r} where that is not due; plan again, "
                f"so that requests stand in the order of {args.questions}"
            )
        for item in _skipped(args.skipped):
            results.write({**item, "answer": None, **_timing(None), "success": False})
    write_json(args.output / "predictions.json", {"answer": answers, "sp": facts})


def _skipped(path: Path | None) -> Iterator[dict[str, Any]]:
    return read_records(path, dict[str, Any]) if path else iter(())


def predict(question_id: str, experiment: str, request: Request | None, response: Response | None) -> Prediction:
    """What the response says, or why it says nothing."""
    if request is None or response is None:
        return Prediction(question_id=question_id, status="missing", detail="no response")
    omitted = request.omitted_passages.get(experiment, 0)
    if response.error is not None:
        return Prediction(
            question_id=question_id,
            status="error",
            detail=response.error,
            omitted_passages=omitted,
            key=request.key,
        )
    output = "text" if request.schema is None else "json"
    parsed = parse(response.text, output, request.sentences, response.finish_reason)
    return Prediction(
        question_id=question_id,
        answer=parsed.answer,
        supporting_facts=parsed.supporting_facts,
        status=parsed.status,
        detail=parsed.detail,
        unknown_labels=parsed.unknown_labels,
        omitted_passages=omitted,
        key=request.key,
    )


def result(question: Question, prediction: Prediction, response: Response | None) -> dict[str, Any]:
    """The item's line in the results file: the keys it came with, and what became of it."""
    return {
        **(question.extra or {"id": question.id, "query": question.text}),
        "answer": prediction.answer,
        **_timing(response),
        "success": prediction.answer is not None,
        "error": prediction.detail,
    }


def _timing(response: Response | None) -> Mapping[str, Any]:
    """Seconds of the call, seconds since the shard's start, and the shard's number from 0."""
    if response is None:
        return {"inference_time": None, "total_time": None, "worker_rank": None}
    number = response.shard.partition("-")[0]
    return {
        "inference_time": response.latency_s,
        "total_time": round(response.queue_s + response.latency_s, 6),
        "worker_rank": int(number) - 1 if number.isdecimal() else None,
    }
