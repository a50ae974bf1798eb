"""What the unit tests of inference share: requests, readers, a real ``hopeval`` process and the real model."""

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

from hopeval.config import parse_reader
from hopeval.io import write_records
from hopeval.records import Message, Request

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
HANG_S = 120
"""No test waits longer for another process."""


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


@pytest.fixture
def make_reader() -> Callable[..., Any]:
    """Makes a reader's checked settings."""
    return lambda **settings: parse_reader({"engine": "engines:CountingEngine", **settings}, "r")


@pytest.fixture(scope="session")
def model() -> Path:
    """The real SmolLM2, fetched once into resources/models/ when it is not there."""
    if not MODEL.is_file():
        command = [sys.executable, "-m", "hopeval", "fetch", "--embedded", "--output", str(MODEL)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return MODEL
