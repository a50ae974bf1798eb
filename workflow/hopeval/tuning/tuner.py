"""Measuring one reader within a time: which set-ups, in which order, until when."""

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from hopeval.errors import InputError
from hopeval.tuning.cells import Cell, batch_cells, fitting, gpu_cells, largest_that_fits, sequence_cells, thread_cells
from hopeval.tuning.machine import Cores, free_memory
from hopeval.tuning.sample import Chain, copy_key, feed
from hopeval.tuning.search import NO_TIME, Result, next_cell, next_level, verdict
from hopeval.tuning.throughput import Rate
from hopeval.tuning.trial import Limits, Subject, Trial, TrialFailed, measure

_SHORTEST_S, _LONGEST_S = 0.5, 15.0
"""How long all jobs are at work in one measurement."""
_CALIBRATION = 0.1
"""Of the time at most this part for a first look at one job at work."""
_LEVELS = 10
_FEED_FEWEST, _FEED_MOST = 256, 50_000
_MANY = 1_000_000_000
_FIRST_GUESS = 100.0
"""Answers a second of a job of which nothing is known yet."""
_STRETCH = 4.0
"""A measurement in which answers are slow to come may take so many windows."""
_SLOWER_TO_LOAD = 2.0
"""Than any before a set-up may be so many times; longer only with half of the time that is left."""


