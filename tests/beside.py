"""Environments beside this one, which not everybody has: tests that need one are skipped, and the summary says so."""

from pathlib import Path
from typing import Any

import pytest


def interpreter(path: Path, missing: str) -> Path:
    """The path of its Python; without one the test is skipped for this reason."""
    if not path.exists():
        pytest.skip(missing)
    return path


def summary(reporter: Any, path: Path, missing: str) -> None:
    """Says in pytest's summary that it is missing, if it is."""
    if not path.exists():
        reporter.write_sep("!", missing, yellow=True, bold=True)
