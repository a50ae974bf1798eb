"""How a tuner spends its time, with measurements of its own and a clock that only they move."""

from types import SimpleNamespace

import pytest

from hopeval.records import Message, Request
from hopeval.tuning.machine import Cores, Memory
from hopeval.tuning.search import verdict
from hopeval.tuning.throughput import Rate
from hopeval.tuning.trial import Subject, Trial, TrialFailed
from hopeval.tuning.tuner import Tuner

MB = 1_000_000
SAMPLE = [[Request(key=f"k{i}", question_id=f"q{i}", messages=[Message("user", f"Who is {i}?")])] for i in range(4)]


class Machine:
    """Stands where infer jobs would run: loads for ``loads_s``, and is as fast as ``speed`` says of the settings."""

    def __init__(self, speed, loads_s=2.0, private=10 * MB, others=0.0):
        self.speed, self.loads_s, self.private, self.others = speed, loads_s, private, others
        self.now, self.trials = 1000.0, []

    def measure(self, subject, feeds, limits, work, cores=None):
        """A trial, or that there was no answer; the time it takes passes."""
        given = [list(feed) for feed in feeds]
        self.trials.append(SimpleNamespace(settings=subject.settings, feeds=given, limits=limits, work=work))
        if self.loads_s > limits.load_s:
            self.now += limits.load_s
            raise TrialFailed("no answer of each job")
        self.now += self.loads_s + limits.window_s
        rate = Rate(self.speed(subject.settings), 100.0, 0.0)
        latencies = {request.key: 1.0 for request in self.trials[-1].feeds[0]}
        return Trial(rate, Memory(self.private, 0), self.others, self.loads_s, latencies)


@pytest.fixture
def tuner(monkeypatch):
    """Makes a tuner of a reader with this engine on a machine, for so many minutes."""

    def make(machine, engine="llamacpp", minutes=10, repeats=3, cores=4, **settings):
        monkeypatch.setattr("hopeval.tuning.tuner.measure", machine.measure)
        monkeypatch.setattr("hopeval.tuning.tuner.time", SimpleNamespace(monotonic=lambda: machine.now))
        monkeypatch.setattr("hopeval.tuning.tuner.free_memory", lambda: 1000 * MB)
        subject = Subject("r", {"engine": engine, **settings})
        ours = Cores(cores, cores, tuple(range(cores)))
        return Tuner(subject, SAMPLE, ours, repeats, machine.now + 60 * minutes, lambda line: None)

    return make


def by_jobs(settings):
    return {1: 5.0, 2: 10.0, 4: 8.0}[settings["shards"]]


def test_splits_then_batches(tuner):
    machine = Machine(by_jobs)
    tune = tuner(machine)
    tune.threads()
    best = tune.results[tune._best()]
    assert (best.cell.shards, best.cell.threads, best.cell.options) == (2, 2, ())
    assert len(best.rates) == 3
    assert all(result.rates for result in tune.results.values())
    assert {result.cell.shards for result in tune.results.values() if result.cell.options} == {2}


@pytest.mark.parametrize("loads_s", [1.0, 70.0, 300.0])
def test_a_model_that_is_slow_to_load_is_waited_for(tuner, loads_s):
    machine = Machine(by_jobs, loads_s)
    tune = tuner(machine, minutes=60)
    tune.threads()
    assert tune._best().shards == 2
    assert machine.now <= tune.until


def test_the_first_measurement_on_gpus_knows_of_no_time_to_load(tuner):
    machine = Machine(lambda settings: 10.0, loads_s=70.0)
    tune = tuner(machine, engine="vllm")
    tune.gpus(2, None)
    assert [result.cell.gpus for result in tune.results.values() if result.rates][:2] == [2, 1]
    assert machine.now <= tune.until
    first, second = (trial.limits.window_s for trial in machine.trials[:2])
    assert second <= first  # planned anew, with what there was to learn


def test_a_reader_that_never_answers_costs_no_more_than_its_time(tuner):
    machine = Machine(by_jobs, loads_s=1e6)
    tune = tuner(machine, engine="module:Engine")
    tune.levels({})
    assert all("no answer" in result.left_out for result in tune.results.values())
    assert machine.now <= tune.until


def test_no_prompt_is_sent_twice_to_one_server(tuner):
    machine = Machine(lambda settings: min(settings["concurrency"], 4) * 10.0)
    tuner(machine, engine="openai").levels({"shards": 1})
    tuner(machine, engine="openai").levels({"shards": 1})  # the day after
    assert len(machine.trials) > 6
    prompts = [request.messages[-1].content for trial in machine.trials for feed in trial.feeds for request in feed]
    assert len(set(prompts)) == len(prompts)


def test_copies_weigh_what_their_requests_do(tuner):
    machine = Machine(by_jobs)
    tuner(machine).threads()
    trials = machine.trials[1:]
    assert all(request.key in trial.work for trial in trials for feed in trial.feeds for request in feed)


def test_what_does_not_fit_gives_way_to_the_most_jobs_that_do(tuner):
    machine = Machine(lambda settings: float(settings["shards"]), private=280 * MB)
    tune = tuner(machine, cores=8)
    tune.threads()
    assert (tune._best().shards, tune._best().threads) == (3, 2)


def test_all_is_kept_after_each_measurement(tuner):
    machine, kept = Machine(by_jobs), []
    tune = tuner(machine)
    tune.save = lambda results: kept.append(sum(len(result.rates) for result in results))
    tune.threads()
    assert kept == list(range(1, len(machine.trials)))  # the first look is none


def test_an_endpoint_that_falls_silent_is_not_asked_again(tuner):
    machine = Machine(lambda settings: settings["concurrency"] * 10.0)
    measure = machine.measure

    def until_two(subject, *more):
        trial = measure(subject, *more)
        if subject.settings["concurrency"] > 2:
            raise TrialFailed("the first 20 requests were all refused", 1)
        return trial

    machine.measure = until_two
    tune = tuner(machine, engine="openai")
    tune.levels({"shards": 1})
    assert [trial.settings["concurrency"] for trial in machine.trials] == [1, 2, 4]
    assert tune._best().concurrency == 2


def test_what_there_was_no_time_for_is_a_doubt(tuner):
    machine = Machine(by_jobs, loads_s=100.0)
    tune = tuner(machine, minutes=6)
    tune.threads()
    assert "no time was left" in "; ".join(verdict(tune.results.values()).doubts)
