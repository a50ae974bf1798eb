"""Answering requests with vLLM: our tokens/s, those of the bare engine, and the ratio; and what caching saves.

    python benchmarks/gpu.py --model <folder>                        weights of your own, on a free GPU
    python benchmarks/gpu.py --shape 8b --model <folder>             random weights of an 8B shape
    .venv-vllm/bin/python benchmarks/gpu.py --cpu --model <folder>   the same code, small, on the CPU

with PYTHONPATH=workflow. Ours is what ``hopeval infer`` runs: the adapter under the runner, chains in order,
each response into the journal and parsed. The bare engine is vLLM's AsyncLLM given all prompts at once, made
beforehand, as ``vllm bench throughput`` does: chain by chain, as they are planned, and in the order in which
we ask. The order matters: requests of one chain that are computed side by side take longer, though vLLM counts
as many of their tokens as cached. All are one engine, loaded once; its cache is emptied before each turn, they
take turns, the medians count, and the faster of the bare ones is the reference. Then the same questions once
more for each k alone and for all k as chains, with the share of the prompts' tokens that came from the cache.

There must be several times as many questions as vLLM computes at once (max_num_seqs): with fewer chains than
that, asking each in order leaves room in the batch that the bare engine fills.

``--shape`` takes no weights, only a tokenizer, that of ``--model``; with random weights the answers are noise
of full length, which costs the same. ``--dry-run`` says what would run. No GPU was at hand when this was
written: it has run on the CPU only.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from hopeval.config import parse_reader
from hopeval.devices import lease
from hopeval.engines.base import Setup
from hopeval.engines.vllm import VLLMEngine
from hopeval.io import read_records
from hopeval.journal import Journal
from hopeval.parsing import parse
from hopeval.prompts import Template, answer_schema
from hopeval.records import Passage, Request, Response
from hopeval.runner import Job, answer

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "resources/sample"
GOAL = 0.97
TOP_K = (1, 2, 5, 10)
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHAPES = {
    # Layers, width, inner width, heads of queries and of keys: Llama 3.1 8B, and SmolLM2 135M for a trial.
    name: {
        **LLAMA,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": queries,
        "num_key_value_heads": keys,
    }
    for name, (layers, width, inner, queries, keys) in {
        "8b": (32, 4096, 14336, 32, 8),
        "135m": (30, 576, 1536, 9, 3),
    }.items()
}
"""Configurations as Hugging Face writes them; the vocabulary is that of the tokenizer."""
SMALL = {"questions": 8, "rounds": 2, "options": {"enforce_eager": True, "max_num_seqs": 2, "block_size": 32}}
"""What two cores can do in minutes: as on a GPU many times more chains than are computed at once."""


class Run(NamedTuple):
    """What one way of answering took, in seconds of the clock and of all cores, and the tokens it read, found
    in its cache, and generated.
    """

    seconds: float
    cpu_seconds: float
    prompt: int
    cached: int
    generated: int

    def __str__(self) -> str:
        return (
            f"{self.generated:8} tokens in {self.seconds:7.1f} s, {self.generated / self.seconds:9.1f} tokens/s "
            f"{self.generated / self.cpu_seconds:7.1f} per CPU second, "
            f"{self.cached / self.prompt:4.0%} of the prompts cached"
        )


def make_requests(questions: int, top_k: Sequence[int]) -> list[Request]:
    """Chains over the sample's questions and passages, one request for each k; no retriever has a hand in it."""
    asked = [row["question"] for row in json.loads((SAMPLE / "questions.json").read_text())]
    passages = list(read_records(SAMPLE / "passages.jsonl", Passage))
    template = Template(ROOT / "workflow/prompts/cited.jinja")
    requests = []
    for number, text in zip(range(questions), itertools.cycle(asked), strict=False):
        # Another place and another step for each, so that no two questions share a beginning.
        step = 1 + number // len(passages)
        ranked = [passages[(number + step * rank) % len(passages)] for rank in range(max(top_k))]
        for k in sorted(top_k):
            requests.append(_request(f"{number}", k, template, text, ranked[:k]))
    return requests


