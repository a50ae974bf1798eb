"""Embedding, index and search with small models: what is resumed, what is refused, what is found."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dense.conftest import HANG_S, arguments
from hopeval.config import parse_retriever
from hopeval.indexes import index_key
from hopeval.io import read_json, read_records, write_records
from hopeval.records import Context, Question
from hopeval.retrievers.dense import DenseRetriever, vectors_key
from hopeval.vectors import BLOCK

Run = Callable[..., SimpleNamespace]


def section(model: Path, **settings: Any) -> str:
    return json.dumps({"kind": "dense", "model": str(model), **settings})


@pytest.fixture
def embed(hopeval: Run, models: Path) -> Callable[..., dict[str, Any]]:
    """Embeds the passages: the report."""

    def run(corpus: Path, shard: str = "1-of-1", store: str = "indexes", **settings: Any) -> dict[str, Any]:
        model = settings.pop("model", models / "encoder" / "model")
        hopeval(
            *("embed", "--retriever", "mine", "--settings", section(model, **settings), "--corpus", corpus),
            *("--shard", shard, "--store", store, "--output", "report.json"),
        )
        report: dict[str, Any] = read_json(corpus.parent / "report.json")
        return report

    return run


@pytest.fixture
def ranked(hopeval: Run, models: Path) -> Callable[..., tuple[dict[str, list[str]], dict[str, Any]]]:
    """Makes the index and asks these questions: the ids of what is found by question, and the metrics."""

    def run(corpus: Path, *questions: str, **settings: Any) -> tuple[dict[str, list[str]], dict[str, Any]]:
        model = settings.pop("model", models / "encoder" / "model")
        asked, mine = (
            corpus.parent / "questions.jsonl",
            ["--retriever", "mine", "--settings", section(model, **settings)],
        )
        write_records(asked, [Question(id=text, text=text) for text in questions])
        hopeval("index", *mine, "--corpus", corpus, "--store", "indexes", "--output", "index.json")
        hopeval(
            *("retrieve", *mine, "--questions", asked, "--passages", corpus, "--indexes", "mine=index.json"),
            *("--output", "contexts.jsonl", "--run-file", "run.trec", "--metrics", "metrics.json"),
        )
        contexts = read_records(corpus.parent / "contexts.jsonl", Context)
        found = {context.question_id: [passage.id for passage in context.passages] for context in contexts}
        return found, read_json(corpus.parent / "metrics.json")

    return run


def meddled(python: Path, script: str, *words: Any) -> dict[str, Any]:
    """What subprocess needs to run a verb in a process in which something happens at a certain moment."""
    start = "import sys\nfrom hopeval.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"
    return {"args": [str(python), "-c", script + start, *map(str, words)], "env": arguments(python)["env"]}


KILLED_AT_ITS_SECOND_BLOCK = """
import os, signal
import numpy
from hopeval.vectors import Blocks

whole, write, save = [], Blocks.write, numpy.save

def torn(file, vectors):
    if whole:
        file.write(b"half a block")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(file, vectors)

def counted(self, number, vectors):
    write(self, number, vectors)
    whole.append(number)

numpy.save, Blocks.write = torn, counted
"""
CORPUS_CHANGED_AT_ITS_SECOND_BLOCK = """
from hopeval.retrievers.models import Encoder

calls, passages = [], Encoder.passages

def meddling(self, texts):
    vectors = passages(self, texts)
    if calls:
        with open("passages.jsonl", "a") as file:
            file.write('{"id": "new", "title": "new", "sentences": []}\\n')
    calls.append(1)
    return vectors

Encoder.passages = meddling
"""
MODEL_CHANGED_WHILE_LOADED = """
from hopeval.retrievers.models import Encoder

load = Encoder.__init__

def meddling(self, settings):
    load(self, settings)
    with open(settings.model + "/README.md", "a") as file:
        file.write("changed")

