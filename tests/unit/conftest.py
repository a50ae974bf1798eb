"""What the unit tests of inference share: a reader's checked settings, and a squeue that answers what it is told."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hopeval import owners
from hopeval.config import parse_reader


@pytest.fixture
def make_reader() -> Callable[..., Any]:
    """Makes a reader's checked settings."""
    return lambda **settings: parse_reader({"engine": "engines:CountingEngine", **settings}, "r")


@pytest.fixture
def squeue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
    """Lays down what squeue answers, for this process as one on a login node."""
    answers = list[str | None]()
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "c")
    monkeypatch.setattr(owners, "_output", lambda *command: answers[-1])
    owners._cluster.cache_clear()
    owners.ask_anew()
    yield answers.append
    owners._cluster.cache_clear()
    owners.ask_anew()