@dataclass
class Tuner:
    """Measures set-ups of a reader with a sample of requests until ``until`` (time.monotonic()).

    ``tell`` hears of each measurement, a line each; ``save`` is given all results after it. What it knows is
    in ``results``, by cell.
    """

    subject: Subject
    sample: Sequence[Chain]
    cores: Cores
    repeats: int
    until: float
    tell: Callable[[str], None]
    save: Callable[[Iterable[Result]], None] = lambda results: None
    results: dict[Cell, Result] = field(default_factory=dict)
    _work: dict[str, float] = field(default_factory=dict)
    _window_s: float = _SHORTEST_S
    _loaded_s: float = 1.0
    _watched: Cores | None = None
    _at_one_endpoint: bool = False
    _is_silent: bool = False
    """Whether the endpoint gave no answer in the last measurement: it is not asked again."""
    _round: int = field(default_factory=lambda: random.randrange(1, _MANY))
    """Of the sample, the next: a server that has seen one, in this tuning or another, never sees it again."""

    # What is measured with which engine.

    def threads(self) -> None:
        """Processes × threads, then what their engine may vary: batches (llama.cpp), sequences at once (vLLM)."""
        if not self.cores.by_quota:  # others' work beside ours is no trouble where time is shared out
            self._watched = self.cores
        trial = self._calibrate(Cell(shards=1, threads=self.cores.physical))
        free = free_memory()
        fit, left_out = fitting(thread_cells(self.cores), trial.memory, free)
        self._leave_out(left_out)
        if fit and left_out:
            fit = list(dict.fromkeys([*fit, largest_that_fits(self.cores.physical, trial.memory, free)]))
        vary = self._batches if self.subject.settings["engine"] == "llamacpp" else self._sequences
        self._settle(fit, further=len(vary(Cell())))
        if best := self._best():
            self._settle(vary(best))

    def _batches(self, best: Cell) -> list[Cell]:
        settings = self.subject.settings
        return batch_cells(best, settings.get("context_window", 4096), settings.get("options") or {})

    def _sequences(self, best: Cell) -> list[Cell]:
        return sequence_cells(best, None if best.gpus else 128)

    def gpus(self, devices: int, heads: int | None) -> None:
        """Jobs × tensor parallel over so many GPUs, then the number of sequences at once."""
        pipeline = self.subject.settings.get("pipeline_parallel") or 1
        fit, left_out = gpu_cells(devices, pipeline, heads)
        self._leave_out(left_out)
        self._settle(fit, further=len(self._sequences(Cell(gpus=1))))
        if best := self._best():
            self._settle(self._sequences(best))

    def levels(self, own: dict[str, Any]) -> None:
        """The number of requests in flight, of one job; ``own``: what else the recommendation has to say."""
        self._at_one_endpoint = True
        while level := next_level(list(self.results.values())):
            cell = Cell(concurrency=level, **own)
            if not self._plan(_LEVELS - len(self.results)):
                if not self._is_silent:
                    self.results.setdefault(cell, Result(cell=cell))  # told at the end that there was no time
                break
            self._measure(cell)
        self._settle([])

    # How it is measured.

    def _calibrate(self, cell: Cell) -> Trial:
        """A first look at one job: what each request of the sample takes, memory, and the time to load.

        Raises InputError when the reader's settings are wrong, TrialFailed when it answers nothing in time.
        """
        self.tell(f"a first look at one job, {cell}")
        left_s, count = self.left_s, sum(map(len, self.sample))
        limits = Limits(_CALIBRATION * left_s, _CALIBRATION * left_s, (1 - _CALIBRATION) * left_s)
        trial = self._run(replace(self.subject, settings=cell.laid_upon(self.subject.settings)), 1, count, limits, 0)
        mean = fmean(trial.latencies.values())
        self.sample = [answered for chain in self.sample if (answered := _answered(chain, trial))]
        if self.subject.settings["engine"] == "llamacpp":  # elsewhere many share the time that one takes
            self._work = {key: seconds / mean for key, seconds in trial.latencies.items()}
        self._loaded_s = trial.loaded_s
        self.tell(
            f"{len(trial.latencies)} requests, {mean:.2f} s each; {trial.memory.private / 1e6:,.0f} MB of its own, "
            f"{trial.memory.shared / 1e6:,.0f} MB shared by all jobs"
        )
        return trial

    def _run(self, subject: Subject, jobs: int, length: int, limits: Limits, first: int) -> Trial:
        """A measurement, from this round of the sample on.

        Raises InputError where an infer job finds fault with what it was given.
        """
        step = len(self.sample) / jobs  # not all at the same request at the same time
        feeds = [feed(self.sample, round(number * step), length, first) for number in range(jobs)]
        rounds = range(first, first + length // sum(map(len, self.sample)) + 1)
        self._round = max(self._round, rounds.stop)
        work = {copy_key(key, number): weight for key, weight in self._work.items() for number in rounds}
        try:
            return measure(subject, feeds, limits, work, self._watched)
        except TrialFailed as failed:
            if failed.code == InputError.exit_code and not any(result.rates for result in self.results.values()):
                raise InputError(str(failed)) from None
            raise

    def _settle(self, cells: Iterable[Cell], further: int = 0) -> None:
        """Measure these as often as it pays; ``further`` of another kind are to follow."""
        for cell in cells:
            self.results.setdefault(cell, Result(cell=cell))
        while (following := next_cell(self.results.values(), self.repeats)) and self._plan(self._waiting() + further):
            self._measure(following)
        for result in self.results.values():
            if not result.rates and not result.left_out:
                result.left_out = NO_TIME

    def _waiting(self) -> int:
        return sum(not result.rates and not result.left_out for result in self.results.values())

    def _plan(self, cells: int) -> bool:
        """Share out the time that is left; whether there is enough for one more measurement.

        Each of so many cells is measured once, and about three of them as often as repeats say.
        """
        repeated = sum(len(result.rates) - 1 for result in self.results.values() if result.rates)
        trials = max(cells, 0) + max(3 * (self.repeats - 1) - repeated, 0)
        share_s = 0.9 * self.left_s / max(trials, 1) - self._loaded_s
        self._window_s = min(max(share_s, _SHORTEST_S), _LONGEST_S)
        return self.left_s > self._loaded_s + self._window_s and not self._is_silent

    @property
    def left_s(self) -> float:
        """Seconds until its time is up."""
        return max(self.until - time.monotonic(), 0.0)

    def _limits(self) -> Limits:
        """Those of the next measurement. Nobody knows how long the first takes to load; the others say."""
        left_s = self.left_s
        known = any(result.rates for result in self.results.values())
        most_s = left_s - self._window_s
        load_s = max(left_s / 2, min(_SLOWER_TO_LOAD * self._loaded_s, most_s)) if known else most_s
        return Limits(self._window_s, min(_STRETCH * self._window_s, left_s), load_s)

    def _measure(self, cell: Cell) -> None:
        """Measure a set-up once more. One that fails is left out from then on, and told why."""
        result = self.results.setdefault(cell, Result(cell=cell))
        subject = replace(self.subject, settings=cell.laid_upon(self.subject.settings))
        limits = self._limits()
        try:
            trial = self._run(subject, cell.jobs, self._feed_length(limits), limits, self._round)
        except TrialFailed as failed:
            self.tell(f"{cell}: {failed}")
            self._is_silent = self._at_one_endpoint
            if result.rates:  # it went better before: what was measured stays
                self._note(result, Rate(0.0, 0.0, 1.0))
            else:
                result.left_out = str(failed)
            self.save(self.results.values())
            return
        self._loaded_s = max(self._loaded_s, trial.loaded_s)
        self._note(result, trial.rate)
        if trial.others is not None:
            result.others.append(trial.others)
        result.memory_mb = max(result.memory_mb, round(trial.memory.of_jobs(1) / 1e6, 1))
        told = f", {trial.rate.failed:.0%} of the calls failed" if trial.rate.failed else ""
        self.tell(f"{cell}: {trial.rate.answers:.3g} answers/s ({trial.calls:,} calls, {trial.tokens:,} tokens){told}")
        self.save(self.results.values())

    @staticmethod
    def _note(result: Result, rate: Rate) -> None:
        result.rates.append(rate.answers)
        result.tokens.append(rate.tokens)
        result.failed.append(rate.failed)

    def _feed_length(self, limits: Limits) -> int:
        """Requests for a job, more than it can answer: twice as fast as any before, to the end."""
        fastest = max((r.median / r.cell.jobs for r in self.results.values() if r.rates), default=_FIRST_GUESS)
        return min(max(int(2 * fastest * limits.most_s), _FEED_FEWEST), _FEED_MOST)

    def _leave_out(self, reasons: dict[Cell, str]) -> None:
        for cell, reason in reasons.items():
            self.results[cell] = Result(cell=cell, left_out=reason)
            self.tell(f"{cell}: left out: {reason}")

    def _best(self) -> Cell | None:
        best = verdict(self.results.values()).best
        return best.cell if best else None


def _answered(chain: Chain, trial: Trial) -> Chain:
    return [request for request in chain if request.key in trial.latencies]


def attention_heads(model: Path | None) -> int | None:
    """The number of a model's attention heads, by its config.json; None where that does not say."""
    try:
        return int(json.loads((model / "config.json").read_bytes())["num_attention_heads"]) if model else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