Encoder.__init__ = meddling
"""


def many(count: int) -> list[str]:
    return [f"bada {i} kofe {i * i}" for i in range(count)]


def blocks(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.glob("*.npy"))}


def test_a_killed_job_is_resumed_with_the_same_vectors(
    tmp_path: Path, python: Path, models: Path, passages: Callable[..., Path], embed: Callable[..., dict[str, Any]]
) -> None:
    corpus = passages(*many(6 * BLOCK + 100))
    whole = blocks(Path(tmp_path, embed(corpus, store="other")["vectors"]))
    assert len(whole) == 7
    command = meddled(
        python,
        KILLED_AT_ITS_SECOND_BLOCK,
        *("embed", "--retriever", "mine", "--settings", section(models / "encoder" / "model"), "--corpus", corpus),
        *("--store", "indexes", "--output", "report.json"),
    )
    (tmp_path / "report.json").unlink()
    assert subprocess.run(**command, cwd=tmp_path, timeout=HANG_S).returncode == -signal.SIGKILL
    (folder,) = tmp_path.glob("indexes/vectors-*")
    kept = blocks(folder)
    assert list(kept) == ["000000.npy"]
    assert not (tmp_path / "report.json").exists()

    report = embed(corpus)
    assert report["made"] == 6 * BLOCK + 100 - len(kept) * BLOCK
    after = blocks(folder)
    assert {name: after[name] for name in kept} == kept
    assert {name: data for name, (_, data) in after.items()} == {name: data for name, (_, data) in whole.items()}
    assert embed(corpus)["made"] == 0


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        (CORPUS_CHANGED_AT_ITS_SECOND_BLOCK, ["000000.npy"]),
        (MODEL_CHANGED_WHILE_LOADED, []),
    ],
)
def test_no_vectors_are_kept_of_what_has_changed_meanwhile(
    tmp_path: Path, python: Path, models: Path, passages: Callable[..., Path], script: str, kept: list[str]
) -> None:
    model = shutil.copytree(models / "encoder" / "model", tmp_path / "model")
    command = meddled(
        python,
        script,
        *("embed", "--retriever", "mine", "--settings", section(model), "--corpus", passages(*many(2 * BLOCK))),
        *("--store", "indexes", "--output", "report.json"),
    )
    done = subprocess.run(**command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 2, done.stderr
    assert "changed while its passages were embedded; leave both as they are" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.glob("indexes/vectors-*/*.npy")] == kept
    assert not (tmp_path / "report.json").exists()


def test_other_versions_of_the_libraries_make_other_vectors(
    models: Path, passages: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, corpus = parse_retriever(json.loads(section(models / "encoder" / "model"))), passages("a")
    keys = set()
    for torch in ("2.13.0+cpu", "2.13.0+cu130", "2.14.0+cpu"):
        monkeypatch.setattr("hopeval.indexes.version", lambda name, torch=torch: torch if name == "torch" else "1")
        keys.add((vectors_key(settings, corpus), index_key(settings, DenseRetriever, corpus)))
    assert len(keys) == 2


def test_shards_share_the_passages_and_another_number_of_them_makes_nothing_again(
    passages: Callable[..., Path], embed: Callable[..., dict[str, Any]]
) -> None:
    corpus = passages(*many(2 * BLOCK + 1))
    assert [embed(corpus, f"{i}-of-2")["made"] for i in (1, 2)] == [BLOCK, BLOCK + 1]
    assert [embed(corpus, f"{i}-of-3")["made"] for i in (1, 2, 3)] == [0, 0, 0]
    assert embed(corpus, batch_size=8)["made"] == 0
    assert embed(corpus, passage_prefix="passage: ")["made"] == 2 * BLOCK + 1


def test_a_passage_is_nearest_to_itself(
    passages: Callable[..., Path], embed: Callable[..., Any], ranked: Callable[..., Any]
) -> None:
    corpus = passages(*many(200))
    embed(corpus, title=False)
    texts = many(200)[50:150:10]
    found, metrics = ranked(corpus, *texts, title=False)
    assert [ids[0] for ids in found.values()] == [f"p{i}" for i in range(50, 150, 10)]
    assert metrics["index"]["passages"] == 200
    assert "faiss_recall@10" not in metrics


@pytest.mark.parametrize(
    ("factory", "search", "least"),
    [("HNSW32", "efSearch=256", 0.9), ("IVF4,PQ8x4", "nprobe=4", 0.1), ("IVF4,Flat", "nprobe=4", 1.0)],
)
def test_faiss_finds_most_of_it_and_says_how_much(
    passages: Callable[..., Path],
    embed: Callable[..., Any],
    ranked: Callable[..., Any],
    factory: str,
    search: str,
    least: float,
) -> None:
    corpus = passages(*many(400))
    embed(corpus)
    exact, _ = ranked(corpus, *many(30))
    faiss = {"factory": factory, "search": search}
    found, metrics = ranked(corpus, *many(30), faiss=faiss)
    same = sum(len(set(exact[question]) & set(found[question])) for question in exact) / 300
    assert least <= metrics["faiss_recall@10"] <= 1
    assert same == pytest.approx(metrics["faiss_recall@10"], abs=0.002)  # a tie may be cut differently


@pytest.mark.parametrize(
    ("faiss", "words"),
    [
        ({"factory": "HSNW32"}, "faiss.factory: found 'HSNW32', of which FAISS says:"),
        ({"factory": "IVF4096,Flat"}, "faiss.factory: found 'IVF4096,Flat', of which FAISS says:"),
        ({"factory": "PQ7"}, "faiss.factory: found 'PQ7', of which FAISS says:"),
        ({"factory": "HNSW32", "search": "nprobe=3"}, "faiss.search: found 'nprobe=3', of which FAISS says:"),
    ],
)
def test_what_faiss_cannot_do_is_told_in_its_words(
    tmp_path: Path, models: Path, passages: Callable[..., Path], embed: Any, hopeval: Run, faiss: Any, words: str
) -> None:
    corpus = passages(*many(60))
    embed(corpus)
    settings = section(models / "encoder" / "model", faiss=faiss)
    done = hopeval(
        *("index", "--retriever", "mine", "--settings", settings, "--corpus", corpus, "--store", "indexes"),
        *("--output", "index.json"),
        code=2,
    )
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "index.json").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"faiss": {"factory": "PQ7"}}, "faiss.factory: found 'PQ7', of which FAISS says:"),
        (
            {"faiss": {"factory": "HNSW32", "search": "nprobe=3"}},
            "faiss.search: found 'nprobe=3', of which FAISS says:",
        ),
        ({"max_length": 65}, "max_length: found 65, but {model} has positions for 64 tokens; set it to 64 at most"),
    ],
)
def test_settings_that_the_model_or_faiss_cannot_have_are_told_before_a_passage_is_embedded(
    tmp_path: Path, models: Path, passages: Callable[..., Path], hopeval: Run, settings: Any, words: str
) -> None:
    model = models / "encoder" / "model"
    done = hopeval(
        *("embed", "--retriever", "mine", "--settings", section(model, **settings), "--corpus", passages("a " * 99)),
        *("--store", "indexes", "--output", "report.json"),
        code=2,
    )
    assert words.format(model=model) in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("indexes/vectors-*/*.npy"))


def test_as_many_tokens_as_the_model_has_positions_for(
    passages: Callable[..., Path], embed: Callable[..., dict[str, Any]]
) -> None:
    assert embed(passages("a " * 99), max_length=64)["made"] == 1


def test_a_search_that_faiss_cannot_do_is_told_before_vectors_are_copied(
    tmp_path: Path, models: Path, passages: Callable[..., Path], embed: Any, python: Path
) -> None:
    corpus = passages(*many(60))
    embed(corpus)
    copies = "from hopeval.retrievers import nearest\nnearest._write_matrix = lambda *_: print('copied')\n"
    command = meddled(
        python,
        copies,
        *("index", "--retriever", "mine", "--corpus", corpus, "--store", "indexes", "--output", "index.json"),
        "--settings",
        section(models / "encoder" / "model", faiss={"factory": "HNSW32", "search": "nprobe=3"}),
    )
    done = subprocess.run(**command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 2, done.stderr
    assert "faiss.search: found 'nprobe=3'" in done.stderr
    assert "copied" not in done.stdout


def test_an_index_without_its_vectors_is_refused(models: Path, passages: Callable[..., Path], hopeval: Run) -> None:
    done = hopeval(
        *("index", "--retriever", "mine", "--settings", section(models / "encoder" / "model")),
        *("--corpus", passages("a", "b"), "--store", "indexes", "--output", "index.json"),
        code=2,
    )
    assert "1 of 1 blocks of vectors are missing; make them: snakemake --forcerun embed, or hopeval embed" in done.err


def test_another_model_is_another_index(
    passages: Callable[..., Path], embed: Callable[..., Any], ranked: Callable[..., Any], models: Path
) -> None:
    corpus = passages(*many(20))
    wider = models / "wider" / "model"
    embed(corpus)
    embed(corpus, model=wider)
    _, metrics = ranked(corpus, "bada 3")
    _, others = ranked(corpus, "bada 3", model=wider)
    assert metrics["index"]["key"] != others["index"]["key"]


@pytest.mark.parametrize(
    ("texts", "model", "words"),
    [
        ([], "encoder/model", "holds no passages, so dense has nothing to search; set dataset.corpus"),
        (["a"], "nowhere", "no model of sentence-transformers here; correct the path"),
        (None, "encoder/model", "passages.jsonl: cannot be read: No such file or directory; check the path"),
        (["a"], "broken", "cannot be loaded as a SentenceTransformer"),
    ],
)
def test_what_cannot_be_embedded_is_told(
    models: Path, passages: Callable[..., Path], hopeval: Run, texts: list[str] | None, model: str, words: str
) -> None:
    corpus = passages(*texts or [])
    if texts is None:
        corpus.unlink()
    (models / "broken").mkdir(exist_ok=True)
    (models / "broken" / "config.json").write_text('{"model_type": "bert"}')
    done = hopeval(
        *("embed", "--retriever", "mine", "--settings", section(models / model), "--corpus", corpus),
        *("--store", "indexes", "--output", "report.json"),
        code=2,
    )
    assert words in done.err
    assert "Traceback" not in done.err


def test_questions_of_other_dimensions_are_refused(python: Path, tmp_path: Path) -> None:
    script = (
        "import numpy as np, sys\n"
        "from pathlib import Path\n"
        "from hopeval.retrievers.nearest import Nearest, build_nearest\n"
        "from hopeval.vectors import Blocks\n"
        "blocks = Blocks(Path('v'), 3)\n"
        "blocks.write(0, np.eye(3, 4, dtype='f4'))\n"
        "Path('i').mkdir()\n"
        "build_nearest(blocks, Path('i'), None)\n"
        "Nearest(Path('i'), None).search(np.ones((1, 5), 'f4'), 2)\n"
    )
    command = arguments(python)
    done = subprocess.run([python, "-c", script], env=command["env"], cwd=tmp_path, capture_output=True, text=True)
    assert "the model gives questions 5 dimensions, but its passages have 4" in done.stderr
