"""Measure on this machine how a reader is run best, and recommend one line for the configuration.

hopeval tune --reader smollm2 --settings reader.yaml --model m.gguf --requests requests.jsonl --output tuning.json
hopeval tune --measured tuning.json --write tuned.yaml     shows it again, draws it, writes the configuration

What is measured are infer jobs with a sample of the run's own requests: for llama.cpp jobs × threads and
batches, for vLLM jobs × GPUs and sequences at once, for all else the number of requests in flight. Their
answers are thrown away. Several models (quantisations) are measured one after the other; the recommendation
is for the first, since another model's answers are others.

There is no recommendation, and none is written, where the best set-up was measured only once, where its
repeats differ by more than a tenth of their median, or where other programs took more than a tenth of the
cores' time.
"""

import argparse
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from hopeval.commands import mapping, positive
from hopeval.config import parse_reader
from hopeval.devices import visible
from hopeval.errors import HopevalError, InputError, printable
from hopeval.io import write_json
from hopeval.readers import LlamaCppReader, OpenAIReader, VLLMReader
from hopeval.tuning.cells import Cell
from hopeval.tuning.findings import Findings, described, read_configuration, read_findings, write_configuration
from hopeval.tuning.machine import cores
from hopeval.tuning.sample import pick
from hopeval.tuning.search import Result, verdict
from hopeval.tuning.served import served
from hopeval.tuning.trial import Subject
from hopeval.tuning.tuner import Tuner, attention_heads

