"""Answering requests with llama.cpp: our tokens/s, those of the bare engine, and the ratio.

    PYTHONPATH=workflow python benchmarks/infer.py

Ours is what ``hopeval infer`` runs: the engine's adapter under the runner, each response into the journal
and parsed. The bare engine is ``xllamacpp.Server`` called in a loop with the same bodies and grammars,
made beforehand. Both have one slot, the same threads and the same requests in the same order; loading the
model is not counted. They take turns, so that other work on the machine slows both, and the best of each counts:
what else a machine does only ever slows a run.

Without ``--requests`` the first questions of resources/sample are prepared, retrieved for and planned by
hopeval's own verbs: three prompts each (no passage, the best and the 3 best of BM25). Two cores need
three to five minutes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from goals import goal

from hopeval.__main__ import main as hopeval
from hopeval.config import parse_reader
from hopeval.engines.base import Setup
from hopeval.engines.llamacpp import LlamaCppEngine
from hopeval.io import read_records
from hopeval.journal import Journal
from hopeval.parsing import parse
from hopeval.records import Request
from hopeval.runner import Job, answer

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "resources/models/SmolLM2-135M-Instruct.Q4_1.gguf"
GOAL = 0.97
RANKED = {"output": "jsonl", "metrics": "json", "run_file": "trec"}
"""What retrieve writes, and the ends of the files' names."""
READER = {
    "engine": "llamacpp",
    "model": "-",
    "context_window": 4096,
    "sampling": {"temperature": 0.0, "max_tokens": 64, "seed": 0},
}


class Run(NamedTuple):
    """What one way of answering took, in seconds of the clock and of all cores, and what it generated."""

    seconds: float
    cpu_seconds: float
    tokens: int
    texts: list[str]


def plan_sample(folder: Path, model: Path, questions: int) -> Path:
    """The requests file for the first questions of the sample."""
    sample = ROOT / "resources/sample"
    bm25 = '{"kind": "bm25", "top_k": 3}'
    prompts = {"cited": {"template": str(ROOT / "workflow/prompts/cited.jinja"), "output": "json"}}
    experiments = {
        name: {"retriever": retriever, "top_k": top_k, "prompt": "cited"}
        for name, retriever, top_k in (("none", "none", None), ("one", "bm25", 1), ("three", "bm25", 3))
    }
    index = {"store": folder / "indexes", "output": folder / "index.json"}
    verb("index", retriever="bm25", settings=bm25, corpus=sample / "passages.jsonl", **index)
    verb("prepare", questions=sample / "questions.json", max_questions=questions, output=folder)
    for name, settings in (("none", '{"kind": "none"}'), ("bm25", bm25)):
        ranked = {kind: folder / f"{name}.{end}" for kind, end in RANKED.items()}
        texts = {"passages": folder / "passages.jsonl", "corpus": sample / "passages.jsonl"}
        verb(
            "retrieve",
            *("--indexes", f"bm25={folder / 'index.json'}"),
            retriever=name,
            settings=settings,
            questions=folder / "questions.jsonl",
            **texts,
            **ranked,
        )
    verb(
        "plan",
        *("--contexts", f"none={folder / 'none.jsonl'}", f"bm25={folder / 'bm25.jsonl'}"),
        reader="smollm2",
        settings=json.dumps(READER),
        model=model,
        prompts=json.dumps(prompts),
        experiments=json.dumps(experiments),
        questions=folder / "questions.jsonl",
        output=folder / "requests.jsonl",
    )
    return folder / "requests.jsonl"


