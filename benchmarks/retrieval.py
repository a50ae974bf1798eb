"""bm25 from the command line beside rank_bm25, tantivy and bare bm25s: time, memory, questions a second.

    .venv/bin/python -m pip install '.[bench]'
    PYTHONPATH=workflow python benchmarks/retrieval.py
    PYTHONPATH=workflow python benchmarks/retrieval.py --passages 5200000 --engines hopeval bm25s-search tantivy

Passages and questions are made up (made_up_corpus.py). Each step is a process of its own, whose peak of memory
is measured; pages of memory-mapped files count as long as they are held. ``bm25s-search`` is bare bm25s on the
index that hopeval made. hopeval's search is the whole of ``hopeval retrieve``: run file, contexts and measures
as well. It is told apart how long the first answer takes, which is what loading costs. The goals, 0.9 of the speed
of bare bm25s and 7,405 questions within five minutes, are those of five million passages; with fewer, searching is
no longer most of the work. Ends with 1 when one is missed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from goals import goal

from hopeval.io import read_records, write_records
from hopeval.passages import PassageStore, PassageWriter
from hopeval.records import Question

K = 100
SETTINGS = {"kind": "bm25", "depth": K}
LARGE, GOAL, GOAL_S = 5_000_000, 0.9, 300.0
MOST_OF_RANK_BM25 = 20_000
"""Passages; it takes a second for a question over a million."""
MOST_S = 300.0
"""Who answers one question after the other is stopped after that; the rate is that of what was answered."""


class Took(NamedTuple):
    """What a process took, and what it printed about itself."""

    seconds: float
    cpu_s: float
    peak_mb: float
    told: dict[str, float]


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--questions", type=int, default=7_405)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--threads", type=int, default=1, help="of hopeval's search")
    parser.add_argument("--repeat", type=int, default=1, help="how often all search, turn about; the fastest counts")
    parser.add_argument("--folder", type=Path, help="where files are made and kept; else a temporary one")
    parser.add_argument("--make", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--step", nargs=2, metavar=("ENGINE", "STEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(*arguments.make, arguments.folder)
    elif arguments.step:
        engine, step = arguments.step
        print(json.dumps(globals()[f"{engine.replace('-', '_')}_{step}"](arguments.folder)))
    elif arguments.folder:
        return 0 if measure(arguments, arguments.folder) else 1
    else:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if measure(arguments, Path(folder)) else 1
    return 0


def measure(arguments: argparse.Namespace, folder: Path) -> bool:
    """Print a row for each engine; whether the goals are met."""
    folder.mkdir(parents=True, exist_ok=True)
    process([*again(folder), "--make", str(arguments.passages), str(arguments.questions)])
    print(f"{arguments.passages:,} passages, {arguments.questions:,} questions, the first {K} for each\n")
    print("| | index s | CPU s | MB | on disk MB | first answer s | questions/s | whole search s | CPU s | MB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    engines = [name for name in arguments.engines if name != "rank_bm25" or arguments.passages <= MOST_OF_RANK_BM25]
    made = {name: ENGINES[name].index(arguments, folder) for name in engines}
    runs: dict[str, list[Took]] = {name: [] for name in engines}
    for _ in range(arguments.repeat):
        for name in engines:
            runs[name].append(ENGINES[name].search(arguments, folder))
    searched = {name: max(those, key=lambda run: run.told["queries_per_second"]) for name, those in runs.items()}
    for name in arguments.engines:
        if name not in engines:
            print(f"| {name} | would not come to an end beyond {MOST_OF_RANK_BM25:,} passages |")
            continue
        index, search = made[name], searched[name]
        indexed = f"{took(index)} | {index.told['mb']:.0f}" if index else "| | |"
        speed = f"{search.told['open_s']:.1f} | {search.told['queries_per_second']:.1f}"
        print(f"| {name} | {indexed} | {speed} | {took(search)} |")
    for engine, search in searched.items():
        answered = search.told.get("answered", arguments.questions)
        if answered < arguments.questions:
            print(f"{engine} was stopped after {MOST_S:.0f} s, with {answered:.0f} questions answered")
        if "hopeval" in searched and engine != "hopeval":
            whole = search.cpu_s / answered / (searched["hopeval"].cpu_s / arguments.questions)
            speed = searched["hopeval"].told["queries_per_second"] / search.told["queries_per_second"]
            print(f"hopeval / {engine}: {speed:.2f} in questions/s, {whole:.2f} in questions per CPU second, all told")
    return arguments.passages < LARGE or "hopeval" not in searched or judge(searched, arguments.questions)


def judge(searched: dict[str, Took], questions: int) -> bool:
    """Print the goals; whether they are met."""
    speeds = {engine: search.told["queries_per_second"] for engine, search in searched.items()}
    met = [goal(f"seconds of hopeval retrieve, {questions:,} questions", searched["hopeval"].seconds, most=GOAL_S)]
    for bare in speeds.keys() & {"bm25s", "bm25s-search"}:
        met.append(goal(f"questions/s, to those of {bare}", speeds["hopeval"] / speeds[bare], least=GOAL))
    return all(met)


def took(process: Took) -> str:
    """Seconds, CPU seconds and MB, as cells of a table."""
    return f"{process.seconds:.1f} | {process.cpu_s:.1f} | {process.peak_mb:.0f}"


def make(passages: int, questions: int, folder: Path) -> None:
    """Passages and questions, unless they are there."""
    from made_up_corpus import MadeUp

    if not (folder / "passages.jsonl").exists():
        with PassageWriter(folder / "passages.jsonl") as writer:
            for passage in MadeUp().passages(passages):
                writer.write(passage)
    write_records(folder / "questions.jsonl", MadeUp(1).questions(questions))
    write_records(folder / "own.jsonl", islice(PassageStore(folder / "passages.jsonl"), 1))


def again(folder: Path) -> list[str]:
    """The command that calls this program itself: a process starts with its parent's peak of memory."""
    return [sys.executable, __file__, "--folder", str(folder)]


