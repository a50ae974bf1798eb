"""What the unit tests of inference share: a reader's checked settings."""

from collections.abc import Callable
from typing import Any

import pytest

from hopeval.config import parse_reader


@pytest.fixture
def make_reader() -> Callable[..., Any]:
    """Makes a reader's checked settings."""
    return lambda **settings: parse_reader({"engine": "engines:CountingEngine", **settings}, "r")