def _request(question: str, k: int, template: Template, text: str, passages: Sequence[Passage]) -> Request:
    prompt = template.render(text, passages)
    return Request(
        key=hashlib.sha256(f"{question}/{k}".encode()).hexdigest(),
        question_id=question,
        messages=prompt.messages,
        schema=answer_schema(len(prompt.sentences)),
        sentences=prompt.sentences,
        experiments=[f"k={k}"],
    )


def make_shape(shape: str, tokenizer: Path, folder: Path) -> Path:
    """A model's folder without weights: the shape's configuration, and the tokenizer of another model."""
    for file in tokenizer.iterdir():
        if "token" in file.name or file.name == "chat_template.jinja":
            (folder / file.name).symlink_to(file.resolve())
    vocabulary = json.loads((tokenizer / "config.json").read_text())["vocab_size"]
    (folder / "config.json").write_text(json.dumps(SHAPES[shape] | {"vocab_size": vocabulary}))
    return folder


class Stopwatch:
    """Seconds of the clock and, in this process and vLLM's, of all cores between entering and leaving."""

    def __enter__(self) -> "Stopwatch":
        self._begun = time.perf_counter(), self._cpu_seconds()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._begun[0]
        self.cpu_seconds = self._cpu_seconds() - self._begun[1]

    @staticmethod
    def _cpu_seconds() -> float:
        import psutil  # vLLM brings it along

        this = psutil.Process()
        times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
        return sum(of.user + of.system for of in times)


async def run_hopeval(requests: Sequence[Request], engine: VLLMEngine, folder: Path) -> Run:
    """As ``hopeval infer`` does it, and each text parsed."""
    await engine._llm.reset_prefix_cache()
    sentences = {request.key: request.sentences for request in requests}
    with Stopwatch() as watch, Journal(tempfile.mkdtemp(dir=folder), "1-of-1") as journal:
        responses = await answer(requests, engine, journal, Job("1-of-1", "vllm"))
        for response in responses:
            parse(response.text, "json", sentences[response.key], response.finish_reason)
    return _run(watch, responses)


def _run(watch: Stopwatch, responses: Sequence[Response]) -> Run:
    if failed := [response.error for response in responses if response.error is not None]:
        sys.exit(f"{len(failed)} requests failed: {failed[0]}")
    counts = [(r.prompt_tokens, r.cached_tokens, r.completion_tokens) for r in responses]
    return Run(watch.seconds, watch.cpu_seconds, *map(sum, zip(*counts, strict=True)))


async def run_bare(requests: Sequence[Request], engine: VLLMEngine) -> Run:
    """As short as a program can be that calls the engine: all prompts at once, none of them made meanwhile."""
    prepared = [(await engine._prompt(request), engine._sampling(request)) for request in requests]
    await engine._llm.reset_prefix_cache()

    async def one(number: int, prompt: Any, sampling: Any) -> Any:
        async for output in engine._llm.generate(prompt, sampling, f"bare-{number}-{time.perf_counter_ns()}"):
            last = output
        return last

    with Stopwatch() as watch:
        outputs = await asyncio.gather(*(one(number, *pair) for number, pair in enumerate(prepared)))
    counts = [(len(o.prompt_token_ids), o.num_cached_tokens or 0, len(o.outputs[0].token_ids)) for o in outputs]
    return Run(watch.seconds, watch.cpu_seconds, *map(sum, zip(*counts, strict=True)))


def in_turn(requests: Sequence[Request], chains: int) -> list[Request]:
    """The order in which we ask: so many chains at once, the first of each, then the second of each, …"""
    whole = [list(chain) for _, chain in itertools.groupby(requests, key=lambda request: request.question_id)]
    return [
        request
        for first in range(0, len(whole), chains)
        for nth in zip(*whole[first : first + chains], strict=True)
        for request in nth
    ]


