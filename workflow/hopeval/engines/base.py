"""What an engine is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hopeval.errors import HopevalError
from hopeval.records import Request


class Completion(NamedTuple):
    """What a model wrote, and the tokens it took as the engine itself counts them.

    ``reasoning`` is what the engine has told apart as the model's thinking; where it stands in the text
    between ``<think>`` and ``</think>``, the runner takes it out.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning: str = ""


class RequestFailed(Exception):
    """One request cannot be answered; the engine goes on with others."""


class Busy(RequestFailed):
    """Not answered now, but perhaps if asked again, as often as the reader's ``attempts`` allow.

    ``after_s``: the seconds that the engine wants to be left alone; ``overloaded``: it has too much to do,
    so that fewer requests should be under way.
    """

    def __init__(self, reason: str, after_s: float = 0.0, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.overloaded = overloaded


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
    """Answers requests between ``open`` and ``close``, as many at once as ``concurrency`` says once it
    is open: the reader's setting or else the engine's own. None: as many as turn out to be best.

    An engine of the user's own needs no more than ``complete``:

        class Shouting(Engine):
            async def complete(self, request):
                return Completion(request.messages[-1].content.upper(), "stop")
    """

    concurrency: int | None = 1

    def __init__(self, setup: Setup) -> None:
        self.settings = setup.settings
        self.setup = setup
        if setup.settings.concurrency != "auto":
            self.concurrency = setup.settings.concurrency

    async def open(self) -> None:  # noqa: B027 - an engine need not load anything
        """Load what has to be loaded. Raises EngineFailed, or InputError for a setting that is wrong."""

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """The answer to one request, asked once.

        Raises Busy when it may be asked again, RequestFailed when not, EngineFailed when no request can
        be answered any more.
        """

    async def close(self) -> None:  # noqa: B027 - nor let go of anything
        """Let go of everything; called also when ``open`` failed."""
