"""A finished run that nobody ran: as large as HotpotQA's dev set, with six experiments and every kind of failure.

    PYTHONPATH=workflow python benchmarks/made_up_run.py results/made-up --questions 7405

Contexts, requests and responses are made up, the same on every run; predictions, scores, leaderboard and
report are then made by hopeval's own verbs. Texts are of made-up words, drawn so that they compress about as
well as Wikipedia's do (packed passages take 0.51 of their bytes, those of HotpotQA 0.52).
"""

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

from hopeval.__main__ import main as hopeval
from hopeval.config import parse_reader
from hopeval.io import RecordWriter, write_json, write_records
from hopeval.keys import reader_identity, request_key
from hopeval.prompts import Template, answer_schema
from hopeval.records import Context, Passage, Question, RankedPassage, Request, Response

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "workflow" / "prompts" / "cited.jinja"
READER = {"engine": "made_up:Engine", "prices": {"prompt": 0.15, "completion": 0.6, "cached": 0.075}}
RETRIEVERS = {
    "gold": {"kind": "gold"},
    "bm25": {"kind": "bm25", "top_k": [2, 5, 10]},
    "dense": {"kind": "made_up:Dense", "top_k": [5]},
    "none": {"kind": "none"},
}
EXPERIMENTS = {
    "gold.cited.made-up": ("gold", None, 0.55),
    "bm25@2.cited.made-up": ("bm25", 2, 0.35),
    "bm25@5.cited.made-up": ("bm25", 5, 0.42),
    "bm25@10.cited.made-up": ("bm25", 10, 0.43),
    "dense@5.cited.made-up": ("dense", 5, 0.45),
    "none.cited.made-up": ("none", None, 0.2),
}
"""Retriever, top-k, and the share of questions that are answered rightly."""
SHARDS = 16
PARAGRAPHS = 10
_SYLLABLES = (
    *("ka", "lo", "mi", "ne", "ru", "ta", "vo", "se", "dan", "ter", "bel", "wood", "ing", "er", "on", "al", "st"),
    *("pr", "com", "in", "ham", "shire", "ton", "ville", "ra", "mar", "is", "qu", "thy", "é", "gi", "fo"),
)


class Words:
    """Made-up words, frequent ones often."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        words = ["".join(self.chance.choices(_SYLLABLES, k=self.chance.randint(1, 4))) for _ in range(30_000)]
        self._words, self._weights = words, list(itertools.accumulate(1 / (rank + 1500) for rank in range(30_000)))

    def some(self, least: int, most: int) -> str:
        """So many words."""
        count = self.chance.randint(least, most)
        return " ".join(self.chance.choices(self._words, cum_weights=self._weights, k=count))

    def name(self) -> str:
        """Two or three capitalised words."""
        return self.some(2, 3).title()

    def passage(self, number: int) -> Passage:
        """A titled paragraph as long as HotpotQA's: about four sentences of twenty words."""
        sentences = [f"{self.some(8, 28).capitalize()}." for _ in range(self.chance.choice([2, 3, 4, 4, 5, 6]))]
        sentences = [sentences[0], *(f" {sentence}" for sentence in sentences[1:])]
        return Passage(id=f"p{number}", title=f"{self.name()} {number}", sentences=sentences)


def questions(words: Words, count: int) -> Iterator[tuple[Question, list[Passage]]]:
    """Questions with their own paragraphs, of which the first two hold the supporting facts."""
    chance = words.chance
    for number in range(count):
        passages = [words.passage(PARAGRAPHS * number + i) for i in range(PARAGRAPHS)]
        answer = chance.choice(["yes", "no"]) if chance.random() < 0.06 else words.name()
        facts = [(passage.title, chance.randrange(len(passage.sentences))) for passage in passages[:2]]
        yield (
            Question(
                id=f"{number:05d}{chance.getrandbits(76):019x}",
                text=f"{words.some(9, 24).capitalize()}?",
                answer=answer,
                type=chance.choice(["bridge", "bridge", "bridge", "comparison"]),
                level=chance.choice(["easy", "medium", "hard"]),
                supporting_facts=facts,
            ),
            passages,
        )


def contexts(question: Question, passages: Sequence[Passage], chance: random.Random) -> dict[str, Context]:
    """What each retriever found: gold passages tend to the top."""

    def ranked(noise: float) -> list[RankedPassage]:
        scores = [(30.0 if i < 2 else 10.0) + chance.gauss(0, noise) for i in range(len(passages))]
        order = sorted(range(len(passages)), key=lambda i: -scores[i])
        return [_ranked(passages[i], round(scores[i], 3)) for i in order]

    found = {
        "gold": [_ranked(passage, 0.0) for passage in passages[:2]],
        "bm25": ranked(14),
        "dense": ranked(9),
        "none": [],
    }
    return {name: Context(question_id=question.id, retriever=name, passages=those) for name, those in found.items()}


def _ranked(passage: Passage, score: float) -> RankedPassage:
    return RankedPassage(id=passage.id, title=passage.title, sentences=passage.sentences, score=score)


