"""Engines of a user's own: reader.engine "engines:CountingEngine", with tests/ on PYTHONPATH or as cwd.

All answer without a model. The reader's ``options``, all optional:
    calls          file to which each call appends a line (whole lines, whatever the number of processes)
    delay_s        seconds an answer takes
    at_once        answers in the making at the same time (default: all)
    questions      ids of the questions that fail (FailingEngine) or never return (HangingEngine)
    after          answers that CrashingEngine gives in one process before the call that kills it (default 0)
    only_question  the question at which alone CrashingEngine crashes
    mended         file whose presence turns a CrashingEngine or FailingEngine into a CountingEngine
    go             file that HoldingEngine waits for after ``after`` answers
    together       jobs that MeetingEngine waits for, and DeviceEngine, so that it is certain that they overlap
    length         characters of LongEngine's answers
"""

import asyncio
import os
import signal
import time
from pathlib import Path

from hopeval.engines.base import Completion, Engine, RequestFailed, Setup
from hopeval.records import Request

ANSWER = '{"answer": "x", "supporting_facts": [1]}'


class CountingEngine(Engine):
    """Answers ANSWER, and notes ``<question_id> <key>`` for each call."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.options = self.settings.options
        self._room = asyncio.Semaphore(self.options.get("at_once", 1 << 20))

    def note(self, line: str) -> None:
        """Append a line to the file of calls in one write, so that processes can share it."""
        if "calls" in self.options:
            file = os.open(self.options["calls"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.write(file, f"{line}\n".encode())
            os.close(file)

    async def pause(self) -> None:
        """What an answer takes."""
        async with self._room:
            await asyncio.sleep(self.options.get("delay_s", 0))

    async def complete(self, request: Request) -> Completion:
        """ANSWER, after delay_s."""
        self.note(f"{request.question_id} {request.key}")
        await self.pause()
        return Completion(ANSWER, "stop", prompt_tokens=10, completion_tokens=5, cached_tokens=2)

    def mended(self) -> bool:
        """Whether the file ``mended`` is there."""
        return "mended" in self.options and Path(self.options["mended"]).exists()


class CrashingEngine(CountingEngine):
    """Kills its own process with SIGKILL at the call that follows ``after`` answers."""

    answers = 0

    async def complete(self, request: Request) -> Completion:
        """ANSWER, or the end of the process."""
        here = self.options.get("only_question", request.question_id) == request.question_id
        if here and self.answers >= self.options.get("after", 0) and not self.mended():
            os.kill(os.getpid(), signal.SIGKILL)
        self.answers += 1
        return await super().complete(request)


class FailingEngine(CountingEngine):
    """Cannot answer the questions that are listed."""

    async def complete(self, request: Request) -> Completion:
        """ANSWER. Raises RequestFailed for a question in ``questions``."""
        completion = await super().complete(request)
        if request.question_id in self.options.get("questions", []) and not self.mended():
            raise RequestFailed(f"{request.question_id}: the engine was told to fail")
        return completion


class HangingEngine(CountingEngine):
    """Never returns for the questions that are listed."""

    async def complete(self, request: Request) -> Completion:
        """ANSWER, or nothing for ever."""
        completion = await super().complete(request)
        if request.question_id in self.options.get("questions", []):
            await asyncio.Event().wait()
        return completion


class DeviceEngine(CountingEngine):
    """Notes ``<start|end> <pid> <CUDA_VISIBLE_DEVICES> <time.monotonic()>`` when it opens and closes.

    Between them it holds its devices for ``delay_s`` at least; '-' stands for none. The clock is that of
    the machine, so that the lines of several processes can be laid side by side.
    """

    def _mark(self, what: str) -> None:
        devices = os.environ.get("CUDA_VISIBLE_DEVICES") or "-"
        self.note(f"{what} {os.getpid()} {devices} {time.monotonic()}")

    async def open(self) -> None:
        """Note the start, and wait for the others."""
        self._mark("start")
        while (n := self.options.get("together", 0)) and Path(self.options["calls"]).read_text().count("start ") < n:
            await asyncio.sleep(0.05)
        await self.pause()

    async def complete(self, request: Request) -> Completion:
        """ANSWER, at once."""
        return Completion(ANSWER, "stop", prompt_tokens=10, completion_tokens=5)

    async def close(self) -> None:
        """Note the end."""
        self._mark("end")


class HoldingEngine(CountingEngine):
    """Stops after ``after`` answers, with one request in flight, until the file ``go`` is there."""

    answers = 0

    async def complete(self, request: Request) -> Completion:
        """ANSWER, now or later."""
        completion = await super().complete(request)
        while self.answers >= self.options.get("after", 0) and not Path(self.options["go"]).exists():
            await asyncio.sleep(0.1)
        self.answers += 1
        return completion


class MeetingEngine(CountingEngine):
    """Answers once ``together`` jobs run at the same time: each notes ``<node> <devices>`` and waits for the others."""

    async def open(self) -> None:
        """Note the node and the devices, and wait."""
        devices = os.environ.get("CUDA_VISIBLE_DEVICES") or "-"
        self.note(f"{os.environ.get('SLURMD_NODENAME', '-')} {devices}")
        while len(Path(self.options["calls"]).read_text().splitlines()) < self.options["together"]:
            await asyncio.sleep(0.1)

    async def complete(self, request: Request) -> Completion:
        """ANSWER, at once."""
        return Completion(ANSWER, "stop", prompt_tokens=10, completion_tokens=5)


class LongEngine(CountingEngine):
    """Answers at length."""

    async def complete(self, request: Request) -> Completion:
        """``length`` characters."""
        await super().complete(request)
        return Completion("x" * self.options["length"], "stop", prompt_tokens=10, completion_tokens=5)