def process(command: list[str]) -> Took:
    """Run it, by itself. Ends this process when it fails."""
    start = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    printed = running.stdout.read()
    _, status, usage = os.wait4(running.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    last = printed.strip().splitlines()[-1:]
    told = json.loads(last[0]) if last and last[0].startswith("{") else {}
    return Took(time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, told)


def step(engine: str, name: str, folder: Path) -> Took:
    """One step of an engine that is called from here."""
    return process([*again(folder), "--step", engine, name])


class Engine(NamedTuple):
    """How one indexes and how it searches; None: what is searched, another has made."""

    index: Callable[[argparse.Namespace, Path], Took | None]
    search: Callable[[argparse.Namespace, Path], Took]


def of_steps(engine: str) -> Engine:
    """One that is called from here."""
    return Engine(
        lambda arguments, folder: step(engine, "index", folder),
        lambda arguments, folder: step(engine, "search", folder),
    )


def size_mb(folder: Path) -> float:
    """What a folder takes on the disk."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


# hopeval


def hopeval_verb(name: str, arguments: argparse.Namespace, folder: Path, **options: Path | str) -> Took:
    """One of the verbs that the rules call."""
    settings = json.dumps({**SETTINGS, "threads": arguments.threads})
    files = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    shared = ["--retriever=bm25", f"--settings={settings}", f"--corpus={folder / 'passages.jsonl'}"]
    return process([sys.executable, "-m", "hopeval", name, *shared, *files])


def hopeval_index(arguments: argparse.Namespace, folder: Path) -> Took:
    """As the rule ``index``."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    manifest = folder / "index.json"
    made = hopeval_verb("index", arguments, folder, store=folder / "store", output=manifest)
    made.told["mb"] = json.loads(manifest.read_bytes())["bytes"] / 1e6
    return made


def hopeval_search(arguments: argparse.Namespace, folder: Path) -> Took:
    """As the rule ``retrieve``."""
    files = {"questions": folder / "questions.jsonl", "passages": folder / "own.jsonl"}
    out = {"output": folder / "contexts.jsonl", "run_file": folder / "run.trec", "metrics": folder / "metrics.json"}
    found = hopeval_verb("retrieve", arguments, folder, indexes=f"bm25={folder / 'index.json'}", **files, **out)
    found.told.update(json.loads(out["metrics"].read_bytes()))
    return found


# What they all read


def texts(folder: Path) -> Iterator[str]:
    """Title and text of each passage."""
    return (f"{passage.title} {passage.text}" for passage in PassageStore(folder / "passages.jsonl"))


def questions(folder: Path) -> list[str]:
    """The questions' texts."""
    return [question.text for question in read_records(folder / "questions.jsonl", Question)]


def timed(opened: Callable[[], Callable[[list[str]], int]], folder: Path) -> dict[str, float]:
    """Seconds until the first answer, questions a second of the others, and how many were answered.

    ``opened`` gives a function that searches for some questions, and says of how many it found the passages.
    """
    asked = questions(folder)
    start = time.monotonic()
    search = opened()
    search(asked[:1])
    first = time.monotonic()
    answered = search(asked[1:])
    return {
        "open_s": first - start,
        "queries_per_second": answered / (time.monotonic() - first),
        "answered": answered + 1,
    }


def one_by_one(search: Callable[[str], object]) -> Callable[[list[str]], int]:
    """A search for one question, for many of them until the time is over; how many that were."""

    def search_those(those: list[str]) -> int:
        end = time.monotonic() + MOST_S
        answered = 0
        for text in those:
            search(text)
            answered += 1
            if time.monotonic() > end:
                break
        return answered

    return search_those


# bm25s


def bm25s_tokens(those: list[str]) -> Any:
    """As bm25s's documentation has it, with hopeval's default settings."""
    import bm25s
    import Stemmer

    return bm25s.tokenize(those, stopwords="english", stemmer=Stemmer.Stemmer("english"), show_progress=False)


def bm25s_index(folder: Path) -> dict[str, float]:
    """Index everything in memory, and save it."""
    import bm25s

    index = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numba")
    index.index(bm25s_tokens(list(texts(folder))), show_progress=False)
    index.save(folder / "bm25s", show_progress=False)
    return {"mb": size_mb(folder / "bm25s")}


def bm25s_search(folder: Path) -> dict[str, float]:
    """Search bm25s's own index."""
    return timed(lambda: bm25s_searcher(folder / "bm25s"), folder)


def bm25s_search_search(folder: Path) -> dict[str, float]:
    """Search hopeval's index."""
    manifest = json.loads((folder / "index.json").read_bytes())
    return timed(lambda: bm25s_searcher(Path(manifest["folder"])), folder)


def bm25s_searcher(index: Path) -> Callable[[list[str]], int]:
    """bm25s as it comes, memory-mapped and with numba."""
    import bm25s

    loaded = bm25s.BM25.load(index, mmap=True, override_params={"backend": "numba"})
    return lambda those: len(loaded.retrieve(bm25s_tokens(those), k=K, show_progress=False).documents)


# tantivy


def tantivy_index(folder: Path) -> dict[str, float]:
    """Index with its English stemmer; it has k1 1.2, b 0.75 and no others."""
    import tantivy

    schema = tantivy.SchemaBuilder().add_unsigned_field("number", stored=True)
    schema = schema.add_text_field("text", tokenizer_name="en_stem").build()
    shutil.rmtree(folder / "tantivy", ignore_errors=True)
    (folder / "tantivy").mkdir()
    writer = tantivy.Index(schema, path=str(folder / "tantivy")).writer(heap_size=500_000_000, num_threads=1)
    for number, text in enumerate(texts(folder)):
        writer.add_document(tantivy.Document(number=number, text=text))
    writer.commit()
    writer.wait_merging_threads()
    return {"mb": size_mb(folder / "tantivy")}


def tantivy_search(folder: Path) -> dict[str, float]:
    """Any of the words."""
    return timed(lambda: tantivy_searcher(folder / "tantivy"), folder)


def tantivy_searcher(folder: Path) -> Callable[[list[str]], int]:
    """The passages' numbers are read from the index."""
    import tantivy

    index = tantivy.Index.open(str(folder))
    index.reload()
    searcher = index.searcher()

    def search(text: str) -> None:
        query = index.parse_query(re.sub(r"\W+", " ", text), ["text"])
        for _, address in searcher.search(query, K).hits:
            searcher.doc(address)["number"]

    return one_by_one(search)


# rank_bm25


def rank_bm25_index(folder: Path) -> dict[str, float]:
    """It has no index on disk: this is what making it takes."""
    rank_bm25_searcher(folder)
    return {"mb": 0.0}


def rank_bm25_search(folder: Path) -> dict[str, float]:
    """Search; the first answer needs all of the index made."""
    return timed(lambda: rank_bm25_searcher(folder), folder)


def rank_bm25_searcher(folder: Path) -> Callable[[list[str]], int]:
    """Split on blanks, lower case."""
    import numpy as np
    from rank_bm25 import BM25Okapi

    index = BM25Okapi([text.lower().split() for text in texts(folder)])
    return one_by_one(lambda text: np.argsort(-index.get_scores(text.lower().split()))[:K])


ENGINES = {
    "hopeval": Engine(hopeval_index, hopeval_search),
    "bm25s-search": of_steps("bm25s-search")._replace(index=lambda arguments, folder: None),
    "bm25s": of_steps("bm25s"),
    "tantivy": of_steps("tantivy"),
    "rank_bm25": of_steps("rank_bm25"),
}

if __name__ == "__main__":
    sys.exit(main())