class Requests:
    """The requests to one reader, as plan makes them."""

    def __init__(self) -> None:
        self.template = Template(TEMPLATE)
        self.identity = reader_identity(parse_reader(READER), None)

    def of(self, question: Question, found: dict[str, Context]) -> list[Request]:
        """One for each distinct prompt."""
        requests: dict[str, Request] = {}
        for name, (retriever, top_k, _) in EXPERIMENTS.items():
            prompt = self.template.render(question.text, found[retriever].passages[:top_k])
            schema = answer_schema(len(prompt.sentences))
            key = request_key(self.identity, prompt.messages, schema)
            asked = Request(
                key=key,
                question_id=question.id,
                messages=prompt.messages,
                schema=schema,
                sentences=prompt.sentences,
                experiments=[],
            )
            requests.setdefault(key, asked).experiments.append(name)
        return list(requests.values())


def respond(request: Request, question: Question, number: int, words: Words) -> Response:
    """An answer, right as often as its experiment says; in one of a hundred some failure each."""
    chance = words.chance
    right = max(EXPERIMENTS[name][2] for name in request.experiments)
    gold = question.answer or ""
    answer = gold if chance.random() < right else chance.choice([words.name(), f"{gold} {words.some(1, 1)}"])
    labels = chance.sample(sorted(map(int, request.sentences)), min(2, len(request.sentences)))
    text, reason, error = json.dumps({"answer": answer, "supporting_facts": labels}, ensure_ascii=False), "stop", None
    failure = chance.random()
    if failure < 0.01:
        text = words.some(5, 30)
    elif failure < 0.02:
        text, reason = text[: len(text) // 2], "length"
    elif failure < 0.03:
        text, reason, error = "", None, f"HTTP {chance.choice([429, 500])}: try again in {number} s"
    latency = chance.lognormvariate(0.4, 0.5)
    ended = 1_760_000_000 + (number // SHARDS) * 0.15 + chance.random()
    shard = number % SHARDS
    begun = 1_760_000_000 - 20.0
    return Response(
        key=request.key,
        text=text,
        finish_reason=reason,
        error=error,
        prompt_tokens=sum(len(message.content) for message in request.messages) // 4,
        completion_tokens=len(text) // 4,
        cached_tokens=100,
        queue_s=round(ended - latency - begun, 6),
        latency_s=round(latency, 6),
        attempts=1 + (chance.random() < 0.01),
        shard=f"{shard + 1}-of-{SHARDS}",
        host=f"node{shard // 4:02d}",
        devices=[str(shard % 4)],
        engine="made_up:Engine",
        at=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ended)) + f".{int(ended % 1 * 1000):03d}+00:00",
    )


def write_inputs(folder: Path, count: int) -> None:
    """Everything up to the responses."""
    words, requests = Words(), Requests()
    number = 0
    with ExitStack() as stack:

        def opened(path: str) -> Any:
            return stack.enter_context(RecordWriter(folder / path))

        asked = opened("questions.jsonl")
        ranked = {name: opened(f"contexts/{name}.jsonl") for name in RETRIEVERS}
        planned, responses = opened("readers/made-up/requests.jsonl"), opened("readers/made-up/responses.jsonl")
        for question, passages in questions(words, count):
            found = contexts(question, passages, words.chance)
            asked.write(question)
            for name, context in found.items():
                ranked[name].write(context)
            for request in requests.of(question, found):
                planned.write(request)
                responses.write(respond(request, question, number, words))
                number += 1
    write_json(folder / "dataset.json", {"source": "made up", "questions": count})


def configuration() -> dict[str, Any]:
    """What such a run would have been configured with."""
    return {
        "dataset": {"name": "made-up", "questions": "made-up.json"},
        "retrievers": RETRIEVERS,
        "prompts": {"cited": {"template": "cited.jinja"}},
        "readers": {"made-up": READER},
    }


def verb(*arguments: object) -> None:
    """Run one of hopeval's verbs in this process. Ends the process when it fails."""
    with redirect_stdout(sys.stderr):
        code = hopeval([str(argument) for argument in arguments])
    if code:
        sys.exit(code)


def evaluate(folder: Path) -> None:
    """Predictions, scores, leaderboard and provenance, by hopeval's verbs."""
    reader = folder / "readers" / "made-up"
    write_records(folder / "skipped.jsonl", [])
    for name, (retriever, top_k, _) in EXPERIMENTS.items():
        own = folder / "experiments" / name
        files = ["--questions", folder / "questions.jsonl"]
        asked = ["--requests", reader / "requests.jsonl", "--responses", reader / "responses.jsonl"]
        verb("predict", "--experiment", name, *files, *asked, "--output", own)
        context = ["--contexts", folder / "contexts" / f"{retriever}.jsonl", *(["--top-k", top_k] if top_k else [])]
        predicted = ["--predictions", own / "predictions.json", "--records", own / "predictions.jsonl"]
        verb("score", *files, *predicted, *context, "--output", own / "metrics.json", "--table", own / "questions.csv")
    compared = {
        name: {
            "retriever": retriever,
            "top_k": top_k,
            "kind": RETRIEVERS[retriever]["kind"],
            "prompt": "cited",
            "reader": "made-up",
            "prices": READER["prices"],
        }
        for name, (retriever, top_k, _) in EXPERIMENTS.items()
    }
    verb("leaderboard", "--results", folder, "--experiments", json.dumps(compared))
    made = ["--config", json.dumps(configuration()), "--templates", f"cited={TEMPLATE}"]
    verb("provenance", "--results", folder, *made, "--output", folder / "provenance.json")


def write_run(folder: Path, count: int) -> None:
    """The whole run but for the report."""
    write_inputs(folder, count)
    evaluate(folder)


def main() -> int:
    """Write such a run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=7_405)
    arguments = parser.parse_args()
    write_run(arguments.folder, arguments.questions)
    verb("report", "--results", arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
