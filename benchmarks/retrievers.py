"""All kinds of retrievers on the same questions and passages: what they find, how fast, in how much memory.

    PYTHONPATH=workflow python benchmarks/retrievers.py hotpot_dev_distractor_v1.json
    PYTHONPATH=workflow python benchmarks/retrievers.py questions.json --corpus passages.jsonl \
        --model FOLDER --reranker FOLDER --python .venv-dense/bin/python

The passages are those of ``--corpus``, or all paragraphs that come with the questions, pooled. With a model of
sentence-transformers there are also dense, with and without titles, and hybrid; with a cross-encoder, rerank. Each
is a process of its own, ``hopeval retrieve``, with what it is built on as run files, as the workflow has it;
questions/s count all of that, megabytes are the peak of that process alone. Iterative is left out: what it finds
and takes is its reader's. Printed as Markdown, in percent.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hopeval.composition import beneath
from hopeval.config import parse_retriever
from hopeval.io import read_json

COLUMNS = [
    *(f"recall@{k}" for k in (2, 5, 10)),
    *(f"all_gold_recall@{k}" for k in (2, 5, 10)),
    *("mrr@10", "ndcg@10"),
]


def sections(model: str | None, reranker: str | None) -> dict[str, dict[str, Any]]:
    """The retrievers, each after those that it is built on."""
    found: dict[str, dict[str, Any]] = {
        "elasticsearch": {"kind": "bm25", "tokenizer": "standard", "k1": 1.2, "b": 0.75}
        | {"stemmer": None, "stopwords": None},
        "bm25": {"kind": "bm25"},
    }
    if model:
        found["dense, text alone"] = {"kind": "dense", "model": model, "title": False}
        found["dense"] = {"kind": "dense", "model": model}
        found["hybrid of bm25, dense"] = {"kind": "hybrid", "of": ["bm25", "dense"]}
    best = "hybrid of bm25, dense" if model else "bm25"
    if reranker:
        found[f"rerank of {best}"] = {"kind": "rerank", "of": best, "model": reranker}
    found["two-hop over bm25"] = {"kind": "two-hop", "of": "bm25"}
    if model:
        found["two-hop over hybrid"] = {"kind": "two-hop", "of": best}
    return found


class Bench:
    """A folder in which each retriever searches the same passages for the same questions."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.threads, self.python = folder, str(arguments.threads), arguments.python
        self.names = sections(arguments.model, arguments.reranker)
        # Names of files: what stands in the table may hold blanks.
        self.files = {name: name.replace(",", "").replace(" ", "-") for name in self.names}
        self.sections = {self.files[name]: self._settings(section) for name, section in self.names.items()}
        self.verb("prepare", "--questions", arguments.questions, "--output", folder)
        self.corpus = folder / "passages.jsonl"
        if arguments.corpus:
            self.verb("corpus", "--source", arguments.corpus, "--output", folder / "corpus")
            self.corpus = folder / "corpus" / "passages.jsonl"

    def _settings(self, section: Mapping[str, Any]) -> dict[str, Any]:
        of = section.get("of", [])
        renamed = [self.files[name] for name in of] if isinstance(of, list) else self.files[of]
        return {**section, **({"of": renamed} if of else {})}

    def verb(self, name: str, *arguments: object) -> float:
        """Run one of hopeval's verbs; the most memory that it took, in MB. Ends the benchmark when it fails."""
        with open(self.folder / "log", "w+") as log:
            python = self.python if name in ("embed", "index", "retrieve") else sys.executable
            command = [python, "-m", "hopeval", name, *map(str, arguments)]
            running = subprocess.Popen(command, stdout=log, stderr=log)
            _, status, used = os.wait4(running.pid, 0)
            if status:
                log.seek(0)
                sys.exit(log.read())
        return used.ru_maxrss / 1000

    def index(self, name: str) -> None:
        """Make what a retriever searches, if it is one with an index."""
        kind = self.sections[name]["kind"]
        shared = ["--retriever", name, "--settings", json.dumps(self.sections[name]), "--corpus", self.corpus]
        shared += ["--store", self.folder / "store"]
        if kind == "dense":
            report = self.folder / f"{name}.embedded.json"
            self.verb("embed", *shared, "--output", report, "--threads", self.threads)
        if kind in ("bm25", "dense"):
            self.verb("index", *shared, "--output", self.folder / f"{name}.json")

    def retrieve(self, name: str) -> tuple[dict[str, Any], float]:
        """The metrics of a retriever, and its peak of memory in MB."""
        parsed = {each: parse_retriever(section, each) for each, section in self.sections.items()}
        under = beneath(name, parsed)
        indexed = [each for each in (*under, name) if (self.folder / f"{each}.json").exists()]
        out = {kind: self.folder / f"{name}.{end}" for kind, end in (("output", "jsonl"), ("run-file", "trec"))}
        metrics = self.folder / f"{name}.metrics.json"
        mb = self.verb(
            "retrieve",
            *("--retriever", name, "--settings", json.dumps(self.sections[name])),
            *("--bases", json.dumps({each: self.sections[each] for each in under})),
            *("--questions", self.folder / "questions.jsonl", "--passages", self.folder / "passages.jsonl"),
            *("--corpus", self.corpus, "--indexes", *(f"{each}={self.folder / each}.json" for each in indexed)),
            *("--runs", *(f"{each}={self.folder / each}.trec" for each in under)),
            *("--run-metrics", *(self.folder / f"{each}.metrics.json" for each in under)),
            *(part for kind, path in out.items() for part in (f"--{kind}", path)),
            *("--metrics", metrics),
        )
        return read_json(metrics), mb


def main() -> int:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, help="questions with gold passages, in any format that hopeval reads")
    parser.add_argument("--corpus", type=Path, help="passages, in any format that hopeval reads")
    parser.add_argument("--model", help="folder of a model of sentence-transformers")
    parser.add_argument("--reranker", help="folder of a cross-encoder")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has sentence-transformers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments)
        heads = [column.replace("_recall", "").replace("_", "-") for column in COLUMNS]
        print(f"| | {' | '.join(heads)} | questions/s | MB |")
        print("|---" * (len(COLUMNS) + 3) + "|", flush=True)
        for shown, retriever in bench.files.items():
            bench.index(retriever)
            metrics, mb = bench.retrieve(retriever)
            cells = [f"{100 * metrics[column]:.1f}" for column in COLUMNS]
            print(f"| {shown} | {' | '.join(cells)} | {metrics['queries_per_second']:.0f} | {mb:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
