"""What an engine is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hopeval.errors import HopevalError
from hopeval.records import Request


class Completion(NamedTuple):
    """What a model wrote, and the tokens it took as the engine itself counts them."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class RequestFailed(Exception):
    """One request cannot be answered; the engine goes on with others."""


class EngineFailed(HopevalError):
    """The engine is of no more use: the job ends, with everything answered kept."""


@dataclass
class Setup:
    """What a job gives its engine: the reader's section, the model's path, and this job's share of the machine."""

    settings: Any
    model: Path | None = None
    threads: int = 1
    devices: Sequence[str] = field(default_factory=list)


class Engine(ABC):
    """Answers requests between ``open`` and ``close``, as many at once as ``concurrency`` says,
    the reader's setting or else the class's.

    An engine of the user's own needs no more than ``complete``:

        class Shouting(Engine):
            async def complete(self, request):
                return Completion(request.messages[-1].content.upper(), "stop")
    """

    concurrency = 1

    def __init__(self, setup: Setup) -> None:
        self.settings = setup.settings
        self.setup = setup
        self.concurrency = setup.settings.concurrency or self.concurrency

    async def open(self) -> None:  # noqa: B027 - an engine need not load anything
        """Load what has to be loaded. Raises EngineFailed, or InputError for a setting that is wrong."""

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """The answer to one request. Raises RequestFailed for this one alone, EngineFailed for all."""

    async def close(self) -> None:  # noqa: B027 - nor let go of anything
        """Let go of everything; called also when ``open`` failed."""
