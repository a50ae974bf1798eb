"""One measurement: real infer jobs, side by side, stopped once they have run long enough.

Their journals lie in a temporary folder: nothing of it gets into a run.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import hopeval
from hopeval.errors import HopevalError, printable
from hopeval.io import write_records
from hopeval.records import Request, Response
from hopeval.tuning.machine import Cores, Memory, busy_s, memory_of, worked_s
from hopeval.tuning.search import MOST_FAILED
from hopeval.tuning.throughput import Answer, Rate, answer_of, in_flight, throughput

_LOOK_S = 0.1
_LOOK_AT_MEMORY_S = 1.0
"""To look at all processes of a large machine takes time that is the jobs'."""
_CALLS_TO_JUDGE = 20
"""Of so many calls twice MOST_FAILED have to fail before a measurement is given up: few fail by chance."""
_PR_SET_PDEATHSIG = 1
_END_S = 10.0
"""For a job to end by itself: its engine may have processes and servers to end."""
_ENOUGH = 3
"""Answers for each request in flight before a job may be stopped: from one to the next is the least to count."""
_REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Subject:
    """The reader that is measured: its name, its section, its model."""

    name: str
    settings: Mapping[str, Any]
    model: Path | None = None
    python: str = sys.executable

    @property
    def end_s(self) -> float:
        """Seconds that its jobs get to end: llama.cpp would finish its request first, and has nothing to tidy up."""
        return 0.0 if self.settings["engine"] == "llamacpp" else _END_S


class Limits(NamedTuple):
    """Seconds of a measurement.

    ``window_s``: all jobs are to be at work for so long; ``most_s``: it ends when they have been for so long,
    whatever it has; ``load_s``: by then all have to be at work. To load a model may take minutes.
    """

    window_s: float
    most_s: float
    load_s: float


class Trial(NamedTuple):
    """What came of it. ``loaded_s``: until all jobs had begun to ask; ``others``: see search.Result."""

    rate: Rate
    memory: Memory
    others: float | None
    loaded_s: float
    latencies: dict[str, float]
    """Seconds of each request that was answered."""
    calls: int = 0
    tokens: int = 0
    """Of prompts and answers: what an endpoint asks money for."""