async def compare(requests: Sequence[Request], engine: VLLMEngine, rounds: int, folder: Path) -> None:
    """Print a line for each turn, then the medians and the ratio to the faster of the two bare ways."""
    turns = in_turn(requests, engine.concurrency or 1)
    await run_bare(requests[: len(TOP_K)], engine)  # what is compiled at first use is compiled by now
    runs: dict[str, list[Run]] = {"hopeval": [], "bare, chain by chain": [], "bare, chains in turn": []}
    for turn in range(1, rounds + 1):
        runs["hopeval"].append(await run_hopeval(requests, engine, folder))
        runs["bare, chain by chain"].append(await run_bare(requests, engine))
        runs["bare, chains in turn"].append(await run_bare(turns, engine))
        for name, of in runs.items():
            print(f"round {turn}  {name:<20} {of[-1]}", flush=True)
    ours, *bare = (statistics.median(run.generated / run.seconds for run in of) for of in runs.values())
    ours_cpu, *bare_cpu = (statistics.median(run.generated / run.cpu_seconds for run in of) for of in runs.values())
    print(f"median   hopeval {ours:.1f} tokens/s, bare engine {max(bare):.1f} tokens/s")
    ratios = f"{ours / max(bare):.3f} (goal: at least {GOAL}), per CPU second {ours_cpu / max(bare_cpu):.3f}"
    print(f"ratio    {ratios}", flush=True)


async def sweep(requests: Sequence[Request], engine: VLLMEngine, folder: Path) -> None:
    """Print a line for each k alone, and one for all of them as chains."""
    alone = []
    for k in TOP_K:
        of_k = [request for request in requests if request.experiments == [f"k={k}"]]
        alone.append(await run_hopeval(of_k, engine, folder))
        print(f"k = {k:<4} {alone[-1]}", flush=True)
    chained = await run_hopeval(requests, engine, folder)
    print(f"chains   {chained}")
    apart = sum(run.seconds for run in alone)
    print(f"saved    all k as chains take {chained.seconds / apart:.3f} of the time that they take apart")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The reader's section."""
    options = {**(SMALL["options"] if args.cpu else {}), **json.loads(args.options)}
    return {
        "engine": "vllm",
        "model": str(args.model),
        "context_window": 4096,
        "sampling": {"max_tokens": args.max_tokens, "temperature": 0.0},
        "gpus": 0 if args.cpu else args.gpus,
        "options": options | ({"load_format": "dummy"} if args.shape else {}),
    }


async def measure(requests: Sequence[Request], engine: VLLMEngine, rounds: int, folder: Path) -> None:
    """Load, compare and sweep."""
    begun = time.perf_counter()
    try:
        await engine.open()
        print(f"loaded in {time.perf_counter() - begun:.1f} s; {engine.concurrency} chains in flight", flush=True)
        await compare(requests, engine, rounds, folder)
        await sweep(requests, engine, folder)
    finally:
        await engine.close()


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model; with --shape, its tokenizer")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of the model's")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="no GPU; few questions, two at once")
    parser.add_argument("--questions", type=int, help=f"with {len(TOP_K)} prompts each (default 2000; --cpu: 8)")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--options", default="{}", help="engine arguments of vLLM, as JSON")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and load nothing")
    args = parser.parse_args()
    if not (args.model / "config.json").is_file():
        parser.error(f"--model {args.model}: no config.json there")
    args.questions = args.questions or (SMALL["questions"] if args.cpu else 2000)
    args.rounds = args.rounds or (SMALL["rounds"] if args.cpu else 3)
    return args


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    args = arguments()
    requests = make_requests(args.questions, TOP_K)
    settings = settings_of(args)
    print(f"{len(requests)} requests: {args.questions} questions with k = {', '.join(map(str, TOP_K))}; {settings}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = args.model
        if args.shape:
            (folder / "model").mkdir()
            model = make_shape(args.shape, args.model, folder / "model")
        if args.dry_run:
            return 0
        threads = len(os.sched_getaffinity(0))
        devices = [] if args.cpu else stack.enter_context(lease(args.gpus))
        setup = Setup(parse_reader(settings), model, threads, devices)
        asyncio.run(measure(requests, VLLMEngine(setup), args.rounds, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
