"""A small finished run: files as a run leaves them, with replies as a test wants them.

Predictions, scores, leaderboard, provenance and report are made by hopeval's own verbs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hopeval.io import write_json, write_records
from hopeval.prompts import Template, answer_schema
from hopeval.records import Context, Question, RankedPassage, Request, Response

TEMPLATE = Path(__file__).parents[1] / "workflow" / "prompts" / "cited.jinja"
KINDS = {**dict.fromkeys(("given", "007", "1e5", "true"), "given"), "gold": "gold", "none": "none", "bm25": "bm25"}


class SmallRun:
    """The results folder of a dataset; experiments are called ``<retriever>[@k].cited.r``."""

    def __init__(self, folder: Path, verb: Callable[..., str], prices: Any = None) -> None:
        self.folder, self.verb, self.prices = folder, verb, prices
        self.experiments: list[str] = []

    def write(
        self,
        questions: Sequence[Question],
        passages: Mapping[str, Sequence[RankedPassage]],
        replies: Mapping[str, Mapping[str, Any]],
    ) -> "SmallRun":
        """Everything up to the report.

        ``passages`` are those of each question in rank order. ``replies`` have for each experiment and
        question a text, or the fields of a Response; a question that is not there has no response.
        """
        self.experiments = list(replies)
        write_records(self.folder / "questions.jsonl", questions)
        write_records(self.folder / "skipped.jsonl", [])
        write_json(self.folder / "dataset.json", {"source": "small", "questions": len(questions)})
        contexts = {name: self._contexts(name, questions, passages) for name in self._retrievers()}
        requests, responses = self._asked(questions, contexts, replies)
        write_records(self.folder / "readers" / "r" / "requests.jsonl", requests)
        write_records(self.folder / "readers" / "r" / "responses.jsonl", responses)
        for name in self.experiments:
            self._evaluate(name)
        self.verb("leaderboard", "--results", self.folder, "--experiments", json.dumps(self.compared()))
        made = ["--config", json.dumps(self._configuration()), "--templates", f"cited={TEMPLATE}"]
        self.verb("provenance", "--results", self.folder, *made, "--output", self.folder / "provenance.json")
        return self

    def report(self, *more: Any) -> Path:
        """The page."""
        self.verb("report", "--results", self.folder, *more)
        return self.folder / "report.html"

    def compared(self) -> dict[str, Any]:
        """The experiments as leaderboard takes them."""
        parts = {"prompt": "cited", "reader": "r", "prices": self.prices}
        return {
            name: {"retriever": _retriever(name), "top_k": _top_k(name), "kind": KINDS[_retriever(name)], **parts}
            for name in self.experiments
        }

    def _retrievers(self) -> list[str]:
        return list(dict.fromkeys(map(_retriever, self.experiments)))

    def _contexts(self, retriever: str, questions: Any, passages: Any) -> dict[str, Context]:
        found = {}
        for question in questions:
            ranked = list(passages[question.id])
            if retriever == "gold":
                ranked = [passage for passage in ranked if question.names([passage])[0] in question.gold]
            context = Context(
                question_id=question.id, retriever=retriever, passages=[] if retriever == "none" else ranked
            )
            found[question.id] = context
        write_records(self.folder / "contexts" / f"{retriever}.jsonl", found.values())
        return found

    def _asked(self, questions: Any, contexts: Any, replies: Any) -> tuple[list[Request], list[Response]]:
        template, requests, responses = Template(TEMPLATE), [], []
        for question in questions:
            for name in self.experiments:
                ranked = contexts[_retriever(name)][question.id].passages[: _top_k(name)]
                prompt = template.render(question.text, ranked)
                key = hashlib.sha256(f"{question.id}/{name}".encode()).hexdigest()
                parts = {"messages": prompt.messages, "sentences": prompt.sentences, "experiments": [name]}
                schema = answer_schema(len(prompt.sentences))
                requests.append(Request(key=key, question_id=question.id, schema=schema, **parts))
                if (reply := replies[name].get(question.id)) is not None:
                    responses.append(_response(key, reply, len(responses)))
        return requests, responses

    def _evaluate(self, name: str) -> None:
        own, reader = self.folder / "experiments" / name, self.folder / "readers" / "r"
        files = ["--questions", self.folder / "questions.jsonl"]
        asked = ["--requests", reader / "requests.jsonl", "--responses", reader / "responses.jsonl"]
        self.verb("predict", "--experiment", name, *files, *asked, "--output", own)
        context = ["--contexts", self.folder / "contexts" / f"{_retriever(name)}.jsonl"]
        context += ["--top-k", _top_k(name)] if _top_k(name) else []
        predicted = ["--predictions", own / "predictions.json", "--records", own / "predictions.jsonl"]
        output = ["--output", own / "metrics.json", "--table", own / "questions.csv"]
        self.verb("score", *files, *predicted, *context, *output)

    def _configuration(self) -> dict[str, Any]:
        ks = sorted(k for k in map(_top_k, self.experiments) if k)
        kinds: dict[str, Any] = {name: {"kind": KINDS[name]} for name in self._retrievers()}
        if "bm25" in kinds:
            kinds["bm25"]["top_k"] = ks
        return {
            "dataset": {"name": "small", "questions": "small.json"},
            "retrievers": kinds,
            "prompts": {"cited": {"template": "cited.jinja"}},
            "readers": {"r": {"engine": "engines:CountingEngine", "prices": self.prices}},
        }


def answer(text: str, *labels: int) -> str:
    """A reply in JSON."""
    return json.dumps({"answer": text, "supporting_facts": labels}, ensure_ascii=False)


def passage(title: str, *sentences: str, score: float = 0.0) -> RankedPassage:
    """A passage with these sentences."""
    return RankedPassage(id=title, title=title, sentences=list(sentences), score=score)


def _retriever(name: str) -> str:
    return name.partition(".")[0].partition("@")[0]


def _top_k(name: str) -> int | None:
    k = name.partition(".")[0].partition("@")[2]
    return int(k) if k else None


def _response(key: str, reply: Any, number: int) -> Response:
    """Answered by one of two shards, a second after the other; the model was loaded for two."""
    fields = {"text": reply, "finish_reason": "stop"} if isinstance(reply, str) else dict(reply)
    second = number // 2
    times = {
        "queue_s": 2.0 + second,
        "latency_s": 1.0,
        "at": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000+00:00",
    }
    where = {"shard": f"{number % 2 + 1}-of-2", "host": "node", "engine": "engines:CountingEngine"}
    tokens = {"prompt_tokens": 100 + number, "completion_tokens": 10, "cached_tokens": 40}
    return Response(**{"key": key, **tokens, **times, **where, **fields})