class TrialFailed(HopevalError):
    """The set-up cannot be measured; ``code`` is the exit code of the job that failed, None when none did."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class _Job:
    """An infer job, and the answers that it has written into its journal so far."""

    def __init__(self, folder: Path, command: Sequence[str], requests: Iterable[Request]) -> None:
        self.answers: list[Answer] = []
        self.latencies: dict[str, float] = {}
        self.error = ""
        self._log, self._journal, self._torn = folder / "log", folder / "journal", b""
        folder.mkdir()
        write_records(folder / "requests.jsonl", requests)
        files = ["--requests", folder / "requests.jsonl", "--journal", self._journal]
        files += ["--output", folder / "responses.jsonl", "--log", self._log]
        self._file: Any = None
        self._process = subprocess.Popen(
            [*command, *map(str, files)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # kill -9 is not
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def read(self, work: Mapping[str, float]) -> None:
        """Take in what the journal has more than the last time."""
        if self._file is None:
            path = next(self._journal.glob("*.jsonl"), None)
            if path is None:
                return
            self._file = open(path, "rb")  # noqa: SIM115 - open until end()
        *lines, self._torn = (self._torn + self._file.read()).split(b"\n")
        for response in (msgspec.json.decode(line, type=Response) for line in lines):
            self.answers.append(answer_of(response, work))
            if response.error is None:
                self.latencies[response.key] = response.latency_s
            else:
                self.error = printable(response.error[:_REASON_CHARACTERS])

    def has_enough(self) -> bool:
        """Whether it has given so many answers that a rate can be made of them."""
        return bool(self.answers) and len(self.answers) >= _ENOUGH * in_flight(self.answers)

    def reason(self) -> str:
        """Why it failed, in its own words."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        written = [line for line in lines if line.strip()]
        told = [line for line in written if line.startswith("hopeval infer: ")] or written
        words = told[-1].removeprefix("hopeval infer: ") if told else "it wrote nothing"
        return printable(words[:_REASON_CHARACTERS])

    def tell_to_end(self) -> None:
        """SIGTERM, to all that it has started as well."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)

    def end(self, until: float) -> None:
        """Wait for it until that time, and kill what is left: its answers are in the journal."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(until - time.monotonic(), 0.0))
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._file is not None:
            self._file.close()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _environment() -> dict[str, str]:
    """Ours, with this package to be found."""
    library = str(Path(hopeval.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")]))}


def measure(
    subject: Subject,
    feeds: Sequence[Iterable[Request]],
    limits: Limits,
    work: Mapping[str, float],
    cores: Cores | None = None,
) -> Trial:
    """Run a job for each feed at once and say how fast they were. Raises TrialFailed when one gives no answers.

    ``work``: what a request weighs, by key; ``cores``: those on which other programs are looked for.
    """
    with tempfile.TemporaryDirectory(prefix="hopeval-tune-", ignore_cleanup_errors=True) as name:
        command = _command(subject, limits.load_s + limits.most_s)
        jobs: list[_Job] = []
        try:
            for number, feed in enumerate(feeds, 1):
                jobs.append(_Job(Path(name, str(number)), command, feed))
            watch = _Watch(jobs, limits, work, cores)
            watch.wait()
        finally:
            _end(jobs, subject.end_s)
        return watch.trial()


def _command(subject: Subject, most_s: float) -> list[str]:
    """A real infer job, but that each call is tried once, and that it ends by itself should we be killed."""
    trial = {"attempts": 1, "max_failures": _CALLS_TO_JUDGE - 1, "grace_s": 0.0, "shard_timeout_s": most_s + _END_S}
    settings = {**subject.settings, **trial}
    model = ["--model", str(subject.model)] if subject.model else []
    return [
        *(subject.python, "-P", "-m", "hopeval", "infer", "--reader", subject.name),
        *("--settings", json.dumps(settings), "--threads", str(settings.get("threads", 1)), *model),
    ]


def _end(jobs: Sequence[_Job], within_s: float) -> None:
    for job in jobs:
        job.tell_to_end()
    until = time.monotonic() + within_s
    for job in jobs:
        job.end(until)


@dataclass
class _Watch:
    """Looks at running jobs again and again until there is enough to know."""

    jobs: Sequence[_Job]
    limits: Limits
    work: Mapping[str, float]
    cores: Cores | None
    _began: float = field(default_factory=time.monotonic)
    _all_at_work: float | None = None
    _next_look: float = 0.0
    _memory: Memory = field(default_factory=lambda: Memory(0, 0))
    _start: tuple[float, float] = (0.0, 0.0)
    _others: float | None = None

    def wait(self) -> None:
        """Return when all have been at work for the window, with answers enough, or when the time is up."""
        while not self._is_done():
            time.sleep(_LOOK_S)
        self._count_others()

    def _is_done(self) -> bool:
        codes = [job.code for job in self.jobs]  # before the journals: what a job wrote last is read as well
        for job in self.jobs:
            job.read(self.work)
        for job, code in zip(self.jobs, codes, strict=True):
            if code:
                raise TrialFailed(job.reason(), code)
        now = time.monotonic()
        self._look_at_memory()
        if self._all_at_work is None and all(job.answers for job in self.jobs):
            self._all_at_work, self._start = now, self._times()
        if any(code == 0 for code in codes) or self._fails():
            return True
        if self._all_at_work is None:
            return now - self._began > self.limits.load_s
        ran_s = now - self._all_at_work
        has_enough = ran_s >= self.limits.window_s and all(job.has_enough() for job in self.jobs)
        return has_enough or ran_s > self.limits.most_s

    def _fails(self) -> bool:
        """Whether so many calls have failed that the rest is better not asked."""
        calls = [answer.failed for job in self.jobs for answer in job.answers]
        return len(calls) >= _CALLS_TO_JUDGE and sum(calls) > 2 * MOST_FAILED * len(calls)

    def _look_at_memory(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_AT_MEMORY_S
        now = memory_of(job.pid for job in self.jobs)
        self._memory = Memory(max(now.private, self._memory.private), max(now.shared, self._memory.shared))

    def _times(self) -> tuple[float, float]:
        """CPU seconds of these cores, and of ourselves with all jobs."""
        return (busy_s(self.cores.cpus), worked_s([os.getpid()])) if self.cores else (0.0, 0.0)

    def _count_others(self) -> None:
        if self.cores is None or self._all_at_work is None:
            return
        seconds = time.monotonic() - self._all_at_work
        busy, ours = (end - start for start, end in zip(self._start, self._times(), strict=True))
        self._others = self.cores.taken_by_others(busy, ours, seconds) if seconds > _LOOK_S else None

    def trial(self) -> Trial:
        """What there is to know. Raises TrialFailed when a job has answered nothing."""
        rate = throughput([job.answers for job in self.jobs])
        if rate is None or self._all_at_work is None:
            raise TrialFailed(
                f"no answer of each job within {self.limits.load_s:.0f} s; with more minutes there might be one"
            )
        if rate.failed == 1.0:
            raise TrialFailed(f"every call failed, the last: {self.jobs[0].error}")
        latencies = {key: seconds for job in self.jobs for key, seconds in job.latencies.items()}
        loaded_s = self._all_at_work - self._began
        answers = [answer for job in self.jobs for answer in job.answers]
        tokens = sum(answer.tokens for answer in answers)
        return Trial(rate, self._memory, self._others, loaded_s, latencies, len(answers), tokens)
