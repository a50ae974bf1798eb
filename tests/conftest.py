"""What all tests share: files to read, the command line in this process, and real data where it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hopeval.__main__ import main
from hopeval.io import read_records
from hopeval.records import Context, Question, RankedPassage

# How long anything takes is no test's business.
settings.register_profile("hopeval", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hopeval")

SHARED = Path(__file__).parents[2] / "shared" / "data"


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
