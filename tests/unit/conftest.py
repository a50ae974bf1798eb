"""What the unit tests of inference share: a reader's checked settings, and the real model."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopeval.config import parse_reader

MODEL = Path(__file__).resolve().parents[2] / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def make_reader() -> Callable[..., Any]:
    """Makes a reader's checked settings."""
    return lambda **settings: parse_reader({"engine": "engines:CountingEngine", **settings}, "r")


@pytest.fixture(scope="session")
def model(environment: Callable[..., dict[str, str]]) -> Path:
    """The real SmolLM2, fetched once into resources/models/ when it is not there."""
    if not MODEL.is_file():
        command = [sys.executable, "-m", "hopeval", "fetch", "--embedded", "--output", str(MODEL)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return MODEL
