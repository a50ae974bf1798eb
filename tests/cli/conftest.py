"""``hopeval infer`` in this process, against an endpoint."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from endpoint import Endpoint
from hopeval.__main__ import main
from hopeval.asking import Policy
from hopeval.io import read_records, write_records
from hopeval.records import Request, Response


@pytest.fixture
def reader() -> Callable[..., dict[str, Any]]:
    """Makes the section of a reader at this endpoint."""
    return lambda endpoint, **settings: {
        **{"engine": "openai", "base_url": endpoint.url, "model": "m", "concurrency": 4, "attempts": 4},
        **settings,
    }


@pytest.fixture
def who(make_request: Callable[..., Request]) -> Callable[..., list[Request]]:
    """Makes so many requests, each of a question of its own: ``Who is q7?``."""
    return lambda count, **fields: [
        make_request(f"q{number}", content=f"Who is q{number}?", **fields) for number in range(count)
    ]


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def infer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    reader: Callable[..., dict[str, Any]],
) -> Callable[..., SimpleNamespace]:
    """Runs infer with pauses of milliseconds: exit code, words, responses and what the journal has, by question."""
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr("hopeval.commands.infer.Policy", functools.partial(Policy, pause_s=0.02))
    requests_file, journal, output = tmp_path / "requests.jsonl", tmp_path / "journal", tmp_path / "responses.jsonl"

    def run(endpoint: Endpoint, requests: list[Request], **settings: Any) -> SimpleNamespace:
        write_records(requests_file, requests)
        arguments = ["--reader", "r", "--settings", json.dumps(reader(endpoint, **settings))]
        arguments += ["--requests", str(requests_file), "--journal", str(journal), "--output", str(output)]
        code = main(["infer", *arguments])
        out, err = capfd.readouterr()
        names = {request.key: request.question_id for request in requests}
        kept = [response for path in journal.glob("*.jsonl") for response in read_records(path, Response)]
        return SimpleNamespace(
            code=code,
            out=out,
            err=err,
            kept={names[response.key]: response for response in kept if response.error is None},
            errors={names[response.key]: response.error for response in kept if response.error is not None},
            lines=len(kept),
            responses=list(read_records(output, Response)) if output.exists() else None,
        )

    return run
