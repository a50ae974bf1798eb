"""What one sees of a running job: a live line on a terminal, plain lines in the log."""

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from hopeval.records import Response

_LOG_EVERY_S = 10.0
_LINES = 16  # fits a terminal of 24; further shards share them


def redirect_output(log: Path | None) -> TextIO | None:
    """Send all that this process writes, native libraries included, to ``log``, if there is to be one.

    The terminal that standard error is, or was; None when it is none.
    """
    if log is None:
        return sys.stderr if sys.stderr.isatty() else None
    terminal = os.fdopen(os.dup(2), "w") if os.isatty(2) else None
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    return terminal


@dataclass
class Tally:
    """What has come back so far."""

    answered: int = 0
    failed: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    latency_s: float = 0.0

    def add(self, response: Response) -> None:
        """Count one response."""
        if response.error is not None:
            self.failed += 1
            return
        self.answered += 1
        self.truncated += response.finish_reason == "length"
        self.prompt_tokens += response.prompt_tokens
        self.completion_tokens += response.completion_tokens
        self.cached_tokens += response.cached_tokens
        self.latency_s += response.latency_s

    @property
    def done(self) -> int:
        """Requests that are through, well or not."""
        return self.answered + self.failed

    @property
    def cached_share(self) -> float:
        """Share of the prompt tokens that the engine found in its cache, 0 to 1."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


class Progress:
    """Shows how far a shard is: a live line on ``terminal``, or a line in the log every ten seconds."""

    def __init__(
        self,
        shard: str,
        total: int,
        journaled: int,
        terminal: TextIO | None,
        on_response: Callable[[Response], None] = lambda response: None,
    ) -> None:
        self.shard, self.total, self.journaled = shard, total, journaled
        self._on_response = on_response
        self.tally = Tally()
        self._started = self._logged = time.monotonic()
        self._bar = self._open_bar(terminal) if terminal is not None else None

    def _open_bar(self, terminal: TextIO) -> Any:
        from tqdm import tqdm

        # Shards that run side by side each have a line of their own.
        number = re.match("[0-9]+", self.shard)
        return tqdm(
            total=self.total,
            initial=self.journaled,
            desc=f"shard {self.shard}",
            unit="request",
            file=terminal,
            position=(int(number[0]) - 1) % _LINES if number else 0,
            leave=False,
            dynamic_ncols=True,
        )

    def start(self) -> None:
        """Start the clock: waiting for devices and loading a model says nothing of the speed."""
        self._started = self._logged = time.monotonic()

    def add(self, response: Response) -> None:
        """Count a response, show it, and pass it on."""
        self.tally.add(response)
        self._on_response(response)
        if self._bar is not None:
            self._bar.set_postfix_str(self._rates(), refresh=False)
            self._bar.update()
        if time.monotonic() - self._logged > _LOG_EVERY_S:
            self._logged = time.monotonic()
            done = self.journaled + self.tally.done
            print(f"{done}/{self.total}, {self._rates()}, about {self._remaining_s():.0f} s left", flush=True)

    def _rates(self) -> str:
        tokens = self.tally.completion_tokens / self._elapsed_s()
        return f"{tokens:.0f} tokens/s, {self.tally.cached_share:.0%} of prompts cached, {self.tally.failed} failed"

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._started, 1e-9)

    def _remaining_s(self) -> float:
        left = self.total - self.journaled - self.tally.done
        return left * self._elapsed_s() / max(self.tally.done, 1)

    def close(self) -> None:
        """Take the line off the terminal and write the summary to the log."""
        if self._bar is not None:
            self._bar.close()
        tally, elapsed = self.tally, self._elapsed_s()
        parts = [
            f"{tally.answered} answered",
            f"{self.journaled} from the journal",
            f"{tally.failed} failed",
            f"{tally.truncated} truncated",
            f"{elapsed:.1f} s",
            f"mean latency {tally.latency_s / max(tally.answered, 1):.2f} s",
            f"{tally.completion_tokens / elapsed:.1f} generated tokens/s",
            f"{tally.prompt_tokens / elapsed:.1f} prompt tokens/s",
            f"{tally.cached_share:.0%} of prompt tokens cached",
        ]
        print(f"shard {self.shard}: {', '.join(parts)}", flush=True)