def verb(name: str, *arguments: str, **options: object) -> None:
    """Run one of hopeval's verbs, without what it prints."""
    named = [part for option, value in options.items() for part in (f"--{option.replace('_', '-')}", str(value))]
    with contextlib.redirect_stdout(sys.stderr), quiet():
        if code := hopeval([name, *named, *arguments]):
            sys.exit(f"hopeval {name} ended with {code}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stderr, native libraries included."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Stopwatch:
    """Seconds of the clock and of all cores between entering and leaving."""

    def __enter__(self) -> "Stopwatch":
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._begun[0]
        self.cpu_seconds = time.process_time() - self._begun[1]


def run_hopeval(requests: Sequence[Request], setup: Setup, folder: Path) -> Run:
    """As ``hopeval infer`` does it, and each text parsed."""

    async def serve() -> Run:
        engine = LlamaCppEngine(setup)
        await engine.open()
        try:
            with Stopwatch() as watch, Journal(tempfile.mkdtemp(dir=folder), "1-of-1") as journal:
                responses = await answer(requests, engine, journal, Job("1-of-1", "llamacpp"))
                for request, response in zip(requests, responses, strict=True):
                    parse(response.text, "json", request.sentences, response.finish_reason)
        finally:
            await engine.close()
        if failed := [response.error for response in responses if response.error is not None]:
            sys.exit(f"{len(failed)} requests failed: {failed[0]}")
        texts = [response.text for response in responses]
        return Run(watch.seconds, watch.cpu_seconds, sum(r.completion_tokens for r in responses), texts)

    return asyncio.run(serve())


def run_bare(bodies: Sequence[dict[str, Any]], setup: Setup) -> Run:
    """As short as a program can be that calls the engine."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(setup.model)
    parameters.n_ctx, parameters.n_parallel = setup.settings.context_window, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = setup.threads
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    with Stopwatch() as watch:
        replies = [server.handle_chat_completions(body) for body in bodies]
    texts = [reply["choices"][0]["message"]["content"] for reply in replies]
    return Run(watch.seconds, watch.cpu_seconds, sum(r["usage"]["completion_tokens"] for r in replies), texts)


def bodies_of(requests: Sequence[Request], setup: Setup) -> list[dict[str, Any]]:
    """What the adapter hands to the engine for each request, caught on its way."""
    bodies: list[dict[str, Any]] = []

    class Catcher:
        def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]:
            bodies.append(body)
            return {"error": {}}

    async def catch() -> None:
        engine = LlamaCppEngine(setup)
        engine._server = Catcher()
        for request in requests:
            with contextlib.suppress(Exception):
                await engine.complete(request)
        await engine.close()

    asyncio.run(catch())
    return bodies


def measure(requests: Sequence[Request], setup: Setup, rounds: int, folder: Path) -> bool:
    """Print a line for each turn, then the best of each and their ratio; whether that meets the goal."""
    bodies = bodies_of(requests, setup)
    ways: dict[str, Callable[[], Run]] = {
        "hopeval": lambda: run_hopeval(requests, setup, folder),
        "bare engine": lambda: run_bare(bodies, setup),
    }
    with quiet():
        run_bare(bodies[:1], setup)  # from now on the model's file is in memory
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    print(f"{len(requests)} requests, {setup.threads} threads, generated tokens")
    for turn in range(1, rounds + 1):
        for name, way in ways.items():
            with quiet():
                run = way()
            runs[name].append(run)
            rates = f"{run.tokens / run.seconds:6.1f} tokens/s {run.tokens / run.cpu_seconds:6.1f} per CPU second"
            print(f"round {turn}  {name:<12} {run.tokens:5} in {run.seconds:5.1f} s {rates}", flush=True)
    return report(runs)


def report(runs: dict[str, list[Run]]) -> bool:
    """Print the best of each, ratios, and whether both gave the same texts; whether the goal is met."""
    ours, bare = (max(run.tokens / run.seconds for run in of) for of in runs.values())
    ours_cpu, bare_cpu = (max(run.tokens / run.cpu_seconds for run in of) for of in runs.values())
    print(f"best     hopeval {ours:.1f} tokens/s, bare engine {bare:.1f} tokens/s")
    print(f"ratio    {ours / bare:.3f}, per CPU second {ours_cpu / bare_cpu:.3f}")
    first, *others = (run.texts for of in runs.values() for run in of)
    print("texts    " + ("the same in all runs" if all(texts == first for texts in others) else "differ between runs"))
    return goal("tokens/s of infer to the bare engine's", ours / bare, least=GOAL)


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a GGUF file")
    parser.add_argument("--requests", type=Path, help="requests.jsonl as plan writes it")
    parser.add_argument("--questions", type=int, default=8, help="of the sample, where there is no --requests")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    if not args.model.is_file():
        sys.exit(f"--model {args.model}: no file there; hopeval fetch --embedded --output {MODEL}")
    os.environ["OMP_WAIT_POLICY"] = "passive"  # as the adapter sets it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = args.requests or plan_sample(folder, args.model, args.questions)
        requests = list(read_records(path, Request))
        met = measure(requests, Setup(parse_reader(READER), args.model, args.threads), args.rounds, folder)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
