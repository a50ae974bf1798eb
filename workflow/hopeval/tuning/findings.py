"""What a tuning found: its file, what is printed of it, and the configuration that comes of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hopeval.errors import InputError, printable
from hopeval.io import atomic_write
from hopeval.tuning.search import Result, Verdict, verdict

_BAR = 30
_HEADER = "# Written by hopeval tune. Lay it upon your own configuration: --configfile mine.yaml "


class Findings(Struct, kw_only=True):
    """Everything that was measured of a reader. ``results`` are of all ``models``, the reader's own first.

    ``cores`` are physical cores and hardware threads that could be used; ``requests`` is the size of the sample.
    """

    reader: str
    engine: str
    host: str
    at: str
    models: Annotated[list[str], Meta(min_length=1)]
    cores: tuple[int, int]
    gpus: int = 0
    requests: int
    repeats: int
    seconds: float
    results: list[Result]

    def of_model(self, model: str) -> list[Result]:
        """What was measured with one of the models."""
        return [result for result in self.results if result.model == model]

    @property
    def verdict(self) -> Verdict:
        """Which set-up to take. Another model's answers are others: how fast it is does not decide that."""
        return verdict(self.of_model(self.models[0]))

    @property
    def configuration(self) -> dict[str, Any]:
        """What to lay upon the configuration; nothing where the findings are in doubt."""
        found = self.verdict
        return {"readers": {self.reader: found.best.cell.settings}} if found.best and found.is_sure else {}


def read_findings(path: Path) -> Findings:
    """The findings of a file. Raises InputError when it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Findings)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; name a file that hopeval tune has written") from None


def described(findings: Findings) -> Iterator[str]:
    """What to print of it, line by line: a table with a curve for each model, and what to make of it."""
    physical, logical = findings.cores
    cores = f"{physical} cores" + (f" ({logical} hardware threads)" if logical > physical else "")
    gpus = f", {findings.gpus} GPUs" if findings.gpus else ""
    sample = f"{findings.requests} requests of this run, {findings.seconds:.0f} s"
    yield f"{findings.reader}: {findings.engine} on {findings.host}, {cores}{gpus}; {sample}"
    for model in findings.models:
        if len(findings.models) > 1:
            yield f"model {printable(model)}"
        yield from _table(findings.of_model(model))
    yield from _other_models(findings)
    yield from _recommendation(findings)


def _table(results: Sequence[Result]) -> Iterator[str]:
    measured = sorted((result for result in results if result.rates), key=lambda r: r.cell.concurrency or 0)
    chosen, most = verdict(results).best, max((result.median for result in measured), default=0.0)
    width = max((len(str(result.cell)) for result in measured), default=0)
    if measured:
        yield f"  {'':{width}}  answers/s  spread  repeats     MB"
    for result in measured:
        bar = "█" * max(round(_BAR * result.median / most), 1) if result.median else ""
        marks = " ◄" if result is chosen else ""
        marks += f" {sum(result.failed) / len(result.failed):.0%} failed" if any(result.failed) else ""
        spread = f"{result.spread:.0%}" if len(result.rates) > 1 else "–"
        numbers = f"{result.median:9.3g}  {spread:>6}  {len(result.rates):7}  {result.memory_mb:5,.0f}"
        yield f"  {result.cell!s:{width}}  {numbers}  {bar}{marks}"
    for result in results:
        if result.left_out:
            yield f"  left out: {result.cell}: {printable(result.left_out)}"


def _other_models(findings: Findings) -> Iterator[str]:
    """How much faster or slower each further model is."""
    own = findings.verdict.best
    for model in findings.models[1:]:
        best = verdict(findings.of_model(model)).best
        if own and best:
            ratio = best.median / own.median
            yield (
                f"{printable(model)}: {ratio:.2f} × as many answers/s, with {best.cell}; "
                "another model or quantisation gives other answers: compare their scores before you change"
            )


def _recommendation(findings: Findings) -> Iterator[str]:
    found = findings.verdict
    if found.best is None:
        yield "no recommendation: nothing could be measured; the reasons stand above"
        return
    line = flow({"readers": {findings.reader: found.best.cell.settings}})
    if found.doubts:
        yield f"no recommendation: {'; '.join(found.doubts)}"
        yield f"unsure; tune again when nothing else runs: {line}"
    else:
        yield f"recommended: {line}"


def flow(configuration: dict[str, Any]) -> str:
    """A section of the configuration in one line of YAML.

    >>> flow({"readers": {"q": {"shards": 2}}})
    'readers: {q: {shards: 2}}'
    """
    import yaml

    ((section, value),) = configuration.items()
    inner = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return f"{section}: {inner.strip()}"


def read_configuration(path: Path) -> dict[str, Any]:
    """What a file that tune has written says, with its readers; nothing where there is none yet.

    Raises InputError when it is a user's own, with comments in it, or cannot be read.
    """
    import yaml

    try:
        text = path.read_text() if path.exists() else _HEADER
        found = yaml.safe_load(text) or {}
    except OSError as error:
        raise InputError(f"--write {path}: cannot be read: {error.strerror}; name another file") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"--write {path}: is no YAML any more; mend it, remove it or name another file") from None
    if not text.startswith(_HEADER):
        raise InputError(f"--write {path}: there is a file that hopeval tune did not write; name another one")
    readers = (found.get("readers") or {}) if isinstance(found, dict) else None
    if not isinstance(readers, dict):
        raise InputError(f"--write {path}: readers is no section; mend it, remove it or name another file")
    return {**found, "readers": readers}


def write_configuration(path: Path, found: Sequence[Findings]) -> None:
    """Write what is recommended, and keep what stands there of other readers and of all else."""
    import yaml

    configuration = read_configuration(path)
    for findings in found:
        configuration["readers"].update(findings.configuration.get("readers", {}))
    remarks = [line for findings in found for line in _remarks(findings)]
    lines = [f"{_HEADER}{_one_line(path.name)}", *(f"# {_one_line(line)}" for line in remarks)]
    with atomic_write(path) as file:
        file.write("\n".join([*lines, yaml.safe_dump(configuration, sort_keys=False)]).encode())


def _one_line(text: str) -> str:
    """What cannot leave the comment that it stands in."""
    return " ".join(printable(text).split())


def _remarks(findings: Findings) -> Iterator[str]:
    physical, logical = findings.cores
    yield f"{findings.reader}: {findings.at}, {findings.host}, {physical} cores, {logical} hardware threads"
    if not findings.configuration:
        yield from _recommendation(findings)
