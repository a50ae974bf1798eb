"""How fast passages are embedded by hopeval's job, beside bare sentence-transformers on the same texts.

    PYTHONPATH=workflow .venv-dense/bin/python benchmarks/dense.py --model FOLDER

Passages/s of the verb ``embed`` (which reads passages, keeps each block on disk and tells how far it is) and of
one call of SentenceTransformer.encode with all texts at once, turn about, and the ratio of the best of each.
The model's loading counts for neither. Passages are made up, with the lengths of HotpotQA's abstracts; or those
of a file, with ``--corpus``. Then what exact search costs: questions/s over so many vectors, and FAISS's HNSW
on the same, with its recall.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from hopeval.__main__ import main as hopeval
from hopeval.config import parse_retriever
from hopeval.io import read_json, read_records, write_records
from hopeval.records import Passage
from hopeval.retrievers.models import passage_text
from hopeval.retrievers.nearest import Nearest, build_nearest
from hopeval.vectors import Blocks

SYLLABLES = ["ba", "den", "fi", "gor", "ha", "ki", "lo", "mar", "ne", "or", "pel", "ri", "sta", "tu", "van", "ze"]


def made_up(count: int) -> list[Passage]:
    """Passages of about 70 words, few of them very long."""
    chance = random.Random(0)

    def words(number: int) -> str:
        return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(number))

    lengths = (min(int(chance.lognormvariate(4.1, 0.5)) + 5, 300) for _ in range(count))
    return [Passage(id=str(i), title=words(2), sentences=[words(length)]) for i, length in enumerate(lengths)]


def ours(arguments: argparse.Namespace, corpus: Path, folder: Path) -> float:
    """Passages/s of the verb, as its report has them."""
    section = json.dumps({"kind": "dense", "model": arguments.model, "batch_size": arguments.batch_size})
    with tempfile.TemporaryDirectory(dir=folder) as store:
        report = Path(store, "report.json")
        code = hopeval(
            [
                *("embed", "--retriever", "dense", "--settings", section, "--corpus", str(corpus)),
                *("--store", store, "--output", str(report), "--threads", str(arguments.threads)),
            ]
        )
        if code:
            sys.exit(code)
        return float(read_json(report)["passages_per_second"])


def theirs(arguments: argparse.Namespace, corpus: Path) -> float:
    """Passages/s of one call of the library."""
    model = SentenceTransformer(arguments.model, device="cpu", local_files_only=True)
    texts = [passage_text(passage) for passage in read_records(corpus, Passage)]
    start = time.perf_counter()
    model.encode_document(texts, batch_size=arguments.batch_size, normalize_embeddings=True, show_progress_bar=False)
    return len(texts) / (time.perf_counter() - start)


def embedding(arguments: argparse.Namespace, folder: Path) -> None:
    """Print both speeds and their ratio."""
    corpus = arguments.corpus or folder / "passages.jsonl"
    if not arguments.corpus:
        write_records(corpus, made_up(arguments.passages))
    pairs = [(ours(arguments, corpus, folder), theirs(arguments, corpus)) for _ in range(arguments.repeat)]
    mine, bare = (max(speeds) for speeds in zip(*pairs, strict=True))
    print(f"hopeval embed              {mine:9.1f} passages/s")
    print(f"sentence-transformers      {bare:9.1f} passages/s")
    print(f"ratio                      {mine / bare:9.2f}")


def searching(arguments: argparse.Namespace, folder: Path) -> None:
    """Print what exact and approximate search cost over vectors by chance, which lie in clusters as texts do."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(arguments.vectors // 100, 1), arguments.dimensions), dtype=np.float32)
    blocks = Blocks(folder / "vectors", arguments.vectors)
    for number in range(len(blocks)):
        size = len(blocks.positions(number))
        near = centres[rng.integers(0, len(centres), size)]
        vectors = near + rng.standard_normal((size, arguments.dimensions), dtype=np.float32)
        blocks.write(number, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    section = {"kind": "dense", "model": arguments.model, "faiss": {"factory": "HNSW32", "search": "efSearch=128"}}
    faiss = parse_retriever(section).faiss
    (folder / "index").mkdir()
    start = time.perf_counter()
    build_nearest(blocks, folder / "index", faiss)
    print(f"HNSW32 built in            {time.perf_counter() - start:9.1f} s")
    queries = next(iter(blocks))[: arguments.queries]
    for name, kind in (("exact", None), ("HNSW32 efSearch=128", faiss)):
        nearest = Nearest(folder / "index", kind)
        start = time.perf_counter()
        nearest.search(queries, 100)
        print(f"{name:26} {len(queries) / (time.perf_counter() - start):9.1f} questions/s, k = 100")


def main() -> None:
    """Parse the options and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a model of sentence-transformers")
    parser.add_argument("--corpus", type=Path, help="passages of your own")
    parser.add_argument("--passages", type=int, default=2048, help="how many to make up")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--vectors", type=int, default=100_000, help="how many to search")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--queries", type=int, default=500)
    arguments = parser.parse_args()
    print(f"{arguments.threads} threads, batches of {arguments.batch_size}, best of {arguments.repeat}")
    with tempfile.TemporaryDirectory() as folder:
        embedding(arguments, Path(folder))
        searching(arguments, Path(folder))


if __name__ == "__main__":
    main()
