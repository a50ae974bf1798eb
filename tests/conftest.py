"""What all tests share: files to read, the command line in this process or another, real data where it is."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hopeval.__main__ import main
from hopeval.io import read_records, write_records
from hopeval.records import Context, Message, Question, RankedPassage, Request

# How long anything takes is no test's business.
settings.register_profile("hopeval", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hopeval")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
MODEL = ROOT / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
HANG_S = 300
"""No test waits longer for another process."""
SLOW_FIRST = ["slurm", "vllm", "workflow", "browser", "dense", "cli"]
"""Folders of tests, those with the longest files first: so started, workers end about together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On several workers (``-n 2``), begin with what takes longest."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        ranks = {folder: rank for rank, folder in enumerate(SLOW_FIRST)}
        items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file: bytes and text as they are, a list of ``lines`` as JSON Lines, anything else as JSON."""

    def write(name: str, content: Any = None, *, lines: Any = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines is not None:
            content = "".join(json.dumps(line) + "\n" for line in lines)
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def hopeval(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a verb in this process: its stdout. Fails when the exit code is not 0, with stderr."""

    def run(*arguments: Any) -> str:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a verb in this process that is to fail: its message. Fails when the exit code is another."""

    def run(*arguments: Any, code: int = 2) -> str:
        assert main([str(argument) for argument in arguments]) == code
        return capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def records() -> Callable[..., list[Any]]:
    """Reads a file of records into a list: ``records(path, kind)``, plain objects by default."""
    return lambda path, kind=dict: list(read_records(path, kind))


@pytest.fixture(scope="session")
def question() -> Callable[..., Question]:
    """Makes a question about A (sentence 0) and B (sentence 1)."""

    def make(identifier: str = "q1", **fields: Any) -> Question:
        gold = {"answer": "Paris", "supporting_facts": [("A", 0), ("B", 1)]}
        return Question(**{"id": identifier, "text": f"Where is {identifier}?", **gold, **fields})

    return make


@pytest.fixture(scope="session")
def context() -> Callable[..., Context]:
    """Makes a context of passages with these titles, two sentences each."""

    def make(identifier: str, *titles: str, retriever: str = "given") -> Context:
        passages = [RankedPassage(id=t, title=t, sentences=[f"{t} is one.", f" {t} is two."]) for t in titles]
        return Context(question_id=identifier, retriever=retriever, passages=passages)

    return make


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """The path of a file of real data; the test is skipped where there is none."""

    def path(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"real data is not here: {SHARED / name}")
        return SHARED / name

    return path


@pytest.fixture(scope="session")
def model() -> Path:
    """The real SmolLM2, fetched once into resources/models/ when it is not there."""
    if not MODEL.is_file():
        command = [sys.executable, "-m", "hopeval", "fetch", "--embedded", "--output", str(MODEL)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return MODEL


def _environment(**variables: str) -> dict[str, str]:
    paths = f"{ROOT / 'workflow'}{os.pathsep}{ROOT / 'tests'}"
    return {**os.environ, "PYTHONPATH": paths, **variables}


def _request(question_id: str, number: int = 1, content: str = "Who?", **fields: Any) -> Request:
    key = hashlib.sha256(f"{question_id}/{number}/{content}".encode()).hexdigest()
    return Request(key=key, question_id=question_id, messages=[Message("user", content)], **fields)


class Inference:
    """One infer job in a folder of its own, as a real process."""

    def __init__(self, folder: Path, locks: Path) -> None:
        self.folder, self.locks = folder, locks
        self.journal, self.output = folder / "journal", folder / "responses.jsonl"
        self.calls, self.mended = folder / "calls", folder / "mended"
        self.processes: list[subprocess.Popen[str]] = []

    def settings(self, engine: str, options: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        """A reader's section with an engine of tests/engines.py."""
        shared = {"calls": str(self.calls), "mended": str(self.mended)}
        return {"engine": f"engines:{engine}", "options": {**shared, **(options or {})}, **settings}

    def start(
        self, requests: Iterable[Request], settings: dict[str, Any], *more: str, **variables: str
    ) -> subprocess.Popen[str]:
        """The running job."""
        write_records(self.folder / "requests.jsonl", requests)
        arguments = ["--reader", "r", "--settings", json.dumps(settings), "--journal", str(self.journal)]
        arguments += ["--requests", str(self.folder / "requests.jsonl"), "--output", str(self.output)]
        process = subprocess.Popen(
            [sys.executable, "-m", "hopeval", "infer", *arguments, *more],
            cwd=self.folder,
            env=_environment(HOPEVAL_LOCKS=str(self.locks), **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # as a scheduler starts it
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: Any, **variables: str) -> SimpleNamespace:
        """Exit code, stdout and stderr of the finished job."""
        return self.finish(self.start(*arguments, **variables))

    def finish(self, process: subprocess.Popen[str]) -> SimpleNamespace:
        """The same of a running job, waited for."""
        out, err = process.communicate(timeout=HANG_S)
        return SimpleNamespace(code=process.returncode, out=out, err=err)

    def called(self) -> list[str]:
        """The question of each call so far, in order."""
        return [line.split()[0] for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


@pytest.fixture
def inference(tmp_path: Path) -> Iterator[Inference]:
    """A job's folder, with the lock files in it. What still runs in the end is killed."""
    inference = Inference(tmp_path, tmp_path / "locks")
    yield inference
    for process in inference.processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Makes this process's environment, with the package and tests/engines.py importable."""
    return _environment


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """Makes a request with a key of its own: ``make_request("question", number, content, **fields)``."""
    return _request