_QUESTIONS = {"llamacpp": 8, "vllm": 64}
"""In the sample, by engine: one request after the other is answered by llama.cpp, many at once by others."""
_QUESTIONS_AT_ENDPOINTS = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--reader", help="the reader's name")
    parser.add_argument("--settings", type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--model", type=Path, nargs="+", default=[], help="its model, and others to compare with")
    parser.add_argument("--requests", type=Path, help="the run's requests, as plan writes them")
    parser.add_argument("--output", type=Path, help="all measurements (JSON)")
    parser.add_argument("--minutes", type=_minutes, default=10.0, help="that it may take (default 10)")
    parser.add_argument("--repeats", type=positive, default=3, help="of each good set-up (default 3)")
    parser.add_argument("--threads", type=positive, help="cores to use at most (default: all that we may)")
    parser.add_argument("--gpus", type=positive, help="GPUs to use at most (default: all visible ones)")
    parser.add_argument("--measure-only", action="store_true", help="draw and recommend nothing, --measured does later")
    parser.add_argument("--measured", type=Path, nargs="+", help="files of earlier measurements, instead of new ones")
    parser.add_argument("--write", type=Path, metavar="FILE", help="configuration with the recommendation (YAML)")


def _minutes(argument: str) -> float:
    try:
        minutes = float(argument)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < 1e6:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a number of minutes above 0")
    return minutes


def run(args: argparse.Namespace) -> None:
    """Measure, draw, recommend. Raises InputError for what is wrong with the reader, its model or its requests."""
    if args.write:
        read_configuration(args.write)  # whether it may be written: before anything is measured
    paths = args.measured
    if not paths:
        _measure(args)
        paths = [args.output]
    if not args.measure_only:
        _show(paths, args.write)


def _measure(args: argparse.Namespace) -> None:
    """Write the findings, after each measurement. SIGTERM and SIGHUP end it as Ctrl-C does: no job is left behind."""
    if missing := [name for name in ("reader", "settings", "requests", "output") if not getattr(args, name)]:
        raise InputError(f"--{missing[0]} is missing; without --measured there is something to measure")
    if args.output.exists():
        read_findings(args.output)  # whether it is one of ours: before anything is measured
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        _measure_models(args)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _save(
    path: Path, found: Findings, begun: float, before: list[Result], model: str, results: Iterable[Result]
) -> None:
    """Write what is known so far: ``before`` of other models, ``results`` of this one."""
    found.results = [*before, *(msgspec.structs.replace(result, model=model) for result in results)]
    found.seconds = round(time.monotonic() - begun, 1)
    write_json(path, msgspec.to_builtins(found))


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _measure_models(args: argparse.Namespace) -> None:
    settings = parse_reader(args.settings, args.reader)
    begun, mine = time.monotonic(), cores().at_most(args.threads)
    if absent := [model for model in args.model if not model.exists()]:
        raise InputError(f"--model {absent[0]}: no model file or folder there; check the path")
    sample = pick(args.requests, _QUESTIONS.get(settings.engine, _QUESTIONS_AT_ENDPOINTS))
    devices = min(len(visible()), args.gpus or sys.maxsize) if settings.gpus else 0
    models: list[Path | None] = [*args.model] or [None]
    found = Findings(
        reader=args.reader,
        engine=settings.engine,
        host=socket.gethostname(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        models=[str(model or "") for model in models],
        cores=(mine.physical, mine.logical),
        gpus=devices,
        requests=sum(map(len, sample)),
        repeats=args.repeats,
        seconds=0.0,
        results=[],
    )
    for number, model in enumerate(models, 1):
        until = begun + 60 * args.minutes * number / len(models)
        subject = Subject(args.reader, args.settings, model, settings.python or sys.executable)
        save = partial(_save, args.output, found, begun, found.results, str(model or ""))
        tuner = Tuner(subject, sample, mine, args.repeats, until, _tell, save)
        try:
            _tune(tuner, settings, devices, args.output.with_suffix(".server.log"))
        except HopevalError as failed:
            if isinstance(failed, InputError) and number == 1:
                raise
            # A server or a further model that fails ends its own branch: what was measured is kept.
            tuner.results[Cell()] = Result(cell=Cell(), left_out=str(failed))
        found.requests = sum(map(len, tuner.sample)) if number == 1 else found.requests
        save(tuner.results.values())


def _tune(tuner: Tuner, settings: Any, devices: int, log: Path) -> None:
    """Measure what the reader's engine lets one vary."""
    if isinstance(settings, LlamaCppReader) or (isinstance(settings, VLLMReader) and not settings.gpus):
        tuner.threads()
    elif isinstance(settings, VLLMReader):
        if devices < settings.gpus:
            raise InputError(f"readers.{tuner.subject.name}.gpus: {settings.gpus} asked for, {devices} visible")
        tuner.gpus(devices, attention_heads(tuner.subject.model))
    else:
        server = isinstance(settings, OpenAIReader) and settings.serve
        where = served(tuner.subject.settings, tuner.subject.model, log, tuner.left_s) if server else nullcontext()
        with where as address:
            if address:
                tuner.subject = Subject(tuner.subject.name, address, None, tuner.subject.python)
            # All jobs ask the same endpoint: one of them with all in flight. A server of its own each job has.
            tuner.levels({"shards": 1} if isinstance(settings, OpenAIReader) and not server else {})


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _show(paths: list[Path], write: Path | None) -> None:
    """Print and draw findings, and write what they recommend."""
    found = [read_findings(path) for path in paths]
    for path, findings in zip(paths, found, strict=True):
        print(printable("\n".join(described(findings))))
        _draw(findings, path)
    if write:
        write_configuration(write, found)
        written = [findings.reader for findings in found if findings.configuration]
        print(f"{write}: written for {', '.join(written)}" if written else f"{write}: written, with no recommendation")


def _draw(findings: Findings, path: Path) -> None:
    """The curve beside the measurements."""
    from hopeval.report.curve import Point, tuning_figure

    curves = []
    for model in findings.models:
        results = [result for result in findings.of_model(model) if result.rates]
        chosen = verdict(results).best
        points = [
            Point(str(r.cell), r.median, min(r.rates), max(r.rates), r is chosen, r.cell.concurrency) for r in results
        ]
        curves.append((Path(model).name, sorted(points, key=lambda point: point.in_flight or 0)))
    if any(points for _, points in curves):
        tuning_figure(curves, f"{findings.reader} on {findings.host}", path.with_suffix(".svg"))
