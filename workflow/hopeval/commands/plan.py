"""Write every distinct request that one reader's experiments need.

A question's requests stand together, sorted by their text, so that each shares as long a beginning as
it can with its neighbour. Equal prompts become one request with several experiments. Where a prompt
would not fit the reader's window, the lowest-ranked passages are left out, and that is counted.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hopeval.commands import mapping, named
from hopeval.config import parse_reader
from hopeval.errors import InputError
from hopeval.hops import interleaved
from hopeval.io import read_records, write_records
from hopeval.keys import digest, reader_identity, request_key
from hopeval.prompts import Prompt, Template, answer_schema, estimate_tokens, query_schema
from hopeval.records import Context, Passage, Question, Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--reader", required=True, help="the reader's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--model", type=Path, help="the model's file or folder, which is part of every key")
    parser.add_argument("--prompts", required=True, type=mapping, help="{name: {template, output[, asks]}}")
    parser.add_argument("--experiments", required=True, type=mapping, help="{name: {retriever(s), top_k, prompt}}")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--contexts", required=True, type=named, nargs="+", metavar="RETRIEVER=FILE")
    parser.add_argument("--output", required=True, type=Path, help="requests (JSON Lines)")


def run(args: argparse.Namespace) -> None:
    """Write the requests. Raises InputError for a question that does not fit the window even alone."""
    planner = _Planner(args)
    count = write_records(args.output, planner.requests())
    print(f"{count} requests for {len(args.experiments)} experiments, {planner.omitted} passages left out for length")


class _Plan(NamedTuple):
    """An experiment, or a hop of a retriever, ready to render. Several retrievers' passages are interleaved."""

    retrievers: list[str]
    top_k: int | None
    template: Template
    output: str
    asks: str


class _Planner:
    def __init__(self, args: argparse.Namespace) -> None:
        self.questions, self.contexts = args.questions, dict(args.contexts)
        self.reader = parse_reader(args.settings, args.reader)
        self.identity = reader_identity(self.reader, args.model)
        self.reader_digest = digest(self.identity)
        self.plans = _plans(args.experiments, args.prompts, self.contexts)
        self.omitted = 0

    def requests(self) -> Iterator[Request]:
        """The requests of all questions, in the order of the questions."""
        streams = {name: read_records(path, Context) for name, path in self.contexts.items()}
        for question in read_records(self.questions, Question):
            contexts = {name: next(stream, None) for name, stream in streams.items()}
            yield from self._chain(question, {name: self._of(question.id, name, contexts[name]) for name in contexts})
        for name, stream in streams.items():
            if (context := next(stream, None)) is not None:
                raise self._misplaced(name, context, "nothing more")

    def _of(self, question_id: str, name: str, context: Context | None) -> Context:
        """The context, when it is the question's. Raises InputError."""
        if context is None or context.question_id != question_id:
            raise self._misplaced(name, context, f"question {question_id!r}")
        return context

    def _misplaced(self, name: str, context: Context | None, due: str) -> InputError:
        found = f"question {context.question_id!r}" if context else "nothing more"
        return InputError(f"{self.contexts[name]}: has {found} where {due} is due; retrieve again")

    def _chain(self, question: Question, contexts: Mapping[str, Context]) -> list[Request]:
        """One question's requests, neighbours alike."""
        requests: dict[Any, Request] = {}
        for name, plan in self.plans.items():
            first, *later = (contexts[retriever].passages for retriever in plan.retrievers)
            passages = interleaved([first, *later]) if later else first
            request, omitted = self._request(question, passages[: plan.top_k], plan)
            # One answer serves both where prompts are equal, but labels may stand for other sentences.
            request = requests.setdefault((request.key, *request.sentences.values()), request)
            request.experiments.append(name)
            if omitted:
                request.omitted_passages[name] = omitted
                self.omitted += omitted
        return sorted(requests.values(), key=lambda request: [message.content for message in request.messages])

    def _request(self, question: Question, passages: Sequence[Passage], plan: _Plan) -> tuple[Request, int]:
        """The request, and how many passages it goes without."""
        kept, prompt = self._fitting(question, passages, plan.template)
        schema = _schema(plan, len(prompt.sentences)) if plan.output == "json" else None
        request = Request(
            key=request_key(self.identity, prompt.messages, schema),
            reader=self.reader_digest,
            question_id=question.id,
            messages=prompt.messages,
            schema=schema,
            sentences=prompt.sentences,
            tokens_estimate=estimate_tokens(prompt.messages),
            experiments=[],
            omitted_passages={},
        )
        return request, len(passages) - kept

    def _fitting(self, question: Question, passages: Sequence[Passage], template: Template) -> tuple[int, Prompt]:
        """The prompt with as many of the passages, from the best, as fit the reader's window."""
        room = self.reader.context_window - self.reader.sampling.max_tokens
        for kept in range(len(passages), -1, -1):
            prompt = template.render(question.text, passages[:kept])
            tokens = estimate_tokens(prompt.messages)
            if tokens <= room:
                return kept, prompt
        raise InputError(
            f"question {question.id!r}: about {tokens} tokens even with no passages, but {room} fit; "
            f"raise the reader's context_window ({self.reader.context_window}), lower sampling.max_tokens, "
            f"or shorten {template.path}"
        )


def _schema(plan: _Plan, labels: int) -> dict[str, Any]:
    return query_schema() if plan.asks == "query" else answer_schema(labels)


def _plans(experiments: Mapping[str, Any], prompts: Mapping[str, Any], contexts: Mapping[str, Any]) -> dict[str, _Plan]:
    templates = {name: _template(name, prompt) for name, prompt in prompts.items()}
    plans = {}
    for name, experiment in experiments.items():
        try:
            prompt, named = experiment["prompt"], experiment["retriever"]
            retrievers = [named] if isinstance(named, str) else named
            output, asks = prompts[prompt]["output"], prompts[prompt].get("asks", "answer")
            plans[name] = _Plan(retrievers, experiment.get("top_k"), templates[prompt], output, asks)
            for retriever in retrievers:
                contexts[retriever]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"--experiments: {name}: {error} is missing in it, in --prompts or in --contexts"
            ) from None
    return plans


def _template(name: str, prompt: Any) -> Template:
    if not (isinstance(prompt, dict) and isinstance(prompt.get("template"), str)):
        raise InputError(f"--prompts: {name}: found {prompt!r}; write {{template: a path, output: json or text}}")
    return Template(prompt["template"])
